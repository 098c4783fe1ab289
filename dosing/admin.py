"""Lists of doses, kits as a blinded reader may know them, and pregnancy tests."""

from typing import Any

from django.contrib import admin
from unfold.decorators import display

from dosing import admin_kits  # noqa: F401 - registers its page
from dosing.models import Dispensation, DoseDecision, Kit, PregnancyTest
from events.admin import ReadOnlyAdmin
from patients.admin import RecordAdmin, SiteFilter
from trials.admin_site import site
from trials.permissions import Permission


class OwnSiteFilter(SiteFilter):
    path = "site"


@admin.register(DoseDecision, site=site)
class DoseDecisionAdmin(RecordAdmin):
    list_display = ("decided_on", "subject_link", "cycle", "dose", "proposed", "reason")
    ordering = ("-decided_on", "pk")

    @display(description="Decided, mg", ordering="dose_mg")
    def dose(self, row: DoseDecision) -> str:
        return mg(row.dose_mg) if row.dose_mg else "held"

    @display(description="Proposed, mg", ordering="proposed_dose_mg")
    def proposed(self, row: DoseDecision) -> str:
        return mg(row.proposed_dose_mg)


@admin.register(Dispensation, site=site)
class DispensationAdmin(RecordAdmin):
    list_display = ("dispensed_on", "subject_link", "cycle", "dose", "days", "kit")
    list_select_related = ("subject", "kit")
    ordering = ("-dispensed_on", "pk")

    @display(description="Dose, mg", ordering="dose_mg")
    def dose(self, row: Dispensation) -> str:
        return mg(row.dose_mg)


@admin.register(Kit, site=site)
class KitAdmin(ReadOnlyAdmin):
    read_permission = Permission.READ_SUBJECTS
    list_display = ("number", "site", "dose", "expires_on", "status_label")
    list_filter = (OwnSiteFilter, "status", "dose_mg")
    list_select_related = ("site",)
    search_fields = ("number",)

    @display(description="Dose, mg", ordering="dose_mg")
    def dose(self, row: Kit) -> str:
        return mg(row.dose_mg)

    @display(
        description="Status",
        ordering="status",
        label={"available": "success", "dispensed": "info", "quarantined": "danger"},
    )
    def status_label(self, row: Kit) -> tuple[str, str]:
        return row.status, row.get_status_display()


@admin.register(PregnancyTest, site=site)
class PregnancyTestAdmin(RecordAdmin):
    list_display = ("taken_at", "subject_link", "result_label", "specimen", "sensitivity_miu_ml")
    list_filter = (SiteFilter, "result")
    ordering = ("-taken_at", "pk")

    @display(
        description="Result",
        ordering="result",
        label={"negative": "success", "positive": "danger", "indeterminate": "warning"},
    )
    def result_label(self, row: PregnancyTest) -> tuple[str, str]:
        return row.result, row.get_result_display()


def mg(dose: Any) -> str:
    """Return a dose without needless zeros."""
    return f"{dose.normalize():f}"
