"""YAML to calls and back: the same objects come out, whoever wrote the call."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from whole_runs import DIGITS, ROOT, small_run, write_config

from evomerge import Crossover, NaturalNiches, UserError, config, evolve
from evomerge.evolution import Settings
from evomerge.workers import Local
from fitness import images
from fitness.classification import Classification, probability, right
from populations.mnist import Classifiers

OUTSIDE = ("run_dir", "resume", "progress")
CONFIGS = sorted((ROOT / "configs").glob("**/*.yaml"))


def build(given, function=evolve):
    return config.build(given, function, outside=OUTSIDE)


def loaded(tmp_path, text, *overrides):
    (tmp_path / "c.yaml").write_text(text)
    return config.load(tmp_path / "c.yaml", overrides)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_builds_without_its_data(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no data, no seeds
    for load in (images._sklearn_digits, images._idx, images._hub):
        monkeypatch.setattr(images, load.__name__, lambda data: pytest.fail(f"{data} was loaded"))
    given = config.load(path)
    given.pop("run_dir", None)
    call = build(given)
    described = config.describe(**call)
    (tmp_path / "again.yaml").write_text(config.to_yaml(described))
    assert config.describe(**build(config.load(tmp_path / "again.yaml"))) == described
    assert "evomerge run" in path.read_text().split("\npopulation")[0]


def test_a_run_says_how_it_was_made(tmp_path):
    population = Classifiers(DIGITS, hidden=(3, 2), sd=0.25, order="unit")
    strategy = NaturalNiches(size=5, crossover=Crossover(ratio=(-0.5, 1.5)), alpha=np.float64(0.5), mutation=1e-05)
    small_run(tmp_path / "run", births=2, population=population, fitness=Classification(DIGITS, probability), strategy=strategy)
    call = build(config.from_yaml(tmp_path / "run"))
    assert (call["population"].hidden, call["population"].sd, call["population"].order) == ([3, 2], 0.25, "unit")
    assert call["population"].data == call["fitness"].data == DIGITS
    assert call["fitness"].score is probability
    assert call["strategy"] == strategy
    assert isinstance(call["workers"], Local)
    assert call["births"] == 2
    head = (tmp_path / "run" / "config.yaml").read_text().splitlines()[:2]
    assert all(line.startswith("# ") for line in head)
    assert f"numpy {np.__version__}" in head[1]


def test_a_run_of_a_config_is_a_run_of_its_python(tmp_path):
    call = build(config.load(write_config(tmp_path)))
    ours = config.describe(**call)
    theirs = config.describe(
        population=Classifiers(DIGITS, hidden=[16], sd=0.1),
        fitness=Classification(DIGITS),
        strategy=NaturalNiches(size=8, mutation=0.01),
        births=100,
    )
    assert ours == theirs


def test_overrides_and_interpolations(tmp_path):
    text = "a: {b: 1, c: '${a.b}'}\nd: [1, 2]\n"
    assert loaded(tmp_path, text) == {"a": {"b": 1, "c": 1}, "d": [1, 2]}
    changed = loaded(tmp_path, text, "a.b=7", "d=[3]", "e.f=x=y", "a.g=null", "h=1e-3")
    assert changed == {"a": {"b": 7, "c": 7, "g": None}, "d": [3], "e": {"f": "x=y"}, "h": 0.001}


def test_a_base_is_laid_under(tmp_path):
    (tmp_path / "base.yaml").write_text("a: {b: 1, c: 2}\nd: 3\n")
    assert loaded(tmp_path, "_base_: base.yaml\na: {c: 5}\n", "d=4") == {"a": {"b": 1, "c": 5}, "d": 4}


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
        ("anything", {"a": [{"_target_": "builtins.complex", "real": 1, "imag": 2}]}, {"a": [1 + 2j]}),
    ],
)
def test_values_become_what_the_signature_asks_for(key, given, made):
    got = build({key: given}, Call)[key]
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
        ({"function": 5}, ["function: expected the import path of a function or null, got 5 (int)"]),
        (
            {"path": 5, "flag": "no", "nmber": 1},
            ["path: expected a path, got 5", "flag: expected true or false", "mean 'number'?"],
        ),
    ],
)
def test_every_mistake_has_its_line(given, said):
    with pytest.raises(UserError) as caught:
        build(given, Call)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(said)
    assert all(fragment in line for fragment, line in zip(said, lines, strict=True))


def test_ranges_are_checked_with_everything_else():
    check = partial(Settings, births=0)
    with pytest.raises(UserError) as caught:
        config.build({"tile": 0, "seed": "x", "strategy": {"size": 1}}, evolve, outside=OUTSIDE, check=check)
    lines = str(caught.value).splitlines()
    keys = ("seed: expected a whole", "strategy.size: ", "population: missing", "fitness: missing", "births: missing", "tile: ")
    assert [line.startswith(key) for line, key in zip(lines, keys, strict=True)] == [True] * len(keys)


TEXTS = ["1e5", "1.5e3", ".5E-1", "1_000", "0x1f", "true", "on", "null", "~", "", "2020-01-01", "1:30", "a: b", "# x", "é", "\\"]
TEXTS += ["${x}", "\\${x}", "a ${b} \\", "$", "line\nline", "*", "=", ".nan"]


@pytest.mark.parametrize("value", [*TEXTS, 1e-05, 1e20, float("inf"), 3, True, None, [1, [2]], {"1e5": "on"}], ids=repr)
def test_what_is_written_is_read(tmp_path, value):
    got = loaded(tmp_path, config.to_yaml({"x": value}))["x"]
    assert got == value
    assert type(got) is type(value)


def test_objects_are_described_by_the_arguments_they_kept():
    described = config.describe(
        fitness=Classification(DIGITS), path=Path("a/b"), array=np.float32(0.5), count=np.int64(3), many=range(2), none=None
    )
    assert described["fitness"]["_target_"] == "fitness.classification.Classification"
    assert described["fitness"]["data"] == {"_target_": "fitness.images.SklearnDigits", **vars(DIGITS)}
    assert described["fitness"]["score"] == "fitness.classification.right"
    assert [described[key] for key in ("path", "array", "count", "many", "none")] == ["a/b", 0.5, 3, [0, 1], None]
    assert json.loads(json.dumps(described)) == described


def test_import_paths():
    assert config.import_path("fitness.classification.right") is right
    assert config.import_path("populations.mnist.Classifiers.network") is Classifiers.network
    assert config.import_path("evomerge.cli").__name__ == "evomerge.cli"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("fitness.clasification.right", "fitness has no 'clasification'; did you mean 'classification'?"),
        ("fitness.classification.rihgt", "has no 'rihgt'; did you mean 'right'?"),
        ("fitnes.classification", "there is no module 'fitnes' on the import path; did you mean 'fitness'?"),
        ("", "Empty module name"),
        ("qqqq.wwww", "there is no module 'qqqq' on the import path"),
    ],
)
def test_import_paths_of_nothing(path, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        config.import_path(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"births": 11}, None),
        ({"births": 9}, "births: the run in "),
        ({"workers": Local(2)}, None),
        ({"seed": 1}, "seed: the run in .* has 0, a resume cannot make it 1"),
        ({"tile": 7}, "tile: "),
        ({"fitness": Classification(DIGITS, probability)}, "fitness.score: .*right.* cannot make it .*probability"),
        ({"strategy": NaturalNiches(crossover=None, mutation=1.0)}, "strategy.crossover"),
    ],
)
def test_what_a_resume_may_change(tmp_path, change, said):
    call = {"population": Classifiers(DIGITS), "fitness": Classification(DIGITS), "strategy": NaturalNiches(), "workers": Local()}
    call |= vars(Settings(10))
    (tmp_path / "config.yaml").write_text(config.to_yaml(config.describe(**call)))
    if said is None:
        assert config.check_same(tmp_path, config.describe(**call | change)) is (not change)
    else:
        with pytest.raises(UserError, match=said):
            config.check_same(tmp_path, config.describe(**call | change))
