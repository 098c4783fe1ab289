"""The report on progression-free survival by arm: the one report that looks behind the blind."""

from collections.abc import Iterator
from datetime import date, datetime

from django.db import transaction

from events.outcomes import Reason
from reporting.cuts import DataCut, take_cut
from reporting.datasets import RandomisedSubject, randomised_subjects
from reporting.documents.pfs_report import (
    AnalysisSettings,
    Arm,
    Assumption,
    Category,
    InterimLook,
    PfsDataset,
    PfsReport,
    PfsSubject,
    ReportHeader,
)
from reporting.errors import ReportRefused
from trials.models import Trial, User
from trials.permissions import Permission, authorise
from trials.rules.protocol import Claim, Protocol, Sourced
from trials.services.unblinding import arms_for_report


SYNTHETIC = "Synthetic data made from published summary figures; not patient data."
BOUNDARIES = {"haybittle_peto": "Haybittle–Peto", "pocock": "Pocock"}
SAID_UNITS = {"days", "months", "events"}  # the others are said by the name
OFFERED = {"ci_transform": "log-log", "ties": "efron"}
RULES = (
    Assumption(
        "Censoring at the last disease assessment of the primary assessor; new treatment and "
        "missed visits do not censor, and a death after them is an event on its day",
        "assumed",
    ),
    Assumption(
        "A partial day of death is the earliest it can mean from the last day known alive on; a "
        "partial onset of an adverse event is the earliest from the first dose on",
        "assumed",
    ),
)


def pfs_report(
    *,
    trial: Trial,
    cutoff_on: date,
    as_known_at: datetime | None = None,
    by: User,
    at: datetime,
) -> PfsReport:
    """Return the report by arm on a data cut; the same cut is the same bytes, whoever asks when.

    ``as_known_at`` is ``at`` if it is not given. The look is written to the access log and
    committed before an arm is read. A trial without a randomisation gives a report that says so.

    Raises ``PermissionDenied`` without a role for it, ``CutRefused``, or ``ReportRefused``: a
    cut-off before the first randomisation, records that contradict themselves, or an analysis
    plan this report does not compute.
    """
    with transaction.atomic():
        authorise(by, Permission.READ_UNBLINDED_REPORT, trial=trial, reason="report by arm")
    cut = take_cut(trial=trial, cutoff_on=cutoff_on, as_known_at=as_known_at, now=at)
    protocol = cut.protocol()
    _refuse_impossible(cut, protocol)
    subjects = randomised_subjects(cut)
    detail = f"PFS, cut-off {cutoff_on}, as known at {cut.as_known_at.isoformat()}"
    dataset = _with_arms(subjects, trial=trial, by=by, detail=detail)
    return _built(cut, protocol, dataset)


def _refuse_impossible(cut: DataCut, protocol: Protocol) -> None:
    reasons = [
        Reason("analysis_not_offered", f"analysis.{key} must be {offered} for this report.")
        for key, offered in OFFERED.items()
        if getattr(protocol.analysis, key) != offered
    ]
    if len(protocol.arms) != len({"treated", "control"}):
        reasons.append(Reason("two_arms", "This report compares two arms, one of them control."))
    first = cut.first_randomised_on()
    if first is not None and cut.cutoff_on < first:
        detail = f"The cut-off {cut.cutoff_on} lies before the first randomisation, on {first}."
        reasons.append(Reason("before_first_randomisation", detail))
    if reasons:
        raise ReportRefused(*reasons)


def _with_arms(
    subjects: tuple[RandomisedSubject, ...], *, trial: Trial, by: User, detail: str
) -> PfsDataset:
    """Join the arms: read after the cut, so that every slot in it has one."""
    arms = arms_for_report(trial=trial, by=by, detail=detail)
    return PfsDataset(
        tuple(
            PfsSubject(
                number=subject.number,
                arm=arms[subject.slot_id],
                stratum=subject.stratum,
                pfs_days=subject.pfs.days,
                pfs_event=subject.pfs.event,
                observed_days=subject.observed_days,
                died=subject.died_on is not None,
                treated=subject.treated,
                ae_categories=subject.ae_categories,
            )
            for subject in subjects
        )
    )


def _built(cut: DataCut, protocol: Protocol, dataset: PfsDataset) -> PfsReport:
    from reporting.documents.pfs_analysis import build_pfs_report  # loads the numerical libraries

    return build_pfs_report(
        dataset, header=_header(cut, protocol), settings=_settings(protocol, dataset)
    )


def _header(cut: DataCut, protocol: Protocol) -> ReportHeader:
    return ReportHeader(
        trial_code=protocol.trial.code,
        trial_title=protocol.trial.title,
        report_title="Interim analysis of progression-free survival",
        endpoint_label=protocol.endpoints.primary.text,
        protocol_version=protocol.version,
        cutoff_on=cut.cutoff_on,
        as_known_at=cut.as_known_at,
        notes=(SYNTHETIC,) if cut.conduct() == Trial.Conduct.REPLAY else (),
        assumptions=(*RULES, *_assumed_keys(protocol)),
    )


def _settings(protocol: Protocol, dataset: PfsDataset) -> AnalysisSettings:
    analysis = protocol.analysis
    first, second = sorted(protocol.arms, key=lambda arm: arm.code == analysis.control_arm)
    return AnalysisSettings(
        arms=(Arm(first.code, first.label), Arm(second.code, second.label)),
        control=analysis.control_arm,
        landmark_months=tuple(float(month) for month in analysis.landmark_months),
        at_risk_months=tuple(float(month) for month in analysis.at_risk_months),
        month_days=float(analysis.month_days.value),
        confidence=float(analysis.confidence.value),
        stratum_label=_stratum_label(protocol),
        ae_categories=tuple(
            Category(each.code, each.label) for each in protocol.safety.soc_of_interest
        ),
        interim_look=_look(protocol, dataset),
    )


def _stratum_label(protocol: Protocol) -> str | None:
    """Return what the strata are called; nothing if the analysis, or the trial, has none."""
    labels = [factor.label for factor in protocol.factors]
    return " and ".join(labels) if protocol.analysis.stratified_by == "stratum" and labels else None


def _look(protocol: Protocol, dataset: PfsDataset) -> InterimLook:
    interim = protocol.analysis.interim
    events = sum(subject.pfs_event for subject in dataset.subjects)
    claims = (interim.events_planned, interim.boundary_z)
    return InterimLook(
        label="First look",
        boundary_name=BOUNDARIES[interim.boundary],
        information_fraction=events / interim.events_planned.value,
        critical_z=float(interim.boundary_z.value),
        assumed=any(claim.flag == "assumed" for claim in claims),
    )


def _assumed_keys(protocol: Protocol) -> Iterator[Assumption]:
    """Yield what the protocol file only assumes and this report rests on."""
    analysis, interim, safety = protocol.analysis, protocol.analysis.interim, protocol.safety
    resting_on: dict[str, Claim] = {
        "Primary endpoint": protocol.endpoints.primary,
        "Confidence level": analysis.confidence,
        "Length of a month": analysis.month_days,
        "Landmarks": analysis.sourced_landmarks,
        "Months of the numbers at risk": analysis.sourced_at_risk,
        "Events planned": interim.events_planned,
        "Share of the events at the first look": interim.first_look_fraction,
        "Events at the first look": interim.first_look_events,
        f"{BOUNDARIES[interim.boundary]} boundary, two-sided z": interim.boundary_z,
        "CTCAE version": safety.sourced_ctcae,
        "Treatment-emergent window after the last dose": safety.teae_days,
        **{each.label: each for each in safety.soc_of_interest},
        **{f"Arm {arm.label}": arm for arm in protocol.arms},
    }
    for name, claim in resting_on.items():
        if claim.flag == "assumed":
            yield Assumption(f"{name}: {_said(claim)}", claim.flag)


def _said(claim: Claim) -> str:
    if not isinstance(claim, Sourced):
        return claim.source
    value = claim.value
    shown = ", ".join(str(each) for each in value) if isinstance(value, tuple) else str(value)
    unit = f" {claim.unit}" if claim.unit in SAID_UNITS else ""
    return f"{shown}{unit}. {claim.source}"
