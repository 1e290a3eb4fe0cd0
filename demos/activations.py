# %% [markdown]
# # An activation is a prior
#
# A layer that codes one sample under a prior computes the prior's proximal operator: that is its
# activation. This page draws a dozen of them, each from nothing but its penalty as a formula.
#
# The vocabulary, with the names that the code below uses:
#
# - `penalty`: `phi(z)`, minus the logarithm of the prior times the noise variance;
# - `prox`: `argmin_z 1/2 (x - z)^2 + phi(z)`, the activation, a function of the input `x`;
# - dead zone: the interval of inputs that a prox sends to exactly zero. It is what makes codes
#   sparse, and heavy tails alone do not produce one.

# %%
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import sparsecnn as sc

REACH = 3.0
KEYS = (
    "laplace", "exponential", "uniform", "elastic_net", "huber", "gamma",
    "l0", "bernoulli_exponential", "log_sum_jump", "student_t", "scad", "tanh_entropy",
)  # fmt: skip


# %% [markdown]
# ## From the formula
#
# A row of the atlas is data: a penalty, a support, parameters. `SymbolicPrior` needs no more.


# %%
def rows():
    """The dozen rows, by their names."""
    by_key = {row.key: row for row in sc.atlas() if row.section == "forward"}
    return {key: by_key[key] for key in KEYS}


def prior_of(row):
    return sc.SymbolicPrior(row.penalty, support=row.support, **row.parameters)


# %% [markdown]
# ## What is measured
#
# The dead zone is read off the prox; the excess compares it with every point of a fine grid.


# %%
def measure(row):
    """Numbers of one row: its dead zone, and how far any grid point gets below its prox."""
    prior = prior_of(row)
    x = np.linspace(-REACH, REACH, 1201)
    z = prior.prox(x)
    zeros = x[z == 0]
    grid = np.linspace(-REACH - 1, REACH + 1, 4001)
    penalty = prior.value(grid)
    objective = 0.5 * (x - z) ** 2 + prior.value(z)
    best = (0.5 * (x[:, None] - grid) ** 2 + penalty).min(axis=1)
    return {
        "x": x,
        "z": z,
        "dead": (zeros.min(), zeros.max()) if zeros.size > 1 else None,
        "excess": float((objective - best).max()),
        "is_convex": prior.is_convex,
        "is_sparse": prior.is_sparse,
    }


# %% [markdown]
# ## The figure
#
# One panel a prior. Grey: the prior's density, up to scale. Orange: its penalty. Blue: the prox.
# The band is the dead zone.

# %%
BLUE, ORANGE, GREY, BAND, INK = "#0072b2", "#d55e00", "#9aa3b0", "#fbe3d3", "#22272e"


def draw(found):
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    for ax, (key, row) in zip(figure.subplots(3, 4).flat, rows().items(), strict=True):
        draw_row(ax, row, found[key])
    return figure


def draw_row(ax, row, numbers):
    z = np.linspace(-REACH, REACH, 1201)
    penalty = prior_of(row).value(z)
    inside = np.isfinite(penalty)
    density = np.exp(-np.where(inside, penalty, np.inf) + penalty[inside].min())
    if numbers["dead"]:
        ax.axvspan(*np.clip(numbers["dead"], -REACH, REACH), color=BAND, lw=0)
    ax.fill_between(z, -REACH, -REACH + density, color=GREY, alpha=0.45, lw=0)
    ax.plot(z[inside], penalty[inside], color=ORANGE, lw=1.2)
    x, y = numbers["x"], numbers["z"].copy()
    y[np.flatnonzero(np.abs(np.diff(y)) > 0.1)] = np.nan  # a jump is a gap, not a line
    ax.plot(x, y, color=BLUE, lw=1.6)
    ax.set_xlim(-REACH, REACH)
    ax.set_ylim(-REACH, REACH)
    ax.set_title(row.prior, fontsize=8.5, color=INK)
    ax.tick_params(labelsize=7)
    ax.set_aspect("equal")
    ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## What it says


# %%
def main(out="."):
    """Print the table and write activations.png into the folder ``out``."""
    found = {key: measure(row) for key, row in rows().items()}
    print(f"  {'prior':<34}convex  dead zone         grid points below")
    for key, row in rows().items():
        numbers = found[key]
        dead = "none"
        if numbers["dead"]:
            low, high = numbers["dead"]
            left = "-inf" if low <= -REACH else f"{low:.2f}"
            dead = f"[{left}, {high:.2f}]"
        convex = "yes" if numbers["is_convex"] else "no"
        print(f"  {row.prior:<34}{convex:<8}{dead:<18}{max(numbers['excess'], 0):.1e}")
    print("\nHeavy tails give no dead zone; a kink or a point mass at zero does.")
    path = Path(out) / "activations.png"
    draw(found).savefig(path, dpi=200)
    print(f"figure: {path}")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
