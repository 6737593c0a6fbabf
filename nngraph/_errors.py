"""The errors of nngraph: each names what was given, what is needed, and what to do."""

from __future__ import annotations

from collections.abc import Iterable


class GraphError(ValueError):
    """Base of every error that nngraph raises about its input."""


class WeightError(GraphError):
    """Weights that cannot be a graph: NaN, inf, wrong rank, zero-size, not floating point."""


class NegativeWeightError(GraphError):
    """A metric that needs conductances met a negative weight; take ``nngraph.magnitude`` first."""


class DisconnectedError(GraphError):
    """A single component is needed and the graph has several."""


class ChainError(GraphError):
    """Layers or ops that do not join: sizes differ, a name is unknown, or there is no wiring."""


class UnsupportedOpError(GraphError):
    """An op or layer kind that nngraph does not know; named in the message."""


class MaskError(GraphError):
    """Masks or budgets that do not fit: an unmatched name, a wrong shape, an impossible count."""


class FormatError(GraphError):
    """A file that cannot be read or written: unknown suffix, damaged, lying, unsafe or existing."""


class MissingFileError(FormatError, FileNotFoundError):
    """There is no such file; ``except FileNotFoundError`` catches it too."""


class FileChangedError(FormatError):
    """A file changed after it was opened; load it again."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra to install."""


class ConvergenceError(RuntimeError):
    """An iteration stopped before its tolerance was met; ``best`` carries the best result so far.

    Parameters
    ----------
    message : str
        What was asked for and how far the iteration came.
    best : object, optional
        The best result so far, of the type the function returns.
    """

    def __init__(self, message: str, best: object = None) -> None:
        super().__init__(message)
        self.best = best

    def __reduce__(self):
        return type(self), (self.args[0], self.best)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known ones, and some of them all."""
    import difflib

    known = list(known)
    near = difflib.get_close_matches(str(name), known, 3)
    listed = ", ".join(map(repr, known[:12])) + (", ..." if len(known) > 12 else "")
    rest = f"here are {listed}" if known else "here are none"
    return f"; did you mean {' or '.join(map(repr, near))}? T{rest}" if near else f"; t{rest}"
