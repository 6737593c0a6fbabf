"""Numba kernels: arrays in, arrays out, one self-contained file per algorithm."""
