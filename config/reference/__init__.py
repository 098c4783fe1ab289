"""The pages of ``docs/reference``, printed from the code they describe. Asks no database.

What the code cannot say for itself (the meaning of an environment variable) stands in
``variables``, and a variable without a meaning stops the printing.
"""

from collections.abc import Callable
from pathlib import Path

from config.reference.api import api_page
from config.reference.code import ROOT, public_functions
from config.reference.database import database_page
from config.reference.events import events_page
from config.reference.permissions import permissions_page
from config.reference.refusals import reason_families, refusals_page
from config.reference.states import states_page
from config.reference.variables import MEANINGS, settings_page


__all__ = [
    "MEANINGS",
    "pages",
    "public_functions",
    "reason_families",
    "settings_page",
    "stale",
    "write",
]

FOLDER = ROOT / "docs" / "reference"


def pages() -> dict[str, str]:
    """Return every page by its file name. Raises ``LookupError`` naming what is missing."""
    printers: dict[str, Callable[[], str]] = {
        "events.md": events_page,
        "refusals.md": refusals_page,
        "permissions.md": permissions_page,
        "settings.md": settings_page,
        "states.md": states_page,
        "api.md": api_page,
        "database.md": database_page,
    }
    return {name: printer() for name, printer in printers.items()}


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of pages that are missing, differ from the code, or belong to nothing."""
    wanted = pages()
    there = {path.name: path.read_text() for path in folder.glob("*.md")}
    return sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))


def write(folder: Path = FOLDER) -> list[str]:
    """Write what is stale, remove what belongs to nothing; return the names."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted, changed = pages(), stale(folder)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
    return changed
