"""Pregnancy prevention, doses, kits."""

from typing import Any
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
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
from dosing.services.dispensing import dispense_kit
from dosing.services.kits import draw_kit_numbers, packing_list, supply_kits
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
from trials.models import Site, User
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

        there = Site.objects.visible_to(acting_user(request), Permission.SUPPLY_KITS)
        return recorded(
            request,
            act,
            about=lambda _: there.get(trial__code=body["trial"], code=body["site"]),
        )


class DrawFilter(django_filters.FilterSet):
    trial = django_filters.CharFilter(field_name="trial__code")
    site = django_filters.CharFilter(field_name="site__code")


class KitNumberDraws(generics.ListAPIView[KitNumberDraw]):
    """Kit numbers for a site, with what each is to hold dealt to them by chance."""

    serializer_class = shapes.ListedDrawOut
    filterset_class = DrawFilter
    queryset = KitNumberDraw.objects.none()

    def get_queryset(self) -> QuerySet[KitNumberDraw]:
        visible = KitNumberDraw.objects.visible_to(acting_user(self.request)).counted()
        return visible.select_related("trial", "site", "drawn_by").order_by("-drawn_at", "pk")

    @extend_schema(request=shapes.KitNumberDrawIn, responses={201: shapes.PackingListOut})
    def post(self, request: Request) -> HttpResponse:
        """Draw numbers that nobody was given before; the packing list comes back."""
        body = valid(shapes.KitNumberDrawIn, request)
        by = acting_user(request)

        def act() -> Any:
            trial_for(by, body["trial"], Permission.SUPPLY_KITS)
            return {"id": str(draw_kit_numbers(by=by, at=timezone.now(), **body).pk)}

        return recorded_then_shown(request, act, lambda kept: _packing_list(UUID(kept["id"]), by))


class PackingLists(APIView):
    """The packing list of a draw, once more."""

    @extend_schema(request=None, responses={201: shapes.PackingListOut})
    def post(self, request: Request, draw_id: UUID) -> HttpResponse:
        """Read what each number of a draw is to hold. Each reading is in the access log."""
        by = acting_user(request)
        get_object_or_404(KitNumberDraw.objects.visible_to(by), pk=draw_id)
        return recorded_then_shown(
            request, lambda: {"id": str(draw_id)}, lambda kept: _packing_list(draw_id, by)
        )


def _packing_list(draw_id: UUID, by: User) -> HttpResponse:
    kits = packing_list(draw_id=draw_id, by=by)
    shown = shapes.PackingListOut({"id": draw_id, "kits": kits}).data
    content = JSONRenderer().render(shown)
    return HttpResponse(content, content_type="application/json", status=201)
