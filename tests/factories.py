"""Subjects at a stage, built by the services a site would use; only what matters is a parameter."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from dosing.rules.kits import KitLabel
from dosing.services.decisions import decide_dose
from dosing.services.kits import SuppliedKit, draw_kit_numbers, packing_list, supply_kits
from dosing.services.pregnancy_prevention import (
    assess_pregnancy_risk,
    record_counselling,
    record_pregnancy_test,
)
from patients.models import Subject
from patients.services.consent import record_consent
from patients.services.enrolment import enrol_subject, randomise_subject, record_screening
from patients.services.labs import record_labs
from trials.models import RandomisationList, Site, Trial, User
from trials.permissions import Role
from trials.rules.randomisation import design_of, generate
from trials.services.amendments import record_approval
from trials.services.lists import approve_list, dry_run, load_list
from trials.services.people import give_role, record_training
from trials.services.setup import add_site, create_trial
from trials.services.sites import activate_site


NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = NOW.date()
BEFORE = TODAY - timedelta(1)
PROTOCOL = (Path(__file__).parent.parent / "protocols/cllm1.toml").read_text()
BLOCK = ("L", "P", "L")
LABELS = ("Lenalidomide", "Placebo")

ELIGIBLE: dict[str, Any] = {
    "first_line_regimen": "FCR",
    "first_line_cycles": 6,
    "response": "PR",
    "mrd_level": Decimal("0.02"),
    "ighv_unmutated": True,
    "tp53_mutated": False,
    "del17p": False,
    "ecog": 0,
    "anc_10e9_l": Decimal("2.5"),
    "platelets_10e9_l": Decimal(150),
    "creatinine_clearance_ml_min": Decimal(90),
    "last_cycle_on": TODAY - timedelta(90),
}


def protocol_text(
    *,
    code: str = "CLLM1",
    arms: tuple[str, str] = ("L", "P"),
    labels: tuple[str, str] = LABELS,
    block_size: int = 3,
) -> str:
    """The built-in protocol under another trial code, or with its arms and blocks otherwise."""
    active, control = arms
    text = PROTOCOL.replace("value = [3]", f"value = [{block_size}]")
    for label, name in zip(LABELS, labels, strict=True):
        text = text.replace(f'label = "{label}"', f'label = "{name}"')
    return (
        text.replace('code = "CLLM1"', f'code = "{code}"')
        .replace('code = "L"', f'code = "{active}"')
        .replace('code = "P"', f'code = "{control}"')
        .replace('control_arm = "P"', f'control_arm = "{control}"')
    )


def user(name: str, **fields: Any) -> User:
    return User.objects.create_user(username=name, **fields)


def as_supplied(kit: KitLabel, expires_on: date = date(2030, 1, 1)) -> SuppliedKit:
    return {
        "number": kit.number, "dose_mg": kit.dose_mg, "arm": kit.arm, "expires_on": expires_on,
    }  # fmt: skip


class Study:
    """A trial with one site, people in every role, a loaded list and kits."""

    def __init__(
        self,
        *,
        conduct: str = Trial.Conduct.LIVE,
        kits: int = 6,
        arms: tuple[str, str] = ("L", "P"),
        labels: tuple[str, str] = LABELS,
        block_size: int = 3,
        seed: str = "",
    ) -> None:
        """``seed``: draw the list from it, where place tells nothing as it does in ``BLOCK``."""
        self.admin = user("admin")
        self.arms = dict(zip("LP", arms, strict=True))
        self.trial = create_trial(
            protocol_text=protocol_text(arms=arms, labels=labels, block_size=block_size),
            conduct=conduct,
            administrator=self.admin,
            at=NOW - timedelta(1),
        )
        self.site = self.add_site("DE-01")
        self.people = {role: self.person(role) for role in Role if role not in AT_A_SITE}
        self.people |= {role: self.person(role, site=self.site) for role in AT_A_SITE}
        self.people[Role.SPONSOR_ADMINISTRATOR] = self.admin
        self.coordinator = self.people[Role.COORDINATOR]
        self.system = self.people[Role.SITE_SYSTEM]
        self.pharmacist = self.people[Role.PHARMACIST]
        self.statistician = self.people[Role.UNBLINDED_STATISTICIAN]
        self.supplier = self.people[Role.UNBLINDED_SUPPLIER]
        self.second_statistician = self.person(Role.UNBLINDED_STATISTICIAN, name="second")
        self.list = self.live_list(self._drawn(seed) if seed else self._in_turn())
        if kits:
            self.supply(kits)

    def _in_turn(self) -> list[tuple[str, str]]:
        return [(s, self.arms[BLOCK[i % 3]]) for s in "HI" for i in range(102)]

    def _drawn(self, seed: str) -> list[tuple[str, str]]:
        drawn = generate(design_of(self.trial.protocol), seed=seed)
        return [(place.stratum, place.arm) for place in drawn]

    def draft_list(self, entries: list[tuple[str, str]]) -> RandomisationList:
        return load_list(
            trial_id=self.trial.pk,
            made_for=self.trial.code,
            entries=entries,
            reason="pre-generated list",
            by=self.statistician,
            at=NOW,
        )

    def live_list(self, entries: list[tuple[str, str]]) -> RandomisationList:
        """A list that two statisticians approved."""
        draft = self.draft_list(entries)
        for person in (self.statistician, self.second_statistician):
            dry_run(list_id=draft.pk, by=person)
            approve_list(list_id=draft.pk, digest=draft.digest, by=person, at=NOW)
        draft.refresh_from_db()
        return draft

    def add_site(self, code: str, time_zone: str = "Europe/Berlin") -> Site:
        """An active site, with an approval and an investigator of its own."""
        site = self.planned_site(code, time_zone)
        record_approval(
            site=site, version=site.trial.current_version, approved_on=BEFORE, reference="EC 1",
            by=self.admin, at=NOW - timedelta(1),
        )  # fmt: skip
        self.person(Role.INVESTIGATOR, site=site, name=f"principal-{code}")
        activate_site(
            site_id=site.pk, on=BEFORE, reason="initiation visit", by=self.admin,
            at=NOW - timedelta(1),
        )  # fmt: skip
        site.refresh_from_db()
        return site

    def planned_site(self, code: str, time_zone: str = "Europe/Berlin") -> Site:
        return add_site(
            trial_id=self.trial.pk,
            code=code,
            name=f"Site {code}",
            country="DE",
            time_zone=time_zone,
            by=self.admin,
            at=NOW - timedelta(1),
        )

    def person(self, role: Role, *, site: Site | None = None, name: str = "") -> User:
        if role is Role.SPONSOR_ADMINISTRATOR:
            return self.admin
        name = name or (f"{role.value}-{site.code}" if site else role.value)
        machine = role is Role.SITE_SYSTEM
        found = user(name, is_machine=True) if machine else self.trained(name)
        give_role(
            user=found, trial_id=self.trial.pk, site=site, role=role, by=self.admin,
            at=NOW - timedelta(1),
        )  # fmt: skip
        return found

    def trained(self, name: str, *, completed_on: date | None = None) -> User:
        """Somebody without a role whose training for the trial is recorded."""
        found = user(name)
        record_training(
            user=found, trial_id=self.trial.pk, document="Protocol", version="1.0",
            completed_on=completed_on or BEFORE, by=self.admin, at=NOW - timedelta(1),
        )  # fmt: skip
        return found

    def supply(self, each: int, *, site: Site | None = None, dose_mg: str = "5") -> None:
        self.receive(self.packed(each, site=site, dose_mg=dose_mg), site=site)

    def packed(
        self, each: int, *, site: Site | None = None, dose_mg: str = "5"
    ) -> tuple[KitLabel, ...]:
        """Kits of both arms with numbers drawn for a site, not there yet."""
        draw = draw_kit_numbers(
            trial=self.trial.code,
            site=(site or self.site).code,
            kits=[
                {"dose_mg": Decimal(dose_mg), "arm": arm, "count": each}
                for arm in self.arms.values()
            ],
            by=self.supplier,
            at=NOW,
        )
        return packing_list(draw_id=draw.pk, by=self.supplier)

    def receive(
        self,
        kits: Iterable[KitLabel],
        *,
        site: Site | None = None,
        expires_on: date = date(2030, 1, 1),
    ) -> int:
        return supply_kits(
            trial=self.trial.code,
            site=(site or self.site).code,
            kits=[as_supplied(kit, expires_on) for kit in kits],
            by=self.supplier,
            at=NOW,
        )

    def enrolled(
        self, *, sex: str = "male", site: Site | None = None, by: User | None = None
    ) -> Subject:
        return enrol_subject(
            trial=self.trial.code,
            site=(site or self.site).code,
            year_of_birth=1950,
            sex=sex,
            screened_on=TODAY - timedelta(7),
            by=by or self.system,
            at=NOW,
        )

    def consented(self, *, signed_on: date = TODAY - timedelta(7), **how: Any) -> Subject:
        subject = self.enrolled(**how)
        record_consent(
            subject_id=subject.pk, version="1.0", signed_on=signed_on,
            by=how.get("by") or self.system, at=NOW,
        )  # fmt: skip
        return subject

    def screened(self, *, found: dict[str, Any] | None = None, **how: Any) -> Subject:
        subject = self.consented(**how)
        self.screen(subject, found=found, by=how.get("by"))
        return subject

    def screen(
        self,
        subject: Subject,
        *,
        found: dict[str, Any] | None = None,
        by: User | None = None,
        at: datetime = NOW,
    ) -> None:
        record_screening(
            subject_id=subject.pk,
            assessed_on=TODAY - timedelta(3),
            values={**ELIGIBLE, **(found or {})},
            by=by or self.system,
            at=at,
        )

    def randomised(self, **how: Any) -> Subject:
        subject = self.screened(**how)
        randomise_subject(
            subject_id=subject.pk, randomised_on=TODAY, by=how.get("by") or self.system, at=NOW
        )
        subject.refresh_from_db()
        return subject

    def labs(
        self,
        subject: Subject,
        *,
        on: date = TODAY,
        anc: str = "2.5",
        at: datetime = NOW,
        by: User | None = None,
    ) -> None:
        record_labs(
            subject_id=subject.pk,
            taken_on=on,
            results=[
                {"analyte": "anc", "value": Decimal(anc), "unit": "10^9/L"},
                {"analyte": "platelets", "value": Decimal(150), "unit": "10^9/L"},
                {"analyte": "creatinine_clearance", "value": Decimal(90), "unit": "mL/min"},
            ],
            by=by or self.system,
            at=at,
        )

    def ready_for_first_kit(self, **how: Any) -> Subject:
        """A man with everything the first dispensing asks for."""
        subject, by = self.randomised(**how), how.get("by") or self.system
        self.prepare(subject, by=by)
        return subject

    def prepare(self, subject: Subject, *, by: User) -> None:
        """Bring a randomised man to his first dispensing."""
        assess_pregnancy_risk(subject_id=subject.pk, assessed_on=TODAY, by=by, at=NOW)
        record_counselling(
            subject_id=subject.pk,
            counselled_on=TODAY,
            acknowledgement_version="1.0",
            contraception="condom",
            by=by,
            at=NOW,
        )
        self.labs(subject, by=by)
        decide_dose(
            subject_id=subject.pk, cycle=1, decided_on=TODAY, dose_mg=Decimal(5),
            by=by, at=NOW,
        )  # fmt: skip

    def woman_ready_for_first_kit(self, **how: Any) -> Subject:
        """A woman of childbearing potential with everything the first dispensing asks for."""
        subject = self.randomised(sex="female", signed_on=TODAY - timedelta(28), **how)
        assess_pregnancy_risk(subject_id=subject.pk, assessed_on=TODAY, by=self.system, at=NOW)
        record_counselling(
            subject_id=subject.pk,
            counselled_on=TODAY,
            acknowledgement_version="1.0",
            contraception="effective_method",
            contraception_since=TODAY - timedelta(28),
            by=self.system,
            at=NOW,
        )
        self.labs(subject)
        decide_dose(
            subject_id=subject.pk, cycle=1, decided_on=TODAY, dose_mg=Decimal(5),
            by=self.system, at=NOW,
        )  # fmt: skip
        return subject

    def pregnancy_test(
        self, subject: Subject, *, taken_at: datetime, result: str = "negative"
    ) -> None:
        record_pregnancy_test(
            subject_id=subject.pk,
            taken_at=taken_at,
            result=result,
            specimen="serum",
            sensitivity_miu_ml=Decimal(25),
            by=self.system,
            at=NOW,
        )


AT_A_SITE = {Role.SITE_SYSTEM, Role.INVESTIGATOR, Role.COORDINATOR, Role.PHARMACIST}
