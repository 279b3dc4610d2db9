"""Run directories that are taken, spoiled or elsewhere, and what is exported from them."""

import fcntl
import os
import shutil

import pytest
from mistakes import (
    RUN,
    both,
    check_mistake,
    edit,
    evomerge,
    file,
    idx,
    row,
    seeds,
)

from evomerge.cli import main


def flip(*names, at=-9):
    """Changes a byte in files of the run."""

    def write(folder):
        for name in names:
            content = bytearray((folder / "run" / name).read_bytes())
            content[at] ^= 1
            (folder / "run" / name).write_bytes(content)

    return write


def lock(folder):
    handle = os.open(folder / "run" / ".lock", os.O_RDWR)  # held until the tests end
    fcntl.flock(handle, fcntl.LOCK_EX)


RUN_DIRECTORIES = [
    row(
        "run_dir has a run",
        RUN + "run_dir=run",
        "run: there is a run in it already",
        "evomerge resume run",
    ),
    row(
        "run_dir has other files",
        RUN + "run_dir=.",
        "a new run needs an empty directory",
        "other files",
    ),
    row(
        "run_dir is a file",
        RUN + "run_dir=digits.yaml",
        "digits.yaml: expected a run directory, this is a file",
    ),
    row("run_dir in a file", RUN + "run_dir=digits.yaml/run", "digits.yaml", "expected a", "file"),
    row("run_dir is no path", RUN + "run_dir=5", "run_dir: expected a path, got 5"),
    row(
        "run_dir in use",
        "resume run births=9",
        "run: another process is using this run directory",
        given=lock,
    ),
    row("resume of nothing", "resume runn", "runn: there is no such run directory"),
    row(
        "resume of no run",
        "resume sub",
        "sub: not a run directory, it has no config.yaml",
        given=lambda folder: (folder / "sub").mkdir(),
    ),
    row(
        "resume with another seed",
        "resume run seed=1",
        "seed: the run in run has 0, a resume cannot make it 1",
        "only births, workers",
    ),
    row(
        "resume with another alpha",
        "resume run strategy.alpha=0.5",
        "strategy.alpha: the run in run has 1.0, a resume cannot make it 0.5",
    ),
    row(
        "resume with another population",
        "resume run population.hidden=[4,4]",
        "population.hidden: the run in run has [4], a resume cannot make it [4, 4]",
    ),
    row(
        "resume with fewer births",
        "resume run births=5",
        "births: the run in run has 6",
        "can only raise it, got 5",
    ),
    row(
        "resume with fewer births than a resume",
        "resume run births=7",
        "births: the run in run has 8",
        "got 7",
        given=lambda _: main(["resume", "run", "births=8"]),
    ),
    row("resume with an unknown key", "resume run birth=9", "birth: unknown key", "mean 'births'?"),
    row(
        "resume with several changes",
        "resume run seed=1 tile=7 births=2",
        "seed: the run",
        "tile: the run",
        "births: the run",
        lines=3,
    ),
    row(
        "resume of a damaged config",
        "resume run",
        "run/config.yaml: ",
        "line",
        given=file("run/config.yaml", "births: ["),
    ),
    row(
        "resume with other images",
        "resume run births=9",
        "run",
        "1437",
        "1078",
        given=edit("run/config.yaml", "train: 0.8", "train: 0.6"),
    ),
    row(
        "both snapshots damaged",
        "resume run births=9",
        "no snapshot can be read",
        "latest: state.json does not match",
        "previous: tensors.safetensors does not match",
        given=both(flip("state/latest/state.json"), flip("state/previous/tensors.safetensors")),
    ),
    row(
        "snapshots missing",
        "resume run births=9",
        "run/state: no snapshot can be read",
        "latest: missing",
        "previous: missing",
        given=lambda folder: shutil.rmtree(folder / "run" / "state"),
    ),
    row(
        "log damaged",
        "resume run births=9",
        "births.jsonl is not the log that belongs to it",
        given=flip("births.jsonl", at=9),
    ),
    row(
        "log missing",
        "resume run births=9",
        "run: its births.jsonl is missing",
        given=lambda folder: (folder / "run" / "births.jsonl").unlink(),
    ),
    row(
        "export of a stranger",
        "export run out --member 99",
        "--member: 99 is not alive in run; there are ",
    ),
    row(
        "export of a word",
        "export run out --member best",
        "argument --member: invalid int value: 'best'",
    ),
    row("export over a folder", "export run run", "run: expected a folder that is not there yet"),
    row("export into a file", "export run digits.yaml/out", "digits.yaml", "expected"),
    row("export of no run", "export runn out", "runn: there is no such run directory"),
    row("report of no run", "report digits.yaml", "digits.yaml: there is no such run directory"),
]


@pytest.mark.parametrize(("command", "said", "given", "lines"), RUN_DIRECTORIES)
def test_a_mistake_is_told_and_nothing_is_written(place, capsys, command, said, given, lines):
    check_mistake(place, capsys, command, said, given, lines)


def test_home_is_home_wherever_a_path_is_given(place, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(place / "home"))
    (place / "home").mkdir()
    seeds()(place / "home")
    idx()(place / "home")
    for command in (
        RUN + "'population.seeds=[~/a.safetensors,~/b.safetensors]' run_dir=~/runs/one",
        "export '~/runs/one' '~/out'",
        "report '~/runs/one'",
        "watch '~/runs/one' --once",
        "resume '~/runs/one' births=7",
        "check digits.yaml run_dir=~/runs/two",
    ):
        code, output = evomerge(command, capsys)
        assert code == 0, output.err
    assert (place / "home" / "runs" / "one" / "best").is_dir()
    assert (place / "home" / "out").is_dir()
    assert not (place / "~").exists()
