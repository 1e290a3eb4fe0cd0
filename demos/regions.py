# %% [markdown]
# # How many linear regions has a convolutional layer?
#
# A ReLU network is affine on each of many polyhedra, its linear regions. For one convolutional
# layer with generic weights there is a published formula (Xiong et al. 2020). This page shows that
#
# 1. the formula is right for 1-D signals, and for locally connected layers in any dimension,
# 2. for 2-D convolutions it is an upper bound only: sharing the filter loses regions,
# 3. the smallest loss, 223 regions instead of 224, is one determinant that vanishes identically,
# 4. random inputs find most regions, never all of them, and never too many.
#
# The vocabulary: every neuron is a hyperplane `w . x + b = 0` in the space of images. With generic
# biases the regions are counted by the sets of neurons whose normals `w` are linearly independent.

# %%
import sys
from pathlib import Path

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import sparsecnn as sc

SEED, N_SAMPLES = 0, 50_000
INK, GRID = "#22272e", "#e3e6ea"
CASES = {
    "1x3 signal, 3 filters 1x2": ((1, 1, 3), 3, (1, 2), 0),
    "3x3 image, 2 filters 2x2": ((1, 3, 3), 2, (2, 2), 0),
    "3x3 image, 5 filters 2x2": ((1, 3, 3), 5, (2, 2), 0),
    "3x4 image, 2 filters 2x2": ((1, 3, 4), 2, (2, 2), 0),
    "2x2 image, 1 filter 2x2, padded": ((1, 2, 2), 1, (2, 2), 1),
}

# %% [markdown]
# ## Formula and truth
#
# `architecture` gives both, in separate fields; `shared=False` frees the weights of each position.


# %%
def counts():
    """For each case: (formula, exact count of shared filters, exact count of unshared ones)."""
    found = {}
    for name, (shape, filters, size, padding) in CASES.items():
        shared = sc.regions.architecture(shape, filters, size, padding=padding)
        local = sc.regions.architecture(shape, filters, size, padding=padding, shared=False)
        found[name] = (shared.formula, shared.exact, local.exact)
    return found


# %% [markdown]
# ## Why 223 and not 224
#
# A padded 2x2 filter `(a, b; c, d)` meets a 2x2 image at nine places. The four at the middles of
# the edges see two pixels each, and their normals are the rows of the matrix below. Hall's
# condition allows all four: each can be given a pixel of its own. But the determinant is
# `abcd - abcd`. For unshared weights the two products differ.


# %%
def edge_determinant(filters):
    """Determinant of the four edge neurons, exactly; one filter (a, b, c, d) for each of them."""
    (_, _, c1, d1), (_, b2, _, d2), (a3, _, c3, _), (a4, b4, _, _) = filters
    rows = [[c1, d1, 0, 0], [b2, 0, d2, 0], [0, a3, 0, c3], [0, 0, a4, b4]]

    def determinant(matrix):
        if len(matrix) == 1:
            return matrix[0][0]
        minors = ([row[:k] + row[k + 1 :] for row in matrix[1:]] for k in range(len(matrix)))
        return sum((-1) ** k * matrix[0][k] * determinant(m) for k, m in enumerate(minors))

    return determinant(rows)


def determinants(n=200):
    """Determinants for n random integer filters: (shared, unshared)."""
    rng = np.random.default_rng(SEED)
    draws = rng.integers(1, 1000, (n, 4, 4)).tolist()
    shared = [edge_determinant([draw[0]] * 4) for draw in draws]
    return shared, [edge_determinant(draw) for draw in draws]


# %% [markdown]
# ## What sampling sees
#
# Gaussian inputs, one layer on 1x3 signals with two to eight filters; `(d + 1)(d^2 + 1)` regions.


# %%
def sampled():
    """For d filters: (patterns met, exact count), d = 1 .. 8."""
    found = {}
    for d in range(1, 9):
        network = sc.regions.paper_network(d, random_state=SEED)
        sample = sc.regions.sample(network, (1, 1, 3), N_SAMPLES, random_state=SEED)
        found[d] = (sample.sampled, sc.regions.count(network, (1, 1, 3)).exact)
    return found


# %% [markdown]
# ## A plane through three digits
#
# A network with a pool, cut exactly along the plane of three images.


# %%
def plane():
    """The linear regions of a small random network in the triangle of three digits."""
    rng = np.random.default_rng(SEED)
    network = sc.Network([
        sc.Conv2D(rng.normal(size=(4, 1, 3, 3)), 0.3 * rng.normal(size=4), padding=1),
        sc.Activation("relu"), sc.MaxPool(2),
        sc.Conv2D(rng.normal(size=(4, 4, 3, 3)), 0.3 * rng.normal(size=4)),
        sc.Activation("relu"),
    ])  # fmt: skip
    return sc.regions.plane_slice(network, load_digits().images[:3, None] / 16)


# %%
def draw(samples, cut):
    """Sampled against exact counts, and the plane."""
    figure = Figure(figsize=(8, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    filters = list(samples)
    left.plot(filters, [exact for _, exact in samples.values()], "o-", color="#0072b2")
    left.plot(filters, [met for met, _ in samples.values()], "s--", color="#d55e00")
    left.text(7.0, 455, "exact", ha="right", fontsize=9.5, color="#0072b2")
    left.text(8, 120, f"{N_SAMPLES:,} inputs", ha="right", fontsize=9.5,
              color="#d55e00")  # fmt: skip
    dress(left, "1x3 signals, filters 1x2", "filters", "linear regions")
    left.grid(color=GRID, lw=0.6)
    tint = (cut.keys % np.uint64(97)).astype(float) / 97
    fills = 1 - (0.15 + 0.5 * tint[:, None]) * (1 - np.array([[0.0, 0.45, 0.7]]))
    right.add_collection(
        PolyCollection(list(cut.vertices), facecolors=fills, edgecolors=INK, linewidths=0.15)
    )
    right.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for name, (x, y) in enumerate(cut.domain):
        side, height = ("left", y - 0.02) if x == 0 else ("right", y - 0.02)
        right.text(x + 0.06 * y, height, f"digit {name}", fontsize=9, color=INK, ha=side, va="top")
    right.set_axis_off()
    dress(right, f"{cut.n_regions:,} regions between three digits", "", "")
    return figure


def dress(ax, title, xlabel, ylabel):
    ax.set_title(title, fontsize=10, color=INK)
    ax.set_xlabel(xlabel, fontsize=9.5, color=INK)
    ax.set_ylabel(ylabel, fontsize=9.5, color=INK)
    ax.tick_params(labelsize=9)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## What it says


# %%
def main(out="."):
    """Print the claims with their numbers and write regions.png into the folder ``out``."""
    found = counts()
    print(f"  {'layer':<34}formula  shared filters  unshared")
    for name, (formula, shared, local) in found.items():
        print(f"  {name:<34}{formula:7,}  {shared:14,}  {local:8,}")
    shared, local = determinants()
    print(
        f"\nedge determinant of {len(shared)} random integer filters: zero in "
        f"{shared.count(0)} cases when shared, in {local.count(0)} when not"
    )
    samples, cut = sampled(), plane()
    met, exact = samples[8]
    print(f"8 filters on 1x3 signals: {met} of {exact} regions met by {N_SAMPLES:,} inputs")
    print(cut.summary())
    path = Path(out) / "regions.png"
    draw(samples, cut).savefig(path, dpi=200)
    print(f"figure: {path}")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
