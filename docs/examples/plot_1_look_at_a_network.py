"""
Look at a network
=================

Two lines give a table; one call gives a picture.
"""

import matplotlib.pyplot as plt

import nngraph as ng

demo = ng.datasets.digits_convnet()
table = ng.analyze(demo.network)
print(table)

# %%
# Singular values of each layer against the bound that its degrees set.

ng.plotting.spectrum(demo.network)
plt.show()

# %%
# Certified numbers for one layer: each interval holds the true singular value, and
# ``index_certified`` says that it is the first, the second, ... and not some other one.

graph = ng.magnitude(ng.to_graph(demo.network)["conv1"])
found = ng.singular_values(graph, k=3)
print(found.values)
print(found.intervals[:, 1] - found.intervals[:, 0])
print(found.method, found.index_certified)

# %%
# What each edge is worth to the connection of its ends: 1 for a bridge, little where many other
# paths lead around.

leverage = ng.leverage_scores(graph)
print(leverage)
print(dict(leverage.report))
