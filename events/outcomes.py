"""The two ends of every service: an event that says what happened, or a refusal and why."""

import dataclasses
from typing import ClassVar


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a refusal. ``code`` is stable; ``detail`` is for the person who reads it."""

    code: str
    detail: str


class Refused(Exception):
    """A rule said no, and nothing was changed. Shown as 409 with every reason."""

    code: ClassVar[str] = "refused"
    title: ClassVar[str] = "The request was refused"

    def __init__(self, *reasons: Reason) -> None:
        if not reasons:
            raise ValueError("a refusal needs a reason")
        self.reasons = reasons
        super().__init__("; ".join(reason.detail for reason in reasons))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: past tense, plain values, identifiers and never an arm or a name.

    ``stream`` is the chain it belongs to (a trial's code). A subclass sets ``type``, and raises
    ``version`` when a field changes its meaning.
    """

    type: ClassVar[str]
    version: ClassVar[int] = 1
    stream: str

    def payload(self) -> dict[str, object]:
        fields = dataclasses.asdict(self)
        del fields["stream"]
        return fields


class StaleRecord(Exception):
    """The record has changed since the caller read it. Shown as 412."""
