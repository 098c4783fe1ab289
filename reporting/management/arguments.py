"""What the report commands ask for, checked in words a person at a console can act on."""

import os
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

from django.core.management.base import CommandError

from trials.models import RoleAssignment, Trial, User
from trials.permissions import Role


def trial_called(code: str) -> Trial:
    """Return the trial. Raises ``CommandError`` if there is none."""
    found = Trial.objects.filter(code=code).first()
    if found is None:
        known = ", ".join(Trial.objects.order_by("code").values_list("code", flat=True)) or "none"
        raise CommandError(f"There is no trial {code} here (known: {known}).")
    return found


def user_called(name: str) -> User:
    """Return the active user. Raises ``CommandError`` if there is none."""
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None:
        raise CommandError(f"There is no active user {name}.")
    return found


def day_of(text: str) -> date:
    """Return a day. Raises ``CommandError`` for what is in no calendar."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is not a day like 2016-03-31.") from None


def instant_of(text: str | None) -> datetime | None:
    """Return an instant, which must say its offset, or nothing for nothing."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise CommandError(f"{text!r} is not an instant with its offset, like 2016-04-29T12:00Z.")


def writable(path: str) -> Path:
    """Return where to write. Raises ``CommandError`` if its folder is not there."""
    out = Path(path)
    if not out.absolute().parent.is_dir():
        raise CommandError(f"There is no folder {out.absolute().parent}.")
    if out.is_dir():
        raise CommandError(f"{out} is a folder; name a file in it.")
    return out


def write_whole(out: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all. Raises ``CommandError`` if it cannot be."""
    try:
        handle, draft = tempfile.mkstemp(dir=out.absolute().parent, prefix=f".{out.name}.")
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(out)
    except OSError as error:
        Path(draft).unlink(missing_ok=True)
        raise CommandError(f"{out} cannot be written: {error.strerror}.") from error


def only_person(trial: Trial, role: Role, now: datetime, *, option: str = "--by") -> User:
    """Return the one person who holds a role in the whole trial.

    Raises ``CommandError`` asking for the command's option if that is nobody or more than one.
    """
    roles = RoleAssignment.objects.in_force(now).filter(
        trial=trial, site=None, role=role, user__is_active=True
    )
    people = list(User.objects.filter(pk__in=roles.values("user")).order_by("username"))
    if len(people) != 1:
        names = ", ".join(person.username for person in people) or "nobody"
        raise CommandError(
            f"Say who asks with {option} USERNAME: the {role.label.lower()} of {trial.code} is "
            f"not one person ({names})."
        )
    return people[0]
