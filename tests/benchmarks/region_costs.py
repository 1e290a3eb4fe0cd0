# ruff: noqa: E402
"""What exact counts of linear regions cost: CPU seconds, cells per second, bytes.

Run it as ``python tests/benchmarks/region_costs.py``; one thread. It is no test, asserts nothing.
The slice through three digits needs the folder of larger data sets in ``SPARSECNN_DATA``.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import pathlib
import sys
import time
import tracemalloc

import numpy as np

import sparsecnn as sc
from sparsecnn.regions import formulas
from sparsecnn.regions.reverse_search import reverse_search

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
sys.set_int_max_str_digits(0)


def timed(name, task, text=str):
    start = time.process_time()
    result = task()
    print(f"{name:<58}{time.process_time() - start:8.2f} s   {text(result)}", flush=True)
    return result


def architectures():
    for filters in (5, 6, 7):
        timed(
            f"{filters} filters 2x2 on 3x3 ({4 * filters} hyperplanes in R^9)",
            lambda d=filters: sc.regions.architecture((1, 3, 3), d, 2).exact,
            "{:,} regions".format,
        )
    timed(
        "64 filters 1x3 on 1x1000",
        lambda: sc.regions.architecture((1, 1, 1000), 64, (1, 3)).exact,
        lambda n: f"{n.bit_length():,} bits",
    )


def listings():
    rng = np.random.default_rng(0)
    for n, m in ((10, 14), (10, 18), (4, 25), (3, 40)):
        network = (rng.standard_normal((m, n)), rng.standard_normal(m))
        for name in ("linear_regions", "search_regions"):
            if m == 18 and name == "search_regions":
                continue
            start = time.process_time()
            found = sum(len(b) for b in getattr(sc.regions, name)(network, (n,)))
            rate = found / (time.process_time() - start)
            assert found == formulas.zaslavsky(m, n)
            text = f"{name}, {m} hyperplanes, {n} inputs"
            print(f"{text:<58}{rate:8.0f} cells/s of {found:,}", flush=True)


def memory():
    """Peak bytes of a reverse search against those of a list of its cells."""
    rng, m = np.random.default_rng(1), 16
    for n in (4, 6, 8):
        planes = rng.standard_normal((m, n + 1))
        tracemalloc.start()
        found = sum(len(points) for _, points in reverse_search(planes, np.zeros((0, n + 1))))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found == formulas.zaslavsky(m, n)
        walls = found * planes.size * 8
        text = f"reverse search, {m} hyperplanes in R^{n}"
        said = f"{found:,} cells; a list of them with their walls {walls / 1e6:.0f} MB"
        print(f"{text:<58}{peak / 1e6:8.1f} MB  {said}", flush=True)


def slices():
    folder = os.environ.get("SPARSECNN_DATA")
    if not folder:
        print("SPARSECNN_DATA names no folder: no slice through three digits")
        return
    from test_regions_slices import mnist_digits, mnist_network

    network, digits = mnist_network(pathlib.Path(folder)), mnist_digits(pathlib.Path(folder))
    result = timed(
        "plane through three MNIST digits, two convolutions",
        lambda: sc.regions.plane_slice(network, digits),
        lambda r: f"{r.n_regions:,} regions, areas off by {abs(r.areas.sum() - 0.5):.1e}",
    )
    rng, missed, n = np.random.default_rng(0), 0, 1_000_000
    start = time.process_time()
    for _ in range(n // 5000):
        inputs = np.einsum("nk,kchw->nchw", rng.dirichlet(np.ones(3), size=5000), digits)
        missed += (~np.isin(sc.regions.pattern_keys(network, inputs), result.keys)).sum()
    seconds = time.process_time() - start
    text = f"patterns of {n:,} inputs of that plane"
    print(f"{text:<58}{seconds:8.2f} s   {missed} not among them")


if __name__ == "__main__":
    architectures()
    listings()
    memory()
    slices()
