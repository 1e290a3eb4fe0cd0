# %% [markdown]
# # How many linear regions has a convolutional layer?
#
# A ReLU network is affine on each of many polyhedra, its linear regions. For one convolutional
# layer with generic weights there is a published formula (Xiong et al. 2020). This page shows that
#
# 1. the formula is right for 1-D signals, and for locally connected layers in any dimension,
# 2. for 2-D convolutions it is an upper bound only: sharing the filter loses regions,
# 3. the smallest loss, 223 regions instead of 224, is one determinant that vanishes identically,
# 4. a shared filter buys more regions per parameter than a dense layer, and fewer per neuron,
# 5. random inputs find many regions, rarely all of them, and never too many,
# 6. a trained network, too deep to count, can still be cut exactly along a plane.
#
# Every number is exact, a bound or a sample, and says which.
#
# The vocabulary: every neuron is a hyperplane `w . x + b = 0` in the space of images. With generic
# biases the regions are counted by the sets of neurons whose normals `w` are linearly independent.

# %%
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import sparsecnn as sc
from sparsecnn.plots import plot_regions

SEED, N_SAMPLES = 0, 50_000
INK, GRID = "#22272e", "#e3e6ea"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
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
# ## Regions per parameter
#
# A dense layer of `m` neurons is one window over the whole image. With as many neurons it has more
# regions than the convolution; with as many parameters it has fewer, for a shared filter is cheap.
# Up to five filters the convolution is counted; beyond, the formula stands in, and is only a bound.


# %%
def per_parameter():
    """On 3x3 images with filters 2x2, for each kind of layer: list of (parameters, regions)."""

    def layers(counts, size=2, **options):
        return [sc.regions.layer((1, 3, 3), n, size, **options) for n in counts]

    shared, more, local, dense = (
        layers(range(1, 6)), layers(range(5, 21)), layers(range(1, 6), shared=False),
        layers(range(1, 11), size=3),
    )  # fmt: skip
    found = {
        "convolution": [(m.n_parameters, m.exact()) for m in shared],
        "convolution, upper bound": [(m.n_parameters, m.upper()) for m in more],
        "locally connected": [(m.n_parameters, m.exact()) for m in local],
        "dense": [(m.n_parameters, m.exact()) for m in dense],
    }
    return found, shared[0].growth()


# %% [markdown]
# ## A plane through three digits
#
# A network that was trained on the digits, with a pool, cut exactly along the plane of three of
# them. Inside a region every class score is affine, so the decision boundary is made of segments.


# %%
def trained(n_steps=200, rate=0.05):
    """A small network after gradient descent in batches, the images and their labels."""
    rng, digits = np.random.default_rng(SEED), load_digits()
    images, labels = digits.images[:, None] / 16, digits.target

    def weights(*shape):
        return rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))

    network = sc.Network([
        sc.Conv2D(weights(4, 1, 3, 3), np.zeros(4), padding=1), sc.Activation("relu"),
        sc.MaxPool(2), sc.Conv2D(weights(8, 4, 3, 3), np.zeros(8)), sc.Activation("relu"),
        sc.Flatten(), sc.Linear(weights(10, 32), np.zeros(10)),
    ])  # fmt: skip
    speed = {name: 0.0 for name in network.params}
    for _ in range(n_steps):
        batch = rng.integers(0, len(images), 100)
        scores, pullback = network.forward(images[batch])
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        _, grads = pullback((chances - np.eye(10)[labels[batch]]) / len(batch))
        speed = {name: 0.9 * speed[name] - rate * grads[name] for name in speed}
        network = network.with_params({n: v + speed[n] for n, v in network.params.items()})
    return network, images, labels


def plane(chosen=(0, 1, 2)):
    """The linear regions in the triangle of three digits, and the accuracy of the network."""
    network, images, labels = trained()
    accuracy = (network.predict(images) == labels).mean()
    return sc.regions.plane_slice(network, images[list(chosen)]), accuracy


# %%
def draw(found, samples, cut):
    """Formula and count, regions per parameter, samples and counts, and the plane."""
    figure = Figure(figsize=(8, 7.4), layout="constrained")
    (upper_left, upper_right), (lower_left, lower_right) = figure.subplots(2, 2)
    draw_loss(upper_left)
    draw_per_parameter(upper_right, found)
    draw_samples(lower_left, samples)
    plot_regions(cut, lower_right)
    for name, place in enumerate([(0, -0.03), (0.95, -0.03), (0.04, 1)]):
        lower_right.text(*place, f"a {name}", fontsize=9.5, color=INK, va="top")
    lower_right.set(xlim=(-0.03, 1.03), ylim=(-0.1, 1.03), aspect="equal")
    lower_right.set_axis_off()
    title = f"{cut.n_regions:,} regions between three digits, exact"
    lower_right.set_title(title, fontsize=10, color=INK, loc="left")
    return figure


def draw_loss(ax):
    """Formula and exact count over the number of filters, and what lies between them."""
    models = [sc.regions.layer((1, 3, 3), d, 2) for d in range(1, 6)]
    filters = [m.n_filters for m in models]
    ax.semilogy(filters, [m.formula() for m in models], "s", ms=9, mfc="none", color=ORANGE)
    ax.semilogy(filters, [m.exact() for m in models], "o", ms=4, color=BLUE)
    for d, m in zip(filters, models, strict=True):
        lost = m.formula() - m.exact()
        ax.annotate(f"{-lost:,}" if lost else "0", (d, m.exact()), (0, -16),
                    textcoords="offset points", ha="center", fontsize=9, color=INK)  # fmt: skip
    ax.text(0.75, 5e5, "squares: formula, an upper bound", fontsize=9.5, color=ORANGE)
    ax.text(0.75, 1.3e5, "dots: exact count", fontsize=9.5, color=BLUE)
    ax.text(0.75, 3.6e4, "numbers: their difference", fontsize=9.5, color=INK)
    ax.set(xlim=(0.6, 5.4), ylim=(4, 2e6), xticks=filters)
    dress(ax, "3x3 images, filters 2x2: formula and count", "filters", "linear regions")


def draw_per_parameter(ax, found):
    """Regions over parameters for three kinds of layer."""
    looks = {
        "convolution": ("o-", BLUE, (18, 3e5), "right"),
        "convolution, upper bound": ("--", BLUE, (60, 5e10), "right"),
        "locally connected": ("^-", GREEN, (112, 3e5), "left"),
        "dense": ("s-", ORANGE, (112, 9e2), "left"),
    }
    for name, (style, colour, place, side) in looks.items():
        ax.loglog(*zip(*found[name], strict=True), style, ms=4, color=colour)
        ax.text(*place, name, ha=side, fontsize=9.5, color=colour)
    ax.set(xlim=(3, 1500), ylim=(1, 1e12))
    dress(ax, "3x3 images: what a parameter buys", "parameters", "")


def draw_samples(ax, samples):
    """Patterns met by random inputs beside the exact count."""
    filters = list(samples)
    ax.plot(filters, [exact for _, exact in samples.values()], "o-", ms=4, color=BLUE)
    ax.plot(filters, [met for met, _ in samples.values()], "s--", ms=4, color=ORANGE)
    ax.text(7.0, 455, "exact", ha="right", fontsize=9.5, color=BLUE)
    ax.text(8, 12, f"met by {N_SAMPLES:,} random inputs", ha="right", fontsize=9.5, color=ORANGE)
    dress(ax, "1x3 signals, filters 1x2: count and sample", "filters", "linear regions")


def dress(ax, title, xlabel, ylabel):
    ax.set_title(title, fontsize=10, color=INK, loc="left")
    ax.set_xlabel(xlabel, fontsize=9.5, color=INK)
    ax.set_ylabel(ylabel, fontsize=9.5, color=INK)
    ax.tick_params(labelsize=9)
    ax.set_axisbelow(True)
    ax.grid(color=GRID, lw=0.6)
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
    found_per, growth = per_parameter()
    print(
        f"3x3 images, filters 2x2, d filters: {growth['coefficient']} d^{growth['degree']} regions "
        f"(dense, as many neurons: {growth['dense_coefficient']} d^{growth['degree']}); "
        f"{growth['per_parameter']:.3g} times a dense layer's at equal parameters"
    )
    samples, (cut, accuracy) = sampled(), plane()
    met, exact = samples[8]
    print(f"8 filters on 1x3 signals: {exact} regions exactly, {met} met by {N_SAMPLES:,} inputs")
    print(f"a trained network ({accuracy:.1%} of all digits right) along a plane, exactly:")
    print(cut.summary())
    path = Path(out) / "regions.png"
    draw(found_per, samples, cut).savefig(path, dpi=200)
    print(f"figure: {path}")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
