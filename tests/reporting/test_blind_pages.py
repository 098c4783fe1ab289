"""The pages of the blind as people use them: requests, sheets, assessments, and the access log."""

import csv
import io
import zipfile
from collections import Counter

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader

from dosing.models import Kit, KitNumberDraw
from patients.models import Unblinding, UnblindingAssessment
from patients.services.unblinding import record_inadvertent_unblinding, shown_arm
from tests.config.test_row_level_security import as_application
from tests.factories import NOW, Study
from tests.interface import caller_for
from tests.marks import on_postgres
from tests.pages import questions
from tests.patients.test_unblinding import (
    ARMS,
    WORD,
    agree,
    ask_for,
    break_it,
    break_it_and_fail,
    naming_an_arm,
    officer_looks,
    reaction,
    with_password,
    with_passwords,
)
from trials.errors import IdentityNotConfirmed
from trials.models import RefusedLook, SealedAccess, UnblindingAnswer, UnblindingRequest
from trials.permissions import Permission, Role, allows
from trials.services.unblinding_requests import request_trial_unblinding


pytestmark = on_postgres

PROOF = {"key": "one", "password": WORD}
LOG = "admin:trials_sealedaccess_changelist"
REFUSED = "admin:trials_refusedlook_changelist"
REQUESTS = "admin:trials_unblindingrequest_changelist"
UNBLINDINGS = "admin:patients_unblinding_changelist"
SHEETS = "admin:contingency_sheets"
NEW_SHEETS = "admin:contingency_sheets_new"
DRAWS = "admin:dosing_kitnumberdraw_changelist"
DRAW = "admin:dosing_kitnumberdraw_add"
SUPPLY = "admin:kit_supply"
PROTOCOL_TABLES = {"public.trials_protocolversion", "public.trials_protocolversionhistory"}
TREATMENTS = ("Lenalidomide", "Placebo")
PEOPLE = [role for role in Role if role is not Role.SITE_SYSTEM]


@pytest.fixture
def study(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    return with_passwords(Study(arms=ARMS, kits=0))


def browser(person):
    client = Client()
    client.force_login(person)
    return client


def as_(study, role):
    return browser(study.people[role])


def text_of(answer):
    return b"".join(answer).decode()


def act(request, name):
    return reverse("admin:trials_unblindingrequest_act", args=[request.pk, name])


def page_of(request):
    return reverse("admin:trials_unblindingrequest_change", args=[request.pk])


def rows_of(answer):
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


# --- Requests, and the second person ----------------------------------------------------------


def test_the_trials_request_goes_from_one_person_to_the_other_and_the_list_comes_once(study):
    subject = study.randomised()
    first, second = as_(study, Role.UNBLINDED_STATISTICIAN), as_(study, Role.MEDICAL_MONITOR)
    form = {"key": "ask", "trial": study.trial.pk, "reason": "Final", "early_reason": "Closing"}

    first.post(reverse("admin:trials_unblindingrequest_add"), form)
    request = UnblindingRequest.objects.get()
    alone = first.post(act(request, "list"), {**PROOF, "key": "alone"})
    second.post(act(request, "agree"), PROOF)
    given = first.post(act(request, "list"), PROOF)
    again = first.post(act(request, "list"), PROOF, follow=True)

    assert "nobody has agreed yet" in text_of(alone)
    assert [(row["subject"], row["arm"]) for row in rows_of(given)] == [
        (subject.number, "QXACTIVE")
    ]
    assert "no-store" in given["Cache-Control"]
    assert "attachment" in given["Content-Disposition"]
    assert "given out already" in text_of(again)
    assert SealedAccess.objects.filter(purpose="trial unblinding").count() == 1
    assert "public.django_session" not in naming_an_arm("public")


def test_a_request_while_sites_recruit_asks_on_the_form_why_it_cannot_wait(study):
    client = as_(study, Role.UNBLINDED_STATISTICIAN)

    answer = client.post(
        reverse("admin:trials_unblindingrequest_add"),
        {"key": "ask", "trial": study.trial.pk, "reason": "Final", "early_reason": ""},
    )

    assert answer.context["form"].errors["early_reason"]
    assert not UnblindingRequest.objects.exists()


def test_the_officer_asks_another_agrees_and_the_treatment_is_shown_once(study):
    subject = study.randomised()
    event = reaction(study, subject)
    officer, monitor = as_(study, Role.SAFETY_OFFICER), as_(study, Role.MEDICAL_MONITOR)
    asked = reverse("admin:patients_subject_record", args=[subject.pk, "safety-unblinding"])
    form = {"key": "ask", "adverse_event": event.pk, "expectedness": "5.1", "reason": "Report"}

    officer.post(asked, form)
    request = UnblindingRequest.objects.get()
    alone = officer.post(act(request, "look"), {**PROOF, "key": "alone"})
    own = officer.post(act(request, "agree"), {**PROOF, "key": "own"})
    monitor.post(act(request, "agree"), PROOF)
    first = officer.post(act(request, "look"), PROOF)
    again = officer.post(act(request, "look"), PROOF)
    anew = officer.post(act(request, "look"), {**PROOF, "key": "two"})

    assert "nobody has agreed yet" in text_of(alone)
    assert "Another person than the one who asked" in text_of(own)
    assert "Lenalidomide" in text_of(first)
    assert "no-store" in first["Cache-Control"]
    assert "Lenalidomide" not in text_of(again) + text_of(anew)
    assert "shown already" in text_of(again)
    assert naming_an_arm("public") == PROTOCOL_TABLES


def test_an_act_is_offered_to_whoever_can_do_it_now_and_to_nobody_else(study):
    request = ask_for(study, reaction(study, study.randomised()))
    officer, monitor, auditor = (
        as_(study, role) for role in (Role.SAFETY_OFFICER, Role.MEDICAL_MONITOR, Role.AUDITOR)
    )

    def offered(client):
        page = client.get(page_of(request))
        return [one["title"] for one in page.context["offered"]]

    before = [offered(client) for client in (officer, monitor, auditor)]
    agree(study, request)
    after = [offered(client) for client in (officer, monitor, auditor)]
    officer_looks(study, request)
    at_last = [offered(client) for client in (officer, monitor, auditor)]

    assert before == [["Withdraw"], ["Agree", "Withdraw"], []]
    assert after == [["Show the treatment", "Withdraw"], ["Withdraw"], []]
    assert at_last == [[], [], []]


def test_the_list_of_requests_says_how_each_stands_to_whoever_sees_it(study):
    requests = [ask_for(study, reaction(study, study.randomised())) for _ in range(3)]
    agree(study, requests[1])
    agree(study, requests[2])
    officer_looks(study, requests[2])
    page = as_(study, Role.UNBLINDED_STATISTICIAN).get(reverse(REQUESTS))

    now = timezone.now()
    told = {row.pk: row.state(now) for row in page.context["cl"].result_list}

    assert [told[request.pk] for request in requests] == ["waiting", "agreed", "used"]


def test_a_withdrawn_request_is_agreed_to_by_nobody(study):
    request = ask_for(study, reaction(study, study.randomised()))
    monitor = as_(study, Role.MEDICAL_MONITOR)

    as_(study, Role.SAFETY_OFFICER).post(
        act(request, "withdraw"), {"key": "w", "reason": "The wrong subject"}
    )
    answer = monitor.post(act(request, "agree"), PROOF)

    assert "The request was withdrawn" in text_of(answer)
    assert "The wrong subject" in text_of(monitor.get(page_of(request)))
    assert list(UnblindingAnswer.objects.values_list("kind", flat=True)) == ["withdrawn"]


@pytest.mark.parametrize("name", ["agree", "look", "list", "withdraw"])
def test_a_reader_of_requests_gets_no_form_and_what_they_send_is_refused(study, name):
    request = ask_for(study, reaction(study, study.randomised()))
    auditor = as_(study, Role.AUDITOR)

    assert auditor.get(act(request, name)).status_code == 403
    assert auditor.post(act(request, name), {**PROOF, "reason": "Curious"}).status_code == 403
    assert not UnblindingAnswer.objects.exists()


@pytest.mark.parametrize("name", ["agree", "look", "list", "withdraw", "nonsense"])
def test_for_people_of_a_site_a_request_has_no_page(study, name):
    request = ask_for(study, reaction(study, study.randomised()))
    stranger = study.person(Role.INVESTIGATOR, site=study.add_site("DE-02"), name="a-stranger")

    for client in (browser(stranger), as_(study, Role.INVESTIGATOR)):
        assert client.get(act(request, name)).status_code == 404
        assert client.post(act(request, name), PROOF).status_code == 404
        assert client.get(page_of(request)).status_code == 404
        assert client.get(reverse(REQUESTS)).status_code == 403


# --- Contingency sheets -----------------------------------------------------------------------


def test_one_person_makes_the_sheets_and_another_takes_the_passwords(study):
    subject = study.randomised()
    supplier, keeper = as_(study, Role.UNBLINDED_SUPPLIER), as_(study, Role.SAFETY_OFFICER)
    form = {**PROOF, "site": study.site.pk, "reason": "Quarterly renewal"}

    made = supplier.post(reverse(NEW_SHEETS), form)
    again = supplier.post(reverse(NEW_SHEETS), form, follow=True)
    passwords = reverse(
        "admin:contingency_passwords",
        args=[SealedAccess.objects.get(purpose="contingency sheets").pk],
    )
    by_maker = [supplier.get(passwords), supplier.post(passwords, PROOF)]
    taken = keeper.post(passwords, PROOF)
    taken_again = keeper.post(passwords, PROOF, follow=True)

    sheet = PdfReader(
        io.BytesIO(zipfile.ZipFile(io.BytesIO(made.content)).read(f"{subject.number}.pdf"))
    )
    (line,) = rows_of(taken)
    assert sheet.is_encrypted
    assert line["subject"] == subject.number
    assert sheet.decrypt(line["password"])
    assert "Lenalidomide" in sheet.pages[0].extract_text()
    assert "no-store" in made["Cache-Control"]
    assert "no-store" in taken["Cache-Control"]
    assert [answer.status_code for answer in by_maker] == [403, 403]
    assert "given out already" in text_of(again)
    assert "given out already" in text_of(taken_again)


def test_the_page_says_at_which_site_somebody_is_without_a_sheet(study):
    elsewhere = study.add_site("DE-02")
    study.randomised(site=elsewhere, by=study.person(Role.SITE_SYSTEM, site=elsewhere))
    study.randomised()
    supplier = as_(study, Role.UNBLINDED_SUPPLIER)
    supplier.post(reverse(NEW_SHEETS), {**PROOF, "site": study.site.pk, "reason": "Renewal"})

    page = as_(study, Role.MEDICAL_MONITOR).get(reverse(SHEETS))

    told = {one.site.code: (one.randomised, one.without_sheet) for one in page.context["sites"]}
    assert told == {"DE-01": (1, 0), "DE-02": (1, 1)}
    assert "Take the passwords" in text_of(page)
    assert "Take the passwords" not in text_of(supplier.get(reverse(SHEETS)))


def test_a_site_without_a_randomised_subject_has_nothing_to_seal(study):
    study.screened()
    form = {**PROOF, "site": study.site.pk, "reason": "Renewal"}

    answer = as_(study, Role.UNBLINDED_SUPPLIER).post(reverse(NEW_SHEETS), form)

    assert "there is nothing to seal" in text_of(answer)
    assert not SealedAccess.objects.filter(purpose="contingency sheets").exists()
    assert RefusedLook.objects.get().reason == "nobody_randomised"


def test_a_wrong_password_makes_no_sheets(study):
    study.randomised()
    form = {**PROOF, "password": "wrong", "site": study.site.pk, "reason": "Renewal"}

    answer = as_(study, Role.UNBLINDED_SUPPLIER).post(reverse(NEW_SHEETS), form)

    assert "The password, or the code, is not right" in text_of(answer)
    assert not SealedAccess.objects.filter(purpose="contingency sheets").exists()


@pytest.mark.parametrize("role", PEOPLE)
def test_the_sheets_are_in_the_menu_of_whoever_makes_them_or_keeps_passwords(study, role):
    client = as_(study, role)
    needed = (Permission.PRINT_CONTINGENCY, Permission.CONFIRM_UNBLINDING)
    allowed = any(allows(role, permission) for permission in needed)

    assert (client.get(reverse(SHEETS)).status_code == 200) is allowed
    assert (reverse(SHEETS) in text_of(client.get(reverse("admin:index")))) is allowed
    makes = client.get(reverse(NEW_SHEETS)).status_code == 200
    assert makes is allows(role, Permission.PRINT_CONTINGENCY)


# --- Kit numbers ------------------------------------------------------------------------------


CONTENTS = "dose_mg,arm,count\n5,QXACTIVE,40\n5,QXCONTR,20\n"


def drawn_by_form(client, study):
    form = {"key": "d", "site": study.site.pk, "kits": CONTENTS}
    assert client.post(reverse(DRAW), form).status_code == 302
    draw = KitNumberDraw.objects.get()
    return draw, reverse("admin:dosing_kitnumberdraw_change", args=[draw.pk])


def test_the_supplier_draws_numbers_and_takes_the_packing_list_by_a_button(study):
    client = as_(study, Role.UNBLINDED_SUPPLIER)

    draw, address = drawn_by_form(client, study)
    page = client.get(address)
    before = SealedAccess.objects.count()
    rows = rows_of(client.post(address, {"key": "p"}))

    assert "60" in text_of(client.get(reverse(DRAWS)))
    assert "DE-01" in text_of(page)
    assert "QX" not in text_of(page)
    assert [row["number"] for row in rows] == draw.numbers
    assert Counter(row["arm"] for row in rows) == {"QXACTIVE": 40, "QXCONTR": 20}
    assert {row["dose_mg"] for row in rows} == {"5"}
    assert SealedAccess.objects.count() == before + 1
    assert naming_an_arm("public") == PROTOCOL_TABLES
    pharmacist = as_(study, Role.PHARMACIST)
    answers = [pharmacist.get(address), pharmacist.post(address, {"key": "x"})]
    assert {answer.status_code for answer in answers} <= {403, 404}
    assert SealedAccess.objects.count() == before + 1


@pytest.mark.parametrize(
    ("kits", "told"),
    [
        ("5,QXACTIVE,0\n5,QXCONTR,1", "in line 1"),
        ("5,QXACTIVE,1\n5,QXCONTR,many", "in line 2"),
        ("5,QXACTIVE", "in line 1"),
        ("5,QXACTIVE,10000\n5,QXCONTR,1", "10,000"),
        ("5,QXACTIVE,1", "draw for all"),
        ("5,QXACTIVE,1\n5,QXNONE,1", "no arm we know"),
        ("", "required"),
    ],
)
def test_contents_that_cannot_be_are_named_beside_their_field(study, kits, told):
    client = as_(study, Role.UNBLINDED_SUPPLIER)

    answer = client.post(reverse(DRAW), {"key": "d", "site": study.site.pk, "kits": kits})

    assert told in str(answer.context["form"].errors["kits"])
    assert "no-store" in answer["Cache-Control"]
    assert not KitNumberDraw.objects.exists()


def test_the_supplier_enters_kits_as_they_were_packed(study):
    client = as_(study, Role.UNBLINDED_SUPPLIER)
    draw, address = drawn_by_form(client, study)
    packed = rows_of(client.post(address, {"key": "p"}))
    rows = [f"{row['number']},5,{row['arm']},2030-01-31" for row in packed]
    form = {"key": "k", "site": study.site.pk}
    lines = "\n".join(["number,dose_mg,arm,expires_on", *rows])

    broken = client.post(reverse(SUPPLY), {**form, "kits": f"{lines}\n552,5,QXCONTR"})
    unknown = client.post(reverse(SUPPLY), {**form, "kits": "483920175,5,QXACTIVE,2030-01-31"})
    done = client.post(reverse(SUPPLY), {**form, "kits": lines}, follow=True)

    assert "in line 62" in text_of(broken)
    assert "no-store" in broken["Cache-Control"]
    assert {reason.code for reason in unknown.context["form"].reasons} == {"kit_number_unknown"}
    assert "Kits entered: 60." in text_of(done)
    assert list(Kit.objects.values_list("number", flat=True)) == draw.numbers
    assert naming_an_arm("public") == PROTOCOL_TABLES
    assert as_(study, Role.PHARMACIST).get(reverse(SUPPLY)).status_code == 403


# --- Assessments ------------------------------------------------------------------------------


def an_accident(study, subject):
    return record_inadvertent_unblinding(
        subject_id=subject.pk, happened_at=NOW, learned_by="A nurse", reason="A label was seen",
        by=study.coordinator, at=NOW,
    )  # fmt: skip


def test_an_accident_is_assessed_on_its_page_and_the_site_reads_the_verdict(study):
    accident = an_accident(study, study.randomised())
    page = reverse("admin:patients_unblinding_change", args=[accident.pk])
    sent = {"key": "a", "impact": "serious", "assessment": "Excluded from the second endpoint"}

    by_site = as_(study, Role.COORDINATOR).post(page, sent)
    naming = as_(study, Role.MEDICAL_MONITOR).post(page, {**sent, "assessment": "It was placebo"})
    done = as_(study, Role.MEDICAL_MONITOR).post(page, {**sent, "key": "b"})

    assert by_site.status_code == 403
    assert naming.context["form"].errors["assessment"]
    assert done.status_code == 302
    assert UnblindingAssessment.objects.get().impact == "serious"
    read = text_of(as_(study, Role.COORDINATOR).get(page))
    assert "Excluded from the second endpoint" in read
    assert "Record the assessment" not in read


def test_an_accident_and_a_second_look_ask_for_a_review_and_a_first_look_does_not(study):
    subject = study.randomised()
    first, second = break_it(study, subject), break_it(study, subject, at=NOW.replace(hour=15))
    accident = an_accident(study, study.randomised())
    page = as_(study, Role.MEDICAL_MONITOR).get(reverse(UNBLINDINGS))

    admin_of = page.context["cl"].model_admin
    told = {row.pk: admin_of.review(row) for row in page.context["cl"].result_list}

    assert told == {
        first.pk: None,
        second.pk: ("yes", "look 2 at this subject"),
        accident.pk: ("yes", "an accident"),
    }


def test_another_sites_unblinding_has_no_page(study):
    accident = an_accident(study, study.randomised())
    stranger = study.person(Role.INVESTIGATOR, site=study.add_site("DE-02"), name="a-stranger")
    page = reverse("admin:patients_unblinding_change", args=[accident.pk])
    sent = {"key": "a", "impact": "none", "assessment": "Not mine"}

    assert browser(stranger).get(page).status_code == 404
    assert browser(stranger).post(page, sent).status_code == 404
    assert browser(stranger).get(reverse(UNBLINDINGS)).context["cl"].result_count == 0


def test_unassessed_ones_are_found_by_the_filter(study):
    first, second = (an_accident(study, study.randomised()) for _ in range(2))
    page = reverse("admin:patients_unblinding_change", args=[first.pk])
    client = as_(study, Role.SAFETY_OFFICER)
    client.post(page, {"key": "a", "impact": "none", "assessment": "Seen by nobody who rates"})

    listed = client.get(f"{reverse(UNBLINDINGS)}?assessed=no").context["cl"].result_list

    assert [row.pk for row in listed] == [second.pk]


# --- The access log ---------------------------------------------------------------------------


def a_log(study):
    """An emergency that was assessed, a safety look, a refused attempt; the subjects in order."""
    subjects = [study.randomised() for _ in range(3)]
    investigator = study.people[Role.INVESTIGATOR]
    opened = break_it(study, subjects[0], reason="=Neutropenic fever")
    shown_arm(opened.pk, by=investigator)
    page = reverse("admin:patients_unblinding_change", args=[opened.pk])
    sent = {"key": "assess", "impact": "limited", "assessment": "Treatment ended"}
    as_(study, Role.MEDICAL_MONITOR).post(page, sent)
    request = ask_for(study, reaction(study, subjects[1]))
    agree(study, request)
    officer_looks(study, request)
    with pytest.raises(IdentityNotConfirmed):
        break_it(study, subjects[2], password="wrong")
    return subjects


def test_an_inspector_reads_who_looked_when_why_what_was_shown_and_the_assessment(study):
    first, second, third = a_log(study)
    auditor = as_(study, Role.AUDITOR)

    looks = rows_of(auditor.get(reverse("admin:access_log")))
    refused = rows_of(auditor.get(reverse("admin:refused_looks")))
    page = text_of(auditor.get(reverse(LOG)))

    by_subject = {row["subject"]: row for row in looks}
    emergency, safety = by_subject[first.number], by_subject[second.number]
    assert emergency["person"] == study.people[Role.INVESTIGATOR].username
    assert emergency["role"] == "Investigator"
    assert emergency["purpose"] == "emergency unblinding"
    assert emergency["reason"] == "'=Neutropenic fever"
    assert emergency["shown"] == "Treatment of the subject"
    assert (emergency["impact"], emergency["assessment"]) == ("limited", "Treatment ended")
    assert safety["impact"] == ""
    assert refused[0]["subject"] == third.number
    assert refused[0]["refused because"] == "Password or code was not right"
    assert all(text in page for text in ("Emergency unblinding", "Limited impact", "Not assessed"))
    everything = page + str(looks) + str(refused) + text_of(auditor.get(reverse(REFUSED)))
    assert not any(word in everything for word in (*ARMS, *TREATMENTS))


def test_a_look_that_broke_off_before_anything_was_shown_says_so(study):
    subject = study.randomised()
    break_it(study, subject)
    opened = Unblinding.objects.get()
    with_failure = study.randomised()
    with pytest.raises(RuntimeError):
        break_it_and_fail(study, with_failure)

    looks = rows_of(as_(study, Role.AUDITOR).get(reverse("admin:access_log")))

    told = {row["subject"]: row["shown"] for row in looks if row["subject"]}
    assert told == {
        opened.subject.number: "Treatment of the subject",
        with_failure.number: "Nothing: it broke off before",
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("purpose=emergency+unblinding", {"emergency unblinding"}),
        ("purpose=safety+unblinding", {"safety unblinding"}),
        ("person=safety_officer", {"safety unblinding"}),
        ("subject=DE-01-0001", {"emergency unblinding"}),
        ("q=DE-01-0002", {"safety unblinding"}),
        ("q=neutropenic", {"emergency unblinding"}),
        ("person=nobody", set()),
        ("purpose=emergency+unblinding&person=safety_officer", set()),
    ],
)
def test_the_log_and_its_file_are_filtered_and_searched_alike(study, asked, found):
    a_log(study)
    auditor = as_(study, Role.AUDITOR)

    listed = auditor.get(f"{reverse(LOG)}?{asked}").context["cl"].result_list
    filed = rows_of(auditor.get(f"{reverse('admin:access_log')}?{asked}"))

    assert {row.purpose for row in listed} == {row["purpose"] for row in filed} == found


def test_the_interface_tells_of_each_look_what_the_log_tells(study):
    first, second, third = a_log(study)
    auditor = caller_for(study.people[Role.AUDITOR])

    looks = {row["subject"]: row for row in auditor.get("/looks").json()["results"]}
    refused = auditor.get("/refused-looks?reason=identity_not_confirmed").json()["results"]

    emergency, safety = looks[first.number], looks[second.number]
    judged = emergency["assessment"]
    assert (emergency["shown"], safety["shown"]) == ("Treatment of the subject",) * 2
    assert (judged["impact"], judged["text"]) == ("limited", "Treatment ended")
    assert judged["assessed_by"] == study.people[Role.MEDICAL_MONITOR].username
    assert safety["assessment"] is None
    assert [row["subject"] for row in refused] == [third.number]
    assert not any(word in str((looks, refused)) for word in (*ARMS, *TREATMENTS))


def test_the_interface_says_of_a_look_that_broke_off_that_it_showed_nothing(study):
    with pytest.raises(RuntimeError):
        break_it_and_fail(study, study.randomised())

    (look,) = (
        caller_for(study.people[Role.AUDITOR])
        .get("/looks?purpose=emergency+unblinding")
        .json()["results"]
    )

    assert look["shown"] == "Nothing: it broke off before"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("purpose=emergency+unblinding", {"emergency unblinding"}),
        ("person=safety_officer", {"safety unblinding"}),
        ("subject=DE-01-0001", {"emergency unblinding"}),
        ("trial=NONE", set()),
        ("purpose=emergency+unblinding&person=safety_officer", set()),
    ],
)
def test_looks_are_filtered_at_the_interface_as_in_the_log(study, asked, found):
    a_log(study)

    rows = caller_for(study.people[Role.AUDITOR]).get(f"/looks?{asked}").json()["results"]

    assert {row["purpose"] for row in rows} == found


def test_one_more_look_costs_the_interface_no_more_queries(study, django_assert_num_queries):
    a_log(study)
    auditor = caller_for(study.people[Role.AUDITOR])
    auditor.get("/looks?purpose=emergency+unblinding")
    with CaptureQueriesContext(connection) as one:
        auditor.get("/looks?purpose=emergency+unblinding")

    with django_assert_num_queries(len(one)):
        assert len(auditor.get("/looks?page_size=50").json()["results"]) > 2


@pytest.mark.parametrize("query", ["opened_at__gte=nonsense", "p=nonsense", "person=%00"])
@pytest.mark.parametrize("name", ["access_log", "refused_looks"])
def test_a_nonsense_filter_is_never_a_server_error(study, name, query):
    answer = as_(study, Role.AUDITOR).get(f"{reverse(f'admin:{name}')}?{query}")

    assert answer.status_code < 500


@pytest.mark.parametrize("role", [r for r in PEOPLE if not allows(r, Permission.READ_ACCESS_LOG)])
def test_nobody_else_reads_the_log_or_takes_its_file(study, role):
    client = as_(study, role)

    names = [LOG, REFUSED, "admin:access_log", "admin:refused_looks"]
    assert {client.get(reverse(name)).status_code for name in names} == {403}


def test_an_auditor_of_one_site_reads_the_looks_at_that_sites_subjects_alone(study):
    elsewhere = study.add_site("DE-02")
    theirs = study.randomised(site=elsewhere, by=study.person(Role.SITE_SYSTEM, site=elsewhere))
    doctor = study.person(Role.INVESTIGATOR, site=elsewhere)
    with_password(doctor)
    own = study.randomised()
    break_it(study, theirs, by=doctor)
    break_it(study, own)
    with pytest.raises(IdentityNotConfirmed):
        break_it(study, theirs, by=doctor, password="wrong")
    request = ask_for(study, reaction(study, own))
    one = study.person(Role.AUDITOR, site=study.site, name="auditor-of-one")
    auditor = browser(one)

    looks = rows_of(auditor.get(reverse("admin:access_log")))
    seen = text_of(auditor.get(reverse(LOG))) + text_of(auditor.get(reverse(REFUSED)))

    by_row = "SELECT subject_number FROM trials_sealedaccess WHERE subject_number <> ''"
    assert [row["subject"] for row in looks] == [own.number]
    assert as_application(by_row, reader=one.pk) == [own.number]
    assert own.number in seen
    assert theirs.number not in seen
    assert auditor.get(page_of(request)).status_code == 404


@pytest.mark.parametrize("name", [LOG, REQUESTS, UNBLINDINGS, SHEETS])
def test_a_page_of_the_blind_asks_as_many_questions_for_eight_as_for_two(study, name):
    client = as_(study, Role.SPONSOR_ADMINISTRATOR)
    reader = client if name in {LOG, SHEETS} else as_(study, Role.SAFETY_OFFICER)

    def more(count):
        for _ in range(count):
            subject = study.randomised()
            break_it(study, subject)
            request = ask_for(study, reaction(study, subject))
            agree(study, request)

    more(2)
    reader.get(reverse(name))
    few = questions(reader, reverse(name))
    more(6)

    assert questions(reader, reverse(name)) == few


def test_the_second_statistician_sees_that_a_request_was_used(study):
    study.randomised()
    request = request_trial_unblinding(
        trial_id=study.trial.pk, reason="Final", early_reason="Closing", by=study.statistician,
        at=timezone.now(),
    )  # fmt: skip
    agree(study, request)
    first, second = browser(study.statistician), browser(study.second_statistician)
    first.post(act(request, "list"), PROOF)

    page = second.get(page_of(request))

    assert page.context["state"] == "looked"
    assert page.context["offered"] == []
