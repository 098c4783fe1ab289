"""``python -m config.servers reset``: delete all local data, with no need of ``.venv``."""

import sys
from pathlib import Path

from config import servers
from config.processes import ProcessProblem, end_leftovers


def main(arguments: list[str]) -> int:
    root = Path(__file__).resolve().parents[2]
    if arguments != ["reset"]:
        sys.stderr.write("usage: python -m config.servers reset\n")
        return 2
    try:
        end_leftovers(root)
        servers.reset(root)
    except (ProcessProblem, servers.ServerProblem) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
