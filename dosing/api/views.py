"""Pregnancy prevention, doses, kits."""

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from dosing.api import serializers as shapes
from dosing.models import (
    Counselling,
    Dispensation,
    DoseDecision,
    Kit,
    KitNumberDraw,
    PregnancyRisk,
    PregnancyTest,
    TreatmentEnd,
)
from dosing.services.decisions import decide_dose, end_treatment
from dosing.services.dispensing import dispense_kit, supply_kits
from dosing.services.kit_numbers import dealt, draw_kit_numbers
from dosing.services.pregnancy_prevention import (
    assess_pregnancy_risk,
    record_counselling,
    record_pregnancy_test,
)
from events.api.recording import recorded, recorded_then_shown, valid
from patients.api.records import SubjectRecords
from patients.models import Subject
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.permissions import Permission


class PregnancyRisks(SubjectRecords):
    """The pregnancy-prevention category, derived from what is recorded; the latest one holds."""

    takes, answers, model = shapes.PregnancyRiskIn, shapes.PregnancyRiskOut, PregnancyRisk
    record = staticmethod(assess_pregnancy_risk)


class Counsellings(SubjectRecords):
    """Pregnancy-prevention counselling."""

    takes, answers, model = shapes.CounsellingIn, shapes.CounsellingOut, Counselling
    record = staticmethod(record_counselling)


class PregnancyTests(SubjectRecords):
    """Pregnancy tests. Anything but negative shuts the gate at once."""

    takes, answers, model = shapes.PregnancyTestIn, shapes.PregnancyTestOut, PregnancyTest
    record = staticmethod(record_pregnancy_test)


class DoseDecisions(SubjectRecords):
    """The dose of each cycle, with what the rule proposed."""

    takes, answers, model = shapes.DoseDecisionIn, shapes.DoseDecisionOut, DoseDecision
    record = staticmethod(decide_dose)


class Dispensations(SubjectRecords):
    """Kits handed over. A closed gate answers 409 with every reason."""

    takes, answers, model = shapes.DispensationIn, shapes.DispensationOut, Dispensation
    record = staticmethod(dispense_kit)

    def rows(self, subject: Subject) -> QuerySet[Any]:
        return super().rows(subject).select_related("kit")


class TreatmentEnds(SubjectRecords):
    """The end of study treatment."""

    takes, answers, model = shapes.TreatmentEndIn, shapes.TreatmentEndOut, TreatmentEnd
    record = staticmethod(end_treatment)


class KitFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="site__trial__code")
    site = django_filters.CharFilter(field_name="site__code")
    number = django_filters.CharFilter(field_name="number")
    status = django_filters.ChoiceFilter(choices=Kit.Status.choices)


class Kits(generics.ListAPIView[Kit]):
    """The kits at your sites."""

    serializer_class = shapes.KitOut
    filterset_class = KitFilter
    queryset = Kit.objects.none()

    def get_queryset(self) -> QuerySet[Kit]:
        visible = Kit.objects.visible_to(acting_user(self.request))
        return visible.select_related("site").order_by("number")


class KitSupplies(APIView):
    """Kits that arrived at a site, entered by the unblinded supplier."""

    @extend_schema(request=shapes.KitSupplyIn, responses={201: shapes.KitSupplyOut})
    def post(self, request: Request) -> HttpResponse:
        """Enter kits with their sealed contents; only their number comes back."""
        body = valid(shapes.KitSupplyIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial_for(by, body["trial"], Permission.SUPPLY_KITS)
            return {"accepted": supply_kits(by=by, at=timezone.now(), **body)}

        return recorded(request, act)


class DrawFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="trial__code")


class KitNumberDraws(generics.ListAPIView[KitNumberDraw]):
    """Kit numbers for labels, drawn so that they mean nothing."""

    serializer_class = shapes.ListedDrawOut
    filterset_class = DrawFilter
    queryset = KitNumberDraw.objects.none()

    def get_queryset(self) -> QuerySet[KitNumberDraw]:
        visible = KitNumberDraw.objects.visible_to(acting_user(self.request)).counted()
        return visible.select_related("trial", "drawn_by").order_by("-drawn_at", "pk")

    @extend_schema(request=shapes.KitNumberDrawIn, responses={201: shapes.DealtNumbersOut})
    def post(self, request: Request) -> HttpResponse:
        """Draw numbers that nobody was given before."""
        body = valid(shapes.KitNumberDrawIn, request)
        by = acting_user(request)

        def act() -> Any:
            trial = trial_for(by, body["trial"], Permission.SUPPLY_KITS)
            draw = draw_kit_numbers(
                trial_id=trial.pk, count=body["count"], by=by, at=timezone.now()
            )
            return {"id": str(draw.pk), "count": body["count"]}

        def show(kept: dict[str, Any]) -> HttpResponse:
            return dealt_out(KitNumberDraw.objects.visible_to(by).get(pk=kept["id"]), status=201)

        return recorded_then_shown(request, act, show)


class OneKitNumberDraw(APIView):
    """The numbers of one draw, for whoever has the labels printed."""

    @extend_schema(responses=shapes.DealtNumbersOut)
    def get(self, request: Request, draw_id: UUID) -> HttpResponse:
        """Return them in an order by chance, another one each time."""
        answer = dealt_out(KitNumberDraw.objects.visible_to(acting_user(request)).get(pk=draw_id))
        answer["Cache-Control"] = "private, no-store"
        return answer


def dealt_out(draw: KitNumberDraw, *, status: int = 200) -> HttpResponse:
    """Answer with a draw's numbers in an order by chance, which is kept nowhere."""
    numbers = dealt(draw)
    content = JSONRenderer().render({"id": str(draw.pk), "count": len(numbers), "numbers": numbers})
    return HttpResponse(content, content_type="application/json", status=status)
