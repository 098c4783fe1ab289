"""A repeated request gets its first answer and takes effect once."""

import time
from datetime import timedelta
from functools import partial

import pytest

from events.idempotency import (
    KEPT_FOR,
    Answer,
    KeyReused,
    fingerprint,
    forget_old_answers,
    keep_refusal,
    once,
)
from events.models import IdempotencyRecord, OutboxEvent
from events.tasks import forget
from tests.events.ringing import ring
from tests.factories import NOW, user
from tests.marks import on_postgres
from tests.postgres import at_once


pytestmark = on_postgres

PRINT = fingerprint("POST", "/api/v1/bells", b'{"number": 1}')
OTHER = fingerprint("POST", "/api/v1/bells", b'{"number": 2}')


@pytest.fixture
def caller():
    return user("system").pk


def answer():
    ring()
    return 201, "rung"


def slow_answer():
    ring()
    time.sleep(0.2)
    return 201, "rung"


def crash():
    ring()
    raise RuntimeError("after the effect")


def ask_once(caller, *, key="k", print_=PRINT, act=answer, at=NOW):
    return once(user_id=caller, key=key, print_=print_, at=at, act=act)


def refuse(caller, *, key="k", print_=PRINT, body="no"):
    return keep_refusal(user_id=caller, key=key, print_=print_, at=NOW, status=409, body=body)


def effects():
    return OutboxEvent.objects.count()


def test_the_same_request_again_gets_the_first_answer_and_has_no_effect(caller):
    first, again = ask_once(caller), ask_once(caller)

    assert first == Answer(201, "rung")
    assert again == Answer(201, "rung", again=True)
    assert effects() == 1


def test_another_key_is_another_request(caller):
    ask_once(caller)
    ask_once(caller, key="l")

    assert effects() == 2


def test_a_key_is_each_callers_own(caller):
    ask_once(caller)
    ask_once(user("other").pk)

    assert effects() == 2


def test_a_key_used_for_another_request_is_refused_and_has_no_effect(caller):
    ask_once(caller)

    with pytest.raises(KeyReused):
        ask_once(caller, print_=OTHER)

    assert effects() == 1


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("PATCH", "/api/v1/bells", b'{"number": 1}'),
        fingerprint("POST", "/api/v1/gongs", b'{"number": 1}'),
        OTHER,
    ],
)
def test_method_path_and_body_make_the_request(other):
    assert other != PRINT
    assert fingerprint("POST", "/api/v1/bells", b'{"number": 1}') == PRINT


def test_the_same_request_many_times_at_once_has_one_effect(caller):
    answers = at_once(*[partial(ask_once, caller, act=slow_answer)] * 8)

    assert effects() == 1
    assert {(a.status, a.body) for a in answers} == {(201, "rung")}
    assert sorted(a.again for a in answers) == [False] + [True] * 7


def test_one_key_for_two_requests_at_once_serves_the_first_and_refuses_the_other(caller):
    answers = at_once(
        partial(ask_once, caller, act=slow_answer),
        partial(ask_once, caller, act=slow_answer, print_=OTHER),
    )

    assert sorted(type(a).__name__ for a in answers) == ["Answer", "KeyReused"]
    assert effects() == 1


def test_a_crash_frees_the_key_with_everything_else(caller):
    with pytest.raises(RuntimeError):
        ask_once(caller, act=crash)

    assert not IdempotencyRecord.objects.exists()
    assert effects() == 0
    assert ask_once(caller) == Answer(201, "rung")


def test_whoever_waited_for_a_request_that_crashed_acts_instead(caller):
    answers = at_once(partial(ask_once, caller, act=crash), partial(ask_once, caller))

    assert Answer(201, "rung") in answers
    assert effects() == 1


def test_a_refusal_is_kept_and_given_again(caller):
    first = refuse(caller)

    assert (first.status, first.again) == (409, False)
    assert ask_once(caller) == Answer(409, "no", again=True)
    assert effects() == 0


def test_the_first_refusal_kept_is_the_one_that_counts(caller):
    refuse(caller, body="first")

    assert refuse(caller, body="second") == Answer(409, "first", again=True)


def test_a_refusal_kept_for_another_request_is_not_given(caller):
    refuse(caller)

    with pytest.raises(KeyReused):
        refuse(caller, print_=OTHER)


@pytest.mark.parametrize(
    ("age", "forgotten"), [(KEPT_FOR, 0), (KEPT_FOR + timedelta(microseconds=1), 1)]
)
def test_an_answer_is_kept_for_48_hours_and_no_longer(caller, age, forgotten):
    ask_once(caller, at=NOW - age)

    assert timedelta(hours=48) == KEPT_FOR
    assert forget_old_answers(at=NOW) == forgotten


def test_the_task_forgets_what_is_old(caller):
    ask_once(caller, at=NOW - timedelta(days=365))

    assert forget() == 1


def test_old_answers_are_forgotten_on_a_schedule(settings):
    tasks = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert tasks >= {"events.tasks.drain", "events.tasks.forget_old_answers"}


def test_what_is_kept_of_a_request_cannot_be_guessed_back_without_the_secret_key(settings):
    """A kit's arm is one of two: a plain digest of the body that named it would give it away."""
    settings.SECRET_KEY = "another"

    assert fingerprint("POST", "/api/v1/bells", b'{"number": 1}') != PRINT
