"""A working directory in which a user types commands."""

import logging
import shutil
import sys

import pytest
from mistakes import CONFIG

from evomerge.cli import main


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run of six births."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "digits.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "digits.yaml", "run_dir=run"]) == 0
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, finished):
    """A working directory with a config, digits.yaml, and a finished run, run."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    handlers = logging.root.handlers[:]
    yield tmp_path
    # the command line's own write to a stream that ends with the test
    logging.root.handlers[:] = handlers
