"""Protocol versions: submitted, compared, approved for a site, and put in force there."""

from datetime import date
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Query, Shape
from reporting.api.views import AnyAccept
from reporting.impact import LABELS
from reporting.services.amendments import activate_version, approved_sites, impact_of
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.api.protocol_checks import PredictabilityOut
from trials.api.serializers import ChangeOut, protocol_file
from trials.models import ProtocolVersion, Site, User
from trials.permissions import Permission
from trials.queries import VersionRow, version_for, version_rows
from trials.rules.protocol.amendment import changes
from trials.rules.protocol_check import predictability_of
from trials.services.amendments import record_approval, submit_version
from trials.services.withdrawn_starts import withdraw_start


MOST_SITES = 500


class WithdrawnStartOut(Shape):
    in_force_from = serializers.DateField()
    withdrawn_at = serializers.DateTimeField()
    withdrawn_by = serializers.CharField()
    reason = serializers.CharField()


class SiteVersionOut(Shape):
    site = serializers.CharField()
    approved_on = serializers.DateField(allow_null=True)
    reference = serializers.CharField()
    in_force_from = serializers.DateField(allow_null=True)
    in_force_until = serializers.DateField(
        allow_null=True, help_text="The first day of the version after it."
    )
    withdrawn = WithdrawnStartOut(
        many=True, help_text="Its starts there that were taken back before they came."
    )


class ProtocolVersionOut(Shape):
    version = serializers.CharField()
    digest = serializers.CharField()
    submitted_at = serializers.DateTimeField()
    activated_at = serializers.DateTimeField(
        allow_null=True, help_text="When it was first put in force anywhere."
    )
    sites = SiteVersionOut(many=True)


class ProtocolVersionIn(Shape):
    text = protocol_file()


class ApprovalIn(Shape):
    site = serializers.CharField(max_length=10)
    approved_on = serializers.DateField()
    reference = serializers.CharField(max_length=100)


class ApprovalOut(Shape):
    id = serializers.UUIDField()
    site = serializers.CharField(source="site.code")
    version = serializers.CharField(source="protocol_version.version")
    approved_on = serializers.DateField()
    reference = serializers.CharField()


class ActivationIn(Shape):
    sites = serializers.ListField(child=serializers.CharField(max_length=10), max_length=MOST_SITES)
    in_force_from = serializers.DateField()
    impact_digest = serializers.CharField(
        max_length=64, help_text="Of the impact report you have looked at."
    )


class ActivationOut(Shape):
    site = serializers.CharField(source="site.code")
    version = serializers.CharField(source="protocol_version.version")
    in_force_from = serializers.DateField()


class StartWithdrawalIn(Shape):
    sites = serializers.ListField(child=serializers.CharField(max_length=10), max_length=MOST_SITES)
    reason = serializers.CharField()


class StartWithdrawalOut(ActivationOut):
    withdrawn_at = serializers.DateTimeField()
    reason = serializers.CharField(source="withdrawn_because")


class ChangesQuery(Query):
    since = serializers.CharField(max_length=20, help_text="The version it is compared with.")


class ImpactQuery(Query):
    in_force_from = serializers.DateField()
    sites = serializers.CharField(
        max_length=MOST_SITES * 11, required=False, default="", allow_blank=True
    )


class EffectOut(Shape):
    effect = serializers.ChoiceField(
        choices=[(effect.value, label) for effect, label in LABELS.items()]
    )
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    detail = serializers.CharField()


class AffectedOut(Shape):
    subject = serializers.CharField()
    effects = EffectOut(many=True)


class SiteImpactOut(Shape):
    site = serializers.CharField()
    was = serializers.CharField()
    subjects = serializers.IntegerField()
    affected = AffectedOut(many=True)


class ImpactOut(Shape):
    trial = serializers.CharField()
    version = serializers.CharField()
    in_force_from = serializers.DateField()
    sites = SiteImpactOut(many=True)
    without_approval = serializers.ListField(child=serializers.CharField())
    digest = serializers.CharField(help_text="Send it with the activation.")


class ProtocolVersions(APIView):
    """The versions of a trial's protocol, and which site runs which from when."""

    @extend_schema(responses={200: ProtocolVersionOut(many=True)})
    def get(self, request: Request, code: str) -> Response:
        """Return every version with the sites' approvals and first days."""
        rows = version_rows(acting_user(request), code, at=timezone.now())
        return Response([_shown(row) for row in rows])

    @extend_schema(request=ProtocolVersionIn, responses={201: ProtocolVersionOut})
    def post(self, request: Request, code: str) -> HttpResponse:
        """Store a new version; it is in force nowhere yet."""
        body = valid(ProtocolVersionIn, request)

        def act() -> Any:
            by = acting_user(request)
            trial = trial_for(by, code, Permission.MANAGE_TRIAL)
            stored = submit_version(
                trial_id=trial.pk, protocol_text=body["text"], by=by, at=timezone.now()
            )
            return _shown(VersionRow(stored, ()))

        return recorded(request, act)


class ProtocolFile(APIView):
    """The file of one version, as it was submitted."""

    content_negotiation_class = AnyAccept

    @extend_schema(responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request, code: str, version: str) -> HttpResponse:
        """Return its text; not to whoever enrols, because it tells the sizes of blocks."""
        found = version_for(acting_user(request), code, version)
        answer = HttpResponse(found.text, content_type="text/plain; charset=utf-8")
        name = f"{code}-protocol-{version}.toml"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        answer["Cache-Control"] = "private, no-store"
        return answer


class ProtocolPredictability(APIView):
    """How well the next arm could be guessed under one version."""

    @extend_schema(responses={200: PredictabilityOut})
    def get(self, request: Request, code: str, version: str) -> Response:
        """Return it as ``protocol-checks`` does; not to whoever enrols."""
        found = version_for(acting_user(request), code, version)
        return Response(PredictabilityOut(predictability_of(found.protocol)).data)


class ProtocolChanges(APIView):
    """What one version changes, as a person would tell it."""

    @extend_schema(
        parameters=[OpenApiParameter("since", OpenApiTypes.STR, required=True)],
        responses={200: ChangeOut(many=True)},
    )
    def get(self, request: Request, code: str, version: str) -> Response:
        """Return the changes since another version, in the order of the file."""
        since = _asked(ChangesQuery, request)["since"]
        by = acting_user(request)
        before, after = (version_for(by, code, name) for name in (since, version))
        return Response(ChangeOut(changes(before.protocol, after.protocol), many=True).data)


class ProtocolImpact(APIView):
    """Whom a version affects, and how."""

    @extend_schema(
        parameters=[
            OpenApiParameter("in_force_from", OpenApiTypes.DATE, required=True),
            OpenApiParameter(
                "sites", OpenApiTypes.STR, description="codes with commas; default: all approved"
            ),
        ],
        responses={200: ImpactOut},
    )
    def get(self, request: Request, code: str, version: str) -> Response:
        """Return the subjects affected at these sites from a day on, and the report's digest."""
        query = _asked(ImpactQuery, request)
        by = acting_user(request)
        amendment = _to_activate(by, code, version)
        codes = [name for name in query["sites"].split(",") if name]
        places = _sites(amendment, codes) if codes else approved_sites(amendment)
        day: date = query["in_force_from"]
        impact = impact_of(version=amendment, sites=places, in_force_from=day, by=by)
        return Response({**impact.content(), "digest": impact.digest})


class ProtocolApprovals(APIView):
    """What lets a site run a version: the committee's or authority's approval."""

    @extend_schema(request=ApprovalIn, responses={201: ApprovalOut})
    def post(self, request: Request, code: str, version: str) -> HttpResponse:
        """Record one site's approval of a version."""
        body = valid(ApprovalIn, request)

        def act() -> Any:
            by = acting_user(request)
            amendment = _to_activate(by, code, version)
            (site,) = _sites(amendment, [body["site"]])
            approval = record_approval(
                site=site,
                version=amendment,
                approved_on=body["approved_on"],
                reference=body["reference"],
                by=by,
                at=timezone.now(),
            )
            return ApprovalOut(approval).data

        return recorded(request, act)


class ProtocolActivations(APIView):
    """A version comes into force at sites."""

    @extend_schema(request=ActivationIn, responses={201: ActivationOut(many=True)})
    def post(self, request: Request, code: str, version: str) -> HttpResponse:
        """Put a version in force at all the sites named, or at none."""
        body = valid(ActivationIn, request)

        def act() -> Any:
            by = acting_user(request)
            amendment = _to_activate(by, code, version)
            rows = activate_version(
                version=amendment,
                sites=_sites(amendment, body["sites"]),
                in_force_from=body["in_force_from"],
                impact_digest=body["impact_digest"],
                by=by,
                at=timezone.now(),
            )
            return ActivationOut(rows, many=True).data

        return recorded(request, act)


class ProtocolWithdrawals(APIView):
    """A version's start that has not come is taken back."""

    @extend_schema(request=StartWithdrawalIn, responses={201: StartWithdrawalOut(many=True)})
    def post(self, request: Request, code: str, version: str) -> HttpResponse:
        """Withdraw the version's start at all the sites named, or at none."""
        body = valid(StartWithdrawalIn, request)

        def act() -> Any:
            by = acting_user(request)
            amendment = _to_activate(by, code, version)
            rows = withdraw_start(
                version=amendment,
                sites=_sites(amendment, body["sites"]),
                reason=body["reason"],
                by=by,
                at=timezone.now(),
            )
            return StartWithdrawalOut(rows, many=True).data

        return recorded(request, act)


def _to_activate(by: User, code: str, version: str) -> ProtocolVersion:
    trial = trial_for(by, code, Permission.MANAGE_TRIAL)
    return ProtocolVersion.objects.select_related("trial").get(trial=trial, version=version)


def _sites(version: ProtocolVersion, codes: list[str]) -> list[Site]:
    found = list(version.trial.sites.filter(code__in=codes).order_by("code"))
    if unknown := sorted(set(codes) - {site.code for site in found}):
        raise ValidationError({"sites": [f"There is no site {name}." for name in unknown]})
    return found


def _shown(row: VersionRow) -> Any:
    version = row.version
    return ProtocolVersionOut(
        {
            "version": version.version,
            "digest": version.digest,
            "submitted_at": version.submitted_at,
            "activated_at": version.activated_at,
            "sites": row.sites,
        }
    ).data


def _asked(shape: type[Query], request: Request) -> dict[str, Any]:
    query: Any = shape(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    asked: dict[str, Any] = query.validated_data
    return asked
