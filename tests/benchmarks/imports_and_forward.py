# ruff: noqa: E402
"""What a start costs, and how the coders compare with scikit-learn's: CPU seconds and ratios.

Run it as ``python tests/benchmarks/imports_and_forward.py``. It is no test and asserts nothing:
clocks differ from machine to machine, ratios in one run count. One thread; the sides take turns;
medians. The problem is the lasso on centred 8 x 8 patches of scikit-learn's sample photographs with
atoms learned on other patches, all sides in float64; FISTA's tol is its worst relative gap.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core: no threads of ours either

import resource
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.decomposition import SparseCoder
from sklearn.exceptions import ConvergenceWarning

import sparsecnn as sc

N_PATCHES, N_ATOMS, ROUNDS = 1000, 128, 5


def cpu_of_process(*arguments):
    """CPU seconds, user and system, of one Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_turns(tasks, rounds=ROUNDS):
    """Name -> median CPU seconds of each task, run in turns so that a busy moment hits all."""
    seconds = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def patches(n, rng):
    """Centred patches of unit mean square, one a row."""
    pictures = [p.mean(axis=2) / 255 for p in load_sample_images().images]
    rows = []
    for _ in range(n):
        picture = pictures[rng.integers(len(pictures))]
        i, j = (rng.integers(size - 8) for size in picture.shape)
        rows.append(picture[i : i + 8, j : j + 8].ravel())
    rows = np.array(rows) - np.mean(rows, axis=1, keepdims=True)
    return rows / rows.std()


def starts():
    seconds = {
        "python -c pass": ("-c", "pass"),
        "import sparsecnn": ("-c", "import sparsecnn"),
        "sparsecnn --help": ("-m", "sparsecnn", "--help"),
    }
    for name, arguments in seconds.items():
        print(f"{name:<20}{statistics.median(cpu_of_process(*arguments) for _ in range(9)):.3f} s")


def coders(lam):
    rng = np.random.default_rng(0)
    x, others = patches(N_PATCHES, rng), patches(2000, rng)
    start = sc.Dictionary.random(N_ATOMS, 64, random_state=0)
    dictionary = sc.learn_dictionary(others, start, sc.Laplace(lam), n_epochs=3, random_state=0)
    atoms = dictionary.dictionary.atoms
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Laplace(lam))
    options = dict(transform_algorithm="lasso_cd", transform_alpha=lam, transform_max_iter=10_000)
    peer = SparseCoder(atoms, **options)
    codes = {}
    tasks = {
        "sklearn lasso_cd": lambda: codes.update(peer=peer.transform(x)),
        "FISTA 1e-4": lambda: sc.FISTA(1e-4, 5000).solve(problem),
        "FISTA 1e-6": lambda: sc.FISTA(1e-6, 5000).solve(problem),
        "default solver": lambda: sc.solve(problem),
        "forward, certified": lambda: sc.ForwardTransform().solve(problem),
        "forward, codes": lambda: next(sc.ForwardTransform().iterates(problem, None)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        seconds = in_turns(tasks)
    print(f"\n{N_PATCHES} patches, {N_ATOMS} atoms, lam {lam}: density "
          f"{(codes['peer'] != 0).mean():.3f}, worst gap of lasso_cd "
          f"{problem.relative_gap(codes['peer']).max():.1e}")  # fmt: skip
    for name, value in seconds.items():
        ratio = seconds["sklearn lasso_cd"] / value
        print(f"  {name:<20}{value:8.4f} s   {ratio:8.2f} x lasso_cd's speed")


if __name__ == "__main__":
    starts()
    for lam in (0.5, 2.0):
        coders(lam)
