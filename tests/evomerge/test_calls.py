"""Plain data to calls and back: values as the signature wants them, each mistake with its line."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from whole_runs import DIGITS

from evomerge import Crossover, UserError, evolve
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


# A user's module, which imports nothing that the fields of NaturalNiches are of.
TASTES = """
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evomerge import NaturalNiches


@dataclass(frozen=True)
class Crossover:
    \"\"\"Nothing of evomerge's; it only has the name.\"\"\"

    angle: int = 0


@dataclass(frozen=True)
class Taste:
    sweet: float = 0.5


@dataclass(frozen=True)
class Plain(NaturalNiches):
    \"\"\"Adds nothing.\"\"\"


@dataclass(frozen=True)
class Tasteful(NaturalNiches):
    taste: Taste | None = None
    other: Crossover = field(default_factory=Crossover)


@dataclass(frozen=True)
class Further(Tasteful):
    \"\"\"Two modules and three classes have declared its fields.\"\"\"

    tastes: tuple[Taste, ...] = ()


class Undecorated(Tasteful):
    pass


class Own(NaturalNiches):
    def __init__(self, taste: Taste, crossover: Crossover | None = None):
        super().__init__()
        object.__setattr__(self, "given", (taste, crossover))


class Passing(NaturalNiches):
    def __init__(self, taste: Taste, **settings: Any):
        super().__init__(**settings)
        object.__setattr__(self, "given", taste)


@dataclass(frozen=True)
class Unknown(NaturalNiches):
    taste: NoSuchType | None = None
"""


@pytest.fixture
def tastes(tmp_path, monkeypatch):
    """Makes a strategy of the user's module, of its class and settings."""
    (tmp_path / "tastes.py").write_text(TASTES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tastes", raising=False)

    def take(strategy: Any) -> None:
        """What the call is of."""

    def made(name, **settings):
        given = {"strategy": {"_target_": f"tastes.{name}", **settings}}
        return calls.build(given, take)["strategy"]

    return made


SPLITS = {"splits": 3, "ratio": [0, 1]}


@pytest.mark.parametrize("name", ["Plain", "Tasteful", "Further", "Undecorated", "Passing"])
def test_inherited_settings_are_those_of_the_class_that_declares_them(tastes, name):
    more = {"taste": {"sweet": 1}} if name == "Passing" else {}
    strategy = tastes(name, size=5, crossover=SPLITS, **more)
    assert strategy.crossover == Crossover(splits=3, ratio=(0.0, 1.0))
    assert strategy.size == 5
    with pytest.raises(UserError, match=r"^strategy\.crossover\.splitz: unknown key; did you mean"):
        tastes(name, crossover={"splitz": 3}, **more)


@pytest.mark.parametrize("name", ["Tasteful", "Further", "Undecorated"])
def test_settings_that_a_subclass_adds_are_of_its_own_module(tastes, name):
    strategy = tastes(name, taste={"sweet": 1}, other={"angle": 2}, crossover=SPLITS)
    module = sys.modules["tastes"]
    assert strategy.taste == module.Taste(1.0)
    assert strategy.other == module.Crossover(2)
    assert strategy.crossover == Crossover(splits=3, ratio=(0.0, 1.0))
    with pytest.raises(UserError, match=r"^strategy\.taste\.sweet: expected a number, got 'very'"):
        tastes(name, taste={"sweet": "very"})


def test_settings_of_three_classes(tastes):
    strategy = tastes("Further", tastes=[{"sweet": 0}], taste={}, crossover={"splits": 2})
    module = sys.modules["tastes"]
    assert strategy.tastes == (module.Taste(0.0),)
    assert strategy.taste == module.Taste()
    assert strategy.crossover == Crossover(splits=2)


def test_a_constructor_of_its_own_asks_for_what_its_own_module_says(tastes):
    strategy = tastes("Own", taste={"sweet": 1}, crossover={"angle": 2})
    module = sys.modules["tastes"]
    assert strategy.given == (module.Taste(1.0), module.Crossover(2))
    with pytest.raises(UserError) as caught:
        tastes("Own", crossover=SPLITS, size=5)
    assert [line.split(";")[0] for line in str(caught.value).splitlines()] == [
        "strategy.crossover.splits: unknown key",
        "strategy.crossover.ratio: unknown key",
        "strategy.size: unknown key",
        "strategy.taste: missing",
    ]


def test_a_type_that_cannot_be_resolved_takes_any_value_and_the_others_are_as_they_were(tastes):
    strategy = tastes("Unknown", taste={"sweet": 1}, crossover=SPLITS)
    assert strategy.taste == {"sweet": 1}
    assert strategy.crossover == Crossover(splits=3, ratio=(0.0, 1.0))


@dataclass(frozen=True)
class Strict:
    """Says what it wants in words of its own."""

    size: int = 1
    whole: bool = True

    def __post_init__(self):
        if not self.whole:
            raise ValueError("expected something whole")
        if self.size < 1:
            raise ValueError(f"size: expected at least 1, got {self.size}")
        if self.size > 9:
            raise RuntimeError(f"{self.size} is too large")


def take_strict(strict: Strict | int) -> None:
    """What the calls below are of."""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": 0}, "strict.size: expected at least 1, got 0"),
        ({"size": 10}, "strict: RuntimeError: 10 is too large"),
        (
            {"whole": False},
            "strict: expected a Strict (its settings) or a whole number, "
            "got {'whole': False} (dict)",
        ),
        ({"_target_": f"{__name__}.Strict", "whole": False}, "strict: expected something whole"),
        ({"_target_": f"{__name__}.Strict", "size": 0}, "strict.size: expected at least 1, got 0"),
    ],
)
def test_what_a_constructor_says_is_said_where_it_belongs(given, said):
    with pytest.raises(UserError) as caught:
        calls.build({"strict": given}, take_strict)
    assert str(caught.value) == said
