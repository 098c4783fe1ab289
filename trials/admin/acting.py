"""Lists with a form: what a service adds, and what another does to one row."""

from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from events.admin import ReadOnlyAdmin
from trials.admin_forms import ServiceForm, form_page, send
from trials.admin_site import person
from trials.permissions import Permission


class RowForm(ServiceForm):
    """The form of a service on one row."""

    def __init__(self, *args: Any, row: Any, **options: Any) -> None:
        self.row = row
        super().__init__(*args, **options)


class ActingAdmin(ReadOnlyAdmin):
    """Rows to look at, with the form that adds one and, where it is still possible, ends one."""

    add_form: ClassVar[type[ServiceForm]]
    row_form: ClassVar[type[RowForm] | None] = None
    adders: ClassVar[tuple[Permission, ...]]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(person(request).may(permission) for permission in self.adders)

    def can_act(self, request: HttpRequest, row: Any) -> bool:
        """Return whether the row's form makes sense; the service decides in any case."""
        return False

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.add_form(
            request.POST or None, by=person(request), initial=dict(request.GET.items())
        )
        return self.answer(request, form)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.row_or_404(request, object_id)
        if self.row_form is None or not self.can_act(request, row):
            if request.method not in {"GET", "HEAD"}:
                raise PermissionDenied
            page: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
            return page
        form = self.row_form(request.POST or None, by=person(request), row=row)
        return self.answer(request, form, subtitle=str(row))

    def answer(self, request: HttpRequest, form: ServiceForm, **context: Any) -> HttpResponse:
        back = self.back(request, form)
        if form.is_valid() and send(form, request, at=timezone.now()) is not None:
            messages.success(request, f"{form.title}: recorded.")
            return redirect(back)
        return form_page(self, request, form, back=back, **context)

    def back(self, request: HttpRequest, form: ServiceForm) -> str:
        meta = self.model._meta
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
