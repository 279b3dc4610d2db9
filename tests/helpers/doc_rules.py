"""When is a block of the docs true? A rule for each kind of block, and one for each program of a shell block.

A rule raises where a block is not true, and gives what the block prints. What cannot run here is held against what it names: the
command line's parser, a config that can be built, a target of the Makefile, options in a script's source.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest
import yaml
from doc_blocks import ROOT, Block, alternatives, commands
from doc_ground import SMALL, Ground, called

from evomerge import arguments, evolve
from evomerge.config import calls
from evomerge.config.config import load
from evomerge.evolution import OUTSIDE
from evomerge.run.settings import RANGES
from evomerge.rundir.births import read_births

QUICK = ("digits", "digits_units", "merge", "my")
"""Configs that a command may run as often as the docs name them; others are run once, for all pages."""

LEFT_OUT = {
    "make": "installs packages; CI runs `make test`",
    "pip": "installs packages",
    "python": "benchmarks take minutes",
    "ray": "tests/test_cluster.py submits a job to a head of its own",
    "compare": "takes minutes; tests/test_compare.py has comparisons",
    "workers._target_=evomerge.Ray": "tests/evomerge/test_pool.py has Ray's workers",
    "configs/mnist.yaml": "needs MNIST, which does not ship",
    "ours.yaml": "names models and tasks of a user's; tests/test_convert.py runs what is converted",
}
"""Programs, and words of a line of evomerge's, with the reason why it is not run; it is held against what it names."""


def python(block: Block, ground: Ground) -> str:
    """A program runs."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(block.text, block.name, "exec"), {"__name__": Path(block.file or "docs").stem})
    return said.getvalue()


def config(block: Block, ground: Ground) -> str:
    """A config can be built, by itself or as a part of another; one of mergekit-evolve's can be converted."""
    if block.file and block.file.endswith(".yml"):
        return called(["convert", block.file])
    for number, text in enumerate(alternatives(ground.meant(block.text))):
        if not {"population", "_base_"} & set(yaml.safe_load(text)):
            text += "_base_: my.yaml\n"
        Path(f"{number}.yaml").write_text(text)
        built(Path(f"{number}.yaml"))
    return ""


def files(block: Block, ground: Ground) -> str:
    """Each file that is listed is left by a run; a list of what is in a run's directory is complete."""
    names, roots = list[str](), [ground.run(name)[0] for name in SMALL]
    for line in block.text.splitlines():
        if not line.startswith(" "):
            first, *others = re.split("  +", line)[0].split(", ")
            folder = first.rpartition("/")[0] if not first.endswith("/") else ""
            names += [
                first,
                *(f"{folder}/{name}" if folder else name for name in others if name != "..."),
            ]
    for name in names:
        assert any((root / name).exists() for root in roots), f"no run leaves {name}"
    if not any("/" in name.rstrip("/") for name in names):
        assert {name.rstrip("/") for name in names} == {
            path.name for root in roots for path in root.iterdir() if not path.name.startswith(".")
        }
    return ""


def shell(block: Block, ground: Ground) -> str:
    """Each line is such as its program takes."""
    lines = commands(ground.meant(block.text))
    assert {program for program, *_ in lines} <= {"evomerge", *LEFT_OUT}
    return "".join(PROGRAMS[program](words, ground) for program, *words in lines)


RULES: dict[str, Callable[[Block, Ground], str]] = {
    "python": python,
    "yaml": config,
    "files": files,
    "sh": shell,
}


def evomerge(words: Sequence[str], ground: Ground) -> str:
    """The parser takes a line, its configs can be built; and it runs, smaller, on configs and runs that are here."""
    options = parsed(words)
    command = words[0]
    if command == "convert":
        return called(words)
    if command == "merge":
        return called([*words, "births=2"])
    varied = getattr(options, "vary", [])
    overrides = [
        word
        for word in words[1:]
        if "=" in word and not word.startswith("-") and word not in varied
    ]
    configs = [Path(word) for word in words[1:] if word.endswith(".yaml")]
    for path in configs:
        for chosen in product(
            *(
                [f"{key}={value}" for value in values.split(",")]
                for key, _, values in (text.partition("=") for text in varied)
            )
        ):
            built(path, [*overrides, *chosen])
    if LEFT_OUT.keys() & set(words):
        return ""
    if command == "resume":
        built(Path(words[1]) / "config.yaml", overrides)
        births = json.loads((Path(words[1]) / "summary.json").read_text())["births"]
        return called([*words, *([f"births={births + 1}"] if overrides else [])])
    if command == "export":  # the youngest member is alive
        alive = [birth["birth"] for birth in read_births(Path(words[1])) if birth.get("admitted")][
            -1
        ]
        return called([str(alive) if word == "ID" else word for word in words])
    if not configs:
        return called(words)
    name = configs[0].stem
    assert name in SMALL or name in QUICK, (
        f"make {name} small in SMALL, or say in LEFT_OUT why it is not run"
    )
    return (
        ground.run(name)[1]
        if command == "run" and name not in QUICK
        else called([*words, *SMALL.get(name, ["births=5"])])
    )


def script(words: Sequence[str], ground: Ground) -> str:
    """A script or a module is there, its source has the options, and the config that it is given can be built."""
    if words[:2] == ["-m", "evomerge"]:
        return evomerge(words[2:], ground)
    source = Path(
        found.origin if words[0] == "-m" and (found := find_spec(words[1])) else words[0]
    ).read_text()
    assert [word for word in words[2:] if word.startswith("--") and word not in source] == []
    for word in words:
        if word.endswith(".yaml"):
            built(Path(word), [word for word in words if "=" in word])
    return ""


def make(words: Sequence[str], ground: Ground) -> str:
    """The Makefile has the targets."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words) <= set(targets)
    return ""


def pip(words: Sequence[str], ground: Ground) -> str:
    """What is installed is evomerge, with extras that it has, or what a benchmark imports."""
    command, what = words
    assert command == "install"
    ours = re.fullmatch(r"(?:\.|evomerge)(?:\[(.*)\])?", what)
    known = (ROOT / "setup.cfg").read_text()
    if ours is None:
        assert any(
            f"import {what}" in path.read_text() for path in (ROOT / "benchmarks").glob("*.py")
        )
    for extra in ours[1].split(",") if ours and ours[1] else ():
        assert f"\n{extra} =\n" in known, f"there is no extra {extra}"
    return ""


def ray(words: Sequence[str], ground: Ground) -> str:
    """`ray job submit OPTIONS -- COMMAND`: Ray has the options, and the command is one of ours."""
    submit = pytest.importorskip("ray.dashboard.modules.job.cli").submit
    assert words[:2] == ["job", "submit"]
    end = words.index("--")
    known = {option for parameter in submit.params for option in parameter.opts}
    assert {word for word in words[:end] if word.startswith("--")} <= known
    return PROGRAMS[words[end + 1]](words[end + 2 :], ground)


PROGRAMS: dict[str, Callable[[Sequence[str], Ground], str]] = {
    "evomerge": evomerge,
    "python": script,
    "make": make,
    "pip": pip,
    "ray": ray,
}


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line takes these words, with any number for ID."""
    try:
        return arguments.parsed(["0" if word == "ID" else word for word in words])
    except SystemExit:
        raise AssertionError(
            f"the command line does not take: evomerge {' '.join(words)}"
        ) from None


def built(path: Path, overrides: Sequence[str] = ()) -> None:
    """A config can be built with these overrides."""
    given = load(path, overrides)
    given.pop("run_dir", None)
    calls.build(given, evolve, outside=OUTSIDE, check=RANGES)
