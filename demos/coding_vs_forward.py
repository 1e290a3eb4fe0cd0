# %% [markdown]
# # Where coding and the forward transform part
#
# With orthonormal atoms one ReLU step is the sparse code (see `one_step.py`). Trained networks have
# more atoms than dimensions, and atoms that overlap. Then one step counts twice what two atoms
# share. This page learns 128 atoms for digits of 64 pixels and shows that
#
# 1. one step *overshoots*: its code has more energy than no code at all,
# 2. scaling it back (the calibrated step) never does,
# 3. more steps close the gap, as far as one likes: the layer is one end of a dial, and
# 4. at every position of the dial a certificate says how far the reconstruction can be from that of
#    the exact code, without knowing the exact code.
#
# The vocabulary: `x` signals, `z` codes, `D` the dictionary, and the energy
# `E(z) = 1/2 ||x - D z||^2 + lam * sum(z)` for `z >= 0`. The dual gap bounds `E(z) - min E`.

# %%
import sys
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import sparsecnn as sc

PRIOR = sc.Exponential(0.1)
N_ATOMS, N_LEARN, N_CODED, SEED = 128, 600, 200, 0
STEPS = (1, 3, 10, 30, 100)

# %% [markdown]
# ## Explaining away, with two atoms
#
# Two unit atoms overlap by `rho`, and the signal *is* the first. One step asks each atom on its
# own, and the second answers too: `(1 - lam, rho - lam)`. The code knows that the first has already
# explained what the second sees: `(1 - lam, 0)`, for every `rho < 1`.


# %%
def explaining_away(rho, lam=0.2):
    """(one step, exact code) of the first of two atoms."""
    atoms = sc.Dictionary([[1.0, 0.0], [rho, np.sqrt(1 - rho**2)]])
    problem = sc.SparseCodingProblem(atoms.atoms[:1], atoms, sc.Exponential(lam))
    exact = sc.CoordinateDescent(tol=1e-12).solve(problem)
    return sc.ForwardTransform().solve(problem).codes[0], exact.codes[0]


# %% [markdown]
# ## Atoms for digits
#
# Learned on digits that are not coded below; the mean digit is taken off first, so that the atoms
# do not all share the average.


# %%
def digits():
    """Flat digits less their mean: (200 to code, 600 to learn from)."""
    x = load_digits().data / 16
    x = x - x.mean(axis=0)
    return x[:N_CODED], x[N_CODED : N_CODED + N_LEARN]


def learned_problem():
    x, others = digits()
    start = sc.Dictionary.random(N_ATOMS, x.shape[1], random_state=SEED)
    record = sc.learn_dictionary(
        others, start, PRIOR, n_epochs=5, batch_size=128, random_state=SEED
    )
    return sc.SparseCodingProblem(x, record.dictionary, PRIOR)


# %% [markdown]
# ## The dial
#
# From one step to the code: the layer, the layer scaled back, a few steps, and as many as it takes.


# %%
def dial(problem):
    """Name -> Solution; a few steps are asked for, and so they need not converge."""
    solvers = {
        "one step": sc.ForwardTransform(),
        "calibrated": sc.ForwardTransform(calibrate=True),
        **{f"{k} steps": sc.FISTA(tol=1e-15, max_iter=k) for k in STEPS[1:]},
    }
    found = {name: quietly(solver, problem) for name, solver in solvers.items()}
    found["exact"] = sc.FISTA(tol=1e-9, max_iter=20_000).solve(problem)
    return found


def quietly(solver, problem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sc.ConvergenceWarning)
        return solver.solve(problem)


# %% [markdown]
# ## What is measured
#
# The energy of each code over that of `z = 0`; its relative gap; and the certificate. Energies of
# this kind satisfy `1/2 ||D z - D z*||^2 <= E(z) - E(z*) <= dual gap`, so `sqrt(2 dual gap)` bounds
# how far the reconstruction is from the exact code's.


# %%
def measure(problem, found):
    """Name -> per-digit numbers: energy over E(0), gap, distance of reconstructions, bound."""
    nothing = problem.objective(np.zeros(problem.shape))
    image = problem.dictionary.synthesize(found["exact"].codes)
    size = np.linalg.norm(problem.x, axis=1)
    return {
        name: {
            "energy": solution.objective / nothing,
            "gap": solution.gap,
            "distance": np.linalg.norm(
                problem.dictionary.synthesize(solution.codes) - image, axis=1
            )
            / size,
            "bound": np.sqrt(2 * solution.dual_gap) / size,
        }
        for name, solution in found.items()
    }


# %% [markdown]
# ## The figure
#
# Above: one digit as every position of the dial draws it (all on one grey scale). Below left: the
# energy, its mean over the digits and its range. Below right: the certificate against the distance
# that it bounds, a dot a digit; none may lie above the line.

# %%
COLOURS = {
    "one step": "#d55e00", "calibrated": "#e69f00", "3 steps": "#7fc4ea", "10 steps": "#56b4e9",
    "30 steps": "#0072b2", "100 steps": "#004a75", "exact": "#1b2a3a",
}  # fmt: skip
INK, GRID = "#22272e", "#e3e6ea"


def draw(problem, found, measured, sample=7):
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 2.1))
    draw_pictures(top, problem, found, measured, sample)
    left, right = bottom.subplots(1, 2)
    draw_energy(left, measured)
    draw_certificate(right, measured)
    return figure


def draw_pictures(figure, problem, found, measured, sample):
    shown = ("one step", "calibrated", "3 steps", "10 steps", "exact")
    mean = load_digits().data.mean(axis=0) / 16
    pictures = {"the digit": problem.x[sample]}
    pictures |= {n: problem.dictionary.synthesize(found[n].codes[sample]) for n in shown}
    for ax, (name, picture) in zip(figure.subplots(1, 6), pictures.items(), strict=True):
        ax.imshow((picture + mean).reshape(8, 8), cmap="gray", vmin=-0.15, vmax=1.15)
        ax.set_title(name, fontsize=10, color=COLOURS.get(name, INK))
        energy = measured[name]["energy"][sample] if name in measured else 1.0
        label = f"energy {energy:.2g}" if name in measured else "no code: energy 1"
        ax.set_xlabel(label, fontsize=9, color=INK)
        ax.set_xticks([])
        ax.set_yticks([])


def draw_energy(ax, measured):
    names = list(measured)
    at = np.arange(len(names))
    energy = np.array([measured[n]["energy"] for n in names])
    ax.axhline(1, color=INK, lw=0.8, ls="--")
    ax.annotate("no code at all", (len(names) - 1, 1), xytext=(0, 4), ha="right", fontsize=9,
                textcoords="offset points", color=INK)  # fmt: skip
    for k, name in enumerate(names):
        ax.plot([k, k], [energy[k].min(), energy[k].max()], color=COLOURS[name], lw=1.2)
        ax.plot(k, energy[k].mean(), "o", ms=7, color=COLOURS[name])
    ax.set_yscale("log")
    ax.set_yticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
    ax.minorticks_off()
    ax.set_xticks(at, [n.replace(" ", "\n", 1) for n in names])
    dress(ax, "one step overshoots, more steps do not", "", "energy / energy of no code")


def draw_certificate(ax, measured):
    low, high = 1e-6, 10
    ax.fill_between([low, high], [low, high], [high, high], color="#f3f4f6", lw=0)
    ax.plot([low, high], [low, high], color=INK, lw=0.8)
    ax.text(2e-4, 1.5, "impossible:\nfarther than certified", fontsize=9, color="#6b7480",
            va="top")  # fmt: skip
    for name, m in measured.items():
        if name in ("exact", "3 steps"):  # the first is what is measured against; the second lies
            continue  # where the calibrated step does
        ax.plot(m["bound"], m["distance"], ".", ms=3, alpha=0.6, color=COLOURS[name])
        ax.annotate(name, (np.median(m["bound"]), np.median(m["distance"])), fontsize=9,
                    xytext=(-22, -19) if name == "one step" else (12, -7),
                    textcoords="offset points", color=COLOURS[name])  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(1e-4, high)
    ax.set_ylim(low, high)
    dress(ax, "the certificate holds, digit by digit", "certified: sqrt(2 gap) / |x|",
          "true distance / |x|")  # fmt: skip


def dress(ax, title, xlabel, ylabel):
    ax.set_title(title, fontsize=10.5, color=INK, loc="left")
    ax.set_xlabel(xlabel, fontsize=9.5, color=INK)
    ax.set_ylabel(ylabel, fontsize=9.5, color=INK)
    ax.tick_params(labelsize=9, colors=INK)
    ax.grid(axis="y", color=GRID, lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## What it says


# %%
def main(out="."):
    """Print the claims with their numbers and write coding_vs_forward.png into ``out``."""
    one, code = explaining_away(0.6)
    print(f"two atoms, overlap 0.6, lam 0.2: one step {one.round(12)}, the code {code.round(12)}\n")
    problem = learned_problem()
    measured = measure(problem, found := dial(problem))
    d = problem.dictionary
    print(f"{N_CODED} digits, {N_ATOMS} learned atoms in 64 dimensions, {PRIOR}: mutual coherence "
          f"{d.mutual_coherence:.2f}, L = {d.lipschitz:.1f}\n")  # fmt: skip
    print(f"  {'':<12}energy / E(0)   worse than E(0)   gap      distance   certified")
    for name, m in measured.items():
        print(
            f"  {name:<12}{m['energy'].mean():13.3f}   {(m['energy'] > 1).mean():15.0%}   "
            f"{m['gap'].mean():.1e}  {m['distance'].mean():.1e}    {m['bound'].mean():.1e}"
        )
    path = Path(out) / "coding_vs_forward.png"
    draw(problem, found, measured).savefig(path, dpi=200)
    print(f"\nfigure: {path}")
    return measured


if __name__ == "__main__":
    main(*sys.argv[1:2])
