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
from sparsecnn import plots
from sparsecnn.derivation.pictures import curves

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
# The dead zone is read off the prox, its ends by bisection; the excess compares the prox with every
# point of a fine grid.


# %%
def measure(row):
    """Numbers of one row: its dead zone, and how far any grid point gets below its prox."""
    prior = prior_of(row)
    x = np.linspace(-REACH, REACH, 1201)
    z = prior.prox(x)
    grid = np.linspace(-REACH - 1, REACH + 1, 4001)
    penalty = prior.value(grid)
    objective = 0.5 * (x - z) ** 2 + prior.value(z)
    best = (0.5 * (x[:, None] - grid) ** 2 + penalty).min(axis=1)
    return {
        "dead": curves(prior).dead,
        "excess": float((objective - best).max()),
        "is_convex": prior.is_convex,
        "is_sparse": prior.is_sparse,
    }


# %% [markdown]
# ## The figure
#
# One panel a prior. Grey, along the bottom: the prior's density, up to scale. Orange: its penalty.
# Blue: the prox; dotted: the identity. The band is the dead zone; a jump is a gap, a point mass a
# dot. `sparsecnn derive --book` draws the same, larger, for every row of the atlas.


# %%
def draw():
    figure = Figure(figsize=(8, 6.6), layout="constrained")
    for ax, row in zip(figure.subplots(3, 4).flat, rows().values(), strict=True):
        title = row.prior if len(row.prior) < 24 else row.prior.split(",")[0]
        plots.plot_derivation(prior_of(row), ax, title=title)
        ax.tick_params(labelsize=7)
        ax.grid(False)
    return figure


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
            dead = f"[{low:.2f}, {high:.2f}]"
        convex = "yes" if numbers["is_convex"] else "no"
        print(f"  {row.prior:<34}{convex:<8}{dead:<18}{max(numbers['excess'], 0):.1e}")
    print("\nHeavy tails give no dead zone; a kink or a point mass at zero does.")
    path = Path(out) / "activations.png"
    draw().savefig(path, dpi=200)
    print(f"figure: {path}")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
