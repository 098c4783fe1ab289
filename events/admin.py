"""What every page of the web admin has in common: it shows, and changes nothing by itself."""

from typing import Any, ClassVar

from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin


class ReadOnlyAdmin(ModelAdmin):
    """Rows to look at: only the user's own, with no form, no delete button and no Django rights.

    ``read_permission`` is asked of ``request.user.may``; the rows start from ``visible_to``. A row
    the user cannot see is a 404, like one that is not there.
    """

    read_permission: ClassVar[Any]
    actions: ClassVar[Any] = None
    list_per_page = 50
    list_filter_sheet = False
    list_disable_select_all = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.visible_to(request.user)
        return rows

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        person: Any = request.user
        return bool(person.may(self.read_permission))

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def _get_obj_does_not_exist_redirect(self, *args: Any) -> HttpResponse:
        raise Http404

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Answer no address but those of the page's own filters.

        Django would let an address ask about any column, shown or not, and a secret could be read
        from whether the row appears.
        """
        return lookup.partition("__")[0] in {_asked(each) for each in self.get_list_filter(request)}

    def row_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row of a page. Raises ``Http404`` for one the user does not see."""
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return row

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """The row history stands on the subject's page; Django's own log is not kept."""
        raise Http404

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry | None:
        return None


def _asked(list_filter: Any) -> str:
    """Return the word a filter has in an address: its own, or that of its column."""
    if isinstance(list_filter, str | tuple):
        name = list_filter if isinstance(list_filter, str) else list_filter[0]
        return str(name).partition("__")[0]
    return str(list_filter.parameter_name)
