"""The REST interface as the system of a site uses it: tokens, keys, and a body for every noun."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application

from dosing.models import (
    Counselling,
    Dispensation,
    DoseDecision,
    PregnancyRisk,
    PregnancyTest,
    TreatmentEnd,
)
from events.acting import as_system
from patients.models import (
    AdverseEvent,
    Consent,
    ConsentWithdrawal,
    Contact,
    Death,
    FurtherTreatment,
    LabResult,
    ResponseAssessment,
    Screening,
    Subject,
    Visit,
)
from tests.factories import BLOCK, TODAY, Study
from trials.models import Allocation, MachineClient, Trial, User
from trials.permissions import Role


API = "/api/v1"
PROBLEM = "application/problem+json"
DAY = TODAY.isoformat()
ALL_SCOPES = list(settings.OAUTH2_PROVIDER["SCOPES"])
_numbers = itertools.count(1)


def application_of(machine: User) -> tuple[str, str]:
    """Return the client id and secret of a new client for a machine user."""
    secret = f"secret-of-{machine.username}"
    made = Application.objects.create(
        user=machine,
        name=machine.username,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
        client_secret=secret,
    )
    trials = Trial.objects.order_by("created_at")
    with as_system():
        MachineClient.objects.create(
            trial=trials.filter(pk__in=machine.role_assignments.values("trial")).first()
            or trials.get(),
            user=machine,
            application=made,
            name=f"{machine.username} {next(_numbers)}",
            scopes=ALL_SCOPES,
            expires_on=timezone.now().date() + timedelta(days=30),
            given_by=machine,
            given_at=timezone.now(),
        )
    return made.client_id, secret


def token_of(machine: User, *, lasts: timedelta = timedelta(hours=1)) -> str:
    """Return an access token as the token address would give it; ended, if it lasts no time."""
    client_id, _ = application_of(machine)
    token = f"token-{next(_numbers)}-of-{machine.username}"
    AccessToken.objects.create(
        application=Application.objects.get(client_id=client_id),
        token=token,
        expires=timezone.now() + lasts,
        scope=" ".join(ALL_SCOPES),
    )
    return token


class Caller:
    """Sends requests with one access token, or with none; answers as the server would."""

    def __init__(self, token: str = "", **headers: str) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.headers |= headers

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(API + path, headers={**self.headers, **headers})

    def post(
        self, path: str, body: Any, *, key: str | None = None, revision: str = "", **headers: str
    ) -> Any:
        """Send JSON under a new key, unless one is named; the empty key sends no such header."""
        content = json.dumps(body, default=str)
        return self.raw(path, content, key=key, revision=revision, **headers)

    def raw(
        self,
        path: str,
        content: bytes | str,
        *,
        key: str | None = None,
        revision: str = "",
        content_type: str = "application/json",
        **headers: str,
    ) -> Any:
        """Send any bytes as a body."""
        key = f"key-{next(_numbers)}" if key is None else key
        sent = {**self.headers, **headers}
        sent |= {"Idempotency-Key": key} if key else {}
        sent |= {"If-Match": revision} if revision else {}
        data = content.encode() if isinstance(content, str) else content
        return self.client.generic("POST", API + path, data, content_type, headers=sent)


def caller_for(machine: User) -> Caller:
    return Caller(token_of(machine))


def reasons_of(answer: Any) -> set[tuple[str, str]]:
    """Return (field, code) of every reason in a problem document, after checking its form."""
    body = answer.json()
    assert answer["Content-Type"] == PROBLEM
    assert {"type", "title", "status", "code", "reasons"} == set(body)
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:vigil:problem:{body['code']}"
    return {(reason.get("field", ""), reason["code"]) for reason in body["reasons"]}


def fields_of(answer: Any) -> set[str]:
    return {name for name, _ in reasons_of(answer)}


OWN_TRAINING = {"document": "Protocol", "version": "1.0", "completed_on": "2026-03-09"}


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """One address under a subject: what is sent, on what it stands and what it leaves behind.

    ``stage`` is the factory that builds the subject; ``varied`` are the fields to change for
    another record, by a function of its number.
    """

    name: str
    body: Mapping[str, Any]
    model: type[models.Model]
    event: str
    stage: str = "consented"
    sex: str = "male"
    refused_role: Role = Role.MONITOR
    several: Mapping[str, Any] = field(default_factory=dict)

    def path(self, subject: Subject) -> str:
        return f"/subjects/{subject.pk}/{self.name}"

    def subject(self, study: Study, **how: Any) -> Subject:
        return getattr(study, self.stage)(sex=self.sex, **how)

    def another(self, number: int) -> dict[str, Any]:
        """Return the body of the record with a number."""
        return {**self.body, **{name: make(number) for name, make in self.several.items()}}

    def __str__(self) -> str:
        return self.name


def day(number: int) -> str:
    return (TODAY - timedelta(days=number % 6)).isoformat()


def later_day(number: int) -> str:
    return (TODAY + timedelta(days=number)).isoformat()


SCREENED = {
    "first_line_regimen": "FCR",
    "first_line_cycles": 6,
    "last_cycle_on": (TODAY - timedelta(90)).isoformat(),
    "response": "PR",
    "mrd_level": "0.02",
    "ighv_unmutated": True,
    "tp53_mutated": False,
    "del17p": False,
    "ecog": 0,
    "anc_10e9_l": "2.5",
    "platelets_10e9_l": "150",
    "creatinine_clearance_ml_min": "90",
}
SCREENING = {"assessed_on": DAY, "values": SCREENED, "exclusions": []}
EVENT = {
    "term": "Neutrophil count decreased",
    "soc": "Investigations",
    "grade": 4,
    "started_on": "2026-03",
    "ended_on": None,
    "outcome": "not_recovered",
    "related": True,
    "serious": True,
    "seriousness": ["hospitalisation"],
    "narrative": "Admitted for two nights.",
}
NOUNS = (
    Noun(
        "consents",
        {"version": "1.0", "signed_on": DAY},
        Consent,
        "patients.ConsentRecorded",
        stage="enrolled",
        several={"version": str},
    ),
    Noun(
        "consent-withdrawals",
        {"withdrawn_on": DAY, "reason": "moved away"},
        ConsentWithdrawal,
        "patients.ConsentWithdrawn",
    ),
    Noun(
        "screenings",
        SCREENING,
        Screening,
        "patients.ScreeningRecorded",
        several={"values": lambda n: {**SCREENED, "first_line_cycles": n % 9}},
    ),
    Noun(
        "randomisations",
        {"randomised_on": DAY},
        Allocation,
        "patients.SubjectRandomised",
        stage="screened",
    ),
    Noun(
        "visits",
        {"kind": "cycle", "cycle": 1, "visited_on": DAY},
        Visit,
        "patients.VisitRecorded",
        several={"cycle": lambda n: n},
    ),
    Noun(
        "labs",
        {"taken_on": DAY, "results": [{"analyte": "anc", "value": "2.1", "unit": "10^9/L"}]},
        LabResult,
        "patients.LabsRecorded",
        several={"taken_on": later_day},
    ),
    Noun(
        "response-assessments",
        {"assessed_on": DAY, "response": "PR", "assessor": "investigator"},
        ResponseAssessment,
        "patients.ResponseRecorded",
        several={"assessed_on": later_day},
    ),
    Noun(
        "adverse-events",
        EVENT,
        AdverseEvent,
        "patients.AdverseEventRecorded",
        several={"term": lambda n: f"Event {n}"},
    ),
    Noun(
        "contacts",
        {"contacted_on": DAY},
        Contact,
        "patients.SubjectContacted",
        several={"contacted_on": later_day},
    ),
    Noun("deaths", {"died_on": "2026-03", "cause": "pneumonia"}, Death, "patients.DeathRecorded"),
    Noun(
        "further-treatments",
        {"started_on": "2026", "regimen": "ibrutinib"},
        FurtherTreatment,
        "patients.FurtherTreatmentRecorded",
        several={"regimen": lambda n: f"regimen {n}"},
    ),
    Noun(
        "pregnancy-risk-assessments",
        {
            "assessed_on": DAY,
            "surgically_sterile": False,
            "natural_menopause_months": 30,
            "evidence": "letter of the gynaecologist",
        },
        PregnancyRisk,
        "dosing.PregnancyRiskAssessed",
        sex="female",
        several={"natural_menopause_months": lambda n: n},
    ),
    Noun(
        "counsellings",
        {
            "counselled_on": DAY,
            "acknowledgement_version": "1.0",
            "contraception": "condom",
            "contraception_since": None,
        },
        Counselling,
        "dosing.SubjectCounselled",
        several={"contraception_since": day},
    ),
    Noun(
        "pregnancy-tests",
        {
            "taken_at": f"{DAY}T08:30:00+01:00",
            "result": "negative",
            "specimen": "serum",
            "sensitivity_miu_ml": "25",
        },
        PregnancyTest,
        "dosing.PregnancyTestRecorded",
        sex="female",
        several={"taken_at": lambda n: f"{DAY}T08:{n:02}:00+01:00"},
    ),
    Noun(
        "dose-decisions",
        {"cycle": 2, "decided_on": DAY, "dose_mg": "0", "reason": "waits for a result"},
        DoseDecision,
        "dosing.DoseDecided",
        stage="ready_for_first_kit",
        refused_role=Role.PHARMACIST,
        several={"cycle": lambda n: n + 1},
    ),
    Noun(
        "dispensations",
        {"cycle": 1, "prescribed_at": f"{DAY}T09:00:00Z", "dispensed_on": DAY, "days": 28},
        Dispensation,
        "dosing.KitDispensed",
        stage="ready_for_first_kit",
        refused_role=Role.INVESTIGATOR,
    ),
    Noun(
        "treatment-ends",
        {"ended_on": DAY, "reason": "progression"},
        TreatmentEnd,
        "dosing.TreatmentEnded",
        stage="randomised",
        refused_role=Role.COORDINATOR,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Act:
    """One address about trials, people and their log-ins, and what an administrator sends there."""

    path: str
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return self.path.removeprefix("/")


_ABOUT = {"person": "coordinator-DE-01", "reason": "telephone lost"}
ACTS = (
    Act(
        "/people",
        {
            "username": "newcomer",
            "first_name": "New",
            "last_name": "Comer",
            "email": "new@example.org",
        },
    ),
    Act("/passwords", _ABOUT),
    Act("/factor-removals", _ABOUT),
    Act("/lock-ends", _ABOUT),
    Act("/address-lock-ends", {"address": "203.0.113.9", "reason": "a ward was shut out"}),
    Act("/log-in-reopenings", _ABOUT),
    Act(
        "/site-corrections",
        {
            "trial": "CLLM1",
            "site": "DE-01",
            "name": "Hospital",
            "time_zone": "Europe/Paris",
            "reason": "misspelt",
        },
    ),
    Act("/sign-on-bindings", {**_ABOUT, "subject": "subject-of-a-coordinator"}),
    Act("/access-reviews", {"trial": "CLLM1", "digest": "0" * 64, "remark": "all known"}),
    Act("/leavers", {"trial": "CLLM1", **_ABOUT}),
    Act(
        "/trainings",
        {
            "trial": "CLLM1",
            "person": "coordinator-DE-01",
            "document": "Blinding",
            "version": "1.0",
            "completed_on": DAY,
        },
    ),
    Act(
        "/roles",
        {
            "trial": "CLLM1",
            "person": "coordinator-DE-01",
            "role": "monitor",
            "site": None,
            "starts_on": None,
            "ends_on": None,
        },
    ),
    Act(
        "/on-call-duties",
        {
            "trial": "CLLM1",
            "person": "medical_monitor",
            "telephone": "+49 30 1234",
            "starts_at": f"{DAY}T08:00:00Z",
            "ends_at": f"{DAY}T20:00:00Z",
        },
    ),
    Act(
        "/clients",
        {
            "trial": "CLLM1",
            "site": None,
            "name": "my script",
            "scopes": ["read"],
            "expires_on": DAY,
            "password": "a long pass phrase",
        },
    ),
    Act("/protocol-checks", {"trial": None, "text": "[trial]"}),
    Act("/trials", {"conduct": "live", "text": "[trial]", "training": OWN_TRAINING}),
)


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One address that is only read: somebody who may, and those who are told that they may not.

    Whoever is named in neither way finds an empty list.
    """

    path: str
    reader: Role
    refused: tuple[Role, ...] = ()

    def __str__(self) -> str:
        return self.path.removeprefix("/")


_BLINDED_TO_SHEETS = (Role.INVESTIGATOR, Role.SITE_SYSTEM, Role.AUDITOR, Role.COMMITTEE_MEMBER)
READS = (
    Read("/notices", Role.COORDINATOR),
    Read("/unblindings", Role.COORDINATOR),
    Read("/subject-progress", Role.COORDINATOR),
    Read("/unblinding-requests", Role.SAFETY_OFFICER),
    Read("/safety-unblinding-requests", Role.SAFETY_OFFICER),
    Read("/trial-unblinding-requests", Role.MEDICAL_MONITOR),
    Read("/deliveries", Role.SPONSOR_ADMINISTRATOR),
    Read("/kits", Role.COORDINATOR),
    Read("/kit-number-draws", Role.UNBLINDED_SUPPLIER),
    Read("/contingency-sheets", Role.UNBLINDED_SUPPLIER, refused=_BLINDED_TO_SHEETS),
)
SUBJECT = {
    "trial": "CLLM1",
    "site": "DE-01",
    "year_of_birth": 1950,
    "sex": "female",
    "screened_on": DAY,
}
LIST = {
    "trial": "CLLM1",
    "made_for": "CLLM1",
    "entries": [{"stratum": s, "arm": BLOCK[i % 3]} for s in "HI" for i in range(102)],
    "reason": "the pre-generated list",
}
DRAW = {
    "trial": "CLLM1",
    "site": "DE-01",
    "kits": [{"dose_mg": "5", "arm": arm, "count": 1} for arm in "LP"],
}
KITS = {
    "trial": "CLLM1",
    "site": "DE-01",
    "kits": [{"number": "KIT-0001", "dose_mg": "5", "arm": "L", "expires_on": "2030-01-01"}],
}


def drawn_kits(supplier: Caller, *, each: int = 1, site: str = "DE-01") -> dict[str, Any]:
    """Return the body of a supply whose numbers were drawn for it, of both arms."""
    wanted = [{**one, "count": each} for one in DRAW["kits"]]
    answer = supplier.post("/kit-number-draws", {**DRAW, "site": site, "kits": wanted})
    assert answer.status_code == 201, answer.content
    packed = [{**kit, "expires_on": "2030-01-01"} for kit in answer.json()["kits"]]
    return {"trial": "CLLM1", "site": site, "kits": packed}


def noun(name: str) -> Noun:
    return next(one for one in NOUNS if one.name == name)
