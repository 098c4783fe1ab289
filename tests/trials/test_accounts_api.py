"""People's log-ins and reviews of access over the interface, as an administrator's program asks."""

from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.utils import timezone

from events.models import IdempotencyRecord, OutboxEvent
from tests.factories import NOW, TRAINED, protocol_text, user
from tests.interface import ACTS, caller_for, reasons_of
from tests.marks import on_postgres
from tests.postgres import at_once, contents
from tests.trials.test_log_ins import HOME, OTHER, Kind, Office, change, enrolled, enter, kinds
from tests.trials.test_log_ins import logged_in as opens
from trials.errors import AccountRefused
from trials.models import AccessReview, LogInRecord, Trial, User
from trials.permissions import Role
from trials.services.accounts import add_person, bind_sign_on, give_password
from trials.services.people import give_role, record_training
from trials.services.setup import create_trial


pytestmark = [on_postgres, pytest.mark.usefixtures("quick_log_ins")]

NEWCOMER = {"username": "newcomer", "first_name": "New", "last_name": "Comer", "email": ""}
NAME = "coordinator-DE-01"
ABOUT = {"person": NAME, "reason": "telephone lost"}
BINDING = {**ABOUT, "subject": "subject-of-a-coordinator"}
ON_ACCOUNTS = ("/people", "/passwords", "/factor-removals", "/lock-ends", "/sign-on-bindings")
ON_ACCOUNTS += ("/log-in-reopenings", "/address-lock-ends")
OF_PEOPLE = [act for act in ACTS if act.path in (*ON_ACCOUNTS, "/access-reviews")]


@pytest.fixture
def study() -> Office:
    return Office()


@pytest.fixture
def admin(study):
    return caller_for(study.admin)


def codes(answer) -> list[str]:
    assert answer.status_code == 409
    return sorted(code for _, code in reasons_of(answer))


def another_trial(study, person) -> None:
    """Somebody else's trial, in which a person of ours has a role as well."""
    other = user("other-admin")
    trial = create_trial(
        protocol_text=protocol_text(code="CLLM2"), training=TRAINED,
            conduct=Trial.Conduct.LIVE,
        administrator=other, at=NOW - timedelta(1),
    )  # fmt: skip
    other.forget_assignments()
    record_training(
        user=person, trial_id=trial.pk, document="Protocol", version="1",
        completed_on=NOW.date() - timedelta(1), by=other, at=NOW,
    )  # fmt: skip
    give_role(user=person, trial_id=trial.pk, site=None, role=Role.MONITOR, by=other, at=NOW)


# --- Made ------------------------------------------------------------------------------------


def test_a_person_is_made_and_the_password_is_told_once(study, admin):
    first = admin.post("/people", NEWCOMER, key="once")
    again = admin.post("/people", NEWCOMER, key="once")

    password = first.json()["password"]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == {**first.json(), "password": None}
    assert first["Cache-Control"] == "no-store"
    assert not IdempotencyRecord.objects.filter(body__contains=password).exists()
    assert User.objects.get(username="newcomer").check_password(password)
    assert first.json()["must_change_password"]
    assert kinds(User.objects.get(username="newcomer")) == [Kind.ACCOUNT_MADE]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"username": NAME}, ["username_taken"]),
        ({"username": NAME.upper()}, ["username_taken"]),
        ({"username": "new comer"}, ["username_invalid"]),
        ({"username": "<b>"}, ["username_invalid"]),
    ],
)
def test_a_name_that_cannot_be_given_is_refused_with_the_reason(study, admin, changes, expected):
    before = User.objects.count()

    assert codes(admin.post("/people", NEWCOMER | changes)) == expected
    assert User.objects.count() == before


@pytest.mark.parametrize("length", [150, 151])
def test_a_name_is_as_long_as_a_log_in_name_can_be(admin, length):
    answer = admin.post("/people", {**NEWCOMER, "username": "x" * length})

    assert answer.status_code == (201 if length == 150 else 400)


def test_one_name_in_two_spellings_is_given_once_also_at_the_same_moment(study):
    def adds(name):
        return lambda: add_person(
            username=name, first_name="New", last_name="Comer", email="", by=study.admin,
            at=timezone.now(),
        )  # fmt: skip

    answers = at_once(adds("newcomer"), adds("Newcomer"), adds("NEWCOMER"))

    assert sum(isinstance(answer, AccountRefused) for answer in answers) == 2
    assert User.objects.filter(username__iexact="newcomer").count() == 1


def test_people_are_listed_with_how_their_log_ins_stand(study, admin):
    enrolled(study.coordinator)
    admin.post("/sign-on-bindings", BINDING)
    for _ in range(3):
        enter(NAME, "wrong")

    found = {one["username"]: one for one in admin.get("/people").json()["results"]}

    shown = found[NAME]
    assert (shown["log_in"], shown["single_sign_on"]) == ("locked", True)
    assert shown["second_factors"] == ["authenticator application"]
    assert found["admin"]["log_in"] == "open"
    assert found[study.system.username]["is_machine"] is True
    assert shown["is_machine"] is False
    assert "password" not in shown


# --- A password for once ---------------------------------------------------------------------


def test_a_given_password_ends_the_old_one_and_every_session_and_must_be_changed(study, admin):
    _, old = give_password(person=study.coordinator, reason="-", by=study.admin, at=timezone.now())
    session = opens(NAME, old)
    change(session, OTHER, old)
    assert session.get(HOME).status_code == 200

    given = admin.post("/passwords", ABOUT, key="once")
    again = admin.post("/passwords", ABOUT, key="once")

    new = given.json()["password"]
    assert again.json() == {**given.json(), "password": None}
    assert session.get(HOME).status_code == 302
    assert enter(NAME, OTHER).status_code == 200
    assert opens(NAME, new).get(HOME).url.endswith("/security/password/")
    assert (given.json()["kind"], given.json()["by"]) == ("password_given", "admin")
    assert not IdempotencyRecord.objects.filter(body__contains=new).exists()
    assert new not in str(LogInRecord.objects.values())


def test_a_password_is_given_to_people_and_by_others(study, admin):
    study.system.is_machine = True
    study.system.save()

    machine = admin.post("/passwords", {**ABOUT, "person": study.system.username})
    oneself = admin.post("/passwords", {**ABOUT, "person": "admin"})
    nobody = admin.post("/passwords", {**ABOUT, "person": "nobody"})

    assert (codes(machine), codes(oneself)) == (["machine"], ["oneself"])
    assert nobody.status_code == 404


# --- Factors, locks, single sign-on ----------------------------------------------------------


def test_a_lost_factor_is_removed_with_its_codes_once(study, admin):
    enrolled(study.coordinator)

    removed = admin.post("/factor-removals", ABOUT)
    again = admin.post("/factor-removals", ABOUT)
    own = admin.post("/factor-removals", {**ABOUT, "person": "admin"})

    assert (removed.status_code, removed.json()["kind"]) == (201, "factor_removed")
    assert removed.json()["reason"] == "telephone lost"
    assert (codes(again), codes(own)) == (["no_factor"], ["oneself"])
    assert not Authenticator.objects.exists()


def test_a_lock_is_ended_once(study, admin):
    for _ in range(3):
        enter(NAME, "wrong")

    ended, again = admin.post("/lock-ends", ABOUT), admin.post("/lock-ends", ABOUT)

    assert ended.json()["kind"] == "lock_ended"
    assert codes(again) == ["not_locked"]


def test_a_person_is_bound_to_one_subject_and_a_subject_to_one_person(study, admin):
    monitor = study.person(Role.MONITOR)
    bound = admin.post("/sign-on-bindings", BINDING, key="once")
    repeated = admin.post("/sign-on-bindings", BINDING, key="once")
    twice = admin.post("/sign-on-bindings", BINDING)
    other = admin.post("/sign-on-bindings", {**BINDING, "person": monitor.username})
    own = admin.post("/sign-on-bindings", {**BINDING, "person": "admin", "subject": "mine"})

    assert bound.json()["kind"] == "sign_on_bound"
    assert repeated.json() == bound.json()
    assert codes(twice) == ["bound_already", "subject_taken"]
    assert (codes(other), codes(own)) == (["subject_taken"], ["oneself"])
    account = SocialAccount.objects.get()
    assert (account.user, account.uid) == (study.coordinator, "subject-of-a-coordinator")


@pytest.mark.parametrize(("length", "status"), [(191, 201), (192, 400)])
def test_a_subject_is_as_long_as_it_can_be_kept(admin, length, status):
    answer = admin.post("/sign-on-bindings", {**BINDING, "subject": "x" * length})

    assert answer.status_code == status


def test_one_subject_is_bound_once_also_at_the_same_moment(study):
    people = [study.person(Role.MONITOR, name=f"monitor-{number}") for number in range(3)]

    def binds(person):
        return lambda: bind_sign_on(
            person=person, subject="one", reason="-", by=study.admin, at=timezone.now()
        )

    answers = at_once(*(binds(person) for person in people))

    assert sum(isinstance(answer, AccountRefused) for answer in answers) == 2
    assert SocialAccount.objects.filter(uid="one").count() == 1


def test_one_person_is_bound_once_also_at_the_same_moment(study):
    def binds(subject):
        return lambda: bind_sign_on(
            person=study.coordinator, subject=subject, reason="-", by=study.admin,
            at=timezone.now(),
        )  # fmt: skip

    answers = at_once(*(binds(subject) for subject in "abc"))

    assert sum(isinstance(answer, AccountRefused) for answer in answers) == 2
    assert SocialAccount.objects.count() == 1


# --- Who -------------------------------------------------------------------------------------


OTHERS = [role for role in Role if role is not Role.SPONSOR_ADMINISTRATOR]


@pytest.mark.parametrize("role", OTHERS)
def test_nobody_but_the_administrator_changes_log_ins_or_signs_a_review(study, role):
    at_site = role.value in ("site_system", "investigator", "coordinator", "pharmacist")
    caller = caller_for(study.person(role, site=study.site if at_site else None, name="somebody"))
    before = contents()

    answers = {act.path: caller.post(act.path, act.body).status_code for act in OF_PEOPLE}

    reads = role in (Role.DATA_MANAGER, Role.AUDITOR)
    hidden = 403 if reads else 404
    assert answers == {
        **dict.fromkeys(ON_ACCOUNTS, hidden), "/people": 403, "/access-reviews": 403,
        "/address-lock-ends": 403,
    }  # fmt: skip
    assert contents() == before


@pytest.mark.parametrize("role", OTHERS)
def test_who_has_access_is_read_by_those_who_may_see_who_has_which_role(study, role):
    at_site = role.value in ("site_system", "investigator", "coordinator", "pharmacist")
    caller = caller_for(study.person(role, site=study.site if at_site else None, name="somebody"))

    now, people = caller.get("/trials/CLLM1/access"), caller.get("/people").json()["count"]

    reads = role in (Role.DATA_MANAGER, Role.AUDITOR)
    assert now.status_code == (200 if reads else 403)
    assert (people > 0) == reads


def test_who_reads_people_at_one_site_reads_no_review_of_the_whole_trial(study, admin):
    caller = caller_for(study.person(Role.DATA_MANAGER, site=study.site, name="somebody"))
    signed = signs(admin)

    assert caller.get("/trials/CLLM1/access").status_code == 403
    assert caller.get("/access-reviews").json()["count"] == 0
    assert caller.get(f"/access-reviews/{signed.json()['id']}").status_code == 404


@pytest.mark.parametrize("act", [act for act in OF_PEOPLE if "person" in act.body], ids=str)
def test_an_administrator_of_one_trial_becomes_nobody_in_another(study, admin, act):
    another_trial(study, study.coordinator)
    before = contents()

    answer = admin.post(act.path, act.body)

    assert answer.status_code == 403
    assert contents() == before


def test_a_trial_of_others_is_not_there(study, admin):
    another_trial(study, study.coordinator)

    assert admin.get("/trials/CLLM2/access").status_code == 404
    assert admin.post(
        "/access-reviews", {"trial": "CLLM2", "digest": "0" * 64, "remark": "-"}
    ).status_code == 404  # fmt: skip


# --- Reviews of access -----------------------------------------------------------------------


def signs(admin, **changes):
    body = {"trial": "CLLM1", "remark": "all known"}
    body["digest"] = admin.get("/trials/CLLM1/access").json()["digest"]
    return admin.post("/access-reviews", {**body, **changes})


def test_who_has_access_is_read_and_signed_as_it_was_read(study, admin):
    gone = study.person(Role.MONITOR, name="gone")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    listed = admin.get("/trials/CLLM1/access").json()
    signed = signs(admin)
    whole = caller_for(study.person(Role.AUDITOR)).get(f"/access-reviews/{signed.json()['id']}")

    line = next(one for one in listed["people"] if one["person"] == NAME)
    assert [(role["role"], role["site"], role["in_force"]) for role in line["roles"]] == [
        ("Site coordinator", "DE-01", True)
    ]
    assert line["trained_on"]
    assert listed["findings"] == sum(len(one["findings"]) for one in listed["people"]) == 1
    assert (signed.json()["digest"], signed.json()["signed_by"]) == (listed["digest"], "admin")
    assert whole.json()["people"] == listed["people"]
    assert OutboxEvent.objects.filter(type="trials.AccessReviewed").count() == 1


def test_a_list_that_changed_since_it_was_read_is_not_signed(study, admin):
    read = admin.get("/trials/CLLM1/access").json()["digest"]
    study.person(Role.MONITOR)

    assert codes(signs(admin, digest=read)) == ["review_changed"]
    assert not AccessReview.objects.exists()
    assert signs(admin).status_code == 201


def test_a_log_in_is_no_change_of_the_list(study, admin):
    read = admin.get("/trials/CLLM1/access").json()["digest"]
    User.objects.filter(pk=study.coordinator.pk).update(last_login=timezone.now())

    assert signs(admin, digest=read).status_code == 201


def test_a_review_is_signed_once_however_often_it_is_sent(study, admin):
    digest = admin.get("/trials/CLLM1/access").json()["digest"]
    body = {"trial": "CLLM1", "digest": digest, "remark": "all known"}

    answers = [admin.post("/access-reviews", body, key="once") for _ in range(3)]

    assert len({answer.content for answer in answers}) == 1
    assert admin.get("/access-reviews").json()["count"] == 1
