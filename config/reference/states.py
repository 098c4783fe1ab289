"""The page of states and other fixed words."""

from enum import StrEnum

from django.db.models import TextChoices

from config.reference.code import choices, members
from config.reference.markdown import code, doc, page, table
from config.reference.refusals import reason_families


def states_page() -> str:
    intro = (
        "The fixed words of records and reports. The first column is what is stored and sent; it "
        "does not change."
    )
    stored, reasons = choices(TextChoices), reason_families()
    known = {tuple(each.value for each in members(family)) for family in stored.values()}
    said = {
        name: family
        for name, family in choices(StrEnum).items()
        if name not in reasons
        and not name.startswith("trials.permissions.")
        and tuple(each.value for each in members(family)) not in known
    }
    sections = [_words(name, family) for name, family in {**stored, **said}.items()]
    return page("States and other fixed words", intro, *sections)


def _words(name: str, family: type) -> str:
    rows = [
        (code(each.value), str(getattr(each, "label", each.value.replace("_", " ").capitalize())))
        for each in members(family)
    ]
    about = doc(family)
    return "\n\n".join(
        [f"## `{name}`", *([about] if about else []), table(("word", "label"), rows)]
    )
