"""Plain data to calls and back: each value as the signature asks for it, each mistake with its line."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from whole_runs import DIGITS

from evomerge import UserError, evolve
from evomerge.config import calls
from evomerge.evolution import OUTSIDE
from evomerge.run.settings import Settings
from fitness.classification import Classification, right


@dataclass(frozen=True)
class Part:
    """A part of a call, which needs no `_target_`."""

    size: int = 1
    inner: "Part | None" = None


@dataclass
class Call:
    """One argument of each kind."""

    path: Path = Path(".")
    paths: Sequence[Path] | None = None
    pair: tuple[float, int] = (0.0, 0)
    many: tuple[int, ...] = ()
    table: Mapping[str, float] = field(default_factory=dict)
    function: Callable[..., Any] | None = None
    choice: Literal["a", 1] = "a"
    number: float | None = None
    flag: bool = False
    part: Part = Part()
    parts: list[Part] = field(default_factory=list)
    anything: Any = None


@pytest.mark.parametrize(
    ("key", "given", "made"),
    [
        ("path", "data/x", Path("data/x")),
        ("paths", ["a", "b"], [Path("a"), Path("b")]),
        ("pair", [1, 2], (1.0, 2)),
        ("many", [1, 2, 3], (1, 2, 3)),
        ("table", {"x": 1}, {"x": 1.0}),
        ("function", "fitness.classification.right", right),
        ("choice", 1, 1),
        ("number", 3, 3.0),
        ("number", None, None),
        ("part", {"size": 2, "inner": {"size": 3}}, Part(2, Part(3))),
        ("part", {"_target_": f"{__name__}.Part", "size": 4}, Part(4)),
        ("parts", [{"size": 5}], [Part(5)]),
        (
            "anything",
            {"a": [{"_target_": "builtins.complex", "real": 1, "imag": 2}]},
            {"a": [1 + 2j]},
        ),
    ],
)
def test_values_become_what_the_signature_asks_for(key, given, made):
    got = calls.build({key: given}, Call)[key]
    assert got == made
    assert type(got) is type(made)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"choice": True}, ["choice: expected 'a' or 1, got True (bool)"]),
        ({"pair": [1, 2.5]}, ["pair[1]: expected a whole number, got 2.5 (float)"]),
        ({"many": [1, "x"]}, ["many[1]: expected a whole number, got 'x' (str)"]),
        ({"table": {"x": "y"}}, ["table.x: expected a number, got 'y' (str)"]),
        ({"part": {"inner": {"sise": 1}}}, ["part.inner.sise: unknown key; did you mean 'size'?"]),
        ({"parts": [{}, {"size": "x"}]}, ["parts[1].size: expected a whole number, got 'x' (str)"]),
        (
            {"function": 5},
            ["function: expected the import path of a function or null, got 5 (int)"],
        ),
        (
            {"path": 5, "flag": "no", "nmber": 1},
            ["path: expected a path, got 5", "flag: expected true or false", "mean 'number'?"],
        ),
    ],
)
def test_every_mistake_has_its_line(given, said):
    with pytest.raises(UserError) as caught:
        calls.build(given, Call)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(said)
    assert all(fragment in line for fragment, line in zip(said, lines, strict=True))


def test_ranges_are_checked_with_everything_else():
    check = partial(Settings, births=0)
    with pytest.raises(UserError) as caught:
        calls.build(
            {"tile": 0, "seed": "x", "strategy": {"size": 1}}, evolve, outside=OUTSIDE, check=check
        )
    lines = str(caught.value).splitlines()
    keys = (
        "seed: expected a whole",
        "strategy.size: ",
        "population: missing",
        "fitness: missing",
        "births: missing",
        "tile: ",
    )
    assert [line.startswith(key) for line, key in zip(lines, keys, strict=True)] == [True] * len(
        keys
    )


def test_objects_are_described_by_the_arguments_they_kept():
    described = calls.describe(
        fitness=Classification(DIGITS),
        path=Path("a/b"),
        array=np.float32(0.5),
        count=np.int64(3),
        many=range(2),
        none=None,
    )
    assert described["fitness"]["_target_"] == "fitness.classification.Classification"
    assert described["fitness"]["data"] == {
        "_target_": "fitness.images.SklearnDigits",
        **vars(DIGITS),
    }
    assert described["fitness"]["score"] == "fitness.classification.right"
    assert [described[key] for key in ("path", "array", "count", "many", "none")] == [
        "a/b",
        0.5,
        3,
        [0, 1],
        None,
    ]
    assert json.loads(json.dumps(described)) == described
