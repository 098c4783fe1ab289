"""A request reads as who is known to ask, from then until its end (docs/decisions/0010).

Where else it is said for whom rows are read: ``trials.api.authentication`` for systems of sites,
``config.celery`` for tasks, ``config.console`` for commands.
"""

from collections.abc import Callable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from events.reading import forget_reader, read_as, read_as_nobody


class OneReader:
    """Begin and end every request with no reader: connections outlive requests."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        read_as_nobody()
        try:
            return self.get_response(request)
        finally:
            forget_reader()


class ReadsAsWhoIsLoggedIn(AuthenticationMiddleware):
    """Name the reader at the moment the session's user becomes known, and not before."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        logged_in = request.user

        def known() -> object:
            if logged_in.pk is not None:
                read_as(logged_in.pk)
            return logged_in

        request.user = SimpleLazyObject(known)  # type: ignore[assignment]  # as Django does
