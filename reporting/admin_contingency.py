"""The contingency sheets: made by one person for a site, their passwords taken by another."""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters

from events.admin import ReadOnlyAdmin
from reporting.admin_unblinding import Opened, download, kept_nowhere
from reporting.api.contingency import keys, zipped
from reporting.unblinded.contingency import (
    PASSWORDS,
    SHEETS,
    making_for,
    open_passwords,
    open_sheets,
    sheets_by_site,
)
from trials.admin_forms import form_page, send
from trials.admin_proof import SHOWN, ProofForm
from trials.admin_site import may_open, person
from trials.errors import ShownAlready
from trials.models import SealedAccess, Site, User
from trials.permissions import Permission
from trials.services.unblinding import prove


PAGE = "admin:contingency_sheets"


class SitesField(forms.ModelChoiceField):  # type: ignore[type-arg]  # has none at run time
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.code} {obj.name}"


class SheetsForm(ProofForm):
    title, icon, submit = "Make contingency sheets", "drafts", "Make and download once"
    permission = Permission.PRINT_CONTINGENCY
    note = (
        "One sealed sheet for every randomised subject of the site, in one file that is given out "
        "once. Send it to the site. You do not get the passwords: another person takes them."
    )

    site = SitesField(Site.objects.none(), empty_label="Choose…")
    reason = forms.CharField(
        max_length=2000, label="Why now", help_text="As in: quarterly renewal",
        widget=forms.Textarea(attrs={"rows": 2}),
    )  # fmt: skip
    field_order = ("site", "reason", "password", "code")

    def __init__(self, *args: Any, by: User, **options: Any) -> None:
        super().__init__(*args, by=by, **options)
        field: Any = self.fields["site"]
        field.queryset = Site.objects.visible_to(by, self.permission).order_by("code")

    def act(self, *, at: datetime) -> Opened:
        sent = self.arguments()
        site = sent.pop("site")
        return Opened(open_sheets(site_id=site.pk, by=self.by, **sent))


class PasswordsForm(ProofForm):
    title, icon, submit = "Passwords of contingency sheets", "key", "Download once"
    permission = Permission.CONFIRM_UNBLINDING
    note = (
        "One password for each sheet of this making. Keep them apart from the sheets, where the "
        "site reaches somebody at any hour, and read out one only to open one sheet."
    )

    def __init__(self, *args: Any, making: SealedAccess, **options: Any) -> None:
        super().__init__(*args, **options)
        self.making = making

    def act(self, *, at: datetime) -> Opened:
        return Opened(open_passwords(making_id=self.making.pk, by=self.by, **self.arguments()))


def contingency_page(request: HttpRequest, model_admin: ReadOnlyAdmin) -> HttpResponse:
    """Show what sheets there are at each site, and what they are."""
    by = person(request)
    if not may_open(request, PAGE):
        raise PermissionDenied
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Contingency sheets",
        "sites": sheets_by_site(by),
        "makes": bool(by.may(Permission.PRINT_CONTINGENCY)),
        "keeps": bool(by.may(Permission.CONFIRM_UNBLINDING)),
    }
    return TemplateResponse(request, "admin/vigil/contingency_sheets.html", context)


@sensitive_post_parameters(*SHOWN)
def sheets_page(request: HttpRequest, model_admin: ReadOnlyAdmin) -> HttpResponse:
    """Make the sheets of one site and give them out, once."""
    by = person(request)
    if not by.may(SheetsForm.permission):
        raise PermissionDenied
    start = {"site": request.GET.get("site", "")}
    form = SheetsForm(request.POST or None, by=by, initial=start)
    if form.is_valid():
        trial_id = form.cleaned_data["site"].trial_id
        if form.proves(partial(prove, purpose=SHEETS, trial_id=trial_id)):
            made = send(form, request, at=timezone.now())
            if made is not None:
                return _given(request, zipped, UUID(made), "These sheets were given out already.")
    return kept_nowhere(form_page(model_admin, request, form, back=reverse(PAGE)))


@sensitive_post_parameters(*SHOWN)
def passwords_page(
    request: HttpRequest, model_admin: ReadOnlyAdmin, making_id: UUID
) -> HttpResponse:
    """Give out the passwords of one making, once."""
    by = person(request)
    if not by.may(PasswordsForm.permission):
        raise PermissionDenied
    try:
        making = making_for(by, making_id)
    except SealedAccess.DoesNotExist as missing:
        raise Http404 from missing
    form = PasswordsForm(request.POST or None, by=by, making=making)
    proving = partial(prove, purpose=PASSWORDS, trial_id=making.trial_id)
    if form.is_valid() and form.proves(proving):
        made = send(form, request, at=timezone.now())
        if made is not None:
            return _given(request, keys, UUID(made), "These passwords were given out already.")
    facts = [
        ("Sheets", making.detail),
        ("Made", f"{making.opened_at:%Y-%m-%d %H:%M} UTC"),
        ("By", making.person),
    ]
    return kept_nowhere(form_page(model_admin, request, form, back=reverse(PAGE), facts=facts))


def _given(request: HttpRequest, file: Any, access_id: UUID, already: str) -> HttpResponse:
    try:
        return download(file(access_id))
    except ShownAlready:
        messages.error(request, f"{already} Ask for them again.")
        return redirect(PAGE)
