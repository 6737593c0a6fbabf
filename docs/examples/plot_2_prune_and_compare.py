"""
Prune, and see what is lost
===========================

Every registered method that needs no data, at four densities, on the held-out images. Nothing is
retrained.
"""

import matplotlib.pyplot as plt

import nngraph as ng

demo = ng.datasets.digits_mlp()
methods = [row["name"] for row in ng.methods() if row["needs"] == "nothing"]
rows = []
for method in methods:
    for density in (0.5, 0.2, 0.1, 0.05):
        masks = ng.prune(demo.network, method, density=density, rng=0)
        accuracy = ng.accuracy(demo.network, demo.images, demo.labels, masks=masks)
        rows.append({"method": method, "density": density, "accuracy": accuracy})
results = ng.Table.from_records(rows)

ng.plotting.accuracy_curve(results)
plt.show()

# %%
# What a mask is: exact counts per layer and in all.

print(ng.prune(demo.network, "magnitude", density=0.05))

# %%
# The same count, shared out over the layers in another way.

print(ng.prune(demo.network, "magnitude", density=0.05, budget="erk"))
