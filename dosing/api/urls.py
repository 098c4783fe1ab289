from django.urls import path

from dosing.api import sites, views


_ONE = "subjects/<uuid:subject_id>"

urlpatterns = [
    path(f"{_ONE}/pregnancy-risk-assessments", views.PregnancyRisks.as_view(), name="risks"),
    path(f"{_ONE}/counsellings", views.Counsellings.as_view(), name="counsellings"),
    path(f"{_ONE}/pregnancy-tests", views.PregnancyTests.as_view(), name="pregnancy-tests"),
    path(f"{_ONE}/dose-decisions", views.DoseDecisions.as_view(), name="dose-decisions"),
    path(f"{_ONE}/dispensations", views.Dispensations.as_view(), name="dispensations"),
    path(f"{_ONE}/treatment-ends", views.TreatmentEnds.as_view(), name="treatment-ends"),
    path("site-closures", sites.SiteClosures.as_view(), name="site-closures"),
    path("kits", views.Kits.as_view(), name="kits"),
    path("kit-number-draws", views.KitNumberDraws.as_view(), name="kit-number-draws"),
    path(
        "kit-number-draws/<uuid:draw_id>",
        views.OneKitNumberDraw.as_view(),
        name="kit-number-draw",
    ),
    path("kit-supplies", views.KitSupplies.as_view(), name="kit-supplies"),
]
