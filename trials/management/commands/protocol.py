"""``manage.py protocol check FILE``: every problem of a protocol file, by line and rule."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trials.rules.protocol import Protocol, ProtocolInvalid, digest, load_protocol


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


def _described(protocol: Protocol) -> str:
    arms = ", ".join(f"{arm.label} ({arm.ratio})" for arm in protocol.arms)
    return f"{protocol.trial.code} {protocol.version}, {arms}, {len(protocol.strata)} strata"
