"""Pictures with matplotlib (extra ``plot``): each takes ``ax=`` and returns it."""

from .files import check_pictures, save_picture, save_pictures
from .results import accuracy_curve, curvature_histogram
from .single import degree_histogram, matrix, panels, weight_histogram
from .spectra import spectrum

__all__ = [
    "accuracy_curve",
    "check_pictures",
    "curvature_histogram",
    "degree_histogram",
    "matrix",
    "panels",
    "save_picture",
    "save_pictures",
    "spectrum",
    "weight_histogram",
]
