from datetime import date

import pytest
from django.test import Client
from django.urls import reverse

from tests.amendments import NEW_FORM, activated, amended_text, approved, submitted
from tests.factories import Study, protocol_text
from tests.marks import on_postgres
from trials.models import ProtocolVersion, SiteApproval, SiteVersion, Trial
from trials.permissions import Role


pytestmark = on_postgres

DAY = "2100-01-01"


@pytest.fixture(autouse=True)
def _no_collected_files(settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def study() -> Study:
    return Study(kits=0)


def logged_in(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def address(name, version, *more) -> str:
    return reverse(f"admin:trials_protocolversion_{name}", args=[version.pk, *more])


def activation(version, *sites) -> str:
    asked = "&".join(f"sites={site}" for site in sites)
    return f"{address('activation', version)}?in_force_from={DAY}&{asked}"


def test_an_amendment_goes_from_file_to_site_through_the_pages(study):
    study.consented()
    client = logged_in(study.admin)

    client.post(
        reverse("admin:trials_protocolversion_add"),
        {"key": "one", "trial": study.trial.pk, "protocol_text": amended_text(NEW_FORM)},
    )
    version = ProtocolVersion.objects.get(version="1.1")
    client.post(
        address("approval", version),
        {
            "key": "two",
            "site": study.site.pk,
            "approved_on": "2026-03-10",
            "reference": "EC 12",
        },
    )
    shown = client.get(activation(version, "DE-01"))
    client.post(
        activation(version, "DE-01"),
        {"key": "three", "impact_digest": shown.context["impact"].digest},
    )
    page = client.get(address("change", version)).content.decode()

    assert SiteApproval.objects.get(protocol_version=version).reference == "EC 12"
    assert "Re-consent due" in shown.content.decode()
    assert "DE-01-0001" in shown.content.decode()
    assert SiteVersion.objects.filter(protocol_version=version).count() == 1
    assert "to begin at 1 of 1 sites" in page
    assert f"begins on {DAY}" in page


def test_no_button_stands_on_the_page_before_the_impact(study):
    version = approved(study, submitted(study), study.site)
    client = logged_in(study.admin)

    before = client.get(address("activation", version)).content.decode()
    after = client.get(activation(version, "DE-01")).content.decode()

    assert ("impact_digest" in before, "impact_digest" in after) == (False, True)


def test_a_stale_report_is_refused_and_the_new_one_shown(study):
    version = approved(study, submitted(study, NEW_FORM), study.site)
    client = logged_in(study.admin)
    seen = client.get(activation(version, "DE-01")).context["impact"].digest
    study.consented()

    answer = client.post(activation(version, "DE-01"), {"key": "one", "impact_digest": seen})

    assert "impact_changed" in answer.content.decode()
    assert answer.context["impact"].digest != seen
    assert not SiteVersion.objects.filter(protocol_version=version).exists()


def test_a_site_without_approval_cannot_be_chosen(study):
    version = submitted(study)

    answer = logged_in(study.admin).get(activation(version, "DE-01"))

    assert answer.context["impact"] is None


def test_a_file_with_faults_comes_back_with_every_fault(study):
    text = amended_text(("ratio = 2", "ratio = 0"), ('phase = "3"', "phase = 3"))
    sent = {"key": "one", "trial": study.trial.pk, "protocol_text": text}

    page = logged_in(study.admin).post(reverse("admin:trials_protocolversion_add"), sent)

    assert page.status_code == 200
    assert page.content.decode().count("<code>") >= 2
    assert ProtocolVersion.objects.count() == 1


def test_check_only_names_every_problem_with_its_line_and_keeps_nothing(study):
    text = amended_text(("ratio = 2", "ratio = 0"), ('phase = "3"', "phase = 3"))
    sent = {"key": "one", "trial": study.trial.pk, "protocol_text": text, "rehearse": "1"}
    line = text.splitlines().index("ratio = 0") + 1

    page = logged_in(study.admin).post(reverse("admin:trials_protocolversion_add"), sent)

    said = page.content.decode()
    assert "2 problems. Nothing was stored." in said
    assert f"<td>{line}</td><td><code>arms[0].ratio</code></td>" in said
    assert ProtocolVersion.objects.count() == 1


def test_a_file_is_checked_and_then_submitted_from_the_same_page(study):
    client, address = logged_in(study.admin), reverse("admin:trials_protocolversion_add")
    sent = {"key": "one", "trial": study.trial.pk, "protocol_text": amended_text(NEW_FORM)}

    first = client.post(address, {**sent, "rehearse": "1"}).content.decode()
    before = ProtocolVersion.objects.count()
    client.post(address, sent)

    assert "No problem in CLLM1 1.1" in first
    assert "Consent form: changes from 1.0 to 2.0" in first
    assert "guesses 77.8% right, 44.4% for certain (exact: 7/9, certain 4/9)" in first
    assert (before, ProtocolVersion.objects.count()) == (1, 2)


def test_another_trial_is_checked_and_started_from_its_page(study):
    client, address = logged_in(study.admin), reverse("admin:trials_trial_start")
    sent = {"key": "one", "conduct": "live", "protocol_text": protocol_text(code="CLLM2")}

    trained = {"document": "Protocol", "version": "1.0", "completed_on": "2026-03-09"}

    first = client.post(address, {**sent, "rehearse": "1"}).content.decode()
    untrained = client.post(address, sent)
    before = Trial.objects.count()
    sent |= trained
    client.post(address, sent)
    again = client.post(address, {**sent, "key": "two"}).content.decode()
    listed = client.get(reverse("admin:trials_protocolversion_changelist")).content.decode()

    assert "No problem in CLLM2 1.0" in first
    assert set(untrained.context["form"].errors) == set(trained)
    assert (before, Trial.objects.count()) == (1, 2)
    assert "CLLM2 exists already" in again
    assert "CLLM2" in listed


def test_the_versions_page_says_how_predictable_its_arms_are_to_nobody_who_enrols(study):
    first = ProtocolVersion.objects.get()

    for role in (Role.SPONSOR_ADMINISTRATOR, Role.MONITOR):
        page = logged_in(study.people[role]).get(address("change", first)).content.decode()
        assert "77.8% right" in page
    assert logged_in(study.coordinator).get(address("change", first)).status_code == 403


def test_two_versions_are_compared_in_words(study):
    version = submitted(study, NEW_FORM)
    first = ProtocolVersion.objects.get(version="1.0")

    page = logged_in(study.people[Role.MONITOR]).get(address("compare", version, first.pk))

    assert "Consent form: changes from 1.0 to 2.0" in page.content.decode()


@pytest.mark.parametrize("role", [Role.MONITOR, Role.DATA_MANAGER, Role.AUDITOR])
def test_who_only_reads_versions_takes_none_further(study, role):
    version = approved(study, submitted(study), study.site)
    client = logged_in(study.people[role])

    codes = [
        client.get(url).status_code
        for url in (
            address("change", version),
            address("approval", version),
            activation(version, "DE-01"),
            reverse("admin:trials_protocolversion_add"),
            reverse("admin:trials_trial_start"),
        )
    ]

    assert codes == [200, 403, 403, 403, 403]


def test_who_enrols_sees_no_protocol_file(study):
    version = submitted(study)
    client = logged_in(study.coordinator)

    assert client.get(address("change", version)).status_code == 403
    assert client.get(address("compare", version, version.pk)).status_code == 403


# --- A start withdrawn ------------------------------------------------------------------------


@pytest.fixture
def scheduled(study):
    second = study.add_site("DE-02")
    version = approved(study, submitted(study, NEW_FORM), study.site, second)
    activated(study, version, study.site, second, in_force_from=date.fromisoformat(DAY))
    return version


def test_a_start_to_come_is_withdrawn_from_its_row_and_the_pages_say_so(study, scheduled):
    client = logged_in(study.admin)
    way = f"{address('withdrawal', scheduled)}?sites=DE-01"

    before = client.get(address("change", scheduled)).content.decode()
    form = client.get(way)
    sent = {"key": "one", "sites": ["DE-01"], "reason": "an urgent one comes first"}
    after = client.post(way, sent, follow=True).content.decode()
    of_site = client.get(reverse("admin:trials_site_change", args=[study.site.pk]))
    listed = client.get(reverse("admin:trials_protocolversion_changelist")).content.decode()

    assert way in before
    assert "to begin at 2 of 2 sites" in before
    assert form.content.decode().count(" checked") == 1
    assert "they go on with the one they run" in form.content.decode()
    assert "The start of 1.1 is withdrawn: it does not begin at DE-01." in after
    assert "to begin at 1 of 2 sites" in after
    told = f"tart on {DAY} withdrawn "
    why = f"by {study.admin}: an urgent one comes first"
    for page in (after, of_site.content.decode()):
        assert told in page
        assert why in page
    assert way not in after
    assert "Activated at 1 site<" in listed.replace("\n", "")


def test_the_first_version_is_in_force_until_the_day_comes(study, scheduled):
    first = ProtocolVersion.objects.get(version="1.0")

    page = logged_in(study.admin).get(address("change", first)).content.decode()

    assert "in force at 2 of 2 sites" in page
    assert ">replaced<" not in page


def test_a_refused_withdrawal_says_why_and_leaves_the_start(study, scheduled):
    client = logged_in(study.admin)

    answers = [
        client.post(address("withdrawal", scheduled), {"key": key, **sent})
        for key, sent in (
            ("one", {"sites": ["DE-01"], "reason": ""}),
            ("two", {"sites": ["DE-09"], "reason": "why"}),
            ("three", {"reason": "why"}),
        )
    ]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert [set(answer.context["form"].errors) for answer in answers] == [
        {"reason"}, {"sites"}, {"sites"},
    ]  # fmt: skip
    assert SiteVersion.objects.filter(protocol_version=scheduled).count() == 2


@pytest.mark.parametrize("role", [Role.MONITOR, Role.AUDITOR, Role.COORDINATOR])
def test_who_does_not_set_the_trial_up_is_offered_no_withdrawal(study, scheduled, role):
    client = logged_in(study.people[role])

    page = client.get(address("change", scheduled)).content.decode()

    assert client.get(address("withdrawal", scheduled)).status_code == 403
    assert address("withdrawal", scheduled) not in page
