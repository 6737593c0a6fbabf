"""How the command line shows tables and progress; rich is loaded only where a terminal shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .tables import Table, printable, require

_GAP = 3  # what rich puts between two columns


def show_table(table: Table, out: Callable[[str], object]) -> None:
    """Print a table: in colour on a terminal, else as plain aligned text that nothing cuts short.

    On a terminal that is too narrow the columns come in blocks, each with the first column again.

    Parameters
    ----------
    table : Table
    out : callable
        Prints one string.
    """
    if not _is_terminal(sys.stdout):
        out(str(table))
        return
    console = require("rich.console", "cli").Console(highlight=False)
    styled = require("rich.table", "cli").Table
    text = require("rich.text", "cli").Text
    names, rows, right = list(table.columns), table.cells(), table.numeric()
    if table.title:
        console.print(text(printable(table.title), style="bold"))
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for number, block in enumerate(column_blocks(widths, console.width)):
        if number:
            console.print()
        shown = styled(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for k in block:
            shown.add_column(
                text(names[k]), justify="right" if right[k] else "left", no_wrap=True,
                min_width=widths[k], style="cyan" if k == 0 else None,
            )  # fmt: skip
        for row in rows:
            shown.add_row(*(text(row[k]) for k in block))
        console.print(shown, crop=False, overflow="ignore", soft_wrap=True)
    for note in table.notes:
        console.print(text(printable(note), style="dim"), soft_wrap=True)


def column_blocks(widths: list[int], room: int) -> list[list[int]]:
    """The columns cut into blocks that fit into `room`, the first column in each.

    Examples
    --------
    >>> column_blocks([5, 4, 4, 4], 20)
    [[0, 1, 2], [0, 3]]
    """
    blocks: list[list[int]] = []
    used = room + 1
    for k in range(1, len(widths)):
        if used + _GAP + widths[k] > room:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(k)
        used += _GAP + widths[k]
    return blocks or [[0]]


def _is_terminal(stream) -> bool:
    return stream is not None and stream.isatty()  # None: the shell closed it


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error, gone when it is done; None where that is no terminal.

    Parameters
    ----------
    what : str
        Shown before the bar.
    """
    if not _is_terminal(sys.stderr):
        yield None
        return
    console = require("rich.console", "cli").Console(stderr=True)
    progress = require("rich.progress", "cli").Progress(console=console, transient=True)
    with progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
