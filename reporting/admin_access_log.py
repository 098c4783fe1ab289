"""The access log: who looked behind the blind, and who tried to and was refused.

It is kept by the sealed schema's own functions; whoever stands in it cannot change it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from reporting.admin_contingency import contingency_page, passwords_page, sheets_page
from reporting.looks import last_assessment, shown_at, with_outcome
from trials.admin.files import csv_file
from trials.admin_site import site
from trials.models import RefusedLook, SealedAccess
from trials.permissions import Permission, Role


REFUSED_BECAUSE: dict[str, str] = {
    "agreed_already": "Somebody had agreed already",
    "gave_the_role": "The second person had given the first their role",
    "identity_not_confirmed": "Password or code was not right",
    "look_refused": "The database found no role, no site or no second person for it",
    "nobody_randomised": "Nobody is randomised there",
    "not_randomised": "The subject is not randomised",
    "not_the_requester": "Somebody else had asked",
    "not_your_role": "The role does not allow it",
    "not_yours": "The subject is not at their site",
    "reason_missing": "No reason was given",
    "request_expired": "The request had expired",
    "request_withdrawn": "The request was withdrawn",
    "same_person": "The second person was the first",
    "too_many_attempts": "Who they are was not confirmed too often",
    "second_person_missing": "No second person had agreed",
}


class _Distinct(admin.SimpleListFilter):
    """What stands in the log itself, and nobody else's name."""

    field: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by(self.field)
        found = rows.values_list(self.field, flat=True).distinct()
        return [(value, self.label(value)) for value in found if value]

    def label(self, value: str) -> str:
        return value

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        return rows.filter(**{self.field: self.value()}) if self.value() else rows


class PersonFilter(_Distinct):
    title, parameter_name, field = "person", "person", "person__username"


class PurposeFilter(_Distinct):
    title, parameter_name, field = "purpose", "purpose", "purpose"

    def label(self, value: str) -> str:
        return capitalised(value)


class SubjectFilter(_Distinct):
    title, parameter_name, field = "subject", "subject", "subject_number"


class ReasonFilter(_Distinct):
    title, parameter_name, field = "refused because", "reason", "reason"

    def label(self, value: str) -> str:
        return in_words(value)


def capitalised(purpose: str) -> str:
    return purpose[:1].upper() + purpose[1:]


def in_words(code: str) -> str:
    """Return why an attempt was refused, as a person would say it."""
    return REFUSED_BECAUSE.get(code, code.replace("_", " ").capitalize())


class LogPage(ChangeList):
    """A page of the log whose rows know what became of each look."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list: Any = with_outcome(self.result_list)


class LogAdmin(ReadOnlyAdmin):
    """One half of the log, with its file."""

    read_permission = Permission.READ_ACCESS_LOG
    list_select_related = ("person", "trial")
    list_display_links = None
    list_before_template = "admin/vigil/access_log_before.html"
    search_help_text = "Subject, person or reason"
    csv_name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]

    def get_urls(self) -> list[URLPattern]:
        own = path("csv/", self.admin_site.admin_view(self.csv_view), name=self.csv_name)
        return [own, *super().get_urls()]

    def change_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        """Every row stands whole in the list."""
        raise Http404

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        more = {
            "csv": f"{reverse(f'admin:{self.csv_name}')}?{request.GET.urlencode()}",
            "looks": self.model is SealedAccess,
        }
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def csv_view(self, request: HttpRequest) -> HttpResponse:
        """Give out the rows of the list, as they are filtered, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters as wrong:
            raise Http404 from wrong
        return csv_file(self.csv_name, self.columns, self.lines(rows))

    def lines(self, rows: Any) -> Iterator[Sequence[Any]]:
        raise NotImplementedError

    @display(description="Who", ordering="person__username")
    def who(self, row: Any) -> SafeString:
        role = Role(row.role).label if getattr(row, "role", "") else ""
        name = row.person.get_full_name()
        told = ", ".join(each for each in (row.person.username if name else "", role) if each)
        return format_html(
            '<div style="min-width:10rem">{}<br><span class="vg-quiet vg-small">{}</span></div>',
            name or row.person.username,
            told,
        )

    @display(description="Purpose", ordering="purpose")
    def what_for(self, row: Any) -> str:
        return capitalised(row.purpose)

    @display(description="Subject", ordering="subject_number", empty_value="–")
    def of_subject(self, row: Any) -> str | None:
        return row.subject_number or None


@admin.register(SealedAccess, site=site)
class SealedAccessAdmin(LogAdmin):
    """Who looked: every look stands here, also one that failed afterwards."""

    list_display = (
        "opened_at", "who", "what_for", "of_subject", "why", "shown", "judged",
    )  # fmt: skip
    list_filter = (PurposeFilter, PersonFilter, SubjectFilter, "opened_at")
    search_fields = ("subject_number", "person__username", "person__last_name", "detail")
    ordering = ("-opened_at", "pk")
    csv_name = "access_log"
    columns = (
        "when (UTC)", "trial", "person", "name", "role", "purpose", "subject", "reason", "shown",
        "impact", "assessment", "assessed by", "assessed at (UTC)", "look",
    )  # fmt: skip

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return LogPage

    def get_urls(self) -> list[URLPattern]:
        def page(view: Callable[..., HttpResponse]) -> Any:
            return self.admin_site.admin_view(partial(view, model_admin=self))

        sheets = "contingency-sheets"
        own = [
            path(f"{sheets}/", page(contingency_page), name="contingency_sheets"),
            path(f"{sheets}/new/", page(sheets_page), name="contingency_sheets_new"),
            path(
                f"{sheets}/<uuid:making_id>/passwords/", page(passwords_page),
                name="contingency_passwords",
            ),
        ]  # fmt: skip
        return [*own, *super().get_urls()]

    @display(description="Reason", ordering="detail")
    def why(self, row: SealedAccess) -> str:
        return row.detail

    @display(description="Shown")
    def shown(self, row: Any) -> str:
        return shown_at(row)

    @display(description="Assessment", empty_value="–")
    def judged(self, row: Any) -> Any:
        if row.unblinding is None:
            return None
        last = last_assessment(row)
        if last is None:
            return "Not assessed"
        return format_html(
            '{}<br><span class="vg-quiet vg-small">{}, {}</span>',
            f"{last.impact.capitalize()} impact", last.recorded_by.username,
            f"{last.recorded_at:%Y-%m-%d}",
        )  # fmt: skip

    def lines(self, rows: Any) -> Iterator[Sequence[Any]]:
        row: Any
        for row in with_outcome(rows):
            last = last_assessment(row)
            yield (
                f"{row.opened_at:%Y-%m-%d %H:%M:%S}", row.trial.code, row.person.username,
                row.person.get_full_name(), Role(row.role).label, row.purpose, row.subject_number,
                row.detail, self.shown(row), last.impact if last else "",
                last.assessment if last else "", last.recorded_by.username if last else "",
                f"{last.recorded_at:%Y-%m-%d %H:%M:%S}" if last else "", row.pk,
            )  # fmt: skip


@admin.register(RefusedLook, site=site)
class RefusedLookAdmin(LogAdmin):
    """Who tried to look and was shown nothing."""

    list_display = ("refused_at", "who", "what_for", "of_subject", "because")
    list_filter = (PurposeFilter, PersonFilter, SubjectFilter, ReasonFilter, "refused_at")
    search_fields = ("subject_number", "person__username", "person__last_name", "reason")
    ordering = ("-refused_at", "pk")
    csv_name = "refused_looks"
    columns = ("when (UTC)", "trial", "person", "name", "purpose", "subject", "refused because")

    @display(description="Refused because", ordering="reason")
    def because(self, row: RefusedLook) -> str:
        return in_words(row.reason)

    def lines(self, rows: Any) -> Iterator[Sequence[Any]]:
        for row in rows:
            yield (
                f"{row.refused_at:%Y-%m-%d %H:%M:%S}", row.trial.code, row.person.username,
                row.person.get_full_name(), row.purpose, row.subject_number, in_words(row.reason),
            )  # fmt: skip
