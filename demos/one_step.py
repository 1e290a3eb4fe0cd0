# %% [markdown]
# # A CNN layer is a sparse-coding solver stopped after one step
#
# A layer computes `ReLU(filters * x + bias)`. A sparse code is the answer to a question: of all
# non-negative `z`, which one explains the signal `x` best with little activity? This page puts both
# side by side on scikit-learn's handwritten digits and shows that
#
# 1. the layer is the *first step* of the solver that finds the code, for any filters, and
# 2. it is also the *last* step, the exact code, when the atoms are orthonormal.
#
# The vocabulary, with the names that the code below uses:
#
# - `x`: signals, one a row; `z`: codes; `atoms`: what signals are made of, `x` is about `D z`.
# - energy `E(z) = 1/2 ||x - D z||^2 + lam * sum(z)` for `z >= 0`: misfit plus activity. It is what
#   remains of minus log posterior when codes have an exponential prior and the noise is Gaussian.
# - gap: how far above the least energy a code can be at most, relative to the energy of `z = 0`.
#   It needs no solver to compute: a gap of 1e-15 is a proof, not a comparison.

# %%
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import sparsecnn as sc

LAM, N_DIGITS, SEED = 0.1, 100, 0
SIZE = (8, 8)


def digits():
    """Handwritten digits in [0, 1], as images of one channel: (100, 1, 8, 8)."""
    return load_digits().images[:N_DIGITS, None] / 16


def relu(v):
    return np.maximum(v, 0)


# %% [markdown]
# ## One layer, one question
#
# `problem` states the question for a dictionary; `layer` is what a network computes, written out.


# %%
def problem(dictionary, lam=LAM):
    """Sparse coding of the digits, as images or as flat rows, whichever the dictionary takes."""
    x = digits().reshape(N_DIGITS, *dictionary.signal_shape)
    return sc.SparseCodingProblem(x, dictionary, sc.Exponential(lam))


def layer(dictionary, lam=LAM):
    """ReLU(filters * x + bias) with the bias -lam: nothing here knows of energies or priors."""
    bias = np.full(dictionary.n_atoms, -lam)
    if hasattr(dictionary, "filters"):
        linear = sc.Conv2D(dictionary.filters, bias, dictionary.stride, dictionary.padding)
    else:
        linear = sc.Linear(dictionary.atoms, bias)
    return relu(linear.forward(problem(dictionary, lam).x)[0])


# %% [markdown]
# The exact code of orthonormal atoms comes from a method that has nothing in common with a layer:
# the atoms, also the convolutional ones, are written as rows of a matrix, and coordinate descent
# changes one coefficient at a time until the gap is 1e-12. Where many copies overlap that takes
# minutes, and FISTA takes a second.


# %%
def as_rows(dictionary):
    """The dictionary as a plain matrix: every filter at every position is a row."""
    n = int(np.prod(dictionary.code_shape))
    return dictionary.synthesize(np.eye(n).reshape(n, *dictionary.code_shape)).reshape(n, -1)


def exact_code(dictionary, lam=LAM):
    if dictionary.mutual_coherence > 0.1:
        return sc.FISTA(tol=1e-8, max_iter=20_000).solve(problem(dictionary, lam)).codes
    rows = sc.Dictionary(as_rows(dictionary))
    codes = sc.CoordinateDescent(tol=1e-12, max_iter=20_000).solve(problem(rows, lam)).codes
    return codes.reshape(N_DIGITS, *dictionary.code_shape)


# %% [markdown]
# ## Which dictionaries are orthonormal?
#
# A random rotation and the cosine basis are, of course. Convolutional ones can be: Haar's four
# filters move by their own size, and so their copies never meet; Daubechies' are twice as long as
# they move, so neighbours overlap and are orthogonal all the same. What decides is the Gram
# matrix of the *copies*: the very same filters moved by one pixel are not orthonormal any more.


# %%
def dictionaries():
    haar, daubechies = sc.ConvDictionary.haar(SIZE), sc.ConvDictionary.daubechies4(SIZE)
    return {
        "random rotation": sc.Dictionary.orthonormal(64, random_state=SEED),
        "cosine basis": sc.Dictionary.dct(SIZE),
        "Haar, stride 2": haar,
        "Daubechies-4, stride 2": daubechies,
        "16 filters 4x4, stride 4": sc.ConvDictionary.orthonormal(16, 4, SIZE, random_state=SEED),
        "Haar, stride 1": sc.ConvDictionary(haar.filters, SIZE, 1, "circular"),
        "Daubechies-4, stride 1": sc.ConvDictionary(daubechies.filters, SIZE, 1, "circular"),
    }


def one_step(dictionary):
    """What the layer's answer is worth: its gap, its distance to the code, its energy."""
    question, z = problem(dictionary), layer(dictionary)
    first = next(sc.ISTA(step=1.0).iterates(question, None))
    nothing = question.objective(np.zeros(question.shape))
    return {
        "orthonormal": dictionary.is_orthonormal,
        "coherence": dictionary.mutual_coherence,
        "gaps": question.relative_gap(z),
        "from_first_ista_iterate": np.abs(z - first).max(),
        "from_code": np.abs(z - exact_code(dictionary)).max(),
        "energy_over_zero_code": float(np.mean(question.objective(z) / nothing)),
    }


# %% [markdown]
# ## Atoms of another length: a gain, nothing more
#
# Orthogonal atoms of norm `c` make `D^T D = c^2`. The layer then answers `c^2` times the code: the
# next layer can absorb the gain `1 / c^2`.


# %%
def gain(c):
    """Largest error of (layer / c^2) against the code, for orthogonal atoms of norm c."""
    dictionary = sc.Dictionary(c * sc.Dictionary.orthonormal(64, random_state=SEED).atoms)
    return np.abs(layer(dictionary) / c**2 - exact_code(dictionary)).max()


# %% [markdown]
# ## The figure
#
# Left: the gap of one step, a dot a digit. Right: every coefficient of every digit, the layer's
# against the code's; on the diagonal they agree.

# %%
BLUE, ORANGE, INK, GRID = "#0072b2", "#d55e00", "#22272e", "#e3e6ea"


def draw(found):
    figure = Figure(figsize=(8, 3.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1))
    draw_gaps(left, found)
    pair = ("Daubechies-4, stride 2", "Daubechies-4, stride 1")
    for ax, name, colour in zip((middle, right), pair, (BLUE, ORANGE), strict=True):
        draw_agreement(ax, dictionaries()[name], name, colour)
    return figure


def draw_gaps(ax, found):
    rng = np.random.default_rng(SEED)
    for row, result in enumerate(found.values()):
        colour = BLUE if result["orthonormal"] else ORANGE
        y = len(found) - 1 - row + rng.uniform(-0.22, 0.22, N_DIGITS)
        ax.plot(np.maximum(result["gaps"], 1e-17), y, ".", ms=3, alpha=0.5, color=colour)
    ax.set_yticks(range(len(found)), list(found)[::-1])
    for label, result in zip(ax.get_yticklabels(), list(found.values())[::-1], strict=True):
        label.set_color(BLUE if result["orthonormal"] else ORANGE)
    ax.set_xscale("log")
    ax.set_xlim(1e-17, 10)
    ax.set_xticks([1e-16, 1e-8, 1])
    dress(ax, "gap of one step, digit by digit", "relative gap", "")


def draw_agreement(ax, dictionary, name, colour):
    z, code = layer(dictionary), exact_code(dictionary)
    top = 1.05 * z.max()
    ax.plot([0, top], [0, top], color=INK, lw=0.8, zorder=0)
    ax.plot(code.ravel(), z.ravel(), ".", ms=3, alpha=0.35, color=colour, rasterized=True)
    ax.set_xlim(-0.02 * top, top)
    ax.set_ylim(-0.02 * top, top)
    ax.set_xticks([0, 1, 2])
    ax.set_yticks([0, 1, 2])
    dress(ax, name, "exact code", "ReLU output of the layer")


def dress(ax, title, xlabel, ylabel):
    ax.set_title(title, fontsize=10, color=INK)
    ax.set_xlabel(xlabel, fontsize=9.5, color=INK)
    ax.set_ylabel(ylabel, fontsize=9.5, color=INK)
    ax.tick_params(labelsize=9)
    ax.grid(color=GRID, lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## What it says


# %%
def main(out="."):
    """Print the claim with its numbers and write one_step.png into the folder ``out``."""
    found = {name: one_step(d) for name, d in dictionaries().items()}
    print(f"{N_DIGITS} digits, Exponential({LAM}): ReLU(filters * x - {LAM}) against the code\n")
    print(f"  {'dictionary':<26}worst gap  from code  from 1st ISTA iterate  energy / E(0)")
    for name, r in found.items():
        print(
            f"  {name:<26}{r['gaps'].max():9.1e}  {r['from_code']:9.1e}  "
            f"{r['from_first_ista_iterate']:21.1e}  {r['energy_over_zero_code']:13.2f}"
        )
    print(f"\natoms of norm 2: layer / 4 is the code to {gain(2.0):.1e}")
    print("Orthonormal atoms: one step is the code. The same filters, overlapping: it is not.")
    path = Path(out) / "one_step.png"
    draw(found).savefig(path, dpi=200)
    print(f"figure: {path}")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
