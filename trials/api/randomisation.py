"""Randomisation lists: drafted sealed, checked by dry run, approved by two, published by digest."""

import dataclasses
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.models import RandomisationList
from trials.permissions import Permission
from trials.rules.dry_run import DryRun, StratumRun
from trials.services.lists import (
    approve_list,
    dry_run,
    generate_list,
    load_list,
    withdraw_list,
)


MOST_ENTRIES = 10_000


class ListEntryIn(Shape):
    stratum = serializers.CharField(max_length=20)
    arm = serializers.CharField(max_length=20)


class RandomisationListIn(Shape):
    trial = serializers.CharField(max_length=40)
    made_for = serializers.CharField(
        max_length=40, help_text="The trial's code as it is written in the list itself."
    )
    entries = ListEntryIn(many=True, help_text="In the order of allocation within each stratum.")
    reason = serializers.CharField(max_length=2000)

    def validate_entries(self, value: list[dict[str, str]]) -> list[dict[str, str]]:
        if len(value) > MOST_ENTRIES:
            raise serializers.ValidationError(f"At most {MOST_ENTRIES} entries.")
        return value


class GeneratedListIn(Shape):
    trial = serializers.CharField(max_length=40)
    seed = serializers.CharField(
        max_length=200,
        required=False,
        default="",
        allow_blank=True,
        help_text="16 characters or more; drawn by the system if missing. It is kept sealed.",
    )
    length = serializers.IntegerField(
        min_value=1,
        max_value=MOST_ENTRIES,
        required=False,
        default=None,
        allow_null=True,
        help_text="Places of each stratum, or draws in a minimisation; the protocol's if missing.",
    )
    reason = serializers.CharField(max_length=2000)


class ListApprovalOut(Shape):
    approved_by = serializers.CharField(source="approved_by.username")
    approved_at = serializers.DateTimeField()


class RandomisationListOut(Shape):
    """What everybody of the trial may know of a list: nothing of its contents or its size."""

    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    number = serializers.IntegerField(help_text="1 is the first list, the others extend it.")
    state = serializers.CharField()
    origin = serializers.CharField()
    generator = serializers.CharField()
    digest = serializers.CharField(help_text="Commits to the list without showing it.")
    made_by = serializers.CharField(source="made_by.username")
    made_at = serializers.DateTimeField()
    approvals = ListApprovalOut(many=True, source="approvals.all")
    live_at = serializers.DateTimeField(allow_null=True)


class ListApprovalIn(Shape):
    digest = serializers.CharField(max_length=64, help_text="As the dry run shows it.")


class ListWithdrawalIn(Shape):
    reason = serializers.CharField(max_length=2000)


class RandomisationLists(generics.ListAPIView[RandomisationList]):
    """Live lists of your trials, by the digest that commits to them; drafts for statisticians."""

    serializer_class = RandomisationListOut
    queryset = RandomisationList.objects.none()

    def get_queryset(self) -> QuerySet[RandomisationList]:
        visible = RandomisationList.objects.visible_to(acting_user(self.request))
        return whole(visible).order_by("trial__code", "number", "made_at")

    @extend_schema(request=RandomisationListIn, responses={201: RandomisationListOut})
    def post(self, request: Request) -> HttpResponse:
        """Load a list made elsewhere, as a draft. Nothing of its contents is ever returned."""
        body = valid(RandomisationListIn, request)

        def act() -> Any:
            trial = trial_for(acting_user(request), body["trial"], Permission.LOAD_LIST)
            stored = load_list(
                trial_id=trial.pk,
                made_for=body["made_for"],
                entries=[(entry["stratum"], entry["arm"]) for entry in body["entries"]],
                reason=body["reason"],
                by=acting_user(request),
                at=timezone.now(),
            )
            return RandomisationListOut(stored).data

        return recorded(request, act)


class GeneratedLists(APIView):
    """Lists generated here from a seed, by the protocol's design."""

    @extend_schema(request=GeneratedListIn, responses={201: RandomisationListOut})
    def post(self, request: Request) -> HttpResponse:
        """Generate a list, as a draft. Neither the seed nor the contents are returned."""
        body = valid(GeneratedListIn, request)

        def act() -> Any:
            trial = trial_for(acting_user(request), body.pop("trial"), Permission.LOAD_LIST)
            stored = generate_list(
                trial_id=trial.pk, by=acting_user(request), at=timezone.now(), **body
            )
            return RandomisationListOut(stored).data

        return recorded(request, act)


class ListApprovals(APIView):
    """Approvals of a draft. The second person's makes it live."""

    @extend_schema(request=ListApprovalIn, responses={201: RandomisationListOut})
    def post(self, request: Request, list_id: UUID) -> HttpResponse:
        """Approve a draft by the digest you saw in its dry run."""
        body = valid(ListApprovalIn, request)

        def act() -> Any:
            found = approve_list(
                list_id=list_id, by=acting_user(request), at=timezone.now(), **body
            )
            return RandomisationListOut(found).data

        return recorded(request, act)


class ListWithdrawals(APIView):
    """Withdrawals of a draft."""

    @extend_schema(request=ListWithdrawalIn, responses={201: RandomisationListOut})
    def post(self, request: Request, list_id: UUID) -> HttpResponse:
        """Set a draft aside for good. A live list cannot be withdrawn."""
        body = valid(ListWithdrawalIn, request)

        def act() -> Any:
            found = withdraw_list(
                list_id=list_id, by=acting_user(request), at=timezone.now(), **body
            )
            return RandomisationListOut(found).data

        return recorded(request, act)


class ListDryRun(APIView):
    """The dry run of a draft: it shows arms, and is for those who approve lists alone."""

    @extend_schema(
        parameters=[OpenApiParameter("list_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        responses={200: OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, list_id: UUID) -> Response:
        """Return order, counts, ratio, blocks, strata, and the places beside the planned accrual.

        ``room`` and ``remarks`` say in words what the approvers should know. Each look is in the
        access log.
        """
        report = dry_run(list_id=list_id, by=acting_user(request))
        return Response(as_json(report), headers={"Cache-Control": "private, no-store"})


def whole(lists: QuerySet[RandomisationList]) -> QuerySet[RandomisationList]:
    return lists.select_related("trial", "made_by").prefetch_related("approvals__approved_by")


def as_json(report: DryRun) -> dict[str, Any]:
    """Return a dry run as plain values; a minimisation has draws in place of strata."""
    rates = {"blind": report.guesses.blind, "best": report.guesses.best.right}
    if report.guesses.unaware:
        rates["unaware_of_sizes"] = report.guesses.unaware.right
    return {
        "digest": report.digest,
        "method": report.design.method,
        "ratio": {arm.code: arm.ratio for arm in report.design.arms},
        "places": report.places,
        "places_before": report.places_before,
        "planned_accrual": report.planned,
        "room": report.room,
        "remarks": list(report.remarks),
        "counts": report.counts,
        "strata": [_stratum(run) for run in report.strata],
        "draws": list(report.draws),
        "guess_rate": {name: round(float(rate), 4) for name, rate in rates.items()},
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
    }


def _stratum(run: StratumRun) -> dict[str, Any]:
    return {
        "stratum": run.holds.stratum,
        "label": run.label,
        "places": run.holds.places,
        "counts": dict(run.holds.by_arm),
        "whole_blocks": run.holds.whole_blocks,
        "open_places": run.holds.open_places,
        "longest_run": run.longest_run,
        "arms": list(run.arms),
    }
