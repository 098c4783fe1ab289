"""Reviews of who has access."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from trials.admin.files import csv_file
from trials.admin_forms import ServiceForm, send
from trials.admin_site import person, site
from trials.models import AccessReview, Trial
from trials.permissions import Permission
from trials.services.access_review import access_of, sign_off


class SignOffForm(ServiceForm):
    title, icon, submit = "Sign off the review", "verified_user", "Sign off"
    field_of = {"review_changed": "remark", "remark_missing": "remark"}

    digest = forms.CharField(widget=forms.HiddenInput, max_length=64)
    remark = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2000,
        label="What you found, and what follows",
    )

    def __init__(self, *args: Any, trial: Trial, **options: Any) -> None:
        super().__init__(*args, **options)
        self.trial = trial

    def act(self, *, at: datetime) -> AccessReview:
        return sign_off(trial_id=self.trial.pk, by=self.by, at=at, **self.arguments())


@admin.register(AccessReview, site=site)
class AccessReviewAdmin(ReadOnlyAdmin):
    """Reviews that were signed off; the one of now is a page of its own."""

    read_permission = Permission.READ_PEOPLE
    list_display = ("signed_at", "trial", "signed_by", "findings", "short_digest", "remark")
    list_select_related = ("trial", "signed_by")
    ordering = ("-signed_at",)
    list_before_template = "admin/vigil/reviews_before.html"

    @display(description="Digest")
    def short_digest(self, row: AccessReview) -> str:
        return row.digest[:12]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("now/<slug:code>/", view(self.now_view), name="access_review_now"),
            path("now/<slug:code>/csv/", view(self.csv_view), name="access_review_csv"),
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        more = {"trials": _trials(request)}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.row_or_404(request, object_id)
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        return self._page(request, row.trial, content=row.content, signed=row)

    def now_view(self, request: HttpRequest, code: str) -> HttpResponse:
        """Show who has access now, and take the reviewer's signature under it."""
        trial = _trial(request, code)
        held = person(request).may(Permission.MANAGE_PEOPLE)
        signs = any(a.trial_id == trial.pk for a in held)
        if request.method == "POST" and not signs:
            raise PermissionDenied
        review = access_of(trial, at=timezone.now())
        form = SignOffForm(
            request.POST or None, by=person(request), trial=trial,
            initial={"digest": review.digest},
        )  # fmt: skip
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            return redirect("admin:trials_accessreview_changelist")
        return self._page(request, trial, content=review.content, form=form if signs else None)

    def csv_view(self, request: HttpRequest, code: str) -> HttpResponse:
        trial = _trial(request, code)
        lines = (
            [value or "" for value in _csv_line(line, role)]
            for line in access_of(trial, at=timezone.now()).content
            for role in line["roles"]
        )
        return csv_file(f"access-{trial.code}", REVIEW_COLUMNS, lines)

    def _page(self, request: HttpRequest, trial: Trial, **context: Any) -> HttpResponse:
        content: list[dict[str, Any]] = context["content"]
        return TemplateResponse(
            request,
            "admin/vigil/access_review.html",
            {
                **self.admin_site.each_context(request),
                "title": "Access review",
                "subtitle": trial.code,
                "trial": trial,
                "people": sum(any(r["in_force"] for r in line["roles"]) for line in content),
                "open_findings": sum(len(line["findings"]) for line in content),
                "back": reverse("admin:trials_accessreview_changelist"),
                **context,
            },
        )


REVIEW_COLUMNS = (
    "person", "name", "log-in", "last log-in", "trained on", "role", "site", "from", "until",
    "in force", "findings",
)  # fmt: skip


def _csv_line(line: dict[str, Any], role: dict[str, Any]) -> list[Any]:
    return [
        line["person"],
        line["name"],
        line["log_in"],
        line["last_log_in"],
        "; ".join(line["trained_on"]),
        role["role"],
        role["site"] or "all sites",
        role["from"],
        role["until"],
        "yes" if role["in_force"] else "no",
        "; ".join(line["findings"]),
    ]


def _trials(request: HttpRequest) -> list[Trial]:
    held = person(request).may(Permission.READ_PEOPLE)
    everywhere = {a.trial_id for a in held if a.site_id is None}
    return list(Trial.objects.filter(pk__in=everywhere).order_by("code"))


def _trial(request: HttpRequest, code: str) -> Trial:
    found = next((trial for trial in _trials(request) if trial.code == code), None)
    if found is None:
        raise Http404
    return found
