"""The blind, from behind: what opens it, for whom, for how long, and what is left written."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied
from django.db import Error, IntegrityError, connections, transaction
from django.utils import timezone

from dosing.services.dispensing import dispense_kit
from events.models import OutboxEvent
from events.tasks import drain
from patients.rules.partial_dates import PartialDate
from patients.services.adverse_events import record_adverse_event
from tests.factories import BLOCK, NOW, TODAY, TRAINED, Study, protocol_text, user
from tests.marks import on_postgres
from tests.postgres import ask, column, contents, denied
from trials import sealed
from trials.models import Allocation, RoleAssignment, SealedAccess
from trials.permissions import Permission, Role
from trials.services.randomisation import allocate
from trials.services.setup import create_trial
from trials.services.unblinding import arms_for_report, open_blind


pytestmark = on_postgres

REPORT = "report by arm"
PURPOSES = [REPORT, "load randomisation list", "load kit contents", "read kit contents"]
ALLOWED = {
    (Role.UNBLINDED_STATISTICIAN, REPORT),
    (Role.UNBLINDED_STATISTICIAN, "load randomisation list"),
    (Role.COMMITTEE_MEMBER, REPORT),
    (Role.UNBLINDED_SUPPLIER, "load kit contents"),
    (Role.UNBLINDED_SUPPLIER, "read kit contents"),
}


@pytest.fixture
def study():
    return Study(kits=0)


def access_of(study, *, purpose=REPORT, person=None):
    return sealed.open_access(
        trial_id=study.trial.pk,
        person_id=(person or study.statistician).pk,
        purpose=purpose,
        detail="for a test",
    )


def opens(study, **how):
    try:
        return bool(access_of(study, **how))
    except Error as error:
        if "no role in force allows this purpose" not in str(error):
            raise
        return False


def places(study, count):
    return [
        allocate(
            site=study.site,
            stratum="H",
            levels={},
            inputs={},
            randomised_on=TODAY,
            by=study.system,
            at=NOW,
        )
        for _ in range(count)
    ]


def aged(access, interval):
    ask(
        "UPDATE trials_sealedaccess SET opened_at = clock_timestamp() - %s::interval WHERE id = %s",
        interval,
        access,
    )
    return access


def change_role(person, **fields):
    with transaction.atomic():
        ask_context()
        RoleAssignment.objects.filter(user=person).update(**fields)


def ask_context():
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT set_config('pghistory.context_metadata', '{}', true)")


def look_and_fail(study):
    with transaction.atomic():
        open_blind(
            trial=study.trial, by=study.statistician, permission=Permission.READ_UNBLINDED_REPORT,
            purpose=REPORT, detail="then it fails",
        )  # fmt: skip
        raise RuntimeError("after the look")


# --- Opening ----------------------------------------------------------------------------------


def test_an_access_is_written_before_it_is_used_and_names_who_and_why(study):
    access = access_of(study)

    row = SealedAccess.objects.get(pk=access)
    assert (row.person, row.role) == (study.statistician, "unblinded_statistician")
    assert (row.purpose, row.detail) == (REPORT, "for a test")


@pytest.mark.parametrize("purpose", [*PURPOSES, "curiosity", ""])
def test_a_purpose_opens_for_the_roles_it_is_meant_for_and_no_other(study, purpose):
    opened = {
        role
        for role, person in study.people.items()
        if opens(study, purpose=purpose, person=person)
    }

    assert opened == {role for role, for_ in ALLOWED if for_ == purpose}


def test_nobody_without_a_role_opens_anything_not_even_a_superuser(study):
    nobody = user("nobody")
    root = user("root", is_staff=True, is_superuser=True)

    assert not opens(study, person=nobody)
    assert not opens(study, person=root)
    assert SealedAccess.objects.filter(person__in=[nobody, root]).count() == 0


@pytest.mark.parametrize(("left", "expected"), [(timedelta(0), False), (timedelta(hours=1), True)])
def test_a_role_opens_until_it_ends_and_not_from_then_on(study, left, expected):
    change_role(study.statistician, ends_at=timezone.now() + left)

    assert opens(study) is expected


@pytest.mark.parametrize(("ahead", "expected"), [(timedelta(0), True), (timedelta(hours=1), False)])
def test_a_role_opens_from_its_start_and_not_before(study, ahead, expected):
    change_role(study.statistician, starts_at=timezone.now() + ahead)

    assert opens(study) is expected


def test_a_role_at_one_site_opens_nothing(study):
    change_role(study.statistician, site=study.site)

    assert not opens(study)


def test_a_person_who_was_deactivated_opens_nothing(study):
    study.statistician.is_active = False
    study.statistician.save()

    assert not opens(study)


def test_a_role_in_one_trial_opens_no_other(study):
    other = create_trial(
        protocol_text=protocol_text(code="CLLM2"), training=TRAINED,
            conduct="live",
        administrator=study.admin, at=NOW,
    )  # fmt: skip

    with pytest.raises(Error, match="no role in force"):
        sealed.open_access(
            trial_id=other.pk, person_id=study.statistician.pk, purpose=REPORT, detail=""
        )


# --- Using ------------------------------------------------------------------------------------


def test_the_arms_of_the_places_taken_come_back_and_of_no_other(study):
    taken = places(study, 3)

    arms = sealed.arms(access_of(study))

    assert [arms[allocation.slot_id] for allocation in taken] == list(BLOCK)
    assert len(arms) == 3


def test_an_access_is_good_for_one_look(study):
    access = access_of(study)
    sealed.arms(access)

    with pytest.raises(IntegrityError, match="used_access"):
        sealed.arms(access)


def test_an_access_that_nobody_wrote_opens_nothing():
    with pytest.raises(Error, match="no committed access"):
        sealed.arms(uuid.uuid4())


def test_an_access_that_is_not_committed_opens_nothing(study):
    with pytest.raises(Error, match="no committed access"), transaction.atomic(using="sealed"):
        sealed.arms(access_of(study))

    assert not SealedAccess.objects.filter(detail="for a test").exists()


@pytest.mark.parametrize("purpose", PURPOSES[1:])
def test_an_access_for_another_purpose_shows_no_arm(study, purpose):
    person = study.supplier if "kit" in purpose else study.statistician

    with pytest.raises(Error, match="no committed access"):
        sealed.arms(access_of(study, purpose=purpose, person=person))


def test_an_access_to_read_loads_neither_a_list_nor_kits(study):
    with pytest.raises(Error, match="no committed access"):
        sealed.store_list(
            access_of(study), uuid.uuid4(), number=2, method="m", generator="g", seed="",
            parameters="{}", entries=[("H", "L", None)],
        )  # fmt: skip
    with pytest.raises(Error, match="no committed access"):
        sealed.deal_kits(access_of(study), study.site.pk, [("1", Decimal(5), "L")])


def test_an_access_is_fresh_for_ten_minutes_less_a_moment(study):
    assert sealed.arms(aged(access_of(study), "9 minutes 55 seconds")) == {}


def test_an_access_is_stale_after_ten_minutes(study):
    with pytest.raises(Error, match="no committed access"):
        sealed.arms(aged(access_of(study), "10 minutes"))


def test_a_report_by_arm_is_for_those_who_may_read_one(study):
    allocation = places(study, 1)[0]
    before = SealedAccess.objects.count()

    for role in (Role.UNBLINDED_STATISTICIAN, Role.COMMITTEE_MEMBER):
        arms = arms_for_report(trial=study.trial, by=study.people[role], detail="interim")
        assert arms == {allocation.slot_id: "L"}
    assert SealedAccess.objects.count() == before + 2


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.SPONSOR_ADMINISTRATOR, Role.AUDITOR])
def test_a_report_refused_leaves_nothing_written(study, role):
    before = contents()

    with pytest.raises(PermissionDenied):
        arms_for_report(trial=study.trial, by=study.people[role], detail="interim")

    assert contents() == before


# --- The log of looks -------------------------------------------------------------------------


def test_a_look_stays_written_when_everything_after_it_is_rolled_back(study):
    with pytest.raises(RuntimeError):
        look_and_fail(study)

    assert SealedAccess.objects.filter(detail="then it fails").count() == 1


def test_a_look_is_published_as_who_and_why_and_never_what(study):
    places(study, 1)
    arms_for_report(trial=study.trial, by=study.statistician, detail="interim")

    event = OutboxEvent.objects.filter(type="trials.BlindOpened").last()
    assert set(event.payload) == {"access_id", "purpose"}
    assert event.actor == study.statistician.username


@pytest.mark.parametrize("login", ["default", "sealed"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO trials_sealedaccess (id) VALUES (gen_random_uuid())",
        "UPDATE trials_sealedaccess SET purpose = 'nothing'",
        "DELETE FROM trials_sealedaccess",
        "TRUNCATE trials_sealedaccess",
    ],
)
def test_the_log_of_looks_is_written_by_nobody_else(statement, login):
    assert denied(statement, login=login)


def test_only_those_who_audit_see_the_log_of_looks(study):
    seers = {
        role
        for role, person in study.people.items()
        if SealedAccess.objects.visible_to(person).exists()
    }

    assert seers == {Role.AUDITOR, Role.SPONSOR_ADMINISTRATOR}


# --- Nothing gives it away --------------------------------------------------------------------


def one_of_everything(study):
    """Four subjects through all of a site's acts, so that both arms are met."""
    for _ in range(4):
        subject = study.ready_for_first_kit()
        dispense_kit(
            subject_id=subject.pk, cycle=1, prescribed_at=NOW, dispensed_on=TODAY, days=28,
            by=study.pharmacist, at=NOW,
        )  # fmt: skip
        record_adverse_event(
            subject_id=subject.pk, term="Rash", soc="Skin", grade=2,
            started_on=PartialDate.of(TODAY), outcome="unknown", related=True, serious=False,
            by=study.system, at=NOW,
        )  # fmt: skip
    arms_for_report(trial=study.trial, by=study.statistician, detail="interim")
    drain()


def naming_an_arm(tables):
    return {name for name, rows in tables.items() if "QXACT" in rows or "QXCTRL" in rows}


def test_no_public_table_holds_an_arm_apart_from_the_protocol_itself():
    """The protocol's text names both arms for everybody; nothing says who is in which."""
    one_of_everything(Study(arms=("QXACT", "QXCTRL")))

    public, secret = contents("public"), contents("sealed")

    assert naming_an_arm(public) == {
        "public.trials_protocolversion",
        "public.trials_protocolversionhistory",
    }
    assert naming_an_arm(secret) == {"sealed.slot", "sealed.list", "sealed.kit_content"}
    assert len(public) > 20


def test_events_and_rows_have_the_same_shape_in_both_arms():
    study = Study()
    one_of_everything(study)
    arm = dict(ask("SELECT id, arm FROM sealed.slot"))

    shapes = {}
    for allocation in Allocation.objects.order_by("allocated_at"):
        payload = OutboxEvent.objects.get(
            type="trials.SlotAllocated", payload__allocation_id=str(allocation.pk)
        ).payload
        shapes.setdefault(arm[allocation.slot_id], set()).add((*payload, len(allocation.number)))

    assert set(shapes) == {"L", "P"}
    assert shapes["L"] == shapes["P"]


def test_kits_and_places_are_known_by_random_ids_in_both_schemas():
    one_of_everything(Study())

    assert {uuid.UUID(str(value)).version for value in column("SELECT id FROM sealed.slot")} == {4}
    assert {uuid.UUID(str(value)).version for value in column("SELECT id FROM dosing_kit")} == {4}


def test_an_error_of_the_sealed_schema_quotes_no_arm(study):
    def deal(arm):
        access = access_of(study, purpose=PURPOSES[2], person=study.supplier)
        sealed.deal_kits(access, study.site.pk, [("1", Decimal(5), arm)])

    deal("QXARM")

    with pytest.raises(IntegrityError) as error:
        deal("QXOTHER")

    assert "QX" not in str(error.value)
