"""The commands of the shell; each imports what it needs when it runs, so that starting is cheap."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._errors import ConvergenceError, FormatError, GraphError, MissingExtraError
from ._terminal import progress_bar, show_table

if TYPE_CHECKING:
    import numpy as np

_TABLE_SUFFIXES = (".csv", ".json", ".parquet")
_ERRORS = (GraphError, MissingExtraError, ConvergenceError, OSError)


class _Commands(click.Group):
    """A group whose commands end with one line and exit code 1 on an error of nngraph."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _ERRORS as error:
            if getattr(error, "errno", None) == errno.EPIPE:
                raise  # the reader of our output has left; click ends quietly
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nngraph", prog_name="nngraph")
def main() -> None:
    """Graph theory of neural networks: measure layers, prune, see what is lost."""


_network_option = click.option(
    "--network", "chain", metavar="DESCRIPTION",
    help="For files that hold weights only: a JSON file, or names such as fc1,relu,fc2.",
)  # fmt: skip
_view_option = click.option(
    "--view", type=click.Choice(["kernel", "channel", "unit"]), default="kernel",
    show_default=True, help="How a layer becomes a graph.",
)  # fmt: skip


@main.command()
@click.option(
    "--out", default="nngraph-demo", show_default=True, metavar="FOLDER", help="For pictures."
)
def demo(out: str) -> None:
    """Analyse and prune the two digit networks that ship with nngraph."""
    from .demo import run_demo

    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        click.echo("no pictures: these need matplotlib, pip install 'nngraph[plot]'", err=True)
        out = ""
    with progress_bar("demo") as progress:
        results = run_demo(out or None, progress)
    for result in results:
        click.secho(f"{result.demo.name}: {result.demo.network!r}", bold=True)
        show_table(result.analysis, click.echo)
        click.echo()
        show_table(result.by_density(), click.echo)
        click.echo()
    for path in (path for result in results for path in result.pictures):
        click.echo(path)


@main.command()
@click.argument("file", type=click.Path())
@_view_option
@click.option("--metrics", metavar="A,B", help="Groups of columns; all by default.")
@_network_option
@click.option("--out", metavar="TABLE", help="Also write .csv, .json or .parquet.")
@click.option("--plot", metavar="FOLDER", help="Also write pictures.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def analyze(
    *, file: str, view: str, metrics: str | None, chain: str | None, out: str | None,
    plot: str | None, force: bool,
) -> None:  # fmt: skip
    """Measure every layer of the network in FILE."""
    if out is not None:
        _check_table_path(Path(out), force)
    if plot is not None:
        from .plotting import check_pictures

        check_pictures(plot, overwrite=force)
    network = _load(file, chain)
    from .report import analyze as measure

    groups = None if metrics is None else [name.strip() for name in metrics.split(",")]
    with progress_bar(Path(file).name) as progress:
        table = measure(network, view=view, metrics=groups, progress=progress)
    show_table(table, click.echo)
    if out is not None:
        write = {".csv": table.to_csv, ".json": table.to_json, ".parquet": table.to_parquet}
        write[Path(out).suffix.lower()](out, overwrite=force)
        click.echo(out)
    if plot is not None:
        from .plotting import save_pictures

        for path in save_pictures(network, plot, view=view, overwrite=force):
            click.echo(path)


def _budget(ctx: click.Context, param: click.Parameter, value: str):
    from .pruning import Budget

    try:
        return Budget.of(value)
    except GraphError as error:
        raise click.BadParameter(str(error)) from None


def _method(ctx: click.Context, param: click.Parameter, value: str):
    from .pruning import resolve

    try:
        method = resolve(value)
    except GraphError as error:
        raise click.BadParameter(str(error)) from None
    if method.needs not in ("nothing", "data"):
        raise click.BadParameter(
            f"{value!r} needs {method.needs}, which files cannot give; use nngraph.prune in Python"
        )
    return method


@main.command()
@click.argument("file", type=click.Path())
@click.option(
    "--method", required=True, callback=_method, metavar="M", help="See `nngraph methods`."
)
@click.option("--density", type=click.FloatRange(0, 1), metavar="D", help="Share kept, 0 to 1.")
@click.option(
    "--budget", default="global", callback=_budget, show_default=True, metavar="B",
    help="global, uniform, erdos_renyi, erk; a pattern: rows, columns, 2:4; or both: uniform+rows.",
)  # fmt: skip
@_network_option
@click.option("--inputs", metavar="X.npz", help="Examples, first axis: one array, or x or images.")
@click.option("--labels", metavar="Y.npz", help="Their classes: one array, or y or labels.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("-o", "--out", metavar="OUT", help="A pruned copy, of the same format as FILE.")
@click.option("--masks", "masks_out", metavar="MASKS.npz", help="The masks alone.")
def prune(
    *, file: str, method, density: float | None, budget, chain: str | None, inputs: str | None,
    labels: str | None, seed: int, out: str | None, masks_out: str | None,
) -> None:  # fmt: skip
    """Prune the network in FILE; with --inputs and --labels, say what that costs."""
    from .evaluation import accuracy
    from .formats import copy_target, save
    from .pruning import prune as find_masks

    if out is None and masks_out is None:
        raise click.UsageError("Name an output: -o OUT, or --masks MASKS.npz.")
    if density is None and not budget.sets_density:
        raise click.UsageError(f"Give --density; the budget {str(budget)!r} sets none.")
    if labels is not None and inputs is None:
        raise click.UsageError("--labels need --inputs.")
    if method.needs == "data" and inputs is None:
        raise click.UsageError(f"The method {method.name!r} needs --inputs.")
    targets = [] if out is None else [copy_target(file, out)]
    targets += [] if masks_out is None else [Path(masks_out)]
    for path in targets:
        _check_new(path)
    if len({path.absolute() for path in targets}) < len(targets):
        raise click.UsageError("-o and --masks name the same file.")
    network = _load(file, chain)
    x = None if inputs is None else _array(inputs, ("x", "images", "inputs"))
    y = None if labels is None else _array(labels, ("y", "labels"))
    before = None if y is None else accuracy(network, x, y)
    masks = find_masks(network, method, density=density, budget=budget, data=x, rng=seed)
    after = None if y is None else accuracy(network, x, y, masks=masks)
    if out is not None:
        save(network, masks, out)
    if masks_out is not None:
        masks.save(masks_out)
    show_table(masks.table(), click.echo)
    if y is not None:
        click.echo(f"accuracy before {before:.4f}, after {after:.4f} ({len(y)} examples)")
    for path in filter(None, (out, masks_out)):
        click.echo(path)


@main.command()
@click.argument("masks", type=click.Path())
def show(masks: str) -> None:
    """Show a file of masks: kept and covered parameters per layer."""
    from .pruning import Masks

    show_table(Masks.load(masks).table(), click.echo)


@main.command()
def methods() -> None:
    """List the pruning methods."""
    from .pruning import methods as registered

    show_table(registered(), click.echo)


@main.command()
def formats() -> None:
    """List the file formats, and what is missing to use them."""
    from .formats import known_formats

    show_table(known_formats(), click.echo)


@main.command()
@click.argument("name", default="nngraph")
def cite(name: str) -> None:
    """BibTeX of the papers behind NAME (a function or a method), and of nngraph."""
    from .citations import cite as bibtex

    click.echo(bibtex(name))


def _load(file: str, chain: str | None):
    from .formats import load

    return load(file, chain=chain)


def _check_table_path(path: Path, force: bool) -> None:
    if path.suffix.lower() not in _TABLE_SUFFIXES:
        raise click.BadParameter(
            f"{path.name!r} must end in one of {', '.join(_TABLE_SUFFIXES)}", param_hint="'--out'"
        )
    _check_new(path, " or add --force", force)
    if path.suffix.lower() == ".parquet":
        from .tables import require

        require("pyarrow", "parquet")


def _check_new(path: Path, remedy: str = "", force: bool = False) -> None:
    """Say before the work, and not after, that a file could not be written."""
    if path.is_dir():
        raise FormatError(f"{str(path)!r} exists and is a folder; choose another name")
    if path.exists() and not force:
        raise FormatError(f"{str(path)!r} exists; choose another name{remedy}")
    if not path.parent.is_dir():
        raise FormatError(f"the folder {str(path.parent)!r} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise FormatError(f"the folder {str(path.parent)!r} cannot be written to; choose another")


def _array(path: str, keys: tuple[str, ...]) -> np.ndarray:
    """The one array of a .npz or .npy file, or the one of a known name."""
    import numpy as np

    from .stored import ZIP_ERRORS

    try:
        # Opened here because np.load leaves its own file open where an archive is damaged.
        with open(path, "rb") as stream:
            found = np.load(stream, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            names = [key for key in keys if key in found.files]
            names = names or (found.files if len(found.files) == 1 else [])
            if names:
                return found[names[0]]
            listed = ", ".join(found.files) or "nothing"
    except ZIP_ERRORS as error:
        # NumPy takes any other file for a pickle, and advises to load it all the same.
        what = "it holds no plain numbers, and nothing pickled is ever loaded"
        reason = what if "pickle" in str(error) else error
        raise FormatError(f"cannot read {path!r}: {reason}; give a .npz or .npy file") from None
    raise FormatError(f"{path!r} holds {listed}; name one array {' or '.join(map(repr, keys))}")
