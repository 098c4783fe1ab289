"""An amendment at the console: ``manage.py protocol`` diff, submit, approve and activate."""

import io
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from events.acting import as_system
from tests.amendments import CTCAE_5, NEW_FORM, amended_text, approved, submitted
from tests.factories import BEFORE, TODAY, Study, protocol_text, user
from tests.marks import on_postgres
from tests.postgres import contents
from tests.stories.live import manage
from trials.models import ProtocolVersion, Site, SiteApproval, SiteVersion
from trials.permissions import Role
from trials.services.people import give_role


RATIO = ("ratio = 1", "ratio = 4")
SOON, PAST = (timezone.now().date() + timedelta(days) for days in (2, -2))


@pytest.fixture
def study():
    return Study(kits=0)


@pytest.fixture
def file(tmp_path):
    """Write a protocol file, by default version 1.1 that asks for a new consent."""

    def written(text=None, name="amended.toml"):
        path = tmp_path / name
        path.write_text(amended_text(NEW_FORM) if text is None else text)
        return str(path)

    return written


def protocol(*words):
    """Return what the command says."""
    out = io.StringIO()
    call_command("protocol", *map(str, words), stdout=out)
    return out.getvalue()


def refused(*words):
    """Return what the command says as it fails, after checking that nothing was stored."""
    out, before = io.StringIO(), contents()
    with pytest.raises(CommandError) as failure:
        call_command("protocol", *map(str, words), stdout=out)
    assert contents() == before
    assert failure.value.returncode == 1
    return f"{out.getvalue()}{failure.value}"


def codes(said):
    return [line.rpartition("[")[2][:-1] for line in said.splitlines() if line.endswith("]")]


# --- diff -------------------------------------------------------------------------------------


def test_a_difference_is_told_by_section_in_words(file):
    said = protocol("diff", file(protocol_text(), "first.toml"), file(amended_text(CTCAE_5)))

    assert said.splitlines() == [
        "CLLM1 1.0 to CLLM1 1.1",
        "",
        "Safety",
        (
            "  - CTCAE version: changes from 4.0 to 5.0"
            " [assumed: Template of the lenalidomide trials in CLL]"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (protocol_text(), "Nothing differs."),
        (amended_text(), "Only the version number differs."),
    ],
    ids=["the same file", "another number"],
)
def test_it_is_said_when_nothing_differs(file, text, said):
    assert said in protocol("diff", file(protocol_text(), "first.toml"), file(text))


@on_postgres
def test_a_stored_version_is_compared_with_a_file(study, file):
    said = protocol("diff", "1.0", file(), "--trial", "CLLM1")

    assert said.startswith("CLLM1 1.0 to CLLM1 1.1\n")
    assert "2.0" in said


@on_postgres
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.toml", "1.0"), "no file none.toml; for a stored version add --trial CODE."),
        (("1.0", "9.9", "--trial", "CLLM1"), "CLLM1 has no version 9.9 (known: 1.0)."),
        (("1.0", "1.0", "--trial", "NONE"), "There is no trial NONE here (known: CLLM1)."),
    ],
)
def test_what_there_is_not_cannot_be_compared(study, words, said):
    assert said in refused("diff", *words)


@on_postgres
def test_a_file_with_problems_cannot_be_compared(study, file):
    said = refused(
        "diff", "1.0", file(amended_text(("ratio = 2", "ratio = 0"))), "--trial", "CLLM1"
    )

    assert said.endswith("1 problems; nothing was stored.")


def test_the_shell_sees_whether_it_went_well(file, tmp_path):
    first, second = file(protocol_text(), "first.toml"), file()

    well = manage("protocol", "diff", first, second, home=tmp_path)
    ill = manage("protocol", "diff", first, str(tmp_path / "none.toml"), home=tmp_path)

    assert (well.returncode, well.stdout.splitlines()[0]) == (0, "CLLM1 1.0 to CLLM1 1.1")
    assert (ill.returncode, ill.stdout) == (1, "")
    assert "There is no file" in ill.stderr
    assert "Traceback" not in ill.stderr


# --- submit -----------------------------------------------------------------------------------


@on_postgres
def test_a_submitted_version_is_stored_and_in_force_nowhere(study, file):
    said = protocol("submit", file(), "--trial", "CLLM1")

    stored = ProtocolVersion.objects.get(version="1.1")
    assert said == ("CLLM1 protocol 1.1 is stored, in force nowhere yet. Record approvals next.\n")
    assert (stored.submitted_by, stored.text) == (study.admin, amended_text(NEW_FORM))
    assert not SiteVersion.objects.filter(protocol_version=stored).exists()


@on_postgres
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (protocol_text(), ["version_exists"]),
        (protocol_text(code="CLLM2"), ["another_trial", "version_exists"]),
        (amended_text(RATIO), ["fixed_by_randomisation"]),
        (amended_text(RATIO, ("value = [3]", "value = [6]")), ["fixed_by_randomisation"] * 2),
        (
            amended_text(("dose_mg = 15", "dose_mg = 12"), ("cycle_days = {", "cycle_day = {")),
            ["dose_not_on_ladder", "extra_forbidden", "missing", "step_too_large"],
        ),
    ],
    ids=["there already", "another trial's", "a ratio", "a ratio and blocks", "not valid"],
)
def test_a_refused_version_is_told_every_reason(study, file, text, expected):
    said = refused("submit", file(text), "--trial", "CLLM1")

    assert sorted(codes(said)) == sorted(expected)
    assert said.endswith("The protocol version was not taken; nothing was stored.")


@on_postgres
def test_a_file_that_cannot_be_read_is_not_submitted(study, tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")

    none, no_text = (
        refused("submit", tmp_path / name, "--trial", "CLLM1")
        for name in ("none.toml", "bytes.toml")
    )

    assert "cannot be read" in none
    assert codes(no_text) == ["not_utf8"]


# --- approve ----------------------------------------------------------------------------------


def approve(*words, site="DE-01", on=TODAY, reference="EC 12/2026", version="1.1"):
    options = ("--trial", "CLLM1", "--site", site, "--on", on, "--reference", reference)
    return ("approve", version, *options, *words)


@on_postgres
def test_an_approval_is_recorded_with_its_day_and_letter(study):
    version = submitted(study, NEW_FORM)

    said = protocol(*approve())

    kept = SiteApproval.objects.get(protocol_version=version)
    assert said == f"DE-01 may run 1.1: EC 12/2026, {TODAY}.\n"
    assert (kept.site, kept.approved_on, kept.recorded_by) == (study.site, TODAY, study.admin)


@on_postgres
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"on": SOON}, ["future_day"]),
        ({"reference": " "}, ["reference_missing"]),
        ({"on": SOON, "reference": " "}, ["future_day", "reference_missing"]),
        ({"version": "1.0"}, ["approved_already"]),
    ],
)
def test_a_refused_approval_is_told_every_reason(study, changed, expected):
    submitted(study, NEW_FORM)

    said = refused(*approve(**changed))

    assert codes(said) == expected
    assert said.endswith("The protocol version was not taken; nothing was stored.")


@on_postgres
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"site": "XX-99"}, "CLLM1 has no site XX-99."),
        ({"version": "9.9"}, "CLLM1 has no version 9.9 (known: 1.0, 1.1)."),
        ({"on": "2026-02-30"}, "'2026-02-30' is not a day like 2016-03-31."),
    ],
)
def test_what_there_is_not_cannot_be_approved(study, changed, said):
    submitted(study, NEW_FORM)

    assert refused(*approve(**changed)) == said


# --- activate ---------------------------------------------------------------------------------


def activate(*words, site="DE-01", day=SOON, version="1.1"):
    where = ("--site", site) if site else ("--all-approved",)
    return ("activate", version, "--trial", "CLLM1", *where, "--from", day, *words)


class Terminal(io.StringIO):
    """Somebody at a terminal, who does something and then answers."""

    def __init__(self, answer, act=lambda: None):
        super().__init__()
        self.answer, self.act = answer, act

    def isatty(self):
        return True

    def readline(self, *_):
        self.act()
        return f"{self.answer}\n"


def running():
    rows = SiteVersion.objects.filter(protocol_version__version="1.1").order_by("site__code")
    return [(row.site.code, row.in_force_from, row.activated_by.username) for row in rows]


@on_postgres
def test_an_activation_shows_whom_it_affects_and_puts_the_version_in_force(study):
    subject = study.screened()
    study.add_site("DE-02")
    approved(study, submitted(study, NEW_FORM), study.site)

    said = protocol(*activate("--yes"))

    assert said.splitlines() == [
        f"CLLM1 1.1 in force from {SOON}",
        "",
        "DE-01, now 1.0: 1 of 1 subjects affected",
        (
            f"  {subject.number}  Re-consent due: signed form 1.0; form 2.0 is to be signed before"
            " randomisation"
        ),
        "",
        "Keep their version, without approval: DE-02",
        "",
        f"1.1 is in force from {SOON} at 1 sites.",
    ]
    assert running() == [("DE-01", SOON, "admin")]


@on_postgres
def test_all_approved_sites_are_those_approved_and_not_running_it_yet(study):
    second, _ = study.add_site("DE-02"), study.add_site("DE-03")
    approved(study, submitted(study, NEW_FORM), study.site, second)

    protocol(*activate("--yes", site=""))

    assert running() == [("DE-01", SOON, "admin"), ("DE-02", SOON, "admin")]
    assert codes(refused(*activate("--yes", site=""))) == ["no_site"]


@on_postgres
@pytest.mark.parametrize("answer", ["yes", "Yes ", "no", "y", ""])
def test_at_a_terminal_only_yes_is_yes(study, monkeypatch, answer):
    approved(study, submitted(study, NEW_FORM), study.site)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    if answer.strip().lower() == "yes":
        protocol(*activate())
    else:
        assert "Nothing was activated: say --yes" in refused(*activate())

    assert bool(running()) == (answer.strip().lower() == "yes")


@on_postgres
def test_without_a_terminal_nobody_has_read_the_impact(study, monkeypatch):
    approved(study, submitted(study, NEW_FORM), study.site)
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))

    assert "Nothing was activated: say --yes once you have read the impact." in refused(*activate())


@on_postgres
def test_an_impact_that_changed_while_it_was_read_activates_nothing(study, monkeypatch):
    approved(study, submitted(study, NEW_FORM), study.site)
    monkeypatch.setattr(sys, "stdin", Terminal("yes", act=study.screened))
    out = io.StringIO()

    with pytest.raises(CommandError, match="nothing was stored"):
        call_command("protocol", *map(str, activate()), stdout=out)

    assert codes(out.getvalue()) == ["impact_changed"]
    assert running() == []


@on_postgres
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"site": "DE-02"}, ["not_approved"]),
        ({"day": PAST}, ["day_is_past"]),
        ({"day": BEFORE - timedelta(1)}, [
            "approved_later", "before_version_in_force", "day_is_past",
        ]),
        ({"version": "1.0"}, ["in_force_already"]),
        ({"site": "DE-03"}, ["site_closed", "not_approved"]),
    ],
    ids=["not approved", "a past day", "before all", "runs already", "closed"],
)  # fmt: skip
def test_a_refused_activation_is_told_every_reason(study, how, expected):
    study.add_site("DE-02")
    closed = study.add_site("DE-03")
    approved(study, submitted(study, NEW_FORM), study.site)
    with as_system():
        closed.status = Site.Status.CLOSED
        closed.save()

    said = refused(*activate("--yes", **how))

    assert codes(said) == expected
    assert said.endswith("The protocol version was not taken; nothing was stored.")


@on_postgres
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"site": "XX-99"}, "CLLM1 has no site XX-99."),
        ({"version": "9.9"}, "CLLM1 has no version 9.9 (known: 1.0, 1.1)."),
        ({"day": "soon"}, "'soon' is not a day like 2016-03-31."),
    ],
)
def test_what_there_is_not_cannot_be_activated(study, how, said):
    approved(study, submitted(study, NEW_FORM), study.site)

    assert refused(*activate("--yes", **how)) == said


# --- withdraw ---------------------------------------------------------------------------------


def withdraw(*words, site="DE-01", version="1.1"):
    where = ("--trial", "CLLM1", "--site", site)
    return ("withdraw", version, *where, "--reason", "too early", *words)


@on_postgres
def test_a_withdrawal_says_where_the_version_does_not_begin(study):
    second = study.add_site("DE-02")
    approved(study, submitted(study, NEW_FORM), study.site, second)
    protocol(*activate("--yes", site=""))

    said = protocol(*withdraw("--site", "DE-02"))

    assert said.splitlines() == [
        f"1.1 does not begin at {place} on {SOON}: withdrawn." for place in ("DE-01", "DE-02")
    ]
    assert running() == []
    rows = SiteVersion.with_withdrawn.exclude(withdrawn_at=None)
    assert {(row.withdrawn_because, row.withdrawn_by.username) for row in rows} == {
        ("too early", "admin")
    }


@on_postgres
def test_a_refused_withdrawal_is_told_every_reason(study):
    study.add_site("DE-02")
    approved(study, submitted(study, NEW_FORM), study.site)
    protocol(*activate("--yes"))

    said = refused(*withdraw("--site", "DE-02"))

    assert codes(said) == ["no_start"]
    assert said.endswith("The start was not withdrawn; nothing was stored.")
    assert codes(refused(*withdraw(version="1.0"))) == ["begun_already"]
    assert refused(*withdraw(site="XX-99")) == "CLLM1 has no site XX-99."
    monitor = study.people[Role.MONITOR].username
    assert "does not allow you" in refused(*withdraw("--as", monitor))


# --- Who does it ------------------------------------------------------------------------------


@pytest.fixture
def acts(study, file):
    """The three acts that store something, each of which would be done for the administrator."""
    approved(study, submitted(study, NEW_FORM), study.site)
    study.add_site("DE-02")
    new = file(amended_text(NEW_FORM, version="1.2"))
    return (
        ("submit", new, "--trial", "CLLM1"),
        approve(site="DE-02"),
        activate("--yes"),
    )


@on_postgres
def test_another_role_does_none_of_it_and_is_told_so_in_a_sentence(study, acts):
    for person in study.people.values():
        if person != study.admin:
            for act in acts:
                said = refused(*act, "--as", person.username)
                assert said.endswith("; nothing was stored.")
                assert "does not allow you" in said or "takes no protocol file" in said


@on_postgres
def test_a_stranger_to_the_trial_does_none_of_it(study, acts):
    user("stranger")

    for act in acts:
        assert "nothing was stored." in refused(*act, "--as", "stranger")


@on_postgres
def test_somebody_unknown_does_none_of_it(acts):
    for act in acts:
        assert refused(*act, "--as", "nobody") == "There is no active user nobody."


@on_postgres
def test_of_two_administrators_one_has_to_be_named(study, acts):
    other = study.trained("other admin")
    give_role(
        user=other, trial_id=study.trial.pk, site=None, role=Role.SPONSOR_ADMINISTRATOR,
        by=study.admin, at=timezone.now(),
    )  # fmt: skip

    for act in acts:
        assert "Say who asks with --as USERNAME" in refused(*act)
    for act in acts:
        protocol(*act, "--as", "other admin")

    assert running() == [("DE-01", SOON, "other admin")]
