"""The command line: ``nngraph demo``, ``analyze``, ``prune``, ``show``, ``methods`` and others."""

from __future__ import annotations

import sys

from ._errors import MissingExtraError
from .tables import require


def main() -> None:
    """Run the command that the shell's arguments name; the entry point ``nngraph``."""
    try:
        require("click", "cli")
    except MissingExtraError as error:
        sys.exit(f"error: {error}")
    from ._commands import main as run

    run(prog_name="nngraph")


if __name__ == "__main__":
    main()
