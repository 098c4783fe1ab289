"""The page of events: what each holds, who publishes it, who hears it."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import NoneType, UnionType
from typing import Any, get_args
from uuid import UUID

from config.reference.code import modules, named_in, own_classes
from config.reference.markdown import code, codes, doc, page, table
from events.outcomes import Event
from events.registry import subscribers_of


def events_page() -> str:
    publishers = named_in("Publishes")
    intro = (
        "What Vigil says has happened. Each is stored in the transaction that made it true, is "
        "numbered after commit, and can be read at `GET /api/v1/events`. The stream is the trial's "
        "code. No event holds an arm, the contents of a kit, or a name."
    )
    return page("Events", intro, *(_event(each, publishers) for each in event_classes()))


def event_classes() -> list[type[Event]]:
    """Return every event that can be published, by its type."""
    found = [each for module in modules("events") for each in own_classes(module, Event)]
    return sorted((each for each in found if "type" in vars(each)), key=lambda each: each.type)


def _event(event: type[Event], publishers: Mapping[str, Sequence[str]]) -> str:
    rows = [
        (code(field.name), _type_in_words(field.type))
        for field in dataclasses.fields(event)
        if field.name != "stream"
    ]
    heard = codes(subscribers_of(event.type)) or "nobody in Vigil; the feed alone"
    published = codes(publishers.get(event.__name__, ())) or "nobody"
    return "\n\n".join(
        [
            f"## `{event.type}`",
            f"{doc(event)} Version {event.version}.",
            table(("field", "holds"), rows),
            f"Published by {published}.\n\nHeard by {heard}.",
        ]
    )


def _type_in_words(kind: Any) -> str:
    words: dict[Any, str] = {
        UUID: "identifier (UUID)",
        date: "day",
        datetime: "instant",
        str: "text",
        int: "whole number",
        bool: "true or false",
    }
    if isinstance(kind, UnionType):
        held = [each for each in get_args(kind) if each is not NoneType]
        return " or ".join(_type_in_words(each) for each in held) + ", or nothing"
    if kind == tuple[str, ...]:
        return "list of texts"
    return words[kind]
