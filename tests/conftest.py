"""What all tests share: repeatable property tests, and the optional folder of reference data."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:  # in the background, under nohup; whom we start would inherit it
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data: $EVOMERGE_SHARED, or `shared` beside the repository. Tests that need it skip without."""
    folder = Path(os.environ.get("EVOMERGE_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip(f"no reference data: there is no folder {folder} (set EVOMERGE_SHARED to name another)")
    return folder
