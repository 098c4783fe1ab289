"""The tables of a protocol file, as frozen models.

Bounds and units stand in the types. What holds between keys stands in ``consistency``.
A single number is a ``Sourced`` value, read with ``.value``; lists and texts whose consumers
want them bare are properties over the sourced key of the same name. In repeated tables the
unit is in the key and one source covers the row.
"""

from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from trials.rules.protocol.eligibility import Eligibility
from trials.rules.protocol.factors import Factor, Stratum, strata_of
from trials.rules.protocol.screening import DERIVED, Screening, Variable
from trials.rules.protocol.sourced import (
    Cells,
    Claim,
    Clearance,
    Code,
    CtcaeVersion,
    Day,
    DayCount,
    DayRange,
    Days,
    Dose,
    Fraction,
    Label,
    Number,
    Part,
    Positive,
    Probability,
    Reason,
    ShortCode,
    SocLabel,
    Sourced,
    Text,
    Title,
    Version,
    Whole,
    sensibly,
)
from trials.rules.protocol.written import in_new_files, is_a_country


Response = Literal["CR", "CRi", "nPR", "PR", "SD", "PD"]
Assessor = Literal["independent_review", "investigator"]
Country = Annotated[
    str, Field(strict=True, pattern=r"^[A-Z]{2}$"), AfterValidator(in_new_files(is_a_country))
]
SourcedDay = Sourced[Day, Literal["day"]]
SourcedVersion = Sourced[Version, Literal["version"]]
Month = Annotated[Whole, sensibly("0", "600")]
LaterMonth = Annotated[Whole, sensibly("1", "600")]
Months = Sourced[Annotated[tuple[Month, ...], Field(min_length=1)], Literal["months"]]
LaterMonths = Sourced[Annotated[tuple[LaterMonth, ...], Field(min_length=1)], Literal["months"]]
UpTo30Days = Sourced[Annotated[Positive, sensibly("1", "720")], Literal["hours"]]
Ladder = Sourced[Annotated[tuple[Dose, ...], Field(min_length=1)], Literal["mg"]]
Sizes = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=10)]
BlockSizes = Sourced[Sizes, Literal["subjects"]]
BlockWeights = Sourced[Sizes, Literal["shares"]]


class Trial(Part):
    code: ShortCode
    title: Title
    short_title: Title
    sponsor: Title
    phase: Title
    registry: Annotated[dict[Code, Text], Field(min_length=1)]
    countries: Annotated[tuple[Country, ...], Field(min_length=1)]
    planned_accrual: Sourced[Positive, Literal["subjects"]]
    sourced_opens_on: SourcedDay = Field(alias="accrual_opens_on")
    sourced_closes_on: SourcedDay = Field(alias="accrual_closes_on")

    @property
    def accrual_opens_on(self) -> date:
        return self.sourced_opens_on.value

    @property
    def accrual_closes_on(self) -> date:
        return self.sourced_closes_on.value


class Arm(Claim):
    code: ShortCode
    label: Label
    ratio: Positive
    control: Annotated[bool, Field(strict=True)]
    active_drug: Annotated[bool, Field(strict=True)]


class MinimisedFactor(Claim):
    code: Code
    weight: Positive


class Minimisation(Part):
    imbalance: Literal["range", "variance"]
    probability: Sourced[Probability, Literal["probability of the preferred arm"]]
    factors: Annotated[tuple[MinimisedFactor, ...], Field(min_length=1)]


class Randomisation(Part):
    method: Literal["permuted_blocks", "simple", "minimisation"]
    sourced_block_sizes: BlockSizes | None = Field(default=None, alias="block_sizes")
    sourced_block_weights: BlockWeights | None = Field(default=None, alias="block_weights")
    list_length: Sourced[Positive, Literal["subjects per list"]] | None = None
    minimisation: Minimisation | None = None
    predictability_reason: Reason = ""

    @property
    def block_sizes(self) -> tuple[int, ...]:
        return self.sourced_block_sizes.value if self.sourced_block_sizes else ()

    @property
    def block_weights(self) -> tuple[int, ...]:
        """The share of each size in ``block_sizes``: equal if the file does not say."""
        stated = self.sourced_block_weights
        return stated.value if stated else (1,) * len(self.block_sizes)


class PlannedDose(Claim):
    """The dose of cycles ``from_cycle`` to ``to_cycle``, both included; without end if missing.

    Under a condition that does not hold or is not known, the last dose without one is kept.
    """

    from_cycle: Positive
    to_cycle: Positive | None = None
    dose_mg: Dose
    condition: Code | None = None


def unless_fixed() -> Any:
    """A key that a fixed dose has no use for; ``consistency`` asks for it otherwise."""
    return Field(default=None)


def when_required(*, alias: str | None = None) -> Any:
    """A key that is missing only where no programme applies; ``consistency`` sees to it."""
    return Field(default=None, alias=alias)


class Modification(Claim):
    """What an event does to the dose: held, one level lower, stopped for good, or unchanged.

    A held dose goes on when ``resume_when`` is so, at the same level or one level lower.
    """

    code: Code
    event: Text
    action: Literal["hold", "reduce_one_level", "stop", "continue"]
    resume_when: Text | None = None
    resume_at: Literal["same_level", "one_level_lower"] | None = None


class Dosing(Part):
    """``drug`` is what a kit may hold, in words that hide the arm. A fixed dose has one level."""

    drug: Text
    fixed: Annotated[bool, Field(strict=True)]
    cycle_days: Days
    sourced_ladder: Ladder = Field(alias="ladder_mg")
    planned: Annotated[tuple[PlannedDose, ...], Field(min_length=1)]
    modifications: tuple[Modification, ...] = ()
    start_anc: Cells
    start_platelets: Cells
    min_creatinine_clearance: Clearance
    reduced_below_creatinine_clearance: Clearance = unless_fixed()
    reduced_dose_fraction: Sourced[
        Annotated[Fraction, sensibly("0.05", "0.95")], Literal["fraction of the planned dose"]
    ] = unless_fixed()
    full_cycles_before_escalation: Sourced[Positive, Literal["cycles"]] = unless_fixed()
    re_escalation_above_failed_level: Sourced[
        Annotated[bool, Field(strict=True)], Literal["permission"]
    ] = unless_fixed()
    max_interruption_days: Days
    max_supply_days: Sourced[Annotated[DayCount, sensibly("1", "3660")], Literal["days"]]
    early_refill_days: Days
    lab_window_days: Days
    decision_window_days: Days

    @property
    def ladder_mg(self) -> tuple[Decimal, ...]:
        return self.sourced_ladder.value


class PregnancyPrevention(Part):
    """Where ``required`` is false nothing else is read, and the gate asks nothing."""

    required: Annotated[bool, Field(strict=True)]
    menopause_months: Sourced[LaterMonth, Literal["months"]] = when_required()
    test_sensitivity_miu_ml: Sourced[Annotated[Dose, sensibly("0.1", "100")], Literal["mIU/mL"]] = (
        when_required()
    )
    first_test_days: DayRange = when_required()
    second_test_hours: UpTo30Days = when_required()
    weekly_test_days: Days = when_required()
    weekly_test_interval_days: Days = when_required()
    later_test_interval_days: Days = when_required()
    irregular_test_interval_days: Days = when_required()
    later_test_hours: UpTo30Days = when_required()
    contraception_lead_days: Days = when_required()
    prescription_valid_days: Days = when_required()
    counselling_interval_days: Days = when_required()
    female_after_stop_days: Days = when_required()
    male_after_stop_days: Days = when_required()
    blood_donation_after_stop_days: Days = when_required()
    sourced_acknowledgement: SourcedVersion = when_required(alias="acknowledgement_version")

    @property
    def acknowledgement_version(self) -> str:
        return self.sourced_acknowledgement.value


class SocOfInterest(Claim):
    code: Code
    label: SocLabel


class Safety(Part):
    sourced_ctcae: Sourced[CtcaeVersion, Literal["version"]] = Field(alias="ctcae_version")
    meddra: Text
    teae_days: Days
    sae_report_hours: UpTo30Days
    summary_period: Literal["weekly", "monthly", "quarterly"]
    soc_of_interest: Annotated[tuple[SocOfInterest, ...], Field(min_length=1)]

    @property
    def ctcae_version(self) -> str:
        return self.sourced_ctcae.value


class VisitSpec(Claim):
    """A visit ``offset_days`` after its anchor, give or take its window, both ends included.

    With ``every_cycles``, on day 1 of cycle ``from_cycle`` and of every so many after it; with
    ``every_days``, again and again at that distance; with neither, once.
    """

    code: Code
    label: Label
    anchor: Literal["randomisation", "cycle_day_1", "end_of_treatment"]
    offset_days: Annotated[int, Field(strict=True, ge=-365, le=3_660)] = 0
    from_cycle: Positive | None = None
    every_cycles: Positive | None = None
    every_days: Positive | None = None
    window_before_days: DayCount
    window_after_days: DayCount


class Endpoint(Claim):
    code: Code
    text: Text
    assessor: Assessor | None = None


class ResponseScale(Claim):
    """How response is told: by which criteria, in which of their categories."""

    criteria: Text
    categories: Annotated[tuple[Response, ...], Field(min_length=2)]


class Endpoints(Part):
    response: ResponseScale
    primary: Endpoint
    secondary: tuple[Endpoint, ...] = ()


class Interim(Part):
    """The plan of the first look. O'Brien-Fleming is not offered: see ``protocols/README.md``."""

    events_planned: Sourced[Positive, Literal["events"]]
    first_look_fraction: Sourced[
        Annotated[Fraction, sensibly("0.05", "0.95")], Literal["fraction of the planned events"]
    ]
    first_look_events: Sourced[Positive, Literal["events"]]
    boundary: Literal["haybittle_peto", "pocock"]
    boundary_z: Sourced[
        Annotated[Number, sensibly("1.5", "8")], Literal["standard normal, two-sided"]
    ]


class Analysis(Part):
    efficacy_population: Literal["randomised"]
    safety_population: Literal["dosed"]
    control_arm: ShortCode
    stratified_by: Literal["stratum", "none"]
    ci_transform: Literal["log-log", "log", "plain"]
    ties: Literal["efron", "breslow"]
    percent_rounding: Literal["half_up"]
    confidence: Sourced[
        Annotated[Fraction, sensibly("0.5", "0.999")], Literal["two-sided probability"]
    ]
    month_days: Sourced[Annotated[Number, sensibly("28", "31")], Literal["days"]]
    sourced_landmarks: LaterMonths = Field(alias="landmark_months")
    sourced_at_risk: Months = Field(alias="at_risk_months")
    sourced_cutoff: SourcedDay = Field(alias="data_cutoff")
    interim: Interim

    @property
    def landmark_months(self) -> tuple[int, ...]:
        return self.sourced_landmarks.value

    @property
    def at_risk_months(self) -> tuple[int, ...]:
        return self.sourced_at_risk.value

    @property
    def data_cutoff(self) -> date:
        return self.sourced_cutoff.value


class ConsentForm(Claim):
    """The form that subjects sign under this version.

    ``reconsent``: whoever signed an earlier form signs this one before being randomised or given
    more drug.
    """

    form_version: Version
    label: Label
    reconsent: Annotated[bool, Field(strict=True)]


class Blind(Part):
    """What follows when a blind is opened, and how long a request to open one may wait."""

    after_emergency_unblinding: Sourced[Literal["end_treatment", "continue"], Literal["code"]]
    looks_before_review: Sourced[Annotated[Positive, sensibly("1", "100")], Literal["looks"]]
    request_valid_hours: UpTo30Days


class Protocol(Part):
    """One version of one trial's protocol. Made by ``load_protocol`` or ``read_protocol``."""

    version: Version
    trial: Trial
    arms: Annotated[tuple[Arm, ...], Field(min_length=2)]
    randomisation: Randomisation
    factors: Annotated[tuple[Factor, ...], Field(max_length=8)]
    consent: ConsentForm | None = None
    screening: Screening
    eligibility: Eligibility
    dosing: Dosing
    pregnancy_prevention: PregnancyPrevention
    safety: Safety
    blind: Blind
    visits: Annotated[tuple[VisitSpec, ...], Field(min_length=1)]
    endpoints: Endpoints
    analysis: Analysis

    @cached_property
    def strata(self) -> tuple[Stratum, ...]:
        """Every combination of the factors' levels."""
        return strata_of(self.factors)

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """What criteria and factors may ask about, by code: derived first, then as screened."""
        return DERIVED | {variable.code: variable for variable in self.screening.variables}
