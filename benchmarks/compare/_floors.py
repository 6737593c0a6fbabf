"""What every script here shares: interleaved minima of CPU or wall time, and one line per floor."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable


def quick_flag(description: str) -> bool:
    """Whether ``--quick`` was given."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a version under a minute")
    return parser.parse_args().quick


def best_times(
    functions: list[Callable[[], object]], repeats: int, in_a_row: int = 3
) -> list[float]:
    """Least wall time of each function, runs interleaved so that a busy machine hits all alike.

    Each is run a few times in a row, so that none is timed on caches that another has filled.
    """
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for k, function in enumerate(functions):
            for _ in range(in_a_row):
                start = time.perf_counter()
                function()
                best[k] = min(best[k], time.perf_counter() - start)
    return best


class Floors:
    """Collects floors, prints each as it is measured, and ends the script with the verdict."""

    def __init__(self) -> None:
        self._short = 0

    def at_least(self, name: str, measured: float, floor: float, note: str = "") -> None:
        """A ratio that must be `floor` or more."""
        self._line(name, measured, f">= {floor:g}", measured >= floor, note)

    def at_most(self, name: str, measured: float, limit: float, note: str = "") -> None:
        """A ratio or amount that must be `limit` or less."""
        self._line(name, measured, f"<= {limit:g}", measured <= limit, note)

    def _line(self, name: str, measured: float, bound: str, ok: bool, note: str) -> None:
        self._short += not ok
        verdict = "ok" if ok else "short"
        print(f"{name:<58} {measured:8.2f}  {bound:>8}  {verdict:<5}  {note}".rstrip(), flush=True)

    def finish(self) -> None:
        """Exit 1 when a floor is short, else 0."""
        sys.exit(1 if self._short else 0)
