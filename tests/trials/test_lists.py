"""A randomisation list from draft to use."""

from fractions import Fraction
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction

from events.models import OutboxEvent
from tests.factories import BLOCK, NOW, TODAY, Study, user
from tests.marks import on_postgres
from tests.postgres import ask, at_once, column, contents, denied, differing
from trials import sealed
from trials.errors import ApprovalRefused, ListExhausted, ListRefused
from trials.models import Allocation, ListApproval, RandomisationList, SealedAccess
from trials.permissions import Permission, Role, authorise
from trials.rules.commitment import Contents, digest_of
from trials.rules.randomisation import Entry, design_of, generate
from trials.services.lists import (
    approve_list,
    dry_run,
    generate_list,
    load_list,
    saw_dry_run,
    withdraw_list,
)
from trials.services.people import give_role
from trials.services.randomisation import allocate


pytestmark = on_postgres

ENTRIES = [(stratum, BLOCK[i % 3]) for stratum in "HI" for i in range(102)]
State = RandomisationList.State


@pytest.fixture
def study():
    return Study(kits=0)


def load(study, *, entries=ENTRIES, made_for="CLLM1", by=None, reason="an extension"):
    return load_list(
        trial_id=study.trial.pk,
        made_for=made_for,
        entries=entries,
        reason=reason,
        by=by or study.statistician,
        at=NOW,
    )


def approve(draft, by, *, digest=None):
    """Look at the dry run, unless it was seen, and approve."""
    if by.may(Permission.APPROVE_LIST) and not saw_dry_run(draft, by):
        dry_run(list_id=draft.pk, by=by)
    return approve_unseen(draft, by, digest=digest)


def approve_unseen(draft, by, *, digest=None):
    return approve_list(list_id=draft.pk, digest=digest or draft.digest, by=by, at=NOW)


def withdraw(draft, by, *, reason="made from the wrong table"):
    return withdraw_list(list_id=draft.pk, reason=reason, by=by, at=NOW)


def place(study, *, stratum="H", by=None):
    return allocate(
        site=study.site,
        stratum=stratum,
        levels={"mrd": stratum},
        inputs={"mrd_level": "0.02"},
        randomised_on=TODAY,
        by=by or study.system,
        at=NOW,
    )


def reasons_of(act):
    """Return the codes of a refusal, after checking that it changed nothing."""
    before = contents()
    with pytest.raises((ListRefused, ApprovalRefused)) as refusal:
        act()
    assert contents() == before
    return {reason.code for reason in refusal.value.reasons}


# --- A draft ----------------------------------------------------------------------------------


def test_a_draft_is_known_by_its_digest_and_good_for_nothing(study):
    draft = load(study)

    event = OutboxEvent.objects.filter(type="trials.RandomisationListDrafted").latest("id")
    assert (draft.number, draft.state, draft.origin) == (2, State.DRAFT, "loaded")
    assert event.payload == {
        "list_id": str(draft.pk), "number": 2, "origin": "loaded", "digest": draft.digest,
        "made_by": study.statistician.pk, "protocol_version": "1.0",
    }  # fmt: skip
    assert sealed.take_slot(draft.pk, "H", {}) is None


def test_the_digest_is_the_hash_of_what_the_rule_says(study):
    draft = load(study)
    number, method, generator, seed, parameters, salt = ask(
        "SELECT number, method, generator, seed, parameters, salt::text FROM sealed.list"
        " WHERE id = %s",
        draft.pk,
    )[0]

    entries = tuple(Entry(stratum, arm) for stratum, arm in ENTRIES)
    found = Contents(
        str(draft.pk), str(study.trial.pk), number, method, generator, seed, parameters, salt,
        entries,
    )  # fmt: skip

    assert digest_of(found) == draft.digest


def test_the_digest_is_salted_so_that_the_same_list_cannot_be_recognised(study):
    assert load(study).digest != study.list.digest
    assert len(set(column("SELECT salt FROM sealed.list"))) == 2


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"entries": ENTRIES * 2}, "list_long"),
        ({"entries": []}, "list_empty"),
        ({"entries": [("H", "X"), *ENTRIES]}, "unknown_arm"),
        ({"made_for": "CLLM2"}, "other_trial"),
        ({"reason": "  "}, "reason_missing"),
    ],
)
def test_a_refused_list_stores_nothing_not_even_an_access(study, how, code):
    assert code in reasons_of(partial(load, study, **how))


def test_every_reason_against_a_list_is_told_at_once(study):
    load(study)

    codes = reasons_of(partial(load, study, entries=[], made_for="X", reason=""))

    assert codes == {"list_empty", "other_trial", "reason_missing", "draft_exists"}


def test_of_two_drafts_at_the_same_moment_one_is_kept(study):
    answers = at_once(partial(load, study), partial(load, study))

    assert sorted(type(one).__name__ for one in answers) == ["ListRefused", "RandomisationList"]
    assert RandomisationList.objects.filter(state=State.DRAFT).count() == 1


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.UNBLINDED_STATISTICIAN])
def test_only_the_unblinded_statistician_drafts_looks_approves_and_withdraws(study, role):
    draft = load(study)
    person = study.people[role]
    before = contents()

    for act in (
        partial(load, study, by=person),
        partial(dry_run, list_id=draft.pk, by=person),
        partial(approve, draft, person),
        partial(withdraw, draft, person),
    ):
        with pytest.raises((PermissionDenied, RandomisationList.DoesNotExist)):
            act()

    assert contents() == before


def test_a_statistician_of_another_trial_finds_no_list(study):
    draft = load(study)
    stranger = user("stranger")

    with pytest.raises(RandomisationList.DoesNotExist):
        approve(draft, stranger)
    with pytest.raises(RandomisationList.DoesNotExist):
        dry_run(list_id=draft.pk, by=stranger)


# --- A list generated here --------------------------------------------------------------------

SEED = "0123456789abcdef"


def generated(study, *, seed="", length=None, by=None, reason="an extension"):
    return generate_list(
        trial_id=study.trial.pk, seed=seed, length=length, reason=reason,
        by=by or study.statistician, at=NOW,
    )  # fmt: skip


def test_a_generated_list_is_what_the_named_generator_makes_of_the_seed(study):
    draft = generated(study, seed=SEED)

    held = ask(
        "SELECT stratum, arm FROM sealed.slot WHERE list_id = %s ORDER BY stratum, position",
        draft.pk,
    )
    expected = generate(design_of(study.trial.protocol), seed=SEED)
    assert [(entry.stratum, entry.arm) for entry in expected] == held
    assert (draft.origin, draft.generator) == ("generated", "vigil-sha256-ctr-v1")
    assert column("SELECT seed FROM sealed.list WHERE id = %s", draft.pk) == [SEED]


def test_without_a_seed_the_system_draws_a_long_one_and_shows_it_to_nobody(study):
    draft = generated(study, length=10)

    seed = column("SELECT seed FROM sealed.list WHERE id = %s", draft.pk)[0]
    assert len(seed) == 64
    assert draft.entries == 24
    assert all(seed not in rows for rows in contents("public").values())


@pytest.mark.parametrize(("seed", "code"), [(SEED[:-1], "seed_short"), ("x", "seed_short")])
def test_a_seed_that_could_be_guessed_is_refused(study, seed, code):
    assert reasons_of(partial(generated, study, seed=seed)) == {code}


def test_a_seed_serves_one_list_of_a_trial(study):
    withdraw(generated(study, seed=SEED), study.statistician)
    before, events = contents(), OutboxEvent.objects.count()
    looks = SealedAccess.objects.count()

    with pytest.raises(ListRefused) as refusal:
        generated(study, seed=SEED)

    assert [reason.code for reason in refusal.value.reasons] == ["seed_used"]
    # The look was committed before, as looks are. It stays, with its event.
    assert differing(before) == {"public.trials_sealedaccess", "public.events_outboxevent"}
    assert SealedAccess.objects.count() == looks + 1
    assert OutboxEvent.objects.count() == events + 1
    assert OutboxEvent.objects.latest("pk").type == "trials.BlindOpened"


def test_a_list_longer_than_the_plan_is_refused(study):
    assert generated(study, length=200).entries == 402

    withdraw(RandomisationList.objects.get(state=State.DRAFT), study.statistician)
    assert "list_long" in reasons_of(partial(generated, study, length=203))


def test_a_stratum_of_a_loaded_list_ends_with_the_block_that_reaches_the_plan(study):
    full = [(stratum, BLOCK[i % 3]) for stratum in "HI" for i in range(201)]

    assert load(study, entries=full).entries == 402

    withdraw(RandomisationList.objects.get(state=State.DRAFT), study.statistician)
    assert reasons_of(partial(load, study, entries=[*full, ("H", "L")])) == {"list_long"}


def test_an_extension_of_one_stratum_is_bounded_as_a_first_list_is(study):
    more = [("H", BLOCK[i % 3]) for i in range(201)]

    assert load(study, entries=more).number == 2

    withdraw(RandomisationList.objects.get(state=State.DRAFT), study.statistician)
    assert reasons_of(partial(load, study, entries=[*more, ("H", "L")])) == {"list_long"}


def test_nobody_else_generates_a_list(study):
    with pytest.raises(PermissionDenied):
        generated(study, by=study.people[Role.SPONSOR_ADMINISTRATOR])


# --- The dry run ------------------------------------------------------------------------------


def test_the_dry_run_shows_order_counts_ratio_blocks_and_strata(study):
    draft = load(study)

    report = dry_run(list_id=draft.pk, by=study.second_statistician)

    high = report.strata[0]
    assert report.digest == draft.digest
    assert [run.holds.stratum for run in report.strata] == ["H", "I"]
    assert (high.holds.places, high.holds.by_arm) == (102, {"L": 68, "P": 34})
    assert high.holds.ratio == {"L": 2, "P": 1}
    assert (high.holds.whole_blocks, high.holds.open_places, high.longest_run) == ((34, 34), 0, 2)
    assert report.guesses.best.right == Fraction(7, 9)
    assert high.arms[:6] == ("L", "P", "L", "L", "P", "L")
    assert (report.counts, report.places) == ({"L": 136, "P": 68}, 204)
    assert (report.planned, report.places_before) == (200, 204)


def test_each_look_at_a_dry_run_is_in_the_access_log_before_it_happens(study):
    draft = load(study)

    for person in (study.statistician, study.second_statistician):
        dry_run(list_id=draft.pk, by=person)

    looks = SealedAccess.objects.filter(purpose="check dry run").order_by("opened_at")[2:]
    assert [look.person.username for look in looks] == ["unblinded_statistician", "second"]
    assert all(draft.digest[:12] in look.detail for look in looks)


def test_a_live_list_has_no_dry_run_any_more(study):
    codes = reasons_of(partial(dry_run, list_id=study.list.pk, by=study.statistician))

    assert codes == {"not_a_draft"}


# --- Two people -------------------------------------------------------------------------------


def test_the_first_approval_leaves_a_draft_and_the_second_makes_it_live(study):
    draft = load(study)

    first = approve(draft, study.statistician)
    second = approve(draft, study.second_statistician)

    said = OutboxEvent.objects.filter(type="trials.RandomisationListApproved").latest("id").payload
    approval = ListApproval.objects.get(list=draft, approved_by=study.second_statistician)
    assert said == {
        "list_id": str(draft.pk), "number": 2, "digest": draft.digest, "approvals": 2,
        "approval_id": str(approval.pk), "approved_by": study.second_statistician.pk,
    }  # fmt: skip

    live = OutboxEvent.objects.filter(type="trials.RandomisationListLive").latest("id")
    assert (first.state, second.state, second.live_at) == (State.DRAFT, State.LIVE, NOW)
    assert live.payload["digest"] == draft.digest
    assert set(live.payload) == {"list_id", "number", "digest", "generator"}
    assert column("SELECT state FROM sealed.list WHERE id = %s", draft.pk) == ["live"]


def test_one_person_is_not_two(study):
    draft = load(study)
    approve(draft, study.statistician)

    assert reasons_of(partial(approve, draft, study.statistician)) == {"same_person"}


def test_one_person_at_two_keyboards_is_not_two(study):
    draft = load(study)

    answers = at_once(*[partial(approve, draft, study.statistician)] * 2)

    assert sorted(type(one).__name__ for one in answers) == ["ApprovalRefused", "RandomisationList"]
    assert column("SELECT state FROM sealed.list WHERE id = %s", draft.pk) == ["draft"]


def test_two_people_at_the_same_moment_make_one_live_list(study):
    draft = load(study)

    at_once(
        partial(approve, draft, study.statistician),
        partial(approve, draft, study.second_statistician),
    )

    draft.refresh_from_db()
    assert draft.state == State.LIVE
    assert OutboxEvent.objects.filter(type="trials.RandomisationListLive").count() == 2


@pytest.mark.parametrize("digest", ["0" * 64, "x"])
def test_another_digest_than_the_lists_is_no_approval(study, digest):
    draft = load(study)
    dry_run(list_id=draft.pk, by=study.statistician)

    codes = reasons_of(partial(approve, draft, study.statistician, digest=digest))

    assert codes == {"digest_differs"}


def test_what_is_live_or_withdrawn_is_neither_approved_nor_withdrawn(study):
    draft = load(study)
    withdraw(draft, study.statistician)

    for found in (draft, study.list):
        assert "not_a_draft" in reasons_of(partial(approve, found, study.statistician))
        assert "not_a_draft" in reasons_of(partial(withdraw, found, study.statistician))


def test_postgresql_itself_lets_no_list_go_live_without_two_people(study):
    draft = load(study)
    approve(draft, study.statistician)

    assert not sealed.go_live(draft.pk)
    assert denied("UPDATE sealed.list SET state = 'live'")
    assert denied("UPDATE trials_listapproval SET approved_by_id = 1")


def test_approvals_of_another_digest_do_not_count_in_postgresql_either(study):
    draft = load(study)
    approve(draft, study.statistician)
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        "UPDATE trials_listapproval SET digest = repeat('0', 64)"
    )

    dry_run(list_id=draft.pk, by=study.second_statistician)

    codes = reasons_of(partial(approve, draft, study.second_statistician))

    assert codes == {"sealed_part_differs"}


def test_nobody_approves_a_list_whose_dry_run_they_have_not_seen(study):
    earlier = load(study)
    approve(earlier, study.second_statistician)
    withdraw(earlier, study.statistician)
    draft = load(study)
    approve(draft, study.statistician)

    unseen = reasons_of(partial(approve_unseen, draft, study.second_statistician))
    dry_run(list_id=draft.pk, by=study.second_statistician)

    assert unseen == {"dry_run_not_seen"}
    assert approve_unseen(draft, study.second_statistician).state == State.LIVE


def test_approvals_of_those_who_did_not_look_do_not_count_in_postgresql_either(study):
    draft = load(study)
    approve(draft, study.statistician)
    dry_run(list_id=draft.pk, by=study.second_statistician)
    with transaction.atomic():
        authorise(study.second_statistician, Permission.APPROVE_LIST, trial=study.trial)
        ListApproval.objects.create(
            list=draft, digest=draft.digest, approved_by=study.second_statistician, approved_at=NOW
        )
    ask(
        "UPDATE trials_sealedaccess SET detail = 'list 2, digest of another' WHERE person_id = %s",
        study.second_statistician.pk,
    )

    assert not sealed.go_live(draft.pk)

    ask(
        "UPDATE trials_sealedaccess SET detail = %s WHERE person_id = %s",
        f"list 2, digest {draft.digest[:12]}",
        study.second_statistician.pk,
    )
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        "UPDATE trials_roleassignment SET ends_at = now() WHERE user_id = %s",
        study.statistician.pk,
    )
    assert not sealed.go_live(draft.pk)  # the first who approved may approve no more

    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        "UPDATE trials_roleassignment SET ends_at = NULL WHERE user_id = %s",
        study.statistician.pk,
    )
    assert sealed.go_live(draft.pk)


def test_somebody_whose_role_has_ended_approves_nothing(study):
    draft = load(study)
    ask(
        "SELECT set_config('pghistory.context_metadata', '{}', true);"
        "UPDATE trials_roleassignment SET ends_at = now() WHERE user_id = %s",
        study.second_statistician.pk,
    )
    study.second_statistician.forget_assignments()

    with pytest.raises((PermissionDenied, RandomisationList.DoesNotExist)):
        approve(draft, study.second_statistician)


# --- Withdrawing ------------------------------------------------------------------------------


def test_a_draft_is_withdrawn_with_a_reason_and_makes_room_for_another(study):
    draft = load(study)
    approve(draft, study.statistician)

    found = withdraw(draft, study.second_statistician)
    again = load(study)

    assert (found.state, found.withdrawn_because) == (State.WITHDRAWN, "made from the wrong table")
    assert again.number == draft.number == 2
    assert ListApproval.objects.filter(list=draft).count() == 1
    assert not sealed.go_live(draft.pk)


def test_a_draft_is_not_withdrawn_without_a_reason(study):
    draft = load(study)

    assert reasons_of(partial(withdraw, draft, study.statistician, reason=" ")) == {
        "reason_missing"
    }


# --- An extension -----------------------------------------------------------------------------


def used_up(study, stratum="H", *, but=0):
    ask("UPDATE sealed.head SET taken = size - %s WHERE stratum = %s", but, stratum)


def extension(study):
    draft = load(study)
    approve(draft, study.statistician)
    return approve(draft, study.second_statistician)


def test_an_extension_takes_over_when_the_stratum_is_used_up_and_not_before(study):
    used_up(study, but=1)
    second = extension(study)
    ask("UPDATE sealed.head SET taken = 0 WHERE list_id = %s", second.pk)

    lists = [place(study).list_id for _ in range(2)]

    assert lists == [study.list.pk, second.pk]
    assert place(study, stratum="I").list_id == study.list.pk


def test_an_extension_gives_nothing_while_the_list_before_it_has_a_place(study):
    second = extension(study)

    assert sealed.take_slot(second.pk, "H", {}) is None
    used_up(study)
    ask("UPDATE sealed.head SET taken = 0 WHERE list_id = %s", second.pk)
    assert sealed.take_slot(second.pk, "H", {}) is not None


def test_a_draft_of_an_extension_gives_nothing(study):
    used_up(study)
    load(study)

    with pytest.raises(ListExhausted):
        place(study)


def test_eight_at_once_over_the_end_of_a_list_neither_skip_nor_double(study):
    second = extension(study)
    used_up(study, but=4)
    ask("UPDATE sealed.head SET taken = 0 WHERE list_id = %s", second.pk)

    for _ in range(2):
        at_once(*[partial(place, study)] * 8)

    positions = ask(
        "SELECT l.number, s.position FROM trials_allocation a"
        " JOIN sealed.slot s ON s.id = a.slot_id JOIN sealed.list l ON l.id = s.list_id"
        " ORDER BY 1, 2"
    )
    assert positions == [(1, n) for n in range(99, 103)] + [(2, n) for n in range(1, 13)]
    assert Allocation.objects.count() == 16


# --- What others may know ---------------------------------------------------------------------


def test_a_live_list_is_known_to_everybody_of_the_trial_and_a_draft_to_statisticians(study):
    draft = load(study)
    coordinator, stranger = study.people[Role.COORDINATOR], user("stranger")

    def seen(person):
        return set(RandomisationList.objects.visible_to(person).values_list("pk", flat=True))

    assert seen(coordinator) == {study.list.pk}
    assert seen(study.statistician) == {study.list.pk, draft.pk}
    assert seen(stranger) == set()


def test_a_role_of_another_trial_gives_no_look(study):
    other = study.trained("other")
    give_role(
        user=other, trial_id=study.trial.pk, site=study.site, role=Role.COORDINATOR,
        by=study.admin, at=NOW,
    )  # fmt: skip

    with pytest.raises((PermissionDenied, RandomisationList.DoesNotExist)):
        dry_run(list_id=load(study).pk, by=other)
