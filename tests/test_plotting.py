"""Pictures: the axes given come back, what is drawn is right, and nothing leaks into pyplot."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import nngraph as ng
from nngraph import plotting

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure


@pytest.fixture
def ax():
    return Figure(layout="constrained").subplots()


@pytest.fixture(scope="module")
def network():
    return ng.datasets.digits_mlp().network


@pytest.fixture(scope="module")
def graph(network):
    masks = ng.prune(network, "magnitude", density=0.2)
    return ng.to_graph(network.with_masks(masks))["fc1"]


RESULTS = [
    {"method": m, "density": d, "accuracy": a}
    for m, d, a in [("dense", 1.0, 0.9), ("a", 0.5, 0.8), ("a", 0.1, 0.3), ("b", 0.5, 0.7)]
]
DRAWN = {
    "spectrum": lambda net, g: net,
    "degree_histogram": lambda net, g: g,
    "weight_histogram": lambda net, g: g,
    "matrix": lambda net, g: g,
    "curvature_histogram": lambda net, g: ng.EdgeValues(g.data, g),
    "accuracy_curve": lambda net, g: RESULTS,
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_axes_given_come_back_labelled_and_can_be_drawn(name, network, graph, ax, tmp_path):
    back = getattr(plotting, name)(DRAWN[name](network, graph), ax=ax)
    assert back is ax
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    ax.figure.savefig(tmp_path / "picture.png")


@pytest.mark.parametrize("name", DRAWN)
def test_without_axes_one_figure_is_made_and_with_axes_none(name, network, graph, ax, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    getattr(plotting, name)(DRAWN[name](network, graph), ax=ax)
    assert plt.get_fignums() == before
    made = getattr(plotting, name)(DRAWN[name](network, graph))
    assert len(plt.get_fignums()) == len(before) + 1
    plt.close(made.figure)


def test_drawing_changes_no_setting_of_matplotlib(network, graph):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    for name, what in DRAWN.items():
        getattr(plotting, name)(what(network, graph), ax=Figure().subplots())
    assert dict(mpl.rcParams) == before


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_spectrum_of_a_biregular_graph_is_the_plain_ramanujan_ratio(ax):
    # The Fano plane: singular values 3 and sqrt 2 (six times); the bound is 2 sqrt 2.
    points = [[i, (i + 1) % 7, (i + 3) % 7] for i in range(7)]
    incidence = np.zeros((7, 7))
    for row, columns in enumerate(points):
        incidence[row, columns] = 1.0
    plotting.spectrum(ng.LayerGraph(incidence, "fano"), ax=ax)
    expected = np.array([3, *[2**0.5] * 6]) / (2 * 2**0.5)
    np.testing.assert_allclose(lines(ax)["fano"].get_ydata(), expected)
    np.testing.assert_allclose(lines(ax)["fano"].get_xdata(), (np.arange(7) + 0.5) / 7)


def test_spectrum_of_random_weights_ends_at_the_bound(ax):
    w = np.random.default_rng(0).normal(size=(200, 300))
    plotting.spectrum(ng.LayerGraph(w, "w"), ax=ax)
    assert lines(ax)["w"].get_ydata()[0] == pytest.approx(1, abs=0.05)
    scaled = plotting.spectrum(ng.LayerGraph(100 * w, "w"), ax=Figure().subplots())
    np.testing.assert_allclose(lines(scaled)["w"].get_ydata(), lines(ax)["w"].get_ydata())


def test_layers_without_a_bound_are_named_and_not_drawn(ax):
    graphs = [
        ng.from_mask(np.ones((3, 3)), np.zeros((3, 3), bool), "empty"),
        ng.from_mask(np.zeros((3, 3)), np.ones((3, 3), bool), "zeros"),
        ng.LayerGraph(np.eye(3), "matching"),
    ]
    plotting.spectrum(ng.NetworkGraph(graphs), ax=ax)
    assert {"empty: no bound", "zeros: no bound", "matching: no bound"} < set(lines(ax))


def test_a_large_layer_gets_its_first_values_and_says_so(ax, monkeypatch):
    from nngraph.plotting import spectra

    monkeypatch.setattr(spectra, "_SVD_SIDE", 20)
    w = np.random.default_rng(0).normal(size=(40, 60))
    plotting.spectrum(ng.LayerGraph(w, "w"), ax=ax)
    plotting.spectrum(ng.LayerGraph(w[:20], "v"), ax=ax)
    drawn = lines(ax)["w (first 10 of 40)"].get_ydata()
    full = np.linalg.svd(w, compute_uv=False)
    np.testing.assert_allclose(drawn / drawn[0], full[:10] / full[0], rtol=1e-6)
    assert len(lines(ax)["v"].get_ydata()) == 20


def test_many_layers_get_distinct_shades(ax):
    graphs = [ng.LayerGraph(np.eye(4) + 1, f"l{k}") for k in range(30)]
    plotting.spectrum(ng.NetworkGraph(graphs), ax=ax)
    shades = {line.get_color() for name, line in lines(ax).items() if name.startswith("l")}
    assert len(shades) == 30


def test_degree_histogram_counts_every_vertex(graph, ax):
    plotting.degree_histogram(graph, ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["64 inputs", "64 outputs"]
    single = plotting.degree_histogram(ng.LayerGraph([[1.0]]), ax=Figure().subplots())
    assert single.get_xlim() == (-0.5, 2.5)


def test_weight_histogram_of_an_empty_or_constant_layer(ax):
    empty = ng.from_mask(np.ones((3, 3)), np.zeros((3, 3), bool))
    plotting.weight_histogram(empty, ax=ax)
    plotting.matrix(empty, ax=Figure().subplots())
    plotting.degree_histogram(empty, ax=Figure().subplots())
    plotting.weight_histogram(ng.LayerGraph(np.ones((3, 3))), ax=Figure().subplots())


def test_curvatures_are_cut_at_zero_and_what_is_not_finite_is_counted(ax):
    values = [-1.0, -0.2, 0.3, np.inf, np.nan]
    plotting.curvature_histogram(values, ax=ax)
    assert ax.get_legend().get_texts()[0].get_text() == "(2 not finite)"
    heights = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches]
    assert sum(h for x, h in heights if x < 0) == 2
    assert sum(h for x, h in heights if x > 0) == 1
    ends = [bar.get_x() for bar in ax.patches]
    assert np.isclose(ends, 0).any()


def test_several_curvatures_are_outlines_of_shares(ax):
    plotting.curvature_histogram({"a": np.arange(-5, 5), "b": [1.0] * 3, "c": []}, ax=ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]
    assert ax.get_ylabel() == "share of edges"


def test_accuracy_curve_sorts_averages_and_leaves_gaps_out(ax):
    results = [
        *RESULTS,
        {"method": "a", "density": 0.5, "accuracy": 0.6},
        {"method": "b", "density": 0.1, "accuracy": None},
        {"method": "b", "density": 0.2, "accuracy": float("nan")},
    ]
    plotting.accuracy_curve(results, ax=ax)
    a, b = lines(ax)["a"], lines(ax)["b"]
    np.testing.assert_allclose(a.get_xdata(), [10, 50])
    np.testing.assert_allclose(a.get_ydata(), [30, 70])
    np.testing.assert_allclose(b.get_xdata(), [50])
    assert lines(ax)["before pruning"].get_ydata()[0] == pytest.approx(90)


def test_accuracy_curve_takes_tables_and_data_frames(ax):
    table = ng.Table.from_records(RESULTS)
    plotting.accuracy_curve(table, ax=ax)
    pytest.importorskip("pandas")
    other = plotting.accuracy_curve(table.to_pandas(), ax=Figure().subplots())
    np.testing.assert_allclose(lines(ax)["a"].get_ydata(), lines(other)["a"].get_ydata())


def test_panels_give_one_picture_per_layer(network):
    figure = Figure()
    axes = plotting.panels(plotting.weight_histogram, network, figure=figure)
    assert [a.get_title() for a in axes] == ["fc1", "fc2", "fc3"]
    assert len(figure.axes) == 3
    names = [f"l{k}" for k in range(5)]
    graphs = [ng.LayerGraph(np.ones((2, 2)), name) for name in names]
    figure = Figure()
    five = ng.NetworkGraph(graphs)
    assert len(plotting.panels(plotting.degree_histogram, five, figure=figure)) == 5
    assert len(figure.axes) == 5, "empty places are removed"


def test_pictures_are_written_once_and_replaced_only_when_asked(tmp_path, network):
    folder = tmp_path / "new" / "folder"
    paths = plotting.save_pictures(network, folder, prefix="mlp_")
    assert [p.name for p in paths] == ["mlp_spectrum.png", "mlp_degrees.png", "mlp_weights.png"]
    before = [p.read_bytes() for p in paths]
    assert all(data.startswith(b"\x89PNG") for data in before)
    with pytest.raises(ng.FormatError, match="exists"):
        plotting.save_pictures(network, folder, prefix="mlp_")
    plotting.save_pictures(network, folder, prefix="mlp_", overwrite=True)
    assert [p.read_bytes() for p in paths] == before, "same picture, same bytes"
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in paths)


def test_only_the_first_of_very_many_layers_get_panels(tmp_path, monkeypatch):
    from nngraph.plotting import files

    monkeypatch.setattr(files, "_MOST_PANELS", 2)
    graphs = [ng.LayerGraph(np.ones((3, 2)) * (k + 1), f"l{k}") for k in range(3)]
    many = ng.NetworkGraph(graphs, joins=())
    assert len(plotting.save_pictures(many, tmp_path)) == 3


def test_a_picture_that_fails_leaves_nothing_behind(tmp_path):
    def broken(figure):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        plotting.save_picture(broken, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["degree_histogram", "weight_histogram", "matrix"])
def test_a_whole_network_where_one_layer_is_needed_says_what_to_do(name, network):
    with pytest.raises(ng.GraphError, match=f"panels.plotting.{name}, network"):
        getattr(plotting, name)(network)


def test_other_bad_input(ax):
    with pytest.raises(ng.GraphError, match="got list"):
        plotting.spectrum([1, 2], ax=ax)
    with pytest.raises(ng.GraphError, match="must be numbers"):
        plotting.curvature_histogram(["a"], ax=ax)
    with pytest.raises(ng.GraphError, match="no results"):
        plotting.accuracy_curve([], ax=ax)
    with pytest.raises(ng.GraphError, match="no column 'accuracy'"):
        plotting.accuracy_curve([{"method": "a", "density": 0.5}], ax=ax)
    row = {"method": "a", "density": 0.5, "accuracy": 0.5}
    for wrong, words in [
        ({"accuracy": 96.3}, "accuracy must be a number from 0 to 1, got 96.3"),
        ({"density": "half"}, "density must be a number from 0 to 1, got 'half'"),
        ({"density": -1}, "got -1"),
        ({"accuracy": None}, "no results to draw"),
        ({"density": 0.0}, "no results to draw"),
    ]:
        with pytest.raises(ng.GraphError, match=words):
            plotting.accuracy_curve([row | wrong], ax=ax)


def test_importing_plotting_loads_no_matplotlib():
    code = "import sys, nngraph.plotting; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_matplotlib_the_extra_is_named(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ng.MissingExtraError, match=r"nngraph\[plot\]"):
        plotting.spectrum(network)
