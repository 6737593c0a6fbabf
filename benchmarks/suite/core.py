"""asv: the functions that everything else calls, so that a slow-down shows in history."""

from __future__ import annotations

import numpy as np

import nngraph as ng


class Graphs:
    """Building a layer graph from a dense and from a masked layer."""

    params = ([(784, 300), (4608, 512)], [0.05, 1.0])
    param_names = ("shape", "density")

    def setup(self, shape, density):
        rng = np.random.default_rng(0)
        self.weights = rng.normal(size=shape[::-1])
        self.mask = rng.random(shape[::-1]) < density
        self.graph = ng.magnitude(ng.from_mask(self.weights, self.mask))
        ng.singular_values(self.graph)  # compiles
        ng.ramanujan_gap(self.graph)

    def time_from_mask(self, shape, density):
        ng.from_mask(self.weights, self.mask)

    def time_singular_values(self, shape, density):
        ng.singular_values(self.graph)

    def time_ramanujan_gap(self, shape, density):
        ng.ramanujan_gap(self.graph)


class Resistance:
    """Every edge of a complete layer."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.graph = ng.LayerGraph(rng.random((300, 784)) + 0.5)
        ng.effective_resistance(self.graph)

    def time_effective_resistance(self):
        ng.effective_resistance(self.graph)


class Views:
    """A convolution unrolled over space, and back to one score per parameter."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.layer = ng.Layer("conv", rng.normal(size=(32, 32, 3, 3)), padding=1)
        self.shape = (32, 16, 16)
        self.graph = ng.layer_graph(self.layer, "unit", input_shape=self.shape)

    def time_unit_view(self):
        ng.layer_graph(self.layer, "unit", input_shape=self.shape)

    def time_fold(self):
        ng.fold(self.graph.data, self.layer, self.graph)


class Pruning:
    """Masks of five million parameters."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.scores = {f"fc{k}": rng.random((1000, 1000)) for k in range(5)}

    def time_global(self):
        ng.Masks.from_scores(self.scores, density=0.05)

    def time_erk(self):
        ng.Masks.from_scores(self.scores, density=0.05, budget="erk")


class Demo:
    """The shipped networks, whole."""

    def setup(self):
        self.demo = ng.datasets.digits_convnet()

    def time_analyze(self):
        ng.analyze(self.demo.network)

    def time_accuracy(self):
        ng.accuracy(self.demo.network, self.demo.images, self.demo.labels)
