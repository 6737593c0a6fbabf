"""Accuracy against density for every registered method that needs no data, without retraining.

The digit networks that ship with nngraph on their held-out images, and, where NNGRAPH_DATA names
the folder of real networks, ResNet-20 on CIFAR-10 and a perceptron on MNIST. Methods that draw are
run with several seeds. Claim tested: which one-shot baseline keeps accuracy, and how far the
allocation over layers alone (uniform, Erdos-Renyi, ERK) explains it.
"""

from __future__ import annotations

import argparse
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import nngraph as ng
from nngraph.pruning import resolve

CHAINS = Path(__file__).resolve().parents[2] / "docs" / "networks"
DENSITIES = (0.8, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
SEEDS = 5


def digits() -> Iterator[ng.datasets.Demo]:
    """The two networks of the package."""
    yield ng.datasets.digits_mlp()
    yield ng.datasets.digits_convnet()


def real(folder: Path) -> Iterator[ng.datasets.Demo]:
    """Networks of other people, with the test images that they were judged on."""
    network = ng.load(folder / "resnet_cifar10" / "resnet20.npz", CHAINS / "resnet20.json")
    with np.load(folder / "cifar10_subset" / "cifar10_test300.npz") as test:
        pixels, labels = test["x"].transpose(0, 3, 1, 2) / np.float32(255), test["y"]
    mean = np.float32([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    deviation = np.float32([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    yield ng.datasets.Demo("resnet20", network, (pixels - mean) / deviation, labels)

    network = ng.load(folder / "abcrown" / "mnist_6_100_nat.npz", CHAINS / "mnist_6_100.json")
    pixels = idx(folder / "mnist" / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    labels = idx(folder / "mnist" / "t10k-labels-idx1-ubyte.gz", 8)
    yield ng.datasets.Demo("mnist_6_100", network, pixels / np.float32(255), labels)


def idx(path: Path, header: int) -> np.ndarray:
    """The bytes of one of MNIST's files behind its header."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def accuracy(
    demo: ng.datasets.Demo, method: str, density: float, *, budget: str, seeds: int
) -> str:
    """Mean and standard deviation over seeds; ``-`` where the method cannot reach the density."""
    found = []
    for seed in range(seeds):
        try:
            masks = ng.prune(demo.network, method, density=density, budget=budget, rng=seed)
        except ng.GraphError:
            return "-"
        found.append(ng.accuracy(demo.network, demo.images, demo.labels, masks=masks))
    return f"{np.mean(found):.3f}" + (f" ± {np.std(found):.3f}" if len(found) > 1 else "")


def study(demo: ng.datasets.Demo, densities: tuple[float, ...], seeds: int) -> ng.Table:
    """A row per method and allocation, a column per density."""
    dense = ng.accuracy(demo.network, demo.images, demo.labels)
    rows = [{"method": "all kept"} | {f"{100 * d:g} %": f"{dense:.3f}" for d in densities}]
    for row in ng.methods():
        method = row["name"]
        if row["needs"] != "nothing":
            continue
        scored = hasattr(resolve(method), "scores")  # one answer, under any allocation
        for budget in ("global", "uniform", "erk") if scored else ("global",):
            label = method if budget == "global" else f"{method}, {budget}"
            options = {"budget": budget, "seeds": 1 if scored else seeds}
            cells = {f"{100 * d:g} %": accuracy(demo, method, d, **options) for d in densities}
            rows.append({"method": label} | cells)
    title = f"{demo.name}: accuracy by parameters kept"
    note = f"{len(demo.labels)} images; mean ± standard deviation over {seeds} seeds"
    return ng.Table.from_records(rows, title=title, notes=[note])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a version under a minute")
    parser.add_argument("--out", type=Path, help="a folder for CSV files")
    arguments = parser.parse_args()
    demos = list(digits())
    if os.environ.get("NNGRAPH_DATA"):
        demos += real(Path(os.environ["NNGRAPH_DATA"]))
    for demo in demos:
        if arguments.quick:
            few = ng.datasets.Demo(demo.name, demo.network, demo.images[:100], demo.labels[:100])
            table = study(few, (0.5, 0.1), 2)
        else:
            table = study(demo, DENSITIES, SEEDS)
        print(table, end="\n\n", flush=True)
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            table.to_csv(arguments.out / f"{demo.name}.csv")


if __name__ == "__main__":
    main()
