"""An event of the tests' own, heard by two subscribers that each write one event more."""

from dataclasses import dataclass

from events.acting import as_system
from events.models import OutboxEvent
from events.outbox import publish
from events.outcomes import Event
from events.registry import subscribes_to


broken: set[str] = set()  # the subscribers that fail now


@dataclass(frozen=True, slots=True, kw_only=True)
class Rang(Event):
    type = "tests.Rang"
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(Event):
    type = "tests.Heard"
    by: str


@subscribes_to(Rang)
def front_door(event: OutboxEvent) -> None:
    _hear("front door", event)


@subscribes_to(Rang)
def back_door(event: OutboxEvent) -> None:
    _hear("back door", event)


def _hear(door: str, event: OutboxEvent) -> None:
    publish(Heard(stream=event.stream, by=door), caused_by=event)
    if door in broken:
        raise OSError(f"the {door} is stuck")


def ring(number: int = 1, *, stream: str = "bell") -> OutboxEvent:
    with as_system():
        return publish(Rang(stream=stream, number=number))


def heard() -> list[str]:
    return sorted(event.payload["by"] for event in OutboxEvent.objects.filter(type=Heard.type))
