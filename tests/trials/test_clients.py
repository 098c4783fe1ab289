"""Credentials of site systems: what they are good for, how they change, when they end."""

from base64 import b64encode
from datetime import UTC, datetime, time, timedelta
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken

from events.acting import as_system
from events.models import IdempotencyRecord
from tests.factories import Study
from tests.interface import SUBJECT, Caller, caller_for, reasons_of
from tests.marks import on_postgres
from tests.trials.test_log_ins import PASSWORD, Kind, Office, code, enrolled, kinds
from trials.errors import ClientRefused
from trials.identity import Proof
from trials.models import MachineClient
from trials.permissions import Role
from trials.services.clients import end_client, give_client, give_site_client, renew_client


pytestmark = pytest.mark.django_db

EVERY = ["read", "submit", "randomise", "dispense"]
RENEWAL = {"overlap_hours": 0, "password": PASSWORD}


@pytest.fixture(autouse=True)
def _fast(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def study() -> Office:
    study = Office()
    for person in (study.admin, study.coordinator):
        person.set_password(PASSWORD)
        person.save()
    return study


def given(study: Office, *, scopes=EVERY, days: int = 30, **changes):
    at = timezone.now()
    asked = {"proof": Proof(study.admin.pk), "expires_on": at.date() + timedelta(days), **changes}
    return give_site_client(
        site=study.site, name="Hospital system", scopes=scopes, by=study.admin, at=at, **asked
    )


def ask(client: MachineClient, secret: str, **body):
    pair = b64encode(f"{client.application.client_id}:{secret}".encode()).decode()
    return Client().post(
        "/oauth/token",
        {"grant_type": "client_credentials", **body},
        headers={"Authorization": f"Basic {pair}"},
    )


def token(client: MachineClient, secret: str, **body) -> str:
    return ask(client, secret, **body).json()["access_token"]


def moved(client: MachineClient, **changes) -> None:
    """Change a client past its services, as time would."""
    with as_system():
        MachineClient.objects.filter(pk=client.pk).update(**changes)


# --- Scopes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("get", "/subjects", "read"),
        ("post", "/subjects", "submit"),
        ("post", "/subjects/{}/visits", "submit"),
        ("post", "/subjects/{}/randomisations", "randomise"),
        ("post", "/subjects/{}/dispensations", "dispense"),
        ("post", "/kit-supplies", "manage"),
        ("post", "/randomisation-lists", "manage"),
        ("post", "/clients", "manage"),
    ],
)
def test_each_address_needs_its_own_scope_and_no_other_will_do(study, method, path, scope):
    client, secret = given(study, scopes=[*EVERY, "manage"])
    address = path.format("00000000-0000-4000-8000-000000000000")
    others = " ".join(one for one in [*EVERY, "manage"] if one != scope)

    def answer(scopes: str):
        caller = Caller(token(client, secret, scope=scopes))
        return caller.get(address) if method == "get" else caller.post(address, {})

    without, with_it = answer(others), answer(scope)

    assert without.status_code == 403
    assert without.json()["code"] == "scope_missing"
    assert scope in without.json()["reasons"][0]["detail"]
    assert with_it.json().get("code", "") != "scope_missing"


def own_program(study, person, *scopes):
    return give_client(
        trial=study.trial, user=person, name=f"of {person.username}", scopes=scopes,
        expires_on=timezone.now().date(), proof=Proof(person.pk), by=person, at=timezone.now(),
    )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/subjects/{}/emergency-unblindings",
        "/unblinding-requests/{}/agreements",
        "/unblinding-requests/{}/looks",
        "/unblinding-requests/{}/lists-of-arms",
        "/contingency-sheets",
        "/contingency-passwords",
    ],
)
def test_whoever_looks_behind_the_blind_has_a_scope_for_it_and_no_other_will_do(study, path):
    monitor = study.person(Role.MEDICAL_MONITOR)
    client, secret = own_program(study, monitor, *EVERY, "manage", "unblind")
    address = path.format("00000000-0000-4000-8000-000000000000")

    without, with_it = (
        Caller(token(client, secret, scope=scopes)).post(address, {})
        for scopes in (" ".join([*EVERY, "manage"]), "unblind")
    )

    assert (without.status_code, without.json()["code"]) == (403, "scope_missing")
    assert "scope unblind" in without.json()["reasons"][0]["detail"]
    assert with_it.json()["code"] != "scope_missing"


def test_who_asked_for_no_look_behind_the_blind_gets_no_token_for_one(study):
    client, secret = own_program(study, study.coordinator, "read", "submit")

    assert "unblind" not in ask(client, secret).json()["scope"].split()
    assert ask(client, secret, scope="unblind").json()["error"] == "invalid_scope"


def test_no_sites_system_is_given_a_look_behind_the_blind(study):
    with pytest.raises(ClientRefused) as refused:
        given(study, scopes=[*EVERY, "unblind"])

    assert [reason.code for reason in refused.value.reasons] == ["scope_for_people"]
    assert not MachineClient.objects.exists()


def test_a_client_gets_all_its_scopes_when_it_asks_for_none_and_never_more(study):
    client, secret = given(study, scopes=["read", "submit"])

    assert ask(client, secret).json()["scope"].split() == ["read", "submit"]
    assert ask(client, secret, scope="randomise").json()["error"] == "invalid_scope"


def test_a_site_system_acts_for_its_own_site_alone(study):
    client, secret = given(study)
    study.add_site("DE-02")
    caller = Caller(token(client, secret))

    assert caller.post("/subjects", {**SUBJECT}).status_code == 201
    assert caller.post("/subjects", {**SUBJECT, "site": "DE-02"}).status_code in {403, 404}


# --- Renewal ---------------------------------------------------------------------------------


def test_old_and_new_secret_hold_until_the_overlap_ends(study):
    client, old = given(study)
    at = timezone.now()
    _, new = renew_client(
        client_id=client.pk, expires_on=client.expires_on, overlap=timedelta(hours=1),
        proof=Proof(study.admin.pk), by=study.admin, at=at,
    )  # fmt: skip

    assert ask(client, old).status_code == ask(client, new).status_code == 200

    moved(client, previous_until=timezone.now())
    assert ask(client, old).status_code == 401
    assert ask(client, new).status_code == 200


def test_a_renewal_without_overlap_ends_the_old_secret_at_once(study):
    client, old = given(study)
    renew_client(
        client_id=client.pk, expires_on=client.expires_on, overlap=timedelta(0), by=study.admin,
        proof=Proof(study.admin.pk), at=timezone.now(),
    )  # fmt: skip

    assert ask(client, old).status_code == 401


def test_a_second_renewal_ends_the_secret_before_the_last_at_once(study):
    client, first = given(study)
    how = {"client_id": client.pk, "expires_on": client.expires_on, "by": study.admin}
    how |= {"overlap": timedelta(hours=1), "proof": Proof(study.admin.pk), "at": timezone.now()}
    _, second = renew_client(**how)
    _, third = renew_client(**how)

    assert [ask(client, secret).status_code for secret in (first, second, third)] == [401, 200, 200]


def test_the_overlap_ends_at_its_instant(study, monkeypatch):
    client, old = given(study)
    at = timezone.now()
    renew_client(
        client_id=client.pk, expires_on=client.expires_on, overlap=timedelta(hours=1),
        proof=Proof(study.admin.pk), by=study.admin, at=at,
    )  # fmt: skip
    moment = timedelta(microseconds=1)

    def at_instant(instant):
        monkeypatch.setattr("trials.api.authentication.timezone.now", lambda: instant)
        return ask(client, old).status_code

    assert at_instant(at + timedelta(hours=1) - moment) == 200
    assert at_instant(at + timedelta(hours=1)) == 401


def test_an_ended_client_is_not_renewed(study):
    client, _ = given(study)
    end_client(client_id=client.pk, reason="over", by=study.admin, at=timezone.now())

    with pytest.raises(ClientRefused) as refused:
        renew_client(
            client_id=client.pk, expires_on=client.expires_on, overlap=timedelta(0),
            proof=Proof(study.admin.pk), by=study.admin, at=timezone.now(),
        )  # fmt: skip

    assert [reason.code for reason in refused.value.reasons] == ["client_ended"]


def renewed(study, client, *, overlap, at=None):
    return renew_client(
        client_id=client.pk, expires_on=client.expires_on, overlap=overlap, by=study.admin,
        proof=Proof(study.admin.pk), at=at or timezone.now(),
    )  # fmt: skip


def test_a_renewal_keeps_the_scopes(study):
    client, _ = given(study, scopes=["read"])
    _, new = renewed(study, client, overlap=timedelta(0))

    assert ask(client, new).json()["scope"] == "read"


def test_a_renewal_without_overlap_ends_the_tokens_that_are_out_and_no_other_clients(study):
    client, secret = given(study)
    other, of_other = give_client(
        trial=study.trial, user=study.admin, name="another", scopes=["read"],
        expires_on=client.expires_on, proof=Proof(study.admin.pk), by=study.admin,
        at=timezone.now(),
    )  # fmt: skip
    stolen, elsewhere = token(client, secret), token(other, of_other)

    _, new = renewed(study, client, overlap=timedelta(0))

    assert Caller(stolen).get("/sites").status_code == 401
    assert Caller(elsewhere).get("/sites").status_code == 200
    assert Caller(token(client, new)).get("/sites").status_code == 200


@pytest.mark.parametrize(("minutes", "holds_for"), [(30, 30), (90, 60)])
def test_the_tokens_that_are_out_hold_no_longer_than_the_overlap(study, minutes, holds_for):
    client, secret = given(study)
    held = token(client, secret)
    at = timezone.now()

    renewed(study, client, overlap=timedelta(minutes=minutes), at=at)

    lasts = AccessToken.objects.get().expires - at
    assert abs(lasts - timedelta(minutes=holds_for)) < timedelta(seconds=5)
    assert Caller(held).get("/sites").status_code == 200


@pytest.mark.parametrize(("minutes", "holds_for"), [(30, 30), (90, 60)])
def test_a_token_of_the_old_secret_holds_no_longer_than_that_secret(study, minutes, holds_for):
    client, old = given(study)
    renewed(study, client, overlap=timedelta(minutes=minutes))

    answer = ask(client, old).json()

    kept = AccessToken.objects.get()
    assert abs(answer["expires_in"] - holds_for * 60) < 5
    assert abs(kept.expires - kept.created - timedelta(minutes=holds_for)) < timedelta(seconds=5)


def test_a_secret_is_nowhere_in_clear(study):
    client, secret = given(study)

    kept = [*MachineClient.objects.values(), *client.history.values()]
    kept += [client.application.client_secret]
    assert secret not in str(kept)


# --- Expiry and end --------------------------------------------------------------------------


def test_credentials_hold_through_their_last_day_and_not_the_day_after(study):
    client, secret = given(study)
    before = token(client, secret)
    today = timezone.now().date()

    moved(client, expires_on=today)
    assert ask(client, secret).status_code == 200
    assert Caller(before).get("/sites").status_code == 200

    moved(client, expires_on=today - timedelta(1))
    over = ask(client, secret)
    used = Caller(before).get("/sites")
    assert over.status_code == used.status_code == 401
    assert f"expired on {today - timedelta(1)}" in over.json()["error_description"]
    assert f"expired on {today - timedelta(1)}" in used.json()["reasons"][0]["detail"]


@pytest.mark.parametrize(("left", "status"), [(2, 200), (0, 401)])
def test_an_access_token_holds_to_its_end_and_no_longer(study, settings, left, status):
    client, secret = given(study)
    held = token(client, secret)
    made = AccessToken.objects.get()
    lasts = made.expires - made.created
    AccessToken.objects.update(expires=timezone.now() + timedelta(seconds=left))

    assert abs(lasts - timedelta(seconds=3600)) < timedelta(seconds=1)
    assert Caller(held).get("/sites").status_code == status


@pytest.mark.parametrize("moment", [timedelta(microseconds=-1), timedelta(0)])
def test_the_last_day_ends_at_midnight_in_utc(study, moment):
    client, _ = given(study)
    midnight = datetime.combine(client.expires_on + timedelta(1), time.min, UTC)

    assert bool(client.why_not(midnight + moment)) is (moment == timedelta(0))


def test_somebody_without_the_secret_does_not_hear_that_it_expired(study):
    client, _ = given(study)
    moved(client, expires_on=timezone.now().date() - timedelta(1))

    answer = ask(client, "a guess")

    assert answer.status_code == 401
    assert "expired" not in answer.content.decode()


def test_ending_a_client_ends_its_tokens_and_both_secrets_at_once(study):
    client, old = given(study)
    _, new = renew_client(
        client_id=client.pk, expires_on=client.expires_on, overlap=timedelta(days=1),
        proof=Proof(study.admin.pk), by=study.admin, at=timezone.now(),
    )  # fmt: skip
    held = token(client, new)

    end_client(client_id=client.pk, reason="laptop lost", by=study.admin, at=timezone.now())

    assert Caller(held).get("/sites").status_code == 401
    assert ask(client, old).status_code == ask(client, new).status_code == 401
    assert "were ended" in ask(client, new).json()["error_description"]
    assert not AccessToken.objects.exists()
    with pytest.raises(ClientRefused):
        end_client(client_id=client.pk, reason="again", by=study.admin, at=timezone.now())


# --- Who -------------------------------------------------------------------------------------


def test_nobody_gives_a_program_the_rights_of_another_person(study):
    monitor = study.person(Role.MONITOR)

    with pytest.raises(ClientRefused) as refused:
        give_client(
            trial=study.trial, user=monitor, name="as somebody else", scopes=["read"],
            expires_on=timezone.now().date(), proof=Proof(study.admin.pk), by=study.admin,
            at=timezone.now(),
        )  # fmt: skip

    assert {reason.code for reason in refused.value.reasons} == {"not_a_machine"}


def test_a_person_gives_a_program_of_their_own_their_own_rights(study):
    monitor = study.person(Role.MONITOR)

    client, secret = give_client(
        trial=study.trial, user=monitor, name="my script", scopes=["read"],
        expires_on=timezone.now().date(), proof=Proof(monitor.pk), by=monitor,
        at=timezone.now(),
    )  # fmt: skip

    assert Caller(token(client, secret)).get("/sites").json()["count"] == 1


def test_a_coordinator_gives_no_client_and_sees_none(study):
    client, _ = given(study)

    with pytest.raises(PermissionDenied):
        given(study, scopes=EVERY) if False else give_site_client(
            site=study.site, name="mine", scopes=["read"], by=study.coordinator,
            proof=Proof(study.coordinator.pk), expires_on=timezone.now().date(), at=timezone.now(),
        )  # fmt: skip
    with pytest.raises(MachineClient.DoesNotExist):
        end_client(client_id=client.pk, reason="-", by=study.coordinator, at=timezone.now())


# --- The interface ---------------------------------------------------------------------------


def days_on(days: int) -> str:
    return (timezone.now().date() + timedelta(days)).isoformat()


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"overlap_hours": 336}, 201),
        ({"overlap_hours": 337}, 400),
        ({"overlap_hours": -1}, 400),
        ({"expires_on": days_on(366)}, 201),
        ({"expires_on": days_on(367)}, 409),
        ({"expires_on": days_on(0)}, 201),
        ({"expires_on": days_on(-1)}, 409),
    ],
)
def test_a_renewal_is_bounded_as_a_client_is(study, asked, status):
    admin = caller_for(study.admin)
    made = admin.post("/clients", body()).json()
    renewal = {**RENEWAL, "expires_on": days_on(30), **asked}

    assert admin.post(f"/clients/{made['id']}/renewals", renewal).status_code == status


def test_nobody_renews_the_program_of_another_person(study):
    monitor = study.person(Role.MONITOR)
    client, secret = give_client(
        trial=study.trial, user=monitor, name="my script", scopes=["read"],
        expires_on=timezone.now().date(), proof=Proof(monitor.pk), by=monitor,
        at=timezone.now(),
    )  # fmt: skip
    renewal = {**RENEWAL, "expires_on": days_on(30)}
    path = f"/clients/{client.pk}/renewals"

    assert caller_for(study.admin).post(path, renewal).status_code == 403
    assert caller_for(study.coordinator).post(path, renewal).status_code == 404
    assert ask(client, secret).status_code == 200


def body(**changes):
    expires = (timezone.now().date() + timedelta(30)).isoformat()
    return {
        "trial": "CLLM1", "site": "DE-01", "name": "Hospital system", "scopes": EVERY,
        "expires_on": expires, "password": PASSWORD, **changes,
    }  # fmt: skip


def test_the_interface_shows_a_secret_once_and_keeps_none(study):
    admin = caller_for(study.admin)

    first = admin.post("/clients", body(), key="once")
    again = admin.post("/clients", body(), key="once")
    secret = first.json()["secret"]

    assert first.status_code == again.status_code == 201
    assert again.json()["secret"] is None
    assert again.json()["id"] == first.json()["id"]
    assert not IdempotencyRecord.objects.filter(body__contains=secret).exists()
    client = MachineClient.objects.get(pk=first.json()["id"])
    assert ask(client, secret).status_code == 200


def test_the_interface_renews_and_ends_and_says_when_a_client_was_last_used(study):
    admin = caller_for(study.admin)
    made = admin.post("/clients", body()).json()
    path = f"/clients/{made['id']}"
    client = MachineClient.objects.get(pk=made["id"])
    token(client, made["secret"])

    renewed = admin.post(
        f"{path}/renewals", {**RENEWAL, "expires_on": body()["expires_on"], "overlap_hours": 24}
    )
    listed = {one["id"]: one for one in admin.get("/clients").json()["results"]}
    ended = admin.post(f"{path}/ends", {"reason": "no longer needed"})

    assert renewed.json()["secret"] != made["secret"]
    assert listed[made["id"]]["last_used_at"]
    assert "secret" not in listed[made["id"]]
    assert ended.json()["ended_at"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"scopes": ["write"]}, ("scopes.0", "invalid_choice")),
        ({"scopes": []}, ("scopes", "min_length")),
        ({"scopes": ["read", "unblind"]}, ("", "scope_for_people")),
        ({"expires_on": "2020-01-01"}, ("", "expires_in_the_past")),
        ({"name": ""}, ("name", "blank")),
        ({"secret": "mine"}, ("secret", "invalid")),
        ({"scopes": ["read"] * 7}, ("scopes", "max_length")),
        ({"expires_on": days_on(367)}, ("", "expires_too_late")),
    ],
)
def test_what_is_wrong_with_a_client_is_named_and_nothing_is_made(study, changes, expected):
    admin = caller_for(study.admin)
    before = MachineClient.objects.count()

    answer = admin.post("/clients", body(**changes))

    assert expected[1] in {code for _, code in reasons_of(answer)}
    assert MachineClient.objects.count() == before


@pytest.mark.parametrize("shown", [{"password": "wrong"}, {"password": PASSWORD, "code": "000000"}])
def test_a_token_or_session_alone_makes_and_renews_no_credentials(study, shown):
    client, secret = given(study)
    enrolled(study.admin)
    admin = caller_for(study.admin)

    made = admin.post("/clients", body(name="Another", **shown))
    path = f"/clients/{client.pk}/renewals"
    renewed = admin.post(path, {**RENEWAL, "expires_on": days_on(30), **shown})

    assert reasons_of(made) == reasons_of(renewed) == {("", "identity_not_confirmed")}
    assert ask(client, secret).status_code == 200
    assert MachineClient.objects.filter(name="Another").count() == 0
    assert kinds(study.admin) == [Kind.NOT_CONFIRMED] * 2


def test_password_and_code_make_and_renew_credentials_over_the_interface(study):
    code_of = partial(code, enrolled(study.admin))
    admin = caller_for(study.admin)

    made = admin.post("/clients", body(code=code_of()))
    renewal = {**RENEWAL, "expires_on": days_on(30), "code": code_of(1)}
    renewed = admin.post(f"/clients/{made.json()['id']}/renewals", renewal)

    assert (made.status_code, renewed.status_code) == (201, 201)


def test_a_program_cannot_renew_itself(study):
    client, secret = given(study, scopes=["manage"])
    path = f"/clients/{client.pk}/renewals"
    program = Caller(token(client, secret))

    answer = program.post(path, {**RENEWAL, "expires_on": days_on(30)})

    assert reasons_of(answer) == {("", "identity_not_confirmed")}
    assert ask(client, secret).status_code == 200


def test_a_request_without_its_key_uses_no_code_up(study):
    once = code(enrolled(study.admin))
    admin = caller_for(study.admin)

    without = admin.post("/clients", body(code=once), key="")
    with_it = admin.post("/clients", body(code=once))

    assert (without.status_code, with_it.status_code) == (400, 201)


def test_somebody_elses_proof_makes_nothing(study):
    with pytest.raises(ValueError, match="another person"):
        given(study, proof=Proof(study.coordinator.pk))


@on_postgres
def test_the_history_of_a_client_names_who_gave_it():
    study = Study(kits=0)
    client, _ = given(study)

    row = client.history.get()
    assert (row.pgh_label, row.pgh_context["actor"]) == ("insert", "admin")
