"""Lists of doses, kits as a blinded reader may know them, and pregnancy tests."""

import csv
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, Func, IntegerField
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display

from dosing.models import Dispensation, DoseDecision, Kit, KitNumberDraw, PregnancyTest
from dosing.services.kit_numbers import MOST_NUMBERS, dealt, draw_kit_numbers
from events.admin import ReadOnlyAdmin
from patients.admin import RecordAdmin, SiteFilter
from trials.admin.acting import ActingAdmin
from trials.admin_forms import ServiceForm
from trials.admin_site import person, site
from trials.models import Trial
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


class DrawForm(ServiceForm):
    title, icon, submit = "Draw kit numbers", "pin", "Draw"
    permission = Permission.SUPPLY_KITS
    service = staticmethod(draw_kit_numbers)
    field_of = {"count": "count"}
    note = (
        "Numbers by chance, for the labels: no order, first digit or range tells what is in a kit. "
        "None was given out before. Nine digits, the last one a check digit."
    )

    trial = forms.ModelChoiceField(Trial.objects.none())
    count = forms.IntegerField(
        min_value=1, max_value=MOST_NUMBERS, label="How many", help_text=f"1 to {MOST_NUMBERS:,}"
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["trial"]
        field.queryset = Trial.objects.with_permission(self.by, self.permission).order_by("code")
        field.initial = field.queryset.first()

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        trial = found.pop("trial")
        return {**found, "trial_id": trial.pk}

    def act(self, *, at: datetime) -> KitNumberDraw:
        return draw_kit_numbers(by=self.by, at=at, **self.arguments())


@admin.register(KitNumberDraw, site=site)
class KitNumberDrawAdmin(ActingAdmin):
    """Kit numbers that were drawn, for the supplier who has the labels printed."""

    read_permission = Permission.SUPPLY_KITS
    add_form = DrawForm
    adders = (Permission.SUPPLY_KITS,)
    list_display = ("drawn_at", "trial", "how_many", "drawn_by", "file")
    list_display_links = None
    list_select_related = ("trial", "drawn_by")
    list_before_template = "admin/vigil/kit_numbers_before.html"
    ordering = ("-drawn_at", "pk")

    def get_queryset(self, request: HttpRequest) -> Any:
        count = Func(F("numbers"), function="jsonb_array_length", output_field=IntegerField())
        return super().get_queryset(request).defer("numbers").annotate(drawn=count)

    def change_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        """The numbers stand in the file, in an order that is kept nowhere."""
        raise Http404

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.csv_view)
        return [path("<uuid:draw_id>/csv/", view, name="kit_numbers_csv"), *super().get_urls()]

    def csv_view(self, request: HttpRequest, draw_id: UUID) -> HttpResponse:
        """Give out a draw's numbers in an order by chance, another one each time."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        draw = KitNumberDraw.objects.visible_to(person(request)).filter(pk=draw_id).first()
        if draw is None:
            raise Http404
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="kit-numbers.csv"'
        answer["Cache-Control"] = "private, no-store"
        rows = csv.writer(answer)
        rows.writerow(["number"])
        rows.writerows([number] for number in dealt(draw))
        return answer

    @display(description="Numbers", ordering="drawn")
    def how_many(self, row: Any) -> int:
        return int(row.drawn)

    @display(description="File")
    def file(self, row: KitNumberDraw) -> str:
        address = reverse("admin:kit_numbers_csv", args=[row.pk])
        return format_html('<a class="vg-link" href="{}">Download CSV</a>', address)


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
