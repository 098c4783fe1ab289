from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.chain import lay_links, verify
from events.models import OutboxEvent


class Command(BaseCommand):
    help = "Recompute the hash chain of each stream and report every gap and every changed event."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--stream", help="one stream (a trial's code); default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        lay_links()
        streams = OutboxEvent.objects.order_by("stream").values_list("stream", flat=True).distinct()
        wanted = [options["stream"]] if options["stream"] else list(streams)
        broken = False
        for stream in wanted:
            found = verify(stream)
            self.stdout.write(
                f"{stream}: {found.length} events, head {found.head[:16]}, "
                f"{found.unnumbered} not yet numbered"
            )
            for fault in found.faults:
                self.stdout.write(f"  event {fault.seq} {fault.problem}")
            broken = broken or bool(found.faults)
        if not wanted:
            self.stdout.write("No events yet.")
        if broken:
            raise CommandError("The chain does not hold.")
