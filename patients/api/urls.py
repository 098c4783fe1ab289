from django.urls import path

from patients.api import unblinding, unblinding_records, views
from patients.api.feed import EventFeed
from patients.api.sites import SiteCorrections


_ONE = "subjects/<uuid:subject_id>"

urlpatterns = [
    path("subjects", views.Subjects.as_view(), name="subjects"),
    path(_ONE, views.OneSubject.as_view(), name="subject"),
    path(f"{_ONE}/consents", views.Consents.as_view(), name="consents"),
    path(f"{_ONE}/consent-withdrawals", views.ConsentWithdrawals.as_view(), name="withdrawals"),
    path(f"{_ONE}/screenings", views.Screenings.as_view(), name="screenings"),
    path(f"{_ONE}/randomisations", views.Randomisations.as_view(), name="randomisations"),
    path(
        f"{_ONE}/screening-corrections",
        views.ScreeningCorrections.as_view(),
        name="screening-corrections",
    ),
    path(
        f"{_ONE}/randomisation-mistakes",
        views.RandomisationMistakes.as_view(),
        name="randomisation-mistakes",
    ),
    path(f"{_ONE}/visits", views.Visits.as_view(), name="visits"),
    path(f"{_ONE}/labs", views.Labs.as_view(), name="labs"),
    path(f"{_ONE}/response-assessments", views.ResponseAssessments.as_view(), name="responses"),
    path(f"{_ONE}/adverse-events", views.AdverseEvents.as_view(), name="adverse-events"),
    path(f"{_ONE}/contacts", views.Contacts.as_view(), name="contacts"),
    path(f"{_ONE}/deaths", views.Deaths.as_view(), name="deaths"),
    path(f"{_ONE}/further-treatments", views.FurtherTreatments.as_view(), name="treatments"),
    path(f"{_ONE}/corrections", views.SubjectCorrections.as_view(), name="subject-corrections"),
    path(f"{_ONE}/transfers", views.Transfers.as_view(), name="transfers"),
    path("site-corrections", SiteCorrections.as_view(), name="site-corrections"),
    path("events", EventFeed.as_view(), name="events"),
    path(
        f"{_ONE}/emergency-unblindings",
        unblinding.EmergencyUnblindings.as_view(),
        name="emergency-unblindings",
    ),
    path(
        f"{_ONE}/inadvertent-unblindings",
        unblinding.InadvertentUnblindings.as_view(),
        name="inadvertent-unblindings",
    ),
    path(
        f"{_ONE}/contingency-openings",
        unblinding.ContingencyOpenings.as_view(),
        name="contingency-openings",
    ),
    path(
        "trials/<slug:code>/sites/<slug:site>/advisers",
        unblinding.Advisers.as_view(),
        name="advisers",
    ),
    path("unblindings", unblinding_records.Unblindings.as_view(), name="unblindings"),
    path(
        "unblindings/<uuid:record_id>",
        unblinding_records.OneUnblinding.as_view(),
        name="unblinding",
    ),
    path(
        "unblindings/<uuid:record_id>/assessments",
        unblinding_records.UnblindingAssessments.as_view(),
        name="unblinding-assessments",
    ),
    path(
        "unblindings/<uuid:record_id>/mistakes",
        unblinding_records.UnblindingMistakes.as_view(),
        name="unblinding-mistakes",
    ),
    path(
        "unblinding-requests", unblinding.UnblindingRequests.as_view(), name="unblinding-requests"
    ),
    path(
        "unblinding-requests/<uuid:record_id>",
        unblinding.OneUnblindingRequest.as_view(),
        name="unblinding-request",
    ),
    path(
        "safety-unblinding-requests",
        unblinding.SafetyUnblindingRequests.as_view(),
        name="safety-unblinding-requests",
    ),
    path(
        "trial-unblinding-requests",
        unblinding.TrialUnblindingRequests.as_view(),
        name="trial-unblinding-requests",
    ),
    path(
        "unblinding-requests/<uuid:record_id>/agreements",
        unblinding.UnblindingAgreements.as_view(),
        name="unblinding-agreements",
    ),
    path(
        "unblinding-requests/<uuid:record_id>/withdrawals",
        unblinding.UnblindingWithdrawals.as_view(),
        name="unblinding-withdrawals",
    ),
    path(
        "unblinding-requests/<uuid:record_id>/looks",
        unblinding.SafetyLooks.as_view(),
        name="safety-looks",
    ),
    path(
        "unblinding-requests/<uuid:record_id>/lists-of-arms",
        unblinding.ListsOfArms.as_view(),
        name="lists-of-arms",
    ),
    path(
        "adverse-events/<uuid:record_id>/corrections",
        views.AdverseEventCorrections.as_view(),
        name="adverse-event-corrections",
    ),
    path(
        "response-assessments/<uuid:record_id>/corrections",
        views.ResponseCorrections.as_view(),
        name="response-corrections",
    ),
]
