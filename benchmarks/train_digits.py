"""Train the two networks that ship with nngraph, on scikit-learn's bundled digits.

    python benchmarks/train_digits.py [--out nngraph/data]

Needs the extras ``bench`` and ``torch``; takes 15 seconds on one core. On the same version of
torch it writes the same bits again. Writes ``digits.npz`` (the held-out images as uint8, 0 to 16,
and their labels), and for each network its weights as ``.npz`` and its chain as ``.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

HELD_OUT = 450
SEED = 0
L1 = 1e-3  # leaves redundancy, so that pruning has something to find

# Each chain is what nngraph reads to run the network; the modules below carry the same names.
MLP = [{"input": [64]}, "fc1", "relu", "fc2", "relu", "fc3"]
CONVNET = [
    {"input": [1, 8, 8]},
    {"layer": "conv1", "padding": 1}, "norm1", "relu",
    {"layer": "conv2", "padding": 1}, "norm2", "relu",
    {"op": "max_pool", "kernel": 2},
    {"layer": "conv3", "padding": 1}, "norm3", "relu",
    {"op": "max_pool", "kernel": 2},
    "flatten",
    "fc",
]  # fmt: skip


def mlp() -> nn.Module:
    """64-64-48-10 with ReLU."""
    return named(
        fc1=nn.Linear(64, 64), relu1=nn.ReLU(), fc2=nn.Linear(64, 48), relu2=nn.ReLU(),
        fc3=nn.Linear(48, 10),
    )  # fmt: skip


def convnet() -> nn.Module:
    """Three 3x3 convolutions of 16, 32 and 32 channels with batch norm, and a linear layer."""
    return named(
        conv1=nn.Conv2d(1, 16, 3, padding=1, bias=False), norm1=nn.BatchNorm2d(16), relu1=nn.ReLU(),
        conv2=nn.Conv2d(16, 32, 3, padding=1, bias=False), norm2=nn.BatchNorm2d(32),
        relu2=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv3=nn.Conv2d(32, 32, 3, padding=1, bias=False), norm3=nn.BatchNorm2d(32),
        relu3=nn.ReLU(), pool2=nn.MaxPool2d(2), flatten=nn.Flatten(), fc=nn.Linear(128, 10),
    )  # fmt: skip


def named(**modules: nn.Module) -> nn.Sequential:
    """A Sequential whose parts have names."""
    net = nn.Sequential()
    for name, module in modules.items():
        net.add_module(name, module)
    return net


def shifted(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by at most one pixel each way: there are few images, and this makes more."""
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    dy, dx = torch.randint(0, 3, (2, len(x)), generator=generator)
    rows = dy[:, None] + torch.arange(8)
    columns = dx[:, None] + torch.arange(8)
    picked = padded[torch.arange(len(x))[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
    return picked[:, None]


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    """Adam with a cosine schedule, on images that are shifted (convolutions) or noisy (perceptron).

    All that is chosen here was chosen on a part of the training images, never on the held-out ones.
    """
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    flat = isinstance(net[0], nn.Linear)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            if flat:
                images = x[batch].flatten(1)
                images = images + 0.1 * torch.randn(images.shape, generator=generator)
            else:
                images = shifted(x[batch], generator)
            loss = nn.functional.cross_entropy(net(images), y[batch], label_smoothing=0.1)
            loss = loss + L1 * sum(p.abs().sum() for p in net.parameters() if p.ndim > 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    net.eval()


def save(folder: Path, name: str, net: nn.Module, chain: list, accuracy: float) -> None:
    """Weights as float32, and the chain with a word on where it comes from."""
    arrays = {k: v.numpy() for k, v in net.state_dict().items() if v.is_floating_point()}
    np.savez(folder / f"{name}.npz", **arrays)
    about = (
        f"Trained by benchmarks/train_digits.py; {accuracy:.2%} of {HELD_OUT} held-out digits. "
        "Input: pixels / 16."
    )
    items = ",\n  ".join(json.dumps(item) for item in chain)
    text = f'{{\n "about": {json.dumps(about)},\n "chain": [\n  {items}\n ]\n}}\n'
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    home = Path(__file__).resolve().parents[1] / "nngraph" / "data"
    parser.add_argument("--out", type=Path, default=home)
    folder = parser.parse_args().out
    torch.set_num_threads(1)  # sums in one order only
    torch.use_deterministic_algorithms(True)

    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    held, kept = order[:HELD_OUT], order[HELD_OUT:]
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    np.savez(folder / "digits.npz", images=images[held], labels=labels[held])

    x = torch.from_numpy(images[:, None] / np.float32(16))
    y = torch.from_numpy(labels.astype(np.int64))
    for name, make, chain, epochs in (
        ("digits_mlp", mlp, MLP, 150),
        ("digits_convnet", convnet, CONVNET, 60),
    ):
        torch.manual_seed(SEED)
        net = make()
        train(net, x[kept], y[kept], epochs)
        with torch.no_grad():
            found = net(x[held].flatten(1) if make is mlp else x[held]).argmax(1)
        accuracy = float((found == y[held]).double().mean())
        save(folder, name, net, chain, accuracy)
        print(f"{name}: {accuracy:.2%} of {len(held)} held-out digits")


if __name__ == "__main__":
    main()
