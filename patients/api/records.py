"""One view class for every noun under a subject: list what is there, record one more."""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.paging import Pages
from events.api.recording import recorded, valid
from events.api.serializers import Shape
from patients.api.revisions import revision_read
from patients.models import Subject
from patients.models.subjects import Record
from patients.queries import with_version
from trials.api.authentication import acting_user


def subject_of(request: Request, subject_id: UUID) -> Subject:
    """Return a subject that the caller sees. Raises ``Subject.DoesNotExist`` otherwise."""
    return Subject.objects.visible_to(acting_user(request)).get(pk=subject_id)


class SubjectRecords(APIView):
    """The records of one kind of one subject.

    A subclass names the shapes, the model and the service; the service gets the body's fields as
    keywords, with ``subject_id``, ``by`` and ``at``.
    """

    takes: ClassVar[type[Shape]]
    answers: ClassVar[type[Shape]]
    model: ClassVar[type[Model]]
    record: ClassVar[Callable[..., Any]]
    answers_many: ClassVar[bool] = False
    pagination_class: ClassVar[type[Pages]] = Pages

    def rows(self, subject: Subject) -> QuerySet[Any]:
        order = (*(self.model._meta.ordering or ()), "recorded_at", "pk")
        return with_version(self.model._default_manager.filter(subject=subject).order_by(*order))

    def get(self, request: Request, subject_id: UUID) -> Response:
        """List the records, oldest first."""
        subject = subject_of(request, subject_id)
        pages = self.pagination_class()
        page = pages.paginate_queryset(self.rows(subject), request, view=self)
        return pages.get_paginated_response(self.answers(page, many=True).data)

    def post(self, request: Request, subject_id: UUID) -> HttpResponse:
        """Record one, or get every reason why not."""
        body = valid(self.takes, request)

        def act() -> Any:
            stored = type(self).record(
                subject_id=subject_id, by=acting_user(request), at=timezone.now(), **body
            )
            return self.answers(stored, many=self.answers_many).data

        return recorded(request, act, about=lambda _: subject_of(request, subject_id))


class Corrections(APIView):
    """Corrections of one record of one kind.

    A subclass names the shapes, the model and the service; the service gets the record's id under
    the name ``names``, the revision that was read, and the body's fields.
    """

    takes: ClassVar[type[Shape]]
    answers: ClassVar[type[Shape]]
    model: ClassVar[type[Record]]
    names: ClassVar[str]
    correct: ClassVar[Callable[..., Any]]

    def post(self, request: Request, record_id: UUID) -> HttpResponse:
        """Correct fields, with the reason. Send the revision you read as ``If-Match``."""
        body = valid(self.takes, request)
        body |= {self.names: record_id, "revision": revision_read(request)}
        by = acting_user(request)

        def act() -> Any:
            stored = type(self).correct(by=by, at=timezone.now(), **body)
            return self.answers(stored).data

        return recorded(
            request, act, about=lambda _: self.model.objects.visible_to(by).get(pk=record_id)
        )
