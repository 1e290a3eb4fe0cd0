"""What every test shares: an option for larger counts, hypothesis profiles, the data folder."""

from __future__ import annotations

import os

# one BLAS thread, set before NumPy loads: small products are faster so, and two runs do not compete
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pathlib  # noqa: E402

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

_COMMON = dict(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
settings.register_profile("plain", max_examples=60, **_COMMON)
settings.register_profile("full", max_examples=600, **_COMMON)


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="raise the counts of examples and inputs")


def pytest_configure(config):
    settings.load_profile("full" if config.getoption("--full") else "plain")


#: files whose tests share a costly result: a command that ran, a book, derived rows, demos
TOGETHER = {
    f"test_{name}.py"
    for name in ("cli", "comparison", "demos", "derivation", "derivations", "explain", "hierarchy",
                 "plots", "report", "storage")
}  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Whole files that share a costly result on one worker, first; then test by test."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.split("::", 1)[0]
            return path if pathlib.PurePath(path).name in TOGETHER else nodeid

    return Scheduling(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    skip = pytest.mark.skip(reason="runs with --full")
    for item in items:
        if "full" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def scale(request):
    """``scale(plain, full)``: the count to use in this run."""
    return lambda plain, full: full if request.config.getoption("--full") else plain


@pytest.fixture(scope="session")
def data_folder():
    """Folder of the larger data sets, from the environment variable SPARSECNN_DATA."""
    folder = os.environ.get("SPARSECNN_DATA")
    if not folder:
        pytest.skip("the environment variable SPARSECNN_DATA names no data folder")
    path = pathlib.Path(folder)
    assert path.is_dir(), f"SPARSECNN_DATA is {folder!r}, which is no folder"
    return path
