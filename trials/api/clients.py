"""Credentials of programs, for whoever looks after them.

A secret is in the first answer alone. What is kept to answer a repeated request does not hold it.
"""

import json
import uuid
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.api.proofs import ProofIn, with_proof
from trials.api.scopes import Scope
from trials.models import MachineClient, Site, Trial
from trials.permissions import Permission
from trials.rules.log_ins import ClientPolicy
from trials.services.clients import end_client, give_client, give_site_client, renew_client


MOST_HOURS = int(ClientPolicy().longest_overlap / timedelta(hours=1))


class ClientOut(Shape):
    id = serializers.UUIDField()
    trial = serializers.CharField(source="trial.code")
    name = serializers.CharField()
    client_id = serializers.CharField(source="application.client_id")
    acts_as = serializers.CharField(source="user.username")
    scopes = serializers.ListField(child=serializers.CharField())
    expires_on = serializers.DateField()
    given_at = serializers.DateTimeField()
    renewed_at = serializers.DateTimeField(allow_null=True)
    previous_secret_until = serializers.DateTimeField(source="previous_until", allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class ListedClient(ClientOut):
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="Its last token.")


class GivenClient(ClientOut):
    secret = serializers.CharField(allow_null=True, help_text="In the first answer alone.")


class ClientIn(ProofIn):
    trial = serializers.CharField(max_length=40)
    site = serializers.CharField(
        max_length=10, allow_null=True, default=None, help_text="Without one: a client of your own."
    )
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField([scope.value for scope in Scope]),
        min_length=1,
        max_length=len(Scope),
    )
    expires_on = serializers.DateField()


class RenewalIn(ProofIn):
    expires_on = serializers.DateField()
    overlap_hours = serializers.IntegerField(
        min_value=0, max_value=MOST_HOURS, help_text="How long the old secret holds beside the new."
    )


class EndIn(Shape):
    reason = serializers.CharField(max_length=300)


class Clients(generics.ListAPIView[MachineClient]):
    """Clients you manage, and your own."""

    serializer_class = ListedClient
    queryset = MachineClient.objects.none()

    def get_queryset(self) -> QuerySet[MachineClient]:
        visible = MachineClient.objects.visible_to(acting_user(self.request)).with_last_use()
        return visible.select_related("trial", "user", "application").order_by("given_at", "pk")

    @extend_schema(request=ClientIn, responses={201: GivenClient})
    def post(self, request: Request) -> HttpResponse:
        """Give a site's system, or a program of your own, credentials. The secret is shown once."""
        body = with_proof(request, valid(ClientIn, request))
        by = acting_user(request)
        shown: list[str] = []

        def act() -> Any:
            asked = {name: body[name] for name in ("name", "scopes", "expires_on", "proof")}
            asked |= {"by": by, "at": timezone.now()}
            if body["site"] is None:
                trial = Trial.objects.visible_to(by).get(code=body["trial"])
                client, secret = give_client(trial=trial, user=by, **asked)
            else:
                trial = trial_for(by, body["trial"], Permission.MANAGE_CLIENTS)
                site = Site.objects.get(trial=trial, code=body["site"])
                client, secret = give_site_client(site=site, **asked)
            shown.append(secret)
            return ClientOut(client).data

        return with_secret(recorded(request, act), shown)


class ClientRenewals(APIView):
    """A new secret for a client, the old one beside it for a time."""

    @extend_schema(request=RenewalIn, responses={201: GivenClient})
    def post(self, request: Request, client_id: uuid.UUID) -> HttpResponse:
        """Renew a client. The new secret is shown once."""
        body = with_proof(request, valid(RenewalIn, request))
        shown: list[str] = []

        def act() -> Any:
            client, secret = renew_client(
                client_id=client_id,
                expires_on=body["expires_on"],
                overlap=timedelta(hours=body["overlap_hours"]),
                proof=body["proof"],
                by=acting_user(request),
                at=timezone.now(),
            )
            shown.append(secret)
            return ClientOut(client).data

        return with_secret(recorded(request, act), shown)


class ClientEnds(APIView):
    """The end of a client's credentials, at once."""

    @extend_schema(request=EndIn, responses={201: ClientOut})
    def post(self, request: Request, client_id: uuid.UUID) -> HttpResponse:
        """End a client and every access token it holds."""
        body = valid(EndIn, request)
        by = acting_user(request)

        def act() -> Any:
            client = end_client(
                client_id=client_id, reason=body["reason"], by=by, at=timezone.now()
            )
            return ClientOut(client).data

        return recorded(request, act)


def with_secret(response: HttpResponse, shown: list[str], *, name: str = "secret") -> HttpResponse:
    """Put the secret into a first answer, after what is kept of it has been kept without."""
    if response.status_code == 201:
        body = json.loads(response.content) | {name: shown[0] if shown else None}
        response.content = json.dumps(body).encode()
    response["Cache-Control"] = "no-store"
    return response
