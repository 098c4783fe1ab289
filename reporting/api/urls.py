from django.urls import path

from reporting.api.views import OneSafetySummary, PfsReports, SafetySummaries, TrialAccrual


urlpatterns = [
    path("trials/<slug:code>/reports/pfs", PfsReports.as_view(), name="pfs-report"),
    path("trials/<slug:code>/safety-summaries", SafetySummaries.as_view(), name="safety-summaries"),
    path(
        "trials/<slug:code>/safety-summaries/<uuid:summary_id>",
        OneSafetySummary.as_view(),
        name="safety-summary",
    ),
    path("trials/<slug:code>/accrual", TrialAccrual.as_view(), name="accrual"),
]
