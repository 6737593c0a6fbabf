"""Two small trained networks and held-out images that ship with nngraph: nothing is downloaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import numpy as np

from .bags import from_tensors
from .chains import wire
from .network import Network


@dataclass(frozen=True, eq=False)
class Demo:
    """A trained network with images that it has not seen.

    Parameters
    ----------
    name : str
    network : Network
        Wired, so that :func:`nngraph.forward` runs it.
    images : ndarray of float32, shape ``(n, *network.input_shape)``
        From 0 to 1, read-only.
    labels : ndarray of int64, shape (n,)
        Read-only.
    """

    name: str
    network: Network
    images: np.ndarray
    labels: np.ndarray

    def __repr__(self) -> str:
        return f"<Demo {self.name!r}: {self.network!r}, {len(self.images)} images>"


def digits_mlp() -> Demo:
    """A perceptron 64-64-48-10 with ReLU that reads digits of 8 x 8 pixels.

    Returns
    -------
    Demo
        450 images of shape (64,), none of which was used for training; 96.9 % are classified right.

    See Also
    --------
    digits_convnet : convolutions on the same images.

    Notes
    -----
    The images are from the digits data of scikit-learn (E. Alpaydin and C. Kaynak, Optical
    Recognition of Handwritten Digits, UCI). ``benchmarks/train_digits.py`` made the weights.

    Examples
    --------
    >>> import nngraph as ng
    >>> demo = ng.datasets.digits_mlp()
    >>> demo.network
    <Network: 3 layers, 7,648 parameters, 9 wired nodes>
    >>> round(ng.accuracy(demo.network, demo.images, demo.labels), 3)
    0.969
    """
    return _demo("digits_mlp")


def digits_convnet() -> Demo:
    """Three 3 x 3 convolutions with batch norm and a linear layer, on digits of 8 x 8 pixels.

    Returns
    -------
    Demo
        450 images of shape (1, 8, 8), none of which was used for training; 99.1 % are classified
        right.

    See Also
    --------
    digits_mlp : a perceptron on the same images, and where they come from.

    Examples
    --------
    >>> import nngraph as ng
    >>> demo = ng.datasets.digits_convnet()
    >>> demo.network.names
    ('conv1', 'conv2', 'conv3', 'fc')
    """
    return _demo("digits_convnet")


def _demo(name: str) -> Demo:
    data = resources.files(__package__) / "data"
    weights = data / f"{name}.npz"
    bag = from_tensors(_arrays(weights), source=str(weights))
    network = wire(bag, json.loads((data / f"{name}.json").read_text(encoding="utf-8")))
    held_out = _arrays(data / "digits.npz")
    images = np.float32(1 / 16) * held_out["images"].reshape(-1, *network.input_shape)
    labels = held_out["labels"].astype(np.int64)
    for array in (images, labels):
        array.flags.writeable = False
    return Demo(name, network, images, labels)


def _arrays(path) -> dict[str, np.ndarray]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}
