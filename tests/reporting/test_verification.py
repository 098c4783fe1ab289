"""Every allocation is derived again, and one changed row is found and named."""

import json
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.core.management.base import CommandError

from reporting.unblinded.verification import verify_randomisation
from tests.factories import NOW, Study
from tests.interface import caller_for
from tests.marks import on_postgres
from tests.postgres import ask, column, contents
from trials.models import SealedAccess
from trials.permissions import Role
from trials.services.lists import approve_list, dry_run, generate_list


pytestmark = on_postgres


def study_with_subjects():
    """Three subjects of one stratum on a loaded list, extended by one generated here."""
    study = Study(kits=0)
    for _ in range(3):
        study.randomised()
    extension = generate_list(
        trial_id=study.trial.pk, reason="extension", length=6, by=study.statistician, at=NOW
    )
    for person in (study.statistician, study.second_statistician):
        dry_run(list_id=extension.pk, by=person)
        approve_list(list_id=extension.pk, digest=extension.digest, by=person, at=NOW)
    return study


def found(study, **how):
    certificate = verify_randomisation(trial=study.trial, by=study.statistician, at=NOW, **how)
    return {finding.code for finding in certificate.findings}


def owner(statement, *values):
    ask(f"SELECT set_config('pghistory.context_metadata', '{{}}', true);{statement}", *values)


def test_an_untouched_randomisation_is_verified():
    study = study_with_subjects()

    certificate = verify_randomisation(trial=study.trial, by=study.statistician, at=NOW)

    assert certificate.verified
    assert (certificate.allocations, len(certificate.lists)) == (3, 2)
    assert certificate.lists[0].approved_by == ("unblinded_statistician", "second")
    assert certificate.lists[0].taken == {"H": 3}
    assert certificate.by_arm == ()


ONE = "(SELECT id FROM trials_allocation ORDER BY allocated_at, id LIMIT 1)"
FIRST = "(SELECT id FROM sealed.list WHERE number = 1)"
SECOND = "(SELECT id FROM sealed.list WHERE number = 2)"
COORDINATOR = "(SELECT id FROM trials_user WHERE username LIKE 'coordinator%' LIMIT 1)"
SLOTS_READ = """
    CREATE TEMPORARY TABLE swapped ON COMMIT DROP AS
    SELECT one.id, two.slot_id AS now
      FROM trials_allocation one JOIN sealed.slot was ON was.id = one.slot_id,
           trials_allocation two JOIN sealed.slot other ON other.id = two.slot_id
     WHERE was.position + other.position = 3;
"""
SLOTS_SWAPPED = """
    UPDATE trials_allocation SET slot_id = gen_random_uuid() WHERE id IN (SELECT id FROM swapped);
    UPDATE trials_allocation a SET slot_id = s.now FROM swapped s WHERE s.id = a.id;
"""
SWAPPED_IN_HISTORY_TOO = f"""
    {SLOTS_READ}
    ALTER TABLE trials_allocation DISABLE TRIGGER USER;
    ALTER TABLE trials_allocationhistory DISABLE TRIGGER USER;
    {SLOTS_SWAPPED}
    UPDATE trials_allocationhistory h SET slot_id = s.now FROM swapped s WHERE s.id = h.pgh_obj_id;
    SET CONSTRAINTS ALL IMMEDIATE;
    ALTER TABLE trials_allocationhistory ENABLE TRIGGER USER;
    ALTER TABLE trials_allocation ENABLE TRIGGER USER;
"""
SWAPPED_IN_EVENTS_TOO = f"""
    {SWAPPED_IN_HISTORY_TOO}
    UPDATE events_outboxevent e SET payload = jsonb_set(payload, '{{slot_digest}}', to_jsonb(encode(
           sha256(convert_to('vigil slot 1' || chr(10) || 'allocation ' || s.id || chr(10)
                             || 'slot ' || s.now, 'UTF8')), 'hex')))
      FROM swapped s WHERE payload->>'allocation_id' = s.id::text AND payload ? 'slot_digest';
"""
TAMPERED = {
    "the arm of a taken slot": (
        (
            f"UPDATE sealed.slot SET arm = 'P' WHERE list_id = {FIRST} AND stratum = 'H'"
            " AND position = 1"
        ),
        {"digest_differs", "commitment_broken"},
    ),
    "the arm of a slot of a generated list": (
        (
            "UPDATE sealed.slot SET arm = CASE arm WHEN 'L' THEN 'P' ELSE 'L' END"
            f" WHERE list_id = {SECOND} AND stratum = 'I' AND position = 5"
        ),
        {"digest_differs", "slot_differs"},
    ),
    "the order of two slots": (
        (
            f"UPDATE sealed.slot SET position = 9000 WHERE list_id = {FIRST} AND stratum = 'H'"
            f" AND position = 1; UPDATE sealed.slot SET position = 1 WHERE list_id = {FIRST}"
            f" AND stratum = 'H' AND position = 2; UPDATE sealed.slot SET position = 2"
            f" WHERE list_id = {FIRST} AND stratum = 'H' AND position = 9000"
        ),
        {"digest_differs"},
    ),
    "an extra slot": (
        (
            "INSERT INTO sealed.slot (list_id, stratum, position, arm)"
            f" VALUES ({FIRST}, 'H', 103, 'L')"
        ),
        {"digest_differs"},
    ),
    "a slot that is gone": (
        f"DELETE FROM sealed.slot WHERE list_id = {SECOND} AND stratum = 'H' AND position = 6",
        {"digest_differs", "slots_missing"},
    ),
    "a slot skipped": (
        f"UPDATE sealed.head SET taken = 4 WHERE list_id = {FIRST} AND stratum = 'H'",
        {"order_broken"},
    ),
    "an extension used too early": (
        f"UPDATE sealed.head SET taken = 1 WHERE list_id = {SECOND} AND stratum = 'H'",
        {"order_broken"},
    ),
    "the sealed digest": ("UPDATE sealed.list SET digest = repeat('0', 64)", {"digest_differs"}),
    "the salt": ("UPDATE sealed.list SET salt = gen_random_uuid()", {"commitment_broken"}),
    "the seed": (
        f"UPDATE sealed.list SET seed = 'another seed' WHERE id = {SECOND}",
        {"digest_differs", "slot_differs"},
    ),
    "the published digest": (
        "UPDATE trials_randomisationlist SET digest = repeat('0', 64)",
        {"commitment_broken"},
    ),
    "the event that published it": (
        (
            "UPDATE events_outboxevent SET payload = jsonb_set(payload, '{digest}', '\"0\"')"
            " WHERE type = 'trials.RandomisationListLive'"
        ),
        {"commitment_not_announced"},
    ),
    "an approval": (
        (
            "UPDATE trials_listapproval SET digest = repeat('0', 64)"
            f" WHERE id = (SELECT id FROM trials_listapproval WHERE list_id = {FIRST} LIMIT 1)"
        ),
        {"two_people_needed"},
    ),
    "the stratum of an allocation": (
        f"UPDATE trials_allocation SET stratum = 'I' WHERE id = {ONE}",
        {"other_stratum", "inputs_differ", "row_changed", "not_announced"},
    ),
    "the inputs of an allocation": (
        (
            "UPDATE trials_allocation SET inputs = jsonb_set(inputs, '{mrd_level}', '\"0.002\"')"
            f" WHERE id = {ONE}"
        ),
        {"inputs_differ", "row_changed"},
    ),
    "the levels of an allocation": (
        (
            "UPDATE trials_allocation SET levels = jsonb_set(levels, '{site}', '\"DE-09\"')"
            f" WHERE id = {ONE}"
        ),
        {"inputs_differ", "row_changed"},
    ),
    "the slot of an allocation": (
        f"UPDATE trials_allocation SET slot_id = gen_random_uuid() WHERE id = {ONE}",
        {"slot_unknown", "order_broken", "row_changed"},
    ),
    "the list of an allocation": (
        f"UPDATE trials_allocation SET list_id = {SECOND} WHERE id = {ONE}",
        {"other_list", "row_changed"},
    ),
    "the day of an allocation": (
        f"UPDATE trials_allocation SET randomised_on = '2020-01-01' WHERE id = {ONE}",
        {"row_changed", "not_announced"},
    ),
    "a text of the protocol that says otherwise": (
        "UPDATE trials_protocolversion SET text = replace(text, 'value = [3]', 'value = [6]')",
        {"protocol_changed"},
    ),
    "a text of the protocol, with its digest": (
        (
            "UPDATE trials_protocolversion SET text = text || '# more',"
            " digest = encode(sha256(convert_to(text || '# more', 'UTF8')), 'hex')"
        ),
        {"protocol_not_announced"},
    ),
    "a text of the protocol that is none any more": (
        "UPDATE trials_protocolversion SET text = 'no = [toml'",
        {"protocol_changed", "protocol_unreadable", "inputs_differ"},
    ),
    "the event that told of the protocol": (
        (
            "UPDATE events_outboxevent SET payload = jsonb_set(payload, '{digest}', '\"0\"')"
            " WHERE type = 'trials.ProtocolActivated'"
        ),
        {"protocol_not_announced"},
    ),
    "an approval by another person": (
        (
            f"UPDATE trials_listapproval SET approved_by_id = {COORDINATOR} WHERE id ="
            f" (SELECT id FROM trials_listapproval WHERE list_id = {FIRST} LIMIT 1)"
        ),
        {"approval_changed", "approval_not_announced", "approval_not_logged"},
    ),
    "the moment of an approval": (
        "UPDATE trials_listapproval SET approved_at = '2020-01-01'",
        {"approval_changed", "approval_not_announced"},
    ),
    "an approval deleted": (
        (
            "DELETE FROM trials_listapproval WHERE id ="
            f" (SELECT id FROM trials_listapproval WHERE list_id = {FIRST} LIMIT 1)"
        ),
        {"two_people_needed", "approval_gone"},
    ),
    "the events of approvals": (
        "DELETE FROM events_outboxevent WHERE type = 'trials.RandomisationListApproved'",
        {"approval_not_announced"},
    ),
    "an approval by another person, in its event too": (
        (
            f"UPDATE trials_listapproval SET approved_by_id = {COORDINATOR} WHERE id ="
            f" (SELECT id FROM trials_listapproval WHERE list_id = {FIRST} LIMIT 1);"
            "UPDATE events_outboxevent e SET payload = jsonb_set(payload, '{approved_by}',"
            " to_jsonb(a.approved_by_id)) FROM trials_listapproval a"
            " WHERE a.id::text = payload->>'approval_id'"
        ),
        {"approval_changed", "approval_not_logged"},
    ),
    "the looks at the dry run": (
        "DELETE FROM trials_sealedaccess WHERE purpose = 'check dry run'",
        {"approval_not_logged"},
    ),
    "one look at the dry run": (
        (
            "DELETE FROM trials_sealedaccess WHERE id = (SELECT id FROM trials_sealedaccess"
            " WHERE purpose = 'check dry run' LIMIT 1)"
        ),
        {"approval_not_logged"},
    ),
    "the look that made a list": (
        "DELETE FROM trials_sealedaccess WHERE purpose = 'load randomisation list'",
        {"list_not_logged"},
    ),
    "the moment a list went live": (
        "UPDATE trials_randomisationlist SET live_at = '2020-01-01'",
        {"list_changed", "list_not_announced"},
    ),
    "the origin of a list": (
        f"UPDATE trials_randomisationlist SET origin = 'generated' WHERE id = {FIRST}",
        {"list_changed", "list_not_announced"},
    ),
    "the maker of a list": (
        f"UPDATE trials_randomisationlist SET made_by_id = {COORDINATOR}",
        {"list_changed", "list_not_announced", "list_not_logged"},
    ),
    "the day a list was made": (
        "UPDATE trials_randomisationlist SET made_at = '2020-01-01'",
        {"list_changed", "list_not_announced"},
    ),
    "the size of a list": (
        "UPDATE trials_randomisationlist SET entries = 1",
        {"list_changed", "places_differ"},
    ),
    "the reason of a list": (
        "UPDATE trials_randomisationlist SET reason = 'another'",
        {"list_changed", "list_not_logged"},
    ),
    "the protocol version of a list": (
        (
            "INSERT INTO trials_protocolversion SELECT (jsonb_populate_record(v,"
            " jsonb_build_object('id', gen_random_uuid(), 'version', '0.9', 'text',"
            " replace(v.text, 'ratio = 2', 'ratio = 1')))).* FROM trials_protocolversion v;"
            "UPDATE trials_randomisationlist"
            " SET protocol_version_id = (SELECT id FROM trials_protocolversion"
            " WHERE version = '0.9')"
        ),
        {"list_changed", "list_not_announced", "other_design"},
    ),
    "an unused list put out of use on both sides": (
        (
            "UPDATE trials_randomisationlist SET state = 'withdrawn', withdrawn_by_id = made_by_id,"
            " withdrawn_at = made_at, withdrawn_because = 'x' WHERE number = 2;"
            "UPDATE sealed.list SET state = 'draft' WHERE number = 2"
        ),
        {"list_gone"},
    ),
    "an unused list put out of use, and its event": (
        (
            "UPDATE trials_randomisationlist SET state = 'draft' WHERE number = 2;"
            "UPDATE sealed.list SET state = 'draft' WHERE number = 2;"
            "DELETE FROM events_outboxevent WHERE type = 'trials.RandomisationListLive'"
            " AND payload->>'number' = '2'"
        ),
        {"list_gone"},
    ),
    "a head that counts fewer places": (
        f"UPDATE sealed.head SET size = 3 WHERE list_id = {FIRST} AND stratum = 'H'",
        {"head_differs"},
    ),
    "a head that counts more places": (
        f"UPDATE sealed.head SET size = 9999 WHERE list_id = {FIRST}",
        {"head_differs"},
    ),
    "the head of a stratum that nobody has come to": (
        f"DELETE FROM sealed.head WHERE list_id = {FIRST} AND stratum = 'I'",
        {"head_missing"},
    ),
    "the slots of two subjects": (
        SLOTS_READ + SLOTS_SWAPPED,
        {"other_slot", "order_broken", "row_changed"},
    ),
    "the event of an allocation, as it was before it bound a slot": (
        (
            "UPDATE events_outboxevent SET payload = payload - 'slot_digest'"
            " WHERE type = 'trials.SlotAllocated'"
        ),
        {"other_slot"},
    ),
    "the subject of an allocation": (
        "UPDATE patients_subject SET allocation_id = NULL WHERE number = 'DE-01-0001'",
        {"subjects"},
    ),
}


@pytest.mark.parametrize("changed", TAMPERED)
def test_one_changed_row_is_found_and_named(changed):
    statement, codes = TAMPERED[changed]
    study = study_with_subjects()
    assert found(study) == set()

    owner(statement)

    assert found(study) >= codes


@pytest.mark.parametrize(
    ("statement", "codes"),
    [
        pytest.param(SWAPPED_IN_HISTORY_TOO, {"other_slot", "order_broken"}, id="row and history"),
        pytest.param(SWAPPED_IN_EVENTS_TOO, {"order_broken"}, id="row, history and event"),
    ],
)
def test_two_subjects_whose_slots_were_swapped_are_found_whatever_was_changed_along(
    statement, codes
):
    study = study_with_subjects()
    arms = (
        "SELECT s.arm FROM patients_subject p JOIN trials_allocation a ON a.id = p.allocation_id"
        " JOIN sealed.slot s ON s.id = a.slot_id ORDER BY p.number"
    )
    before = column(arms)

    owner(statement)

    assert (before, column(arms)) == (["L", "P", "L"], ["P", "L", "L"])
    assert found(study) == codes


def test_the_command_prints_a_certificate_and_leaves_with_an_error_when_a_row_is_changed(tmp_path):
    study = study_with_subjects()
    pdf, out = tmp_path / "certificate.pdf", StringIO()
    command = ("randomisation", "verify", "--trial", "CLLM1", "--as", study.statistician.username)

    call_command(*command, "--pdf", str(pdf), stdout=out)

    told = out.getvalue()
    assert "VERIFIED" in told
    assert "NOT VERIFIED" not in told
    assert study.list.digest in told
    assert pdf.read_bytes().startswith(b"%PDF")

    owner(TAMPERED["the arm of a taken slot"][0])
    out = StringIO()
    with pytest.raises(CommandError, match="NOT VERIFIED"):
        call_command(*command, stdout=out)
    assert "List 1 has another digest than its contents give." in out.getvalue()


def test_the_certificate_tells_no_arm_and_its_annex_does():
    study = Study(kits=0, arms=("QXACT", "QXCTRL"))
    study.randomised()
    statistician = caller_for(study.statistician)
    path = "/trials/CLLM1/randomisation-verification"

    plain = [statistician.get(f"{path}?as={kind}") for kind in ("json", "text")]
    annex = statistician.get(f"{path}?as=text&annex=true")

    assert [answer.status_code for answer in plain] == [200, 200]
    assert all(b"QX" not in answer.content for answer in plain)
    assert json.loads(plain[0].content)["result"] == "VERIFIED"
    assert b"H QXACT: 1" in annex.content
    assert b"UNBLINDED ANNEX" in annex.content


def test_each_verification_is_a_look_behind_the_blind_that_is_logged():
    study = Study(kits=0)

    verify_randomisation(trial=study.trial, by=study.statistician, at=NOW)

    look = SealedAccess.objects.get(purpose="verify randomisation")
    assert look.person == study.statistician


def test_nobody_else_verifies():
    study = Study(kits=0)
    before = contents()

    for role in set(Role) - {Role.UNBLINDED_STATISTICIAN}:
        with pytest.raises(PermissionDenied):
            verify_randomisation(trial=study.trial, by=study.people[role], at=NOW)

    assert contents() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--trial", "NONE"), "There is no trial NONE here (known: CLLM1)."),
        (("--as", "nobody"), "There is no active user nobody."),
        (("--as", "coordinator-DE-01"), "Your role here does not allow you to"),
        (("--pdf", "missing/certificate.pdf"), "There is no folder"),
        (("--pdf", "."), "is a folder; name a file in it."),
    ],
    ids=["unknown trial", "unknown person", "another role", "no folder", "a folder"],
)
def test_the_command_says_what_is_wrong_before_anybody_looks(tmp_path, monkeypatch, words, said):
    Study(kits=0)
    monkeypatch.chdir(tmp_path)
    before = contents()

    with pytest.raises(CommandError) as failure:
        call_command(
            "randomisation", "verify", "--trial", "CLLM1", "--as", "unblinded_statistician", *words
        )

    assert said in str(failure.value)
    assert contents() == before
    assert not list(tmp_path.iterdir())


def test_the_command_prints_the_counts_by_arm_in_an_annex_alone():
    study = Study(kits=0, arms=("QXACT", "QXCTRL"))
    study.randomised()
    command = ("randomisation", "verify", "--trial", "CLLM1", "--as", study.statistician.username)
    plain, annex = StringIO(), StringIO()

    call_command(*command, stdout=plain)
    call_command(*command, "--annex", stdout=annex)

    assert "QX" not in plain.getvalue()
    assert "H QXACT: 1" in annex.getvalue()
    assert SealedAccess.objects.filter(detail="verification with an annex by arm").count() == 1
