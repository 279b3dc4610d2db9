"""A process of its own: odd terminals, other encodings, a working directory that is gone."""

import os
import shlex
import subprocess
import sys

import pytest
from mistakes import IDX, RUN, check_message, contents
from whole_runs import ROOT


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (RUN + "strategy.sise=3", "strategy.sise: unknown key; did you mean 'size'?"),
        (IDX, "there is no folder mnist"),
        (RUN + "run_dir=run", "there is a run in it already"),
    ],
)
def test_as_a_process_of_its_own(place, command, said):
    before = contents(place)
    words = [sys.executable, "-B", "-m", "evomerge", *shlex.split(command)]
    ended = subprocess.run(
        words,
        cwd=place,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    check_message(ended.returncode, ended.stderr, [said], 1)
    assert contents(place) == before


def shell(place, script, **environment):
    """What a shell makes of a script with our own interpreter as $PYTHON."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, **environment}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        capture_output=True,
        text=True,
        env=variables,
        errors="replace",
    )


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


@pytest.mark.parametrize(
    ("script", "environment", "code"),
    [
        ("$PYTHON -m evomerge run digits.yaml run_dir=new >&-", {}, 0),
        ("$PYTHON -m evomerge run digits.yaml run_dir=new 2>&- >&-", {}, 0),
        ("$PYTHON -m evomerge run digits.yaml run_dir=new > >(true); exit $?", {}, None),
        ("$PYTHON -m evomerge run digits.yaml run_dir=new > /dev/full", {}, 1),
        ("$PYTHON -m evomerge run digits.yaml run_dir=new && mv new x", ASCII, 0),
        (
            "$PYTHON -m evomerge run digits.yaml run_dir=g\u00fcnstig && mv g* new",
            {"PYTHONIOENCODING": "ascii"},
            0,
        ),
    ],
)
def test_whatever_the_terminal_is_the_run_is_whole(place, script, environment, code):
    ended = shell(place, script, **environment)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert code in (None, ended.returncode), ended.stderr
    run = next(path for path in (place / "new", place / "x") if path.exists())
    assert (run / "report.html").is_file()
    assert (run / "best" / "README.md").is_file()


def test_a_working_directory_that_is_gone(place):
    ended = shell(
        place, 'mkdir gone && cd gone && rmdir "$PWD" && $PYTHON -m evomerge run digits.yaml'
    )
    check_message(
        ended.returncode,
        ended.stderr.replace("shell-init", ""),
        ["the working directory is gone"],
        1,
    )
