"""Which function hears which event. Filled by each app's ``subscribers.py`` when Django starts."""

from collections.abc import Callable

from events.models import OutboxEvent
from events.outcomes import Event


Subscriber = Callable[[OutboxEvent], None]

_by_name: dict[str, Subscriber] = {}
_by_type: dict[str, list[str]] = {}


def subscribes_to(*events: type[Event]) -> Callable[[Subscriber], Subscriber]:
    """Register a function for event types under its own dotted name.

    It runs in the transaction that marks its delivery done, so what it writes takes effect once.
    What reaches outside the database (mail, HTTP) may run again after a crash and must bear it.
    """

    def register(function: Subscriber) -> Subscriber:
        name = f"{function.__module__}.{function.__name__}"
        if name in _by_name:
            raise RuntimeError(f"{name} is registered twice")
        _by_name[name] = function
        for event in events:
            _by_type.setdefault(event.type, []).append(name)
        return function

    return register


def subscribers_of(event_type: str) -> tuple[str, ...]:
    return tuple(_by_type.get(event_type, ()))


def subscriber(name: str) -> Subscriber:
    """Return the function. Raises ``LookupError`` if the code no longer has it."""
    if name not in _by_name:
        raise LookupError(f"no subscriber is called {name}")
    return _by_name[name]
