"""Thin adapters: one file per source of weights, each importing its framework on first use."""
