"""The demonstration behind ``nngraph demo``: analyse, prune, picture the networks that ship."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import datasets
from ._errors import GraphError
from .datasets import Demo
from .evaluation import accuracy
from .pruning import methods, prune
from .report import analyze
from .tables import Table

DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02)
_NETWORKS = (datasets.digits_mlp, datasets.digits_convnet)
_CALIBRATION = 100  # images for methods that need data; accuracy is that of the others
_SHOWN = 0.1  # the density whose degrees are drawn: a complete layer's are all the same


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demonstration found for one network.

    Parameters
    ----------
    demo : Demo
    analysis : Table
        What :func:`nngraph.analyze` gives.
    accuracy : Table
        Columns method, density, accuracy (0 to 1), problem; the first row, of the method "dense",
        is the network before pruning. A method that cannot reach a density has accuracy None, and
        says why.
    pictures : tuple of Path
    """

    demo: Demo
    analysis: Table
    accuracy: Table
    pictures: tuple[Path, ...] = ()

    def by_density(self) -> Table:
        """Accuracy in per cent as people read it: a row per method, a column per density.

        Returns
        -------
        Table
            Of strings, so that the points stand below each other.
        """
        cells: dict[str, dict[str, str]] = {}
        dense, *rows = self.accuracy
        densities = list(dict.fromkeys(row["density"] for row in rows))
        for row in rows:
            value = "    -" if row["accuracy"] is None else f"{100 * row['accuracy']:5.1f}"
            cells.setdefault(row["method"], {})[f"{100 * row['density']:.3g} %"] = value
        images = len(self.demo.images) - _CALIBRATION
        names = ["dense", *cells]
        columns = {"method": names}
        for density in densities:
            key = f"{100 * density:.3g} %"
            before = f"{100 * dense['accuracy']:5.1f}"
            columns[key] = [before, *(found[key] for found in cells.values())]
        title = f"{self.demo.name}: accuracy in % on {images} images by share kept, not retrained"
        notes = [f"{r['method']}: {r['problem']}" for r in rows if r["problem"]]
        return Table(columns, title=title, notes=tuple(dict.fromkeys(notes)))


def run_demo(
    folder=None,
    progress: Callable[[int, int], Any] | None = None,
    *,
    densities: Sequence[float] = DENSITIES,
    seed: int = 0,
) -> tuple[DemoResult, ...]:
    """Analyse, prune by every method that needs no more than is there, and draw.

    Parameters
    ----------
    folder : path, optional
        Where the pictures go (made where it is missing, older pictures of the same names are
        replaced). None: no pictures.
    progress : callable, optional
        ``progress(done, total)`` after each step.
    densities : sequence of float, optional
        Shares of parameters kept.
    seed : int, optional
        For methods that draw.

    Returns
    -------
    tuple of DemoResult
        One per network: ``digits_mlp`` and ``digits_convnet``.

    Raises
    ------
    MissingExtraError
        Pictures are asked for and matplotlib is not installed; nothing has been done then.
    FormatError
        `folder` is a file, or a picture cannot be written.

    Notes
    -----
    Nothing is retrained: the accuracies tell what a mask alone destroys. Methods that need example
    inputs get the first 100 held-out images; all methods are judged on the others.

    Examples
    --------
    >>> from nngraph.demo import run_demo
    >>> mlp, convnet = run_demo(densities=[0.5])
    >>> "magnitude" in mlp.accuracy["method"]
    True
    """
    if folder is not None:
        from .plotting import check_pictures

        check_pictures(folder, overwrite=True)
    names = runnable()
    demos = [load() for load in _NETWORKS]
    total = len(demos) * (1 + len(names) + (folder is not None))
    results = []
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    for demo in demos:
        analysis = analyze(demo.network)
        step()
        records = [{
            "method": "dense", "density": 1.0,
            "accuracy": _judged(demo, None), "problem": None,
        }]  # fmt: skip
        for name in names:
            records += _pruned(demo, name, densities, seed)
            step()
        found = Table.from_records(records)
        pictures = () if folder is None else tuple(_draw(demo, found, Path(folder)))
        if folder is not None:
            step()
        results.append(DemoResult(demo, analysis, found, pictures))
    return tuple(results)


def runnable() -> list[str]:
    """Names of the registered methods that need nothing, or example inputs."""
    table = methods()
    pairs = zip(table["name"], table["needs"], strict=True)
    return [name for name, needs in pairs if needs in ("nothing", "data")]


def _judged(demo: Demo, masks) -> float:
    judge = slice(_CALIBRATION, None)
    return accuracy(demo.network, demo.images[judge], demo.labels[judge], masks=masks)


def _pruned(demo: Demo, name: str, densities: Sequence[float], seed: int) -> Iterator[dict]:
    data = demo.images[:_CALIBRATION]
    for density in densities:
        row: dict[str, Any] = {"method": name, "density": float(density), "accuracy": None}
        try:
            masks = prune(demo.network, name, density=density, data=data, rng=seed)
            yield {**row, "accuracy": _judged(demo, masks), "problem": None}
        except GraphError as error:
            yield {**row, "problem": f"not at {density:.3g}: {error}"}


def _draw(demo: Demo, found: Table, folder: Path) -> list[Path]:
    from . import plotting

    thin = demo.network.with_masks(prune(demo.network, "magnitude", density=_SHOWN))

    def degrees(figure) -> None:
        plotting.panels(plotting.degree_histogram, thin, figure=figure)

    def curve(figure) -> None:
        figure.set_size_inches(6.4, 4.0)
        plotting.accuracy_curve(found, ax=figure.subplots())

    todo = {
        "degrees_pruned": (degrees, f"degrees after magnitude pruning to {_SHOWN:.0%}"),
        "accuracy": (curve, "accuracy after pruning, nothing retrained"),
    }
    return plotting.save_pictures(
        demo.network, folder, prefix=f"{demo.name}_", overwrite=True
    ) + [
        plotting.save_picture(
            draw, folder / f"{demo.name}_{name}.png", title=f"{demo.name}: {title}", overwrite=True
        )
        for name, (draw, title) in todo.items()
    ]
