"""Notices: what somebody should look at, as the overview and the web admin tell it."""

import django_filters
from django.db.models import QuerySet
from rest_framework import generics, serializers

from events.api.serializers import Shape
from reporting.models import Notice
from trials.api.authentication import acting_user


class NoticeFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="trial__code")
    site = django_filters.CharFilter(field_name="site__code")
    subject = django_filters.UUIDFilter(field_name="subject_id")
    kind = django_filters.CharFilter(field_name="kind")


class NoticeOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    site = serializers.CharField(
        source="site.code", default=None, help_text="Where it happened; null: in the whole trial."
    )
    subject = serializers.UUIDField(source="subject_id", allow_null=True)
    kind = serializers.CharField()
    text = serializers.CharField()
    created_at = serializers.DateTimeField()
    mailed_at = serializers.DateTimeField(
        allow_null=True, help_text="When it was first sent to somebody by e-mail; null: not sent."
    )
    unsent_mails = serializers.IntegerField(
        help_text="To how many people its e-mail is not sent: they wait, or it was given up."
    )


class Notices(generics.ListAPIView[Notice]):
    """What happened to your subjects that somebody should look at, the newest first.

    Whoever audits the looks of a whole trial also reads that a subject was unblinded, never what.
    """

    serializer_class = NoticeOut
    filterset_class = NoticeFilter
    queryset = Notice.objects.none()

    def get_queryset(self) -> QuerySet[Notice]:
        visible = Notice.objects.visible_to(acting_user(self.request)).with_mails()
        return visible.select_related("trial", "site").order_by("-created_at", "pk")
