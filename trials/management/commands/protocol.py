"""``manage.py protocol check FILE``: every problem of a protocol file, by line and rule."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trials.rules.protocol import Protocol, ProtocolInvalid, digest, load_protocol
from trials.rules.randomisation import Rate, design_of, guess_rate


class Command(BaseCommand):
    help = "Check a protocol file and name every problem in it, by line, key and rule."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        check = acts.add_parser("check", help="name every problem of a file")
        check.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        try:
            protocol = load_protocol(text)
        except ProtocolInvalid as invalid:
            for problem in invalid.problems:
                self.stdout.write(
                    f"{path}:{problem.line}: {problem.key or 'file'}: "
                    f"{problem.message} [{problem.rule}]"
                )
            raise CommandError(f"{len(invalid.problems)} problems; nothing was stored.") from None
        self.stdout.write(
            f"{path}: {_described(protocol)}, sha256 {digest(text)[:16]}. No problem."
        )
        for line in _predictability(protocol):
            self.stdout.write(f"  {line}")


def _described(protocol: Protocol) -> str:
    arms = ", ".join(f"{arm.label} ({arm.ratio})" for arm in protocol.arms)
    return f"{protocol.trial.code} {protocol.version}, {arms}, {len(protocol.strata)} strata"


def _predictability(protocol: Protocol) -> Iterator[str]:
    """Say what somebody would guess right who saw every earlier arm, and how that is known."""
    design = design_of(protocol)
    found = guess_rate(design)
    yield (
        f"Randomisation: {design.method}. An observer of every earlier arm guesses"
        f" {_rate(found.best)}; without looking, {_percent(found.blind)}."
    )
    if found.unaware:
        yield f"That is if each block's size is known; if not: {_rate(found.unaware)}."
    if reason := protocol.randomisation.predictability_reason:
        yield f"Accepted because: {reason}"


def _rate(rate: Rate) -> str:
    if rate.exact:
        how = f"exact: {rate.right}, certain {rate.certain}"
    else:
        how = f"simulated, {rate.simulated_places} places"
    return f"{_percent(rate.right)} right, {_percent(rate.certain)} for certain ({how})"


def _percent(share: Fraction) -> str:
    return f"{float(share):.1%}"
