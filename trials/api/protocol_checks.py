"""A protocol file checked before it is submitted: all its problems, or what it would bring."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from events.api.recording import recorded, valid
from events.api.serializers import Shape
from trials.api.access import trial_for
from trials.api.authentication import acting_user
from trials.api.serializers import ChangeOut, protocol_file
from trials.permissions import Permission
from trials.rules.protocol_check import Checked
from trials.services.protocol_files import check_protocol


class ProtocolCheckIn(Shape):
    trial = serializers.CharField(
        max_length=40, allow_null=True, help_text="null: the file is for a trial to be started."
    )
    text = protocol_file()


class ProblemOfFile(Shape):
    line = serializers.IntegerField(
        allow_null=True, help_text="From 1; null for what is not about one line."
    )
    key = serializers.CharField(help_text="Dotted, as in dosing.cycle_days.")
    rule = serializers.CharField()
    detail = serializers.CharField()


class RateOut(Shape):
    right = serializers.FloatField(help_text="The share of right guesses.")
    certain = serializers.FloatField(help_text="The share of places known for certain.")
    exact = serializers.BooleanField(help_text="false: simulated, always with the same seed.")


class PredictabilityOut(Shape):
    """What somebody guesses who saw every earlier arm: ``best``, with each block's size known."""

    method = serializers.CharField()
    without_looking = serializers.FloatField(source="guesses.blind")
    best = RateOut(source="guesses.best")
    block_sizes_unknown = RateOut(source="guesses.unaware", allow_null=True)
    accepted_because = serializers.CharField()


class ProtocolCheckOut(Shape):
    version = serializers.CharField(help_text="Empty if the file cannot be read.")
    problems = ProblemOfFile(many=True)
    changes = ChangeOut(many=True, help_text="Since the trial's version now.")
    predictability = PredictabilityOut(allow_null=True)


class ProtocolChecks(APIView):
    """Protocol files, checked and not kept."""

    @extend_schema(request=ProtocolCheckIn, responses={201: ProtocolCheckOut})
    def post(self, request: Request) -> HttpResponse:
        """Return every problem of a file, what it changes, and how predictable its arms are."""
        body = valid(ProtocolCheckIn, request)

        def act() -> Any:
            by = acting_user(request)
            code = body["trial"]
            trial = None if code is None else trial_for(by, code, Permission.MANAGE_TRIAL)
            checked = check_protocol(
                trial_id=trial.pk if trial else None, protocol_text=body["text"], by=by
            )
            return _shown(checked)

        return recorded(request, act)


def _shown(checked: Checked) -> Any:
    of_file = [
        {"line": one.line, "key": one.key, "rule": one.rule, "detail": one.message}
        for one in checked.problems
    ]
    of_trial = [
        {"line": None, "key": "", "rule": one.code, "detail": one.detail} for one in checked.reasons
    ]
    return ProtocolCheckOut(
        {
            "version": checked.protocol.version if checked.protocol else "",
            "problems": of_file + of_trial,
            "changes": checked.changes,
            "predictability": checked.predictability,
        }
    ).data
