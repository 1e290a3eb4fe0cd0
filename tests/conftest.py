"""What every test shares: an option for larger counts, hypothesis profiles, the data folder."""

from __future__ import annotations

import collections
import math
import os
import zlib

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


#: files whose tests share a costly result, by what it is: one worker makes it, for all of them
TOGETHER = {
    "test_cli.py": "a command that ran",
    "test_comparison.py": "a comparison",
    "test_demos.py": "demos that ran",
    "test_derivation.py": "explained activations and derived rows",
    "test_derivations.py": "a book",
    "test_explain.py": "explained activations and derived rows",
    "test_explain_text.py": "explained activations and derived rows",
    "test_hierarchy.py": "a trained hierarchy",
    "test_plots.py": "comparisons to draw",
    "test_report.py": "a page",
    "test_storage.py": "a saved model",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests that share a costly result go to one worker, first; then one function at a time.

    With ``--full``, where one of them may take minutes, one test at a time.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            alone = nodeid if config.getoption("--full") else nodeid.split("[", 1)[0]
            return TOGETHER.get(pathlib.PurePath(nodeid.split("::", 1)[0]).name, alone)

    return Scheduling(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    skip = pytest.mark.skip(reason="runs with --full")
    named = any("::" in str(argument) for argument in config.args)  # what is asked for is run
    cases = collections.defaultdict(list)
    for item in items:
        if "full" in item.keywords:
            item.add_marker(skip)
        elif (share := item.get_closest_marker("share")) and not named:
            cases[item.nodeid.split("[", 1)[0], *share.args].append(item)
    left_out = set()
    for (_, n), some in cases.items():  # by a hash, so that every parameter's values are mixed
        some.sort(key=lambda item: zlib.crc32(item.nodeid.encode()))
        left_out.update(some[math.ceil(len(some) / n) :])
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


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
