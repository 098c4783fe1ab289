"""Kit numbers for the labels, and kits that arrived: the unblinded supplier's page."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import display

from dosing.api.serializers import MOST_KITS, KitIn
from dosing.models import KitNumberDraw
from dosing.services.dispensing import supply_kits
from dosing.services.kit_numbers import MOST_NUMBERS, dealt, draw_kit_numbers
from trials.admin.acting import ActingAdmin
from trials.admin.files import csv_file
from trials.admin_forms import ServiceForm, TrialForm, form_page, send
from trials.admin_site import person, site
from trials.models import Site
from trials.permissions import Permission


LINE = ("number", "dose_mg", "arm", "expires_on")


class DrawForm(TrialForm):
    title, icon, submit = "Draw kit numbers", "pin", "Draw"
    permission = Permission.SUPPLY_KITS
    service = staticmethod(draw_kit_numbers)
    field_of = {"count": "count"}
    note = (
        "Numbers by chance, for the labels: no order, first digit or range tells what is in a kit. "
        "None was given out before. Nine digits, the last one a check digit."
    )

    count = forms.IntegerField(
        min_value=1, max_value=MOST_NUMBERS, label="How many", help_text=f"1 to {MOST_NUMBERS:,}"
    )

    def act(self, *, at: datetime) -> KitNumberDraw:
        return draw_kit_numbers(by=self.by, at=at, **self.arguments())


class SupplyForm(ServiceForm):
    title, icon, submit = "Kits that arrived at a site", "inventory_2", "Enter the kits"
    permission = Permission.SUPPLY_KITS
    service = staticmethod(supply_kits)
    note = (
        "What each kit holds is sealed at once, and nobody is shown it again: everybody else knows "
        "a kit by its number. All kits of the form are taken, or none."
    )

    site = forms.ModelChoiceField(Site.objects.none(), empty_label="Choose…")
    kits = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
        max_length=60 * MOST_KITS,
        help_text=f"One kit a line: {','.join(LINE)}. Doses in mg, days as 2028-01-31.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["site"]
        field.queryset = Site.objects.visible_to(self.by, self.permission).order_by("code")

    def clean_kits(self) -> list[dict[str, Any]]:
        """Return the kits, each of the shape the interface takes."""
        lines = [line for line in self.cleaned_data["kits"].splitlines() if line.strip()]
        if len(lines) > MOST_KITS:
            raise forms.ValidationError(f"At most {MOST_KITS} kits at once.")
        rows = [[cell.strip() for cell in line.split(",")] for line in lines]
        first = 1 if rows and rows[0] == list(LINE) else 0
        wrong, kits = [], []
        for number, row in enumerate(rows[first:], start=1 + first):
            shape = KitIn(data=dict(zip(LINE, row, strict=False)))
            if len(row) != len(LINE) or not shape.is_valid():
                wrong.append(number)
            else:
                kits.append(dict(shape.validated_data))
        if wrong or not kits:
            told = ", ".join(map(str, wrong[:20])) or "1"
            raise forms.ValidationError(f"No {','.join(LINE)} in line {told}.")
        return kits

    def act(self, *, at: datetime) -> None:
        sent = self.arguments()
        place = sent["site"]
        supply_kits(trial=place.trial.code, site=place.code, kits=sent["kits"], by=self.by, at=at)


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
        rows: Any = super().get_queryset(request)
        return rows.counted()

    def change_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        """The numbers stand in the file, in an order that is kept nowhere."""
        raise Http404

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("supply/", view(self.supply_view), name="kit_supply"),
            path("<uuid:draw_id>/csv/", view(self.csv_view), name="kit_numbers_csv"),
        ]
        return [*own, *super().get_urls()]

    @method_decorator(sensitive_post_parameters("kits"))
    def supply_view(self, request: HttpRequest) -> HttpResponse:
        """Enter kits that arrived at a site."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = SupplyForm(request.POST or None, by=person(request))
        back = reverse("admin:dosing_kitnumberdraw_changelist")
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            messages.success(request, f"Kits entered: {len(form.cleaned_data['kits'])}.")
            return redirect(back)
        page = form_page(self, request, form, back=back)
        page["Cache-Control"] = "no-store"  # what was typed names arms
        return page

    def csv_view(self, request: HttpRequest, draw_id: UUID) -> HttpResponse:
        """Give out a draw's numbers in an order by chance, another one each time."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        draw = KitNumberDraw.objects.visible_to(person(request)).filter(pk=draw_id).first()
        if draw is None:
            raise Http404
        return csv_file("kit-numbers", ["number"], ([number] for number in dealt(draw)))

    @display(description="Numbers", ordering="count")
    def how_many(self, row: Any) -> int:
        return int(row.count)

    @display(description="File")
    def file(self, row: KitNumberDraw) -> str:
        address = reverse("admin:kit_numbers_csv", args=[row.pk])
        return format_html('<a class="vg-link" href="{}">Download CSV</a>', address)
