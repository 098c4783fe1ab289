"""The second wall around looks behind the blind and requests for them, asked by raw SQL."""

from contextlib import contextmanager

import psycopg
import pytest

from tests.factories import NOW
from tests.marks import on_postgres
from tests.planted import planted
from tests.worlds import ELSEWHERE, HERE, OTHER_TRIAL, World, application, as_application
from trials import sealed
from trials.models import SealedAccess, Site, UnblindingAnswer, UnblindingRequest
from trials.permissions import Role
from trials.services.unblinding_requests import (
    request_trial_unblinding,
    withdraw_unblinding_request,
)


pytestmark = on_postgres

ACCESSES, REFUSED = "trials_sealedaccess", "trials_refusedlook"
REQUESTS = (
    "trials_unblindingrequest",
    "trials_unblindingrequesthistory",
    "trials_unblindinganswer",
    "trials_unblindinganswerhistory",
)
TABLES = (ACCESSES, REFUSED, *REQUESTS)

# Who sees rows of the whole trial, written out: the policies get it from the permission table.
SEES_ACCESSES = {
    Role.AUDITOR, Role.SPONSOR_ADMINISTRATOR, Role.MEDICAL_MONITOR, Role.SAFETY_OFFICER,
}  # fmt: skip
SEES_REFUSED = {Role.AUDITOR, Role.SPONSOR_ADMINISTRATOR}
SEES_REQUESTS = SEES_ACCESSES | {Role.UNBLINDED_STATISTICIAN}


@pytest.fixture
def world():
    return World()


@contextmanager
def looked_at(*places):
    """Plant a row in every table; each look is at a subject of its place's site."""
    with planted(*places) as garden:
        for place in places:
            garden.cursor.execute(
                "UPDATE trials_sealedaccess SET site_id = %s WHERE id = %s",
                [place.ids[Site], place.ids[SealedAccess]],
            )
        yield garden


def shown(garden, reader):
    seen = garden.seen(reader)
    return {table: seen[table] for table in TABLES}


def everything(accesses, refused, requests):
    return {ACCESSES: accesses, REFUSED: refused, **dict.fromkeys(REQUESTS, requests)}


# --- Seeing -----------------------------------------------------------------------------------


def test_each_role_of_the_trial_sees_what_it_oversees_and_no_other_trials(world):
    places, people = world.places(), world.study.people

    with looked_at(*places) as garden:
        found = {role: shown(garden, people[role].pk) for role in Role}

    whole, own = [HERE, ELSEWHERE], {Role.COORDINATOR: [HERE]}  # who looked there is a coordinator
    assert found == {
        role: everything(
            whole if role in SEES_ACCESSES else own.get(role, []),
            whole if role in SEES_REFUSED else [],
            whole if role in SEES_REQUESTS else [],
        )
        for role in Role
    }


def test_who_looked_sees_their_own_look_and_nobody_elses(world):
    with looked_at(*world.places()) as garden:
        assert shown(garden, world.coordinator.pk) == everything([HERE], [], [])
        assert shown(garden, world.colleague.pk) == everything([ELSEWHERE], [], [])
        assert shown(garden, world.stranger.pk) == everything([OTHER_TRIAL], [], [])


def test_an_auditor_of_one_site_sees_the_looks_at_its_subjects_alone(world):
    here, elsewhere = world.study.trained("auditor here"), world.study.trained("auditor there")
    world.role(here, Role.AUDITOR, world.here)
    world.role(elsewhere, Role.AUDITOR, world.elsewhere)

    with looked_at(*world.places()) as garden:
        assert shown(garden, here.pk) == everything([HERE], [], [])
        assert shown(garden, elsewhere.pk) == everything([ELSEWHERE], [], [])


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.SPONSOR_ADMINISTRATOR])
def test_who_oversees_another_trial_sees_that_one_alone(world, role):
    overseer = world.study.trained("overseer of another trial")
    world.role(overseer, role, world.other_trial, everywhere=True)

    with looked_at(*world.places()) as garden:
        assert shown(garden, overseer.pk) == everything([OTHER_TRIAL], [OTHER_TRIAL], [OTHER_TRIAL])


@pytest.mark.parametrize("reader", ["", "0", "999999"])
def test_nobody_sees_nothing(world, reader):
    with looked_at(*world.places()) as garden:
        assert shown(garden, reader) == everything([], [], [])


def test_rows_that_services_wrote_are_shown_so_over_the_applications_own_log_in(world):
    study = world.study
    request = request_trial_unblinding(
        trial_id=study.trial.pk, reason="the end", early_reason="futility", by=study.statistician,
        at=NOW,
    )  # fmt: skip
    withdraw_unblinding_request(
        request_id=request.pk, reason="too early", by=study.statistician, at=NOW
    )
    sealed.note_refused(
        person_id=world.coordinator.pk, purpose="emergency unblinding", trial_id=study.trial.pk,
        subject_id=None, reason="not_randomised",
    )  # fmt: skip

    def tables(reader):
        return {each for each in TABLES if as_application(f"SELECT 1 FROM {each}", reader=reader)}

    assert tables(study.people[Role.AUDITOR].pk) == set(TABLES)
    assert tables(study.statistician.pk) == {ACCESSES, *REQUESTS}
    assert tables(world.coordinator.pk) == set()
    assert tables(world.colleague.pk) == set()
    assert tables(world.stranger.pk) == set()
    assert tables(None) == set()


# --- Writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [UnblindingRequest, UnblindingAnswer])
def test_a_request_and_its_answer_are_written_by_who_may_see_them_in_that_trial(world, model):
    here, _, other_trial = places = world.places()
    people = world.study.people

    with looked_at(*places) as garden:
        stopped = {role for role in Role if garden.refuses(model, here, reader=people[role])}
        abroad = {role for role in Role if garden.refuses(model, other_trial, reader=people[role])}
        others = [
            garden.refuses(model, here, reader=who) for who in (world.colleague, world.stranger)
        ]

    assert stopped == set(Role) - SEES_REQUESTS
    assert abroad == set(Role)
    assert others == [True, True]


@pytest.mark.parametrize("table", [ACCESSES, REFUSED])
@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO {} SELECT * FROM {}", "UPDATE {} SET purpose = 'x'", "DELETE FROM {}"],
)
def test_no_reader_writes_a_look_or_a_refused_one_at_all(world, table, statement):
    with application() as link:
        link.execute("SELECT set_config('vigil.reader', %s, false)", [str(world.study.admin.pk)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            link.execute(statement.format(table, table))
