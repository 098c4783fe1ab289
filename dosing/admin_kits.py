"""Kit numbers, packing lists and kits that arrived: the unblinded supplier's pages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import display

from dosing.api.serializers import KitIn, WantedKitsIn
from dosing.models import KitNumberDraw
from dosing.services.kits import MOST_KITS, draw_kit_numbers, packing_list, supply_kits
from events.api.serializers import Shape
from trials.admin.acting import ActingAdmin, RowForm
from trials.admin.files import csv_file
from trials.admin_forms import ServiceForm, form_page, send
from trials.admin_site import person, site
from trials.models import Site
from trials.permissions import Permission


class KitsForm(ServiceForm):
    """A form about the kits of one site, a line for each."""

    permission = Permission.SUPPLY_KITS
    columns: ClassVar[tuple[str, ...]]
    shape: ClassVar[type[Shape]]

    site = forms.ModelChoiceField(Site.objects.none(), empty_label="Choose…")
    kits = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
        max_length=60 * MOST_KITS,
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["site"]
        field.queryset = Site.objects.visible_to(self.by, self.permission).order_by("code")

    def clean_kits(self) -> list[dict[str, Any]]:
        """Return the lines, each of the shape the interface takes."""
        lines = [line for line in self.cleaned_data["kits"].splitlines() if line.strip()]
        if len(lines) > MOST_KITS + 1:
            raise forms.ValidationError(f"At most {MOST_KITS:,} lines at once.")
        rows = [[cell.strip() for cell in line.split(",")] for line in lines]
        first = 1 if rows and rows[0] == list(self.columns) else 0
        wrong, kits = [], []
        for number, row in enumerate(rows[first:], start=1 + first):
            shape = self.shape(data=self.sent(dict(zip(self.columns, row, strict=False))))
            if len(row) != len(self.columns) or not shape.is_valid():
                wrong.append(number)
            else:
                kits.append(dict(shape.validated_data))
        if wrong or not kits:
            told = ", ".join(map(str, wrong[:20])) or "1"
            raise forms.ValidationError(f"No {','.join(self.columns)} in line {told}.")
        return kits

    def sent(self, line: dict[str, str]) -> Mapping[str, object]:
        """Return a line as the interface is sent it: numbers there are no text."""
        return line

    def arguments(self) -> dict[str, Any]:
        place: Site = self.cleaned_data["site"]
        kits = self.cleaned_data["kits"]
        return {"trial": place.trial.code, "site": place.code, "kits": kits}


class DrawForm(KitsForm):
    title, icon, submit = "Draw kit numbers", "pin", "Draw"
    service = staticmethod(draw_kit_numbers)
    columns, shape = ("dose_mg", "arm", "count"), WantedKitsIn
    field_of: ClassVar = dict.fromkeys(
        ("count", "unknown_arm", "not_on_ladder", "kits_all_alike"), "kits"
    )
    note = (
        "Vigil draws the numbers and deals what is in the kits to them, both by chance: no order, "
        "digit or range tells the arm. The packing list says what to put into each kit. Each dose "
        "needs kits of every arm, best as many of each: a site hands out as many as came of the "
        "scarcest."
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["kits"].label = "Contents"
        self.fields[
            "kits"
        ].help_text = (
            f"One content a line: {','.join(self.columns)}. Doses in mg, arms by their codes."
        )

    def sent(self, line: dict[str, str]) -> Mapping[str, object]:
        count = line.get("count", "")
        return {**line, "count": int(count)} if count.isascii() and count.isdecimal() else line

    def act(self, *, at: datetime) -> KitNumberDraw:
        return draw_kit_numbers(by=self.by, at=at, **self.arguments())


class SupplyForm(KitsForm):
    title, icon, submit = "Kits that arrived at a site", "inventory_2", "Enter the kits"
    service = staticmethod(supply_kits)
    columns, shape = ("number", "dose_mg", "arm", "expires_on"), KitIn
    note = (
        "As they were packed: the packing list with the day of expiry. A kit that holds something "
        "else than was dealt to its number is refused. All kits of the form are taken, or none."
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields[
            "kits"
        ].help_text = f"One kit a line: {','.join(self.columns)}. Doses in mg, days as 2028-01-31."

    def act(self, *, at: datetime) -> None:
        supply_kits(by=self.by, at=at, **self.arguments())


class PackingListForm(RowForm):
    title, icon, submit = "Packing list", "inventory", "Download CSV"
    permission = Permission.SUPPLY_KITS
    service = staticmethod(packing_list)
    note = (
        "What to put into each kit, by its number. It tells the arms: each download stands in the "
        "access log with your name. Keep the file with people who may know."
    )

    def lines(self) -> list[tuple[str, str, str]]:
        kits = packing_list(draw_id=self.row.pk, by=self.by)
        return [(kit.number, f"{kit.dose_mg.normalize():f}", kit.arm) for kit in kits]


@admin.register(KitNumberDraw, site=site)
class KitNumberDrawAdmin(ActingAdmin):
    """Kit numbers that were drawn, for the supplier who has the kits packed."""

    read_permission = Permission.SUPPLY_KITS
    add_form = DrawForm
    adders = (Permission.SUPPLY_KITS,)
    list_display = ("drawn_at", "site", "how_many", "drawn_by", "file")
    list_display_links = None
    list_select_related = ("site", "drawn_by")
    list_before_template = "admin/vigil/kit_numbers_before.html"
    ordering = ("-drawn_at", "pk")

    def get_queryset(self, request: HttpRequest) -> Any:
        rows: Any = super().get_queryset(request)
        return rows.counted()

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **how: Any) -> Any:
        """Give out the packing list as a file, when its button is pressed and not before."""
        draw = self.row_or_404(request, object_id)
        form = PackingListForm(request.POST or None, by=person(request), row=draw)
        if form.is_valid():
            return csv_file("packing-list", ("number", "dose_mg", "arm"), form.lines())
        back = reverse("admin:dosing_kitnumberdraw_changelist")
        facts = [
            ("Site", draw.site.code),
            ("Kits", draw.count),
            ("Drawn", f"{draw.drawn_at:%Y-%m-%d %H:%M} UTC by {draw.drawn_by.username}"),
        ]
        return form_page(self, request, form, back=back, facts=facts)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [path("supply/", view(self.supply_view), name="kit_supply"), *super().get_urls()]

    @method_decorator(sensitive_post_parameters("kits"))
    def add_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        page = super().add_view(request, *args, **options)
        page["Cache-Control"] = "no-store"  # what was typed names arms
        return page

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

    @display(description="Kits", ordering="count")
    def how_many(self, row: Any) -> int:
        return int(row.count)

    @display(description="Packing list")
    def file(self, row: KitNumberDraw) -> str:
        address = reverse("admin:dosing_kitnumberdraw_change", args=[row.pk])
        return format_html('<a class="vg-link" href="{}">Packing list</a>', address)
