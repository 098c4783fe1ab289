"""What every form of the web admin is: it asks for what one service takes, and calls it.

A refusal comes back onto the form with every reason; nothing of it is written. A form carries a
key of its own, so sending it twice takes effect once.
"""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from events.admin import ReadOnlyAdmin
from events.idempotency import KeyReused, fingerprint, once
from events.outcomes import Reason, Refused, StaleRecord
from trials.models import Trial, User
from trials.permissions import Permission


REHEARSE = "rehearse"
"""What a form's other button is called, which keeps nothing."""


class DayField(forms.DateField):
    """A day, written as ISO does: a browser's own date box shows it in whatever order it likes."""

    def __init__(self, **options: Any) -> None:
        attrs = {"placeholder": "YYYY-MM-DD", "inputmode": "numeric", "autocomplete": "off"}
        widget = forms.DateInput(attrs=attrs, format="%Y-%m-%d")
        super().__init__(input_formats=["%Y-%m-%d"], widget=widget, **options)


class ServiceForm(forms.Form):
    """The fields one service takes. ``act`` calls it; ``reasons`` are those of a refusal."""

    title: ClassVar[str]
    icon: ClassVar[str]
    submit: ClassVar[str] = "Record"
    rehearsal: ClassVar[str] = ""  # the button that only says what would be found
    permission: ClassVar[Permission]
    service: ClassVar[Callable[..., Any]]
    note: ClassVar[str] = ""
    field_of: ClassVar[Mapping[str, str]] = {}  # beside which field a reason's code is shown

    key = forms.CharField(
        widget=forms.HiddenInput, initial=lambda: str(uuid.uuid4()), max_length=64
    )

    def __init__(self, *args: Any, by: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self.by = by
        self.reasons: tuple[Reason, ...] = ()
        for field in self.fields.values():
            _ask(field)

    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if name != "key"}

    def act(self, *, at: datetime) -> Any:
        service = type(self).service
        return service(by=self.by, at=at, **self.arguments())

    def refuse(self, refusal: Refused) -> None:
        self.reasons = refusal.reasons
        self.add_error(None, forms.ValidationError(refusal.title, code=refusal.code))
        for reason in refusal.reasons:
            name = self.field_of.get(reason.code, reason.detail.split(" ", 1)[0])
            if name in self.fields:
                self.add_error(name, forms.ValidationError(reason.detail, code=reason.code))


def offer_trials(form: ServiceForm, trials: QuerySet[Trial]) -> None:
    """Let a form's field choose one of these trials; the first one is chosen already."""
    field: Any = form.fields["trial"]
    field.queryset = trials.order_by("code")
    field.initial = field.queryset.first()


class TrialForm(ServiceForm):
    """A form whose service wants the id of a trial where the person has its permission."""

    trial = forms.ModelChoiceField(Trial.objects.none())

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        offer_trials(self, Trial.objects.with_permission(self.by, self.permission))

    def arguments(self) -> dict[str, Any]:
        found = super().arguments()
        trial = found.pop("trial")
        return {**found, "trial_id": trial.pk}


def _ask(field: forms.Field) -> None:
    """Let no choice be made by not choosing."""
    chosen_from_many = isinstance(field, forms.MultipleChoiceField | forms.ModelChoiceField)
    if isinstance(field, forms.ChoiceField) and not chosen_from_many:
        field.choices = [("", "Choose…"), *field.choices]  # type: ignore[misc]  # a list here


def send(form: ServiceForm, request: HttpRequest, *, at: datetime) -> str | None:
    """Call a valid form's service once; return the new row's id, or nothing when it refused."""
    sent = sorted(pair for pair in request.POST.lists() if pair[0] != "csrfmiddlewaretoken")
    print_ = fingerprint("POST", request.path, urlencode(sent, doseq=True).encode())
    try:
        answer = once(
            user_id=form.by.pk,
            key=f"form-{form.cleaned_data['key']}",
            print_=print_,
            at=at,
            act=lambda: (201, str(getattr(form.act(at=at), "pk", ""))),
        )
    except Refused as refusal:
        form.refuse(refusal)
    except StaleRecord as stale:
        form.add_error(None, forms.ValidationError(str(stale), code="stale"))
    except KeyReused:
        text = "This form was sent already. Open it afresh to record something else."
        form.add_error(None, forms.ValidationError(text, code="sent_already"))
    else:
        return answer.body
    return None


def form_page(
    model_admin: ReadOnlyAdmin,
    request: HttpRequest,
    form: ServiceForm,
    *,
    back: str,
    template: str = "admin/vigil/form.html",
    **context: Any,
) -> TemplateResponse:
    """Return the page of a service's form, with every reason if it was refused."""
    return TemplateResponse(
        request,
        template,
        {
            **model_admin.admin_site.each_context(request),
            "title": form.title,
            "form": form,
            "back": back,
            **context,
        },
    )
