from django.urls import path, register_converter
from django.urls.converters import StringConverter

from reporting.api.amendments import (
    ProtocolActivations,
    ProtocolApprovals,
    ProtocolChanges,
    ProtocolFile,
    ProtocolImpact,
    ProtocolPredictability,
    ProtocolVersions,
    ProtocolWithdrawals,
)
from reporting.api.contingency import ContingencyPasswords, ContingencySheets
from reporting.api.looks import Looks
from reporting.api.notices import Notices
from reporting.api.randomisation import (
    RandomisationLog,
    RandomisationVerification,
    StratificationReport,
)
from reporting.api.subjects import SubjectGate, SubjectHistory, SubjectProgress
from reporting.api.views import OneSafetySummary, PfsReports, SafetySummaries, TrialAccrual


class VersionConverter(StringConverter):
    """The name of a protocol version, as a protocol file may give it."""

    regex = r"[0-9.]{1,20}"


register_converter(VersionConverter, "version")

_VERSIONS = "trials/<slug:code>/protocol-versions"
_VERSION = f"{_VERSIONS}/<version:version>"

urlpatterns = [
    path("looks", Looks.as_view(), name="looks"),
    path(_VERSIONS, ProtocolVersions.as_view(), name="protocol-versions"),
    path(f"{_VERSION}/file", ProtocolFile.as_view(), name="protocol-file"),
    path(
        f"{_VERSION}/predictability",
        ProtocolPredictability.as_view(),
        name="protocol-predictability",
    ),
    path(f"{_VERSION}/changes", ProtocolChanges.as_view(), name="protocol-changes"),
    path(f"{_VERSION}/impact", ProtocolImpact.as_view(), name="protocol-impact"),
    path(f"{_VERSION}/approvals", ProtocolApprovals.as_view(), name="protocol-approvals"),
    path(f"{_VERSION}/activations", ProtocolActivations.as_view(), name="protocol-activations"),
    path(f"{_VERSION}/withdrawals", ProtocolWithdrawals.as_view(), name="protocol-withdrawals"),
    path("trials/<slug:code>/reports/pfs", PfsReports.as_view(), name="pfs-report"),
    path("trials/<slug:code>/safety-summaries", SafetySummaries.as_view(), name="safety-summaries"),
    path(
        "trials/<slug:code>/safety-summaries/<uuid:summary_id>",
        OneSafetySummary.as_view(),
        name="safety-summary",
    ),
    path("trials/<slug:code>/randomisations", RandomisationLog.as_view(), name="randomisation-log"),
    path(
        "trials/<slug:code>/randomisation-verification",
        RandomisationVerification.as_view(),
        name="randomisation-verification",
    ),
    path(
        "trials/<slug:code>/mis-stratification",
        StratificationReport.as_view(),
        name="mis-stratification",
    ),
    path("trials/<slug:code>/accrual", TrialAccrual.as_view(), name="accrual"),
    path("notices", Notices.as_view(), name="notices"),
    path("subject-progress", SubjectProgress.as_view(), name="subject-progress"),
    path("subjects/<uuid:subject_id>/gate", SubjectGate.as_view(), name="subject-gate"),
    path("subjects/<uuid:subject_id>/history", SubjectHistory.as_view(), name="subject-history"),
    path("contingency-sheets", ContingencySheets.as_view(), name="contingency-sheets"),
    path("contingency-passwords", ContingencyPasswords.as_view(), name="contingency-passwords"),
]
