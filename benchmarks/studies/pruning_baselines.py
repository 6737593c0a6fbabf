"""Accuracy against density for every registered method that needs no data, without retraining.

The shipped digit networks on their held-out images, samplers over several seeds; ResNet-20 and the
MNIST perceptron too where NNGRAPH_DATA is set. Claim tested: which one-shot baseline keeps accuracy,
and how far the allocation alone (Erdos-Renyi, ERK) explains it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import nngraph as ng


def runs(method: str, seeds: int) -> range:
    """One run for a method that draws nothing."""
    return range(1 if method == "magnitude" else seeds)


def study(name: str, network, images, labels, *, densities, seeds: int) -> ng.Table:
    """Mean and spread over seeds of the accuracy of each method at each density."""
    dense = ng.accuracy(network, images, labels)
    methods = ng.methods()
    rows = []
    for method, needs in zip(methods["name"], methods["needs"], strict=True):
        if needs != "nothing":
            continue
        row = {"method": method}
        for density in densities:
            got = [
                ng.accuracy(
                    network, images, labels,
                    masks=ng.prune(network, method, density=density, rng=seed),
                )
                for seed in runs(method, seeds)
            ]
            row[f"{density:g}"] = f"{np.mean(got):.3f}" + (
                f" +- {np.std(got):.3f}" if len(got) > 1 else ""
            )
        rows.append(row)
    title = f"{name}: dense accuracy {dense:.3f}, {len(labels)} images, {seeds} seeds"
    return ng.Table.from_records(rows, title=title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a version under a minute")
    parser.add_argument("--out", type=Path, help="a folder for CSV files")
    arguments = parser.parse_args()
    densities = (0.5, 0.1) if arguments.quick else (0.8, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
    seeds = 2 if arguments.quick else 5
    for make in (ng.datasets.digits_mlp, ng.datasets.digits_convnet):
        demo = make()
        table = study(
            demo.name, demo.network, demo.images, demo.labels, densities=densities, seeds=seeds
        )
        print(table, end="\n\n")
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            table.to_csv(arguments.out / f"{demo.name}.csv")


if __name__ == "__main__":
    main()
