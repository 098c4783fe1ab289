"""The notices' e-mails, beside the deliveries: to whom, when, and what was not sent."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from unfold.decorators import display

from events.admin import ReadOnlyAdmin
from reporting.models import NoticeMail
from reporting.services.mails import mails_of, send_again
from trials.admin_site import person, site
from trials.permissions import Permission


class MailState(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name.capitalize()) for name in ("waiting", "sent", "dead", "dropped")]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        if self.value() == "waiting":
            return rows.waiting()
        ended = {"sent": "sent_at", "dead": "dead_at", "dropped": "dropped_at"}
        end = ended.get(self.value() or "")
        return rows.exclude(**{end: None}) if end else rows


@admin.register(NoticeMail, site=site)
class NoticeMailAdmin(ReadOnlyAdmin):
    read_permission = Permission.MANAGE_DELIVERIES
    list_display = ("event", "person", "state", "sent_at", "next_try", "last_error")
    fields = ("event", "person", "state", "sent_at", "next_try", "attempts", "last_error")
    list_filter = (MailState,)
    list_select_related = ("event", "person")
    ordering = ("-event_id", "person__username")
    actions: ClassVar[Any] = ("send_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[NoticeMail]:
        return mails_of(person(request))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if not settings.MAIL_ON and request.method == "GET":
            said = "No mail server is set, so nothing is sent: VIGIL_EMAIL_URL names one."
            messages.warning(request, said)
        return super().changelist_view(request, extra_context)

    @display(
        description="State",
        label={"dead": "danger", "waiting": "warning", "sent": "success", "dropped": "info"},
    )
    def state(self, row: NoticeMail) -> str:
        ends = {"sent": row.sent_at, "dead": row.dead_at, "dropped": row.dropped_at}
        return next((name for name, at in ends.items() if at), "waiting")

    @display(description="Next try", empty_value="–")
    def next_try(self, row: NoticeMail) -> str | None:
        waits = self.state(row) == "waiting"
        return date_format(row.due_at, "DATETIME_FORMAT") if waits else None

    @admin.action(description="Send dead e-mails again")
    def send_again(self, request: HttpRequest, rows: QuerySet[NoticeMail]) -> None:
        count = send_again(rows, by=person(request), at=timezone.now())
        messages.success(request, f"{count} dead e-mails are due again; others are left alone.")
