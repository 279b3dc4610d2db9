"""YAML to calls and back: the same objects come out, whoever wrote the call."""

import json
import logging
import sys
from importlib.metadata import version

import numpy as np
import pytest
import yaml
from whole_runs import DIGITS, ROOT, small_run, write_config

from evomerge import Crossover, NaturalNiches, UserError, evolve
from evomerge.config import calls, config, resumed
from evomerge.evolution import OUTSIDE
from evomerge.run.settings import Settings
from evomerge.workers.local import Local
from fitness import images
from fitness.classification import Classification, probability
from populations.mnist import Classifiers

CONFIGS = sorted((ROOT / "configs").glob("**/*.yaml"))


def build(given):
    return calls.build(given, evolve, outside=OUTSIDE)


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
    described = calls.describe(**call)
    (tmp_path / "again.yaml").write_text(config.to_yaml(described))
    assert calls.describe(**build(config.load(tmp_path / "again.yaml"))) == described
    assert "evomerge run" in path.read_text().split("\npopulation")[0]


def test_a_run_says_how_it_was_made(tmp_path):
    population = Classifiers(DIGITS, hidden=(3, 2), sd=0.25, order="unit")
    strategy = NaturalNiches(
        size=5, crossover=Crossover(ratio=(-0.5, 1.5)), alpha=np.float64(0.5), mutation=1e-05
    )
    small_run(
        tmp_path / "run",
        births=2,
        population=population,
        fitness=Classification(DIGITS, probability),
        strategy=strategy,
    )
    call = build(config.load(tmp_path / "run" / "config.yaml"))
    assert (call["population"].hidden, call["population"].sd, call["population"].order) == (
        [3, 2],
        0.25,
        "unit",
    )
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
    ours = calls.describe(**call)
    theirs = calls.describe(
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


def test_the_settings_of_one_class_are_none_of_anothers(tmp_path):
    """Over another `_target_`, or one that was not named, nothing of what is below is kept."""
    (tmp_path / "base.yaml").write_text(
        "a: {b: 1, c: {_target_: x.Y, d: 2}}\nz: {_target_: x.Y, d: 3}\n"
    )
    above = "_base_: base.yaml\na: {c: {_target_: x.Z, e: 4}}\nz: {_target_: x.Y, f: 5}\n"
    assert loaded(tmp_path, above) == {
        "a": {"b": 1, "c": {"_target_": "x.Z", "e": 4}},
        "z": {"_target_": "x.Y", "d": 3, "f": 5},
    }
    assert loaded(tmp_path, "_base_: base.yaml\na: {_target_: x.W}\n")["a"] == {"_target_": "x.W"}
    assert loaded(tmp_path, "a: {b: 1}\n", "a={_target_: x.W, c: 2}") == {
        "a": {"_target_": "x.W", "c": 2}
    }
    assert loaded(tmp_path, "a: {b: 1}\n", "a={c: 2}") == {"a": {"b": 1, "c": 2}}
    assert loaded(tmp_path, "a: {_target_: x.W, b: 1}\n", "a={_target_: x.W, c: 2}")["a"] == {
        "_target_": "x.W",
        "b": 1,
        "c": 2,
    }


def test_a_base_is_laid_under(tmp_path):
    (tmp_path / "base.yaml").write_text("a: {b: 1, c: 2}\nd: 3\n")
    assert loaded(tmp_path, "_base_: base.yaml\na: {c: 5}\n", "d=4") == {
        "a": {"b": 1, "c": 5},
        "d": 4,
    }


@pytest.mark.parametrize(
    "value",
    ["!!bool maybe", "!!timestamp abc", "[" * 3000, "[" * 3000 + "]" * 3000],
    ids=lambda value: value[:12],
)
def test_what_is_no_yaml_is_a_mistake_that_names_its_place(tmp_path, value):
    with pytest.raises(UserError, match=r"^\S+/c\.yaml: "):
        loaded(tmp_path, f"a: {value}\n")
    (tmp_path / "d.yaml").write_text("_base_: c.yaml\n")
    with pytest.raises(UserError, match=r"^\S+/c\.yaml: "):
        config.load(tmp_path / "d.yaml")
    with pytest.raises(UserError, match=r"^a: "):
        loaded(tmp_path, "b: 1\n", f"a={value}")
    with pytest.raises(UserError, match=r"^a="):
        config.settings([f"a={value}"])


TEXTS = [
    "1e5",
    "1.5e3",
    ".5E-1",
    "1_000",
    "0x1f",
    "true",
    "on",
    "null",
    "~",
    "",
    "2020-01-01",
    "1:30",
    "a: b",
    "# x",
    "é",
    "\\",
]
TEXTS += ["${x}", "\\${x}", "a ${b} \\", "$", "line\nline", "*", "=", ".nan"]


@pytest.mark.parametrize(
    "value", [*TEXTS, 1e-05, 1e20, float("inf"), 3, True, None, [1, [2]], {"1e5": "on"}], ids=repr
)
def test_what_is_written_is_read(tmp_path, value):
    got = loaded(tmp_path, config.to_yaml({"x": value}))["x"]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"births": 11}, None),
        ({"births": 9}, "births: the run in "),
        ({"workers": Local(2)}, None),
        ({"seed": 1}, "seed: the run in .* has 0, a resume cannot make it 1"),
        ({"tile": 7}, "tile: "),
        (
            {"fitness": Classification(DIGITS, probability)},
            "fitness.score: .*right.* cannot make it .*probability",
        ),
        ({"strategy": NaturalNiches(crossover=None, mutation=1.0)}, "strategy.crossover"),
    ],
)
def test_what_a_resume_may_change(tmp_path, change, said):
    call = {
        "population": Classifiers(DIGITS),
        "fitness": Classification(DIGITS),
        "strategy": NaturalNiches(),
        "workers": Local(),
    }
    call |= vars(Settings(10))
    (tmp_path / "config.yaml").write_text(config.to_yaml(calls.describe(**call)))
    if said is None:
        assert resumed.check_same(tmp_path, calls.describe(**call | change)) is (not change)
    else:
        with pytest.raises(UserError, match=said):
            resumed.check_same(tmp_path, calls.describe(**call | change))


def test_a_class_that_has_moved_is_the_same(tmp_path):
    call = {
        "population": Classifiers(DIGITS),
        "fitness": Classification(DIGITS),
        "strategy": NaturalNiches(),
        "workers": Local(),
    }
    call |= vars(Settings(10))
    text = config.to_yaml(calls.describe(**call))
    old = text.replace("evomerge.NaturalNiches", f"{NaturalNiches.__module__}.NaturalNiches")
    assert old != text
    (tmp_path / "config.yaml").write_text(old)
    assert resumed.check_same(tmp_path, calls.describe(**call))


def test_an_override_reaches_into_a_list(tmp_path):
    text = "parts: [{x: 1}, {x: 2}]\nsame: ${parts[1].x}\n"
    assert loaded(tmp_path, text, "parts[1].x=5", "parts.0.y=[1, 2]") == {
        "parts": [{"x": 1, "y": [1, 2]}, {"x": 5}],
        "same": 5,
    }
    for wrong in ("parts[2].x=1", "parts.x=1"):
        with pytest.raises(UserError, match=r"the list has no such place"):
            loaded(tmp_path, text, wrong)


LAYERED = """
population:
  _target_: populations.llm.LanguageModels
  seeds: [a, b]
  chromosomes: {attention: self_attn}
  cut: layer
strategy: {size: 5, crossover: {splits: 2, angle: whole}}
"""


@pytest.mark.parametrize("by", ["base", "override"])
@pytest.mark.parametrize(
    ("above", "left_out", "kept"),
    [
        ({"population": {"order": "unit"}}, ["chromosomes", "cut"], ["angle"]),
        ({"population": {"order": "flat"}}, [], ["chromosomes", "cut", "angle"]),
        ({"population": {"order": "unit", "cut": "element"}}, ["chromosomes"], ["cut", "angle"]),
        ({"population": {"method": {"name": "ties"}}}, ["angle"], ["chromosomes", "cut", "splits"]),
        ({"population": {"method": None}}, [], ["chromosomes", "cut", "angle"]),
        (
            {"population": {"method": "ties"}, "strategy": {"crossover": {"angle": "part"}}},
            [],
            ["chromosomes", "cut", "angle"],
        ),
    ],
)
def test_what_is_above_leaves_without_meaning_is_left_out(tmp_path, by, above, left_out, kept):
    """By a config over another, and by overrides; what is said beside it stays, to be refused."""
    (tmp_path / "base.yaml").write_text(LAYERED)
    path, overrides = tmp_path / "base.yaml", [f"{key}={json.dumps(above[key])}" for key in above]
    if by == "base":
        path, overrides = tmp_path / "above.yaml", []
        path.write_text(yaml.safe_dump({"_base_": "base.yaml", **above}))
    loaded = config.load(path, overrides)
    settings = {**loaded["population"], **loaded["strategy"]["crossover"]}
    assert set(left_out).isdisjoint(settings)
    assert set(kept) <= set(settings)


def test_what_one_layer_says_stays_a_contradiction(tmp_path):
    (tmp_path / "one.yaml").write_text(LAYERED.replace("cut: layer", "order: unit"))
    assert config.load(tmp_path / "one.yaml")["population"]["chromosomes"] == {
        "attention": "self_attn"
    }


@pytest.mark.parametrize("by", ["base", "override"])
def test_a_parameter_of_a_method_that_is_there_contradicts_nothing(tmp_path, by, caplog):
    caplog.set_level(logging.INFO)
    text = "population: {method: {name: ties}}\nstrategy: {crossover: {angle: none}}\n"
    (tmp_path / "one.yaml").write_text(text)
    (tmp_path / "above.yaml").write_text(
        "_base_: one.yaml\npopulation: {method: {parameters: {density: 0.5}}}\n"
    )
    if by == "base":
        call = config.load(tmp_path / "above.yaml")
    else:
        call = config.load(tmp_path / "one.yaml", ["population.method.parameters.density=0.5"])
    assert call["population"]["method"] == {"name": "ties", "parameters": {"density": 0.5}}
    assert call["strategy"]["crossover"] == {"angle": "none"}
    assert not caplog.records


def test_a_config_names_the_versions_of_what_was_used(monkeypatch):
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    assert "transformers" not in config.versions_in(config.to_yaml({"births": 1}))
    monkeypatch.setitem(sys.modules, "transformers", object())
    said = config.versions_in(config.to_yaml({"births": 1}))
    assert f"transformers {version('transformers')}" in said
