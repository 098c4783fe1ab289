#!/usr/bin/env python
"""Vigil's command line."""

import os
import sys


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.stderr.write("Django is not installed here: run `make setup`, then .venv/bin/python.\n")
        return 1
    from config.absence import Absent, explained

    try:
        with explained():
            from config.console import commands_read_as_system

            commands_read_as_system(sys.argv)
            execute_from_command_line(sys.argv)
    except Absent as absent:
        sys.stderr.write(f"{absent}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
