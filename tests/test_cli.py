"""The command line: what it prints, what it writes, and how it says no."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest

import nngraph as ng

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import CliRunner

from nngraph import _terminal
from nngraph._commands import main
from nngraph.cli import main as entry_point

CHAIN = "fc1,relu,fc2"
SIZES = ["--metrics", "size"]  # quick


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A network of weights only, images, and labels that it gets right."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {
        "fc1.weight": rng.normal(size=(12, 8)), "fc1.bias": rng.normal(size=12),
        "fc2.weight": rng.normal(size=(3, 12)),
    }  # fmt: skip
    np.savez("net.npz", **{name: a.astype(np.float32) for name, a in arrays.items()})
    x = rng.normal(size=(40, 8)).astype(np.float32)
    y = ng.forward(ng.load("net.npz", chain=CHAIN), x).argmax(axis=1)
    np.savez("x.npz", x)
    np.savez("y.npz", y)
    np.savez("both.npz", images=x, labels=y, other=y)
    return tmp_path


def run(*arguments: str, code: int = 0):
    done = CliRunner().invoke(main, list(arguments), prog_name="nngraph")
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr, done.exception)
    return done


def fails(*arguments: str) -> str:
    """The one line of an error that is not about usage."""
    done = run(*arguments, code=1)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.output
    return done.stderr


def misused(*arguments: str) -> str:
    done = run(*arguments, code=2)
    assert "Usage:" in done.stderr
    return " ".join(done.stderr.split())


def test_help_and_version():
    for name in ("demo", "analyze", "prune", "show", "methods", "formats", "cite"):
        assert name in run("--help").stdout
        assert "Usage: nngraph" in run(name, "-h").stdout
    assert run("--version").stdout.strip() == f"nngraph, version {ng.__version__}"
    assert "No such command 'analyse'" in misused("analyse")


def test_analyze_prints_a_plain_table_with_whole_names(files):
    name = "a.very.long.name." * 12 + "layer"
    np.savez("long.npz", **{f"{name}.weight": np.ones((3, 4))})
    out = run("analyze", "long.npz").stdout
    assert name in out
    assert "\x1b" not in out
    assert out.startswith("layer")


def test_analyze_is_the_table_of_the_library(files):
    assert run("analyze", "net.npz").stdout == f"{ng.analyze(ng.load('net.npz'))}\n"


def test_analyze_writes_tables(files):
    out = run("analyze", "net.npz", *SIZES, "--out", "table.csv").stdout
    assert out.splitlines()[-1] == "table.csv"
    assert (files / "table.csv").read_text().count("\n") == 3
    run("analyze", "net.npz", *SIZES, "--out", "table.json")
    records = json.loads((files / "table.json").read_text())["records"]
    assert [record["layer"] for record in records] == ["fc1", "fc2"]
    parquet = pytest.importorskip("pyarrow.parquet")
    run("analyze", "net.npz", *SIZES, "--out", "table.PARQUET")
    assert parquet.read_table("table.PARQUET").num_rows == 2


def test_analyze_with_a_chain_and_chosen_metrics(files):
    (files / "chain.json").write_text(json.dumps(CHAIN.split(",")))
    assert "edges" not in run("analyze", "net.npz", "--metrics", "weight").stdout.splitlines()[0]
    by_name = run("analyze", "net.npz", "--network", CHAIN).stdout
    by_file = run("analyze", "net.npz", "--network", "chain.json").stdout
    assert by_name == by_file
    channel = run("analyze", "net.npz", "--view", "channel", "--metrics", "size, degree").stdout
    assert "view: channel" in channel


def test_analyze_draws(files):
    pytest.importorskip("matplotlib")
    out = run("analyze", "net.npz", *SIZES, "--plot", "figures").stdout
    assert len(list((files / "figures").glob("*.png"))) == 3
    assert all((files / line).is_file() for line in out.splitlines()[-3:])
    assert "exists" in fails("analyze", "net.npz", *SIZES, "--plot", "figures")
    run("analyze", "net.npz", *SIZES, "--plot", "figures", "--force")
    assert "'net.npz' is a file" in fails("analyze", "net.npz", "--plot", "net.npz", "--force")
    assert "'net.npz' is a file" in fails("demo", "--out", "net.npz")
    assert "net.npz' is a file" in fails("demo", "--out", "net.npz/in/it")


def test_analyze_says_no(files):
    assert "no file 'nope.npz'" in fails("analyze", "nope.npz")
    (files / "net.xyz").write_text("x")
    assert "suffix" in fails("analyze", "net.xyz")
    (files / "bad.npz").write_bytes(b"PK\3\4" + b"\0" * 100)
    assert "bad.npz" in fails("analyze", "bad.npz")
    assert "did you mean 'degree'? There are" in fails("analyze", "net.npz", "--metrics", "degre")
    assert "named 'foo'; there are 'size'" in fails("analyze", "net.npz", "--metrics", "foo")
    assert "'edge' is not one of" in misused("analyze", "net.npz", "--view", "edge")
    assert "did you mean 'fc1'" in fails("analyze", "net.npz", "--network", "fc11,relu,fc2")
    assert "no description" in fails("analyze", "net.npz", "--network", "nope.json")
    assert "Missing argument 'FILE'" in misused("analyze")


def test_an_output_that_exists_is_kept_unless_forced(files):
    (files / "table.csv").write_text("mine")
    message = fails("analyze", "net.npz", *SIZES, "--out", "table.csv")
    assert "table.csv" in message
    assert "--force" in message
    assert (files / "table.csv").read_text() == "mine"
    run("analyze", "net.npz", *SIZES, "--out", "table.csv", "--force")
    assert (files / "table.csv").read_text().startswith("layer")


def test_an_output_that_cannot_be_is_refused_before_the_work(files):
    assert "'table.xlsx' must end in" in misused("analyze", "nope.npz", "--out", "table.xlsx")
    assert "folder 'no'" in fails("analyze", "nope.npz", "--out", "no/table.csv")


def test_prune_writes_a_pruned_copy_and_says_what_it_cost(files):
    out = run(
        "prune", "net.npz", "--method", "magnitude", "--density", "0.5", "--network", CHAIN,
        "--inputs", "x.npz", "--labels", "y.npz", "-o", "pruned.npz",
    ).stdout  # fmt: skip
    before, after = ng.load("net.npz", chain=CHAIN), ng.load("pruned.npz", chain=CHAIN)
    kept = sum(int(np.count_nonzero(layer.array())) for layer in after)
    assert kept == 66
    assert str(ng.prune(before, "magnitude", density=0.5, rng=0)) in out
    x, y = np.load("x.npz")["arr_0"], np.load("y.npz")["arr_0"]
    pair = ng.accuracy(before, x, y), ng.accuracy(after, x, y)
    assert f"accuracy before {pair[0]:.4f}, after {pair[1]:.4f} (40 examples)" in out
    assert out.splitlines()[-1] == "pruned.npz"


def test_prune_reads_inputs_and_labels_from_one_file(files):
    arguments = ("prune", "net.npz", "--method", "random", "--density", "0.5", "--network", CHAIN)
    one = run(*arguments, "--inputs", "both.npz", "--labels", "both.npz", "--masks", "a.npz")
    two = run(*arguments, "--inputs", "x.npz", "--labels", "y.npz", "--masks", "b.npz")
    assert one.stdout.splitlines()[:-1] == two.stdout.splitlines()[:-1]
    np.save("x.npy", np.load("x.npz")["arr_0"])
    run(*arguments, "--inputs", "x.npy", "--labels", "y.npz", "--masks", "c.npz")


def test_prune_can_write_masks_and_show_prints_them(files):
    arguments = ("prune", "net.npz", "--method", "uniform", "--density", "0.25", "--seed")
    run(*arguments, "3", "--masks", "masks.npz")
    masks = ng.Masks.load("masks.npz")
    assert masks == ng.prune(ng.load("net.npz"), "uniform", density=0.25, rng=3)
    assert run("show", "masks.npz").stdout == f"{masks}\n"
    run(*arguments, "3", "--masks", "again.npz", "-o", "pruned.npz")
    assert ng.Masks.load("again.npz") == masks
    run(*arguments, "4", "--masks", "other.npz")
    assert ng.Masks.load("other.npz") != masks


def test_prune_takes_budgets(files):
    arguments = ("prune", "net.npz", "--method", "magnitude")
    run(*arguments, "--density", "0.25", "--budget", "uniform+rows", "--masks", "rows.npz")
    run(*arguments, "--budget", "2:4", "--masks", "half.npz")
    assert ng.Masks.load("half.npz").density == 0.5
    assert "Give --density" in misused(*arguments, "--masks", "no.npz")
    assert "unknown" in misused(*arguments, "--budget", "globl", "--masks", "no.npz")


def test_prune_says_no_and_writes_nothing(files):
    ok = ("--density", "0.5", "-o", "out.npz")
    magnitude = ("prune", "net.npz", "--method", "magnitude")
    assert "did you mean 'magnitude'" in misused("prune", "net.npz", "--method", "magnitud", *ok)
    assert "Missing option '--method'" in misused("prune", "net.npz", *ok)
    assert "1.5 is not in the range" in misused(*magnitude, "--density", "1.5", "-o", "out.npz")
    assert "not a valid float" in misused(*magnitude, "--density", "half", "-o", "out.npz")
    assert "Name an output" in misused(*magnitude, "--density", "0.5")
    assert "--labels need --inputs" in misused(*magnitude, *ok, "--labels", "y.npz")
    assert "no file" in fails("prune", "nope.npz", "--method", "magnitude", *ok)
    data = ("--inputs", "x.npz", "--labels", "y.npz")
    assert "name a chain" in fails(*magnitude, *ok, *data)
    wired = (*magnitude, *ok, "--network", CHAIN)
    np.savez("wide.npz", np.ones((40, 9), np.float32))
    assert "(9,)" in fails(*wired, "--inputs", "wide.npz", "--labels", "y.npz")
    np.savez("few.npz", np.zeros(39, int))
    assert "39" in fails(*wired, "--inputs", "x.npz", "--labels", "few.npz")
    assert "cannot read 'no.npz'" in fails(*wired, "--inputs", "no.npz", "--labels", "y.npz")
    np.savez("one.npz", np.float32(1))
    assert "shape ()" in fails(*wired, "--inputs", "one.npz", "--labels", "y.npz")
    np.savez("many.npz", a=np.ones(1), b=np.ones(1))
    message = fails(*wired, "--inputs", "many.npz", "--labels", "y.npz")
    assert "holds a, b; name one array 'x'" in message
    (files / "broken.npz").write_bytes((files / "x.npz").read_bytes()[:200])
    assert "cannot read" in fails(*wired, "--inputs", "broken.npz", "--labels", "y.npz")
    assert not (files / "out.npz").exists()


def test_prune_keeps_what_exists(files):
    (files / "out.npz").write_text("mine")
    arguments = ("prune", "net.npz", "--method", "magnitude", "--density", "0.5")
    assert "'out.npz' exists" in fails(*arguments, "-o", "out.npz")
    assert "'out.npz' exists" in fails(*arguments, "--masks", "out.npz")
    assert (files / "out.npz").read_text() == "mine"
    assert not (files / "out.safetensors").exists()


def test_prune_refuses_outputs_before_the_work(files, monkeypatch):
    monkeypatch.setattr("nngraph.formats.load", lambda *_, **__: pytest.fail("it was loaded"))
    arguments = ("prune", "net.npz", "--method", "magnitude", "--density", "0.5")
    assert "same suffix" in fails(*arguments, "-o", "out.safetensors")
    same = misused(*arguments, "-o", "out.npz", "--masks", "./out.npz")
    assert "name the same file" in same
    (files / "folder.npz").mkdir()
    assert "is a folder" in fails(*arguments, "-o", "folder.npz")
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    assert "cannot be written to" in fails(*arguments, "-o", "out.npz")
    for flags in (("--out", "table.csv"), ("--plot", "figures")):
        assert "cannot be written to" in fails("analyze", "net.npz", *flags)


def test_prune_writes_shards_into_a_new_folder(files):
    pytest.importorskip("safetensors")
    from safetensors.numpy import save_file

    (files / "old").mkdir()
    save_file({"fc.weight": np.ones((2, 4), np.float32)}, files / "old" / "one.safetensors")
    name = "model.safetensors.index.json"
    index = {"weight_map": {"fc.weight": "one.safetensors"}}
    (files / "old" / name).write_text(json.dumps(index))
    arguments = ("prune", f"old/{name}", "--method", "magnitude", "--density", "0.5")
    run(*arguments, "-o", f"new/{name}")
    assert np.count_nonzero(ng.load(f"new/{name}")["fc"].array()) == 4
    assert "'new' exists" in fails(*arguments, "-o", f"new/{name}")


def test_pickled_inputs_are_never_loaded(files):
    np.savez("evil.npz", np.array([{"a": 1}], dtype=object))
    arguments = ("prune", "net.npz", "--method", "magnitude", "--density", "0.5")
    arguments = (*arguments, "--masks", "m.npz")
    message = fails(*arguments, "--network", CHAIN, "--inputs", "evil.npz", "--labels", "y.npz")
    assert "nothing pickled is ever loaded" in message
    assert "allow_pickle" not in message  # NumPy's advice
    (files / "text.npz").write_text("no archive")
    message = fails(*arguments, "--network", CHAIN, "--inputs", "text.npz", "--labels", "y.npz")
    assert "allow_pickle" not in message


def test_show_says_no(files):
    assert "nope.npz" in fails("show", "nope.npz")
    assert "net.npz" in fails("show", "net.npz")


def test_demo_prints_tables_and_the_paths_of_pictures(files, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("nngraph.demo._NETWORKS", (ng.datasets.digits_mlp,))
    lines = run("demo", "--out", "pictures").stdout.splitlines()
    assert lines[0].startswith("digits_mlp: <Network: 3 layers")
    assert any(line.split()[:2] == ["dense", "96.3"] for line in lines)
    assert len(list((files / "pictures").iterdir())) == 5
    assert all((files / line).is_file() for line in lines[-5:])


def test_demo_without_matplotlib_draws_nothing_and_says_why(files, monkeypatch):
    monkeypatch.setattr("nngraph.demo._NETWORKS", (ng.datasets.digits_mlp,))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run("demo")
    assert "pip install 'nngraph[plot]'" in done.stderr
    assert "accuracy in %" in done.stdout
    assert not (files / "nngraph-demo").exists()


def test_lists_and_citations():
    assert run("methods").stdout == f"{ng.methods()}\n"
    assert ".npz" in run("formats").stdout
    assert run("cite", "spectral").stdout == f"{ng.cite('spectral')}\n"
    assert "@software{nngraph" in run("cite").stdout
    assert "did you mean 'pags'" in fails("cite", "pagss")


def test_the_module_and_the_entry_point_run_in_a_shell(files):
    shell = [sys.executable, "-m", "nngraph.cli"]
    done = subprocess.run([*shell, "analyze", "net.npz", *SIZES], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("layer")
    done = subprocess.run([*shell, "show", "nope.npz"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_streams_that_the_shell_closed_are_left_alone(files):
    command = [sys.executable, "-m", "nngraph.cli", "analyze", "net.npz", "--metrics", "size"]
    for closed in (">&-", "2>&-"):
        line = f"{shlex.join(command)} --out {'a' if '2' in closed else 'b'}.csv {closed}"
        assert subprocess.run(["sh", "-c", line], check=False).returncode == 0
    assert {path.name for path in files.glob("?.csv")} == {"a.csv", "b.csv"}


def test_starting_loads_only_what_a_command_needs(files):
    code = (
        "import sys\nfrom nngraph.cli import main\n"
        "sys.argv = ['nngraph', 'analyze', 'net.npz', '--metrics', 'size']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('LOADED', *{m.split('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert "click" in loaded
    assert not loaded & {"rich", "matplotlib", "numba", "pandas", "pyarrow", "torch", "networkx"}


def test_without_click_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit, match=r"pip install 'nngraph\[cli\]'"):
        entry_point()


class Terminal:
    """Standard output as a terminal of 60 columns that remembers what it was shown."""

    encoding = "utf-8"

    def __init__(self):
        self.shown = ""

    def isatty(self):
        return True

    def write(self, text):
        self.shown += text

    def flush(self):
        pass


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_a_narrow_terminal_gets_columns_in_blocks_and_every_cell(terminal):
    columns = {"layer": ["layer4.1.conv2", "[bold]fc"]}
    columns |= {f"a column {k}": [1.25 * k, None] for k in range(9)}
    table = ng.Table(columns, title="title", notes=["a note that is longer than the terminal " * 3])
    with redirect_stdout(terminal):
        _terminal.show_table(table, print)
    assert terminal.shown.count("layer4.1.conv2") == 3
    assert "[bold]fc" in terminal.shown
    for k in range(9):
        assert f"a column {k}" in terminal.shown
        assert f"{1.25 * k:g}" in terminal.shown
    lines = re.sub(r"\x1b\[\d*m", "", terminal.shown).splitlines()
    assert max(len(line.rstrip()) for line in lines if not line.startswith("a note")) <= 60


def test_names_longer_than_the_terminal_are_not_cut(terminal):
    name = "x" * 100
    with redirect_stdout(terminal):
        _terminal.show_table(ng.Table({"layer": [name], "n": [1]}), print)
    assert name in terminal.shown.replace("\n", "")


def test_a_bar_is_shown_on_terminals_only(terminal, monkeypatch):
    with redirect_stderr(terminal), _terminal.progress_bar("work") as progress:
        progress(1, 2)
        progress(2, 2)
    assert "work" in terminal.shown
    monkeypatch.setattr(terminal, "isatty", lambda: False, raising=False)
    with redirect_stderr(terminal), _terminal.progress_bar("work") as progress:
        assert progress is None
