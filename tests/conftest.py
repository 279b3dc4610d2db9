"""What all tests share: repeatable property tests, and the optional folder of reference data."""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

RUNS = Path(__file__).resolve().parent / "runs"
"""The folder of whole runs."""

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

# Ray runs its workers at a low priority. On a machine that is busy with something else they would
# get next to nothing, and tests would wait for them for hours.
os.environ.setdefault("RAY_worker_niceness", "0")

for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if (
        signal.getsignal(number) is signal.SIG_IGN
    ):  # in the background, under nohup; whom we start would inherit it
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data: $EVOMERGE_SHARED, or `shared` beside the repository. Tests that need it skip without."""
    folder = Path(
        os.environ.get("EVOMERGE_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    )
    if not folder.is_dir():
        pytest.skip(
            f"no reference data: there is no folder {folder} (set EVOMERGE_SHARED to name another)"
        )
    return folder


def pytest_configure(config):
    # xdist 3.8 writes the groups of `--dist loadgroup` where pytest 9.2 no longer looks, and two tests would start a Ray at once.
    if config.getoption("dist", "no") == "loadgroup" and not hasattr(pytest.Item, "_nodeid"):
        raise pytest.UsageError(
            f"pytest {pytest.__version__} does not know the groups of pytest-xdist: expected one below 9.2"
        )
    config.addinivalue_line(
        "markers",
        "whole: runs whole, a real model, another program or a browser; `make quick` leaves it out",
    )
    config.addinivalue_line(
        "markers", "ray: starts a Ray, or works on the one that all such tests of a process share"
    )


def on_ray(item):
    """Whether a test has to do with a Ray."""
    return item.get_closest_marker("ray") is not None or "cluster" in item.fixturenames


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """One worker of a parallel run has all tests on Ray, and has them first; of the others one worker has a whole file."""
    items.sort(key=lambda item: not on_ray(item))
    for item in items:
        if RUNS in item.path.parents:
            item.add_marker("whole")
        item.add_marker(
            pytest.mark.xdist_group("ray" if on_ray(item) else item.nodeid.partition("::")[0])
        )
        if on_ray(item) and find_spec("ray") is None:
            item.add_marker(
                pytest.mark.skip(reason="Ray is not installed: pip install 'evomerge[ray]'")
            )


SHARED = []
"""The Ray that tests share, while there is one."""


@pytest.fixture(scope="session")
def cluster():
    """A Ray of this machine's own, with more processors than it has, for all tests on it that follow each other."""
    if not SHARED:
        from evomerge.workers.cluster import connected

        SHARED.append(connected(None, 16, wait=1800))
    return SHARED[0]


def pytest_runtest_setup(item):
    if SHARED and not on_ray(item):
        SHARED.pop().close()


def pytest_runtest_teardown(item):
    ray = sys.modules.get("ray")
    if not on_ray(item) and ray is not None and ray.is_initialized():
        pytest.fail("a test that starts a Ray has the marker ray, or the fixture cluster")


def pytest_sessionfinish():
    if SHARED:
        SHARED.pop().close()
