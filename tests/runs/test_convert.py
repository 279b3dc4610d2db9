"""Configs of mergekit-evolve as configs of evomerge.

Nothing is lost in silence, the same numbers make the same models, and what is written runs.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tiny_llama
import yaml
from mergekit.evo import config as theirs
from mergekit.evo.genome import METHOD_PARAM_MAPS, ModelGenome, ModelGenomeDefinition
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.torch import load_file

from evomerge import UserError, evolve
from evomerge.cli import main
from evomerge.config import calls, config
from evomerge.convert.convert import GENOME, TASK, WHOLE, convert
from evomerge.convert.mergekit_evolve import Options
from evomerge.convert.yaml_text import commented
from evomerge.evolution import OUTSIDE
from evomerge.rundir.births import read_births

DOC = Path(__file__).parents[2] / "docs" / "from_mergekit_evolve.md"
BASE = {"genome": {"models": ["a/b", "c/d"], "merge_method": "linear"}, "tasks": ["t"]}
CHANGES = {
    ModelGenomeDefinition: {
        "models": ["a/b", "e/f+g/h"],
        "merge_method": "slerp",
        "base_model": "e/f",
        "tokenizer_source": "union",
        "layer_granularity": 2,
        "normalize": False,
        "allow_negative_weights": True,
        "filters": ["mlp", "self_attn"],
        "smooth": True,
    },
    theirs.TaskConfiguration: {"name": "u", "weight": -1.0, "metric": "acc_norm,none"},
    theirs.EvolMergeConfiguration: {
        "genome": {"models": ["c/d", "a/b"], "merge_method": "linear"},
        "tasks": ["t", "u"],
        "limit": 7,
        "num_fewshot": 3,
        "shuffle": True,
        "random_init": True,
        "apply_chat_template": False,
        "fewshot_as_multiturn": False,
    },
}
"""Another value for every field of mergekit's classes.

A new field of theirs has to be added here, and to be converted or named.
"""
SEARCHES = [
    "m2n2",
    pytest.param(
        "cma-es",
        marks=pytest.mark.skipif(find_spec("evotorch") is None, reason="evotorch is not installed"),
    ),
]


def written(folder, given):
    path = folder / "theirs.yml"
    path.write_text(yaml.safe_dump(given))
    return path


def converted(folder, given, **options):
    """The written config as plain data, and what has no counterpart."""
    text, missing = convert(written(folder, given), Options(**options))
    assert [
        line.removeprefix("# ") for line in text.splitlines() if "no counterpart" in line
    ] == missing
    return yaml.safe_load(text), missing


def changed(kind, name):
    """The plain config with one field changed."""
    value = CHANGES[kind][name]
    if kind is ModelGenomeDefinition:
        return BASE | {"genome": BASE["genome"] | {name: value}}
    if kind is theirs.TaskConfiguration:
        return BASE | {"tasks": ["t", {"name": "v"} | {name: value}]}
    return BASE | {name: value}


@pytest.mark.parametrize(("kind", "ours"), [*zip(CHANGES, (GENOME, TASK, WHOLE), strict=True)])
def test_all_fields_of_mergekit_are_known(kind, ours):
    assert set(CHANGES[kind]) == set(ours) == set(kind.model_fields)


@pytest.mark.parametrize("search", ["m2n2", "cma-es"])
@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in CHANGES.items() for name in names]
)
def test_every_field_is_converted_or_named(tmp_path, kind, name, search):
    plain = BASE if kind is not theirs.TaskConfiguration else BASE | {"tasks": ["t", "v"]}
    assert converted(tmp_path, changed(kind, name), search=search) != converted(
        tmp_path, plain, search=search
    )


def test_what_mergekit_passes_over_is_named(tmp_path):
    given = BASE | {
        "genome": BASE["genome"] | {"layer_granuality": 2},
        "tasks": [{"name": "t", "wieght": 2}],
        "seed": 1,
    }
    lines = converted(tmp_path, given)[1]
    places = [line.removeprefix("no counterpart: ").partition(": ")[0] for line in lines]
    assert places == ["seed", "genome.layer_granuality", "tasks[0].wieght"]
    assert "did you mean 'layer_granularity'?" in lines[1]


@pytest.mark.parametrize(
    ("genome", "population"),
    [
        (
            {"models": ["a/b@v1", "c/d+e/f@v2"]},
            {"seeds": ["a/b@v1", "e/f@v2"], "base": None, "adapter_base": "c/d"},
        ),
        ({"models": [{"model": {"path": "a/b"}}, "c/d"]}, {"seeds": ["a/b", "c/d"]}),
        ({"merge_method": "ties", "base_model": "x/y"}, {"seeds": ["a/b", "c/d"], "base": "x/y"}),
        (
            {"merge_method": "ties", "base_model": "x/y", "models": ["a/b", "x/y+c/d"]},
            {"seeds": ["a/b", "c/d"], "base": "x/y", "adapter_base": "x/y"},
        ),
        (
            {"merge_method": "ties", "base_model": "x/y", "models": ["a/b", "c/d+e/f"]},
            {"seeds": ["a/b", "e/f"], "base": "x/y", "adapter_base": "c/d"},
        ),
        (
            {"merge_method": "ties", "base_model": "x/y", "models": ["g/h+a/b", "c/d+e/f"]},
            {"seeds": ["a/b", "e/f"], "base": "x/y", "adapter_base": None},
        ),
        (
            {"merge_method": "ties", "base_model": "x/y", "models": ["a/b"]},
            {"seeds": ["a/b", "x/y"], "base": "x/y"},
        ),
        (
            {"filters": ["mlp.up", "rest", "mlp.up", "*", "q"]},
            {"chromosomes": {"mlp.up": r"mlp\.up", "rest of that name": "rest"}},
        ),
        ({"layer_granularity": 1}, {"cut": "layer"}),
    ],
)
def test_seeds_bases_and_filters(tmp_path, genome, population):
    found = converted(tmp_path, BASE | {"genome": BASE["genome"] | genome})[0]["population"]
    assert {key: found.get(key) for key in population} == population


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("method", METHOD_PARAM_MAPS)
def test_every_method_builds(tmp_path, method, search):
    genome = {
        "models": ["a/b", "c/d", "e/f"],
        "merge_method": method,
        "base_model": "x/y",
        "layer_granularity": 2,
    }
    given, missing = converted(
        tmp_path, BASE | {"genome": genome}, search=search, timeout=7200.0, batch_size=4, births=7
    )
    call = calls.build(given, evolve, outside=OUTSIDE)
    assert (
        call["births"],
        call["hours"],
        call["fitness"].batch,
        len(call["population"].seeds),
    ) == (7, 2.0, 4, 3)
    made = call["population"].method
    assert (made and made.name) == (None if method in ("linear", "slerp") else method)
    drops = "density" in METHOD_PARAM_MAPS[method]
    assert any("density" in line for line in missing) == drops
    searched = [range_.label for range_ in made.ranges] if made else []
    each = ["density[0]", "density[1]", "density[2]"]
    assert searched == (each if drops and search == "m2n2" else [])


def test_options_of_cma_es(tmp_path):
    genome = {"layer_granularity": 2, "filters": ["mlp"]}
    given = BASE | {"genome": BASE["genome"] | genome}
    strategy = converted(tmp_path, given, search="cma-es")[0]["strategy"]
    assert strategy["settings"] == {
        "popsize": 4 + int(3 * np.log(16 * 2 * 2)),
        "stdev_init": pytest.approx(1 / 6, abs=1e-6),
    }
    found = converted(tmp_path, given, search="cma-es", sigma0=0.3, force_population_size=9)[0]
    assert (found["strategy"]["settings"], found["lookahead"]) == (
        {"popsize": 9, "stdev_init": 0.3},
        9,
    )
    lines = converted(tmp_path, given, sigma0=0.3, force_population_size=9)[1]
    places = [line.split(": ")[1] for line in lines]
    assert places[-2:] == ["--sigma0", "--force-population-size"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Tiny Llamas of four layers, two fine-tunes and their base, and a task over a local file."""
    folder = tmp_path_factory.mktemp("models")
    tiny_llama.tuned(folder, ["one", "two"], sd=0.1, num_hidden_layers=4)
    rng = np.random.default_rng(0)
    rows = [
        {"question": f"{a}+{b}=", "choices": [*"abc"], "label": int(rng.integers(3))}
        for a, b in rng.integers(100, size=(14, 2))
    ]
    (folder / "test.json").write_text("\n".join(map(json.dumps, rows)))
    task = {
        "task": "letters", "dataset_path": "json", "test_split": "test",
        "output_type": "multiple_choice",
        "dataset_kwargs": {
            "data_files": {"test": str(folder / "test.json")}, "cache_dir": str(folder / "cache"),
        },
        "doc_to_text": "{{question}}", "doc_to_choice": "choices", "doc_to_target": "label",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    (folder / "letters.yaml").write_text(yaml.safe_dump(task))
    return folder


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("linear", {"layer_granularity": 2, "filters": ["self_attn", "mlp"]}),
        ("linear", {"layer_granularity": 1, "normalize": False, "allow_negative_weights": True}),
        ("linear", {"filters": ["mlp"]}),
        ("task_arithmetic", {"layer_granularity": 2}),
        ("task_arithmetic", {"normalize": True, "filters": ["mlp"]}),
    ],
)
def test_the_same_numbers_make_the_same_model_as_in_mergekit(tmp_path, models, method, settings):
    pytest.importorskip("evotorch", reason="evotorch is not installed")
    genome = {
        "models": [str(models / name) for name in ("one", "two")],
        "merge_method": method,
        **settings,
    }
    genome |= {"base_model": str(models / "base")} if method == "task_arithmetic" else {}
    given = BASE | {"genome": genome}
    mergekit = ModelGenome(ModelGenomeDefinition.model_validate(genome))
    numbers = np.random.default_rng(0).uniform(0.1, 1, size=mergekit.initial_genotype().shape)
    numbers[0, 0] *= -1
    run_merge(
        mergekit.genotype_merge_config(numbers),
        str(tmp_path / "merged"),
        MergeOptions(cuda=False, quiet=True),
    )
    call = calls.build(converted(tmp_path, given, search="cma-es")[0], evolve, outside=OUTSIDE)
    population, vector = call["population"], call["strategy"].vector
    coding = vector.coding(population, population.founders(np.random.default_rng(0)))
    laid = numbers[..., 0].transpose(
        2, 0, 1
    )  # filter by filter, each group of layers by group of layers
    ours = population.express(coding.genome(laid.ravel())).model.state_dict()
    for name, tensor in load_file(tmp_path / "merged" / "model.safetensors").items():
        assert (ours[name].float() - tensor.float()).norm() < 0.01 * tensor.float().norm(), (
            name
        )  # mergekit rounds the seeds, too


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("method", ["linear", "dare_ties"])
def test_what_is_written_runs(tmp_path, models, monkeypatch, capsys, method, search):
    pytest.importorskip(
        "lm_eval", reason="lm-eval is not installed: pip install 'evomerge[lm-eval]'"
    )
    monkeypatch.chdir(tmp_path)
    genome = {
        "models": [str(models / name) for name in ("one", "two")],
        "base_model": str(models / "base"),
        "merge_method": method,
    }
    genome |= {"layer_granularity": 2, "filters": ["self_attn"]}
    given = {
        "genome": genome,
        "tasks": ["letters", {"name": "letters", "weight": 0.5}],
        "limit": 9,
        "apply_chat_template": False,
    }
    asked = [
        "--search",
        search,
        "--max-fevals",
        "6",
        "--task-search-path",
        str(models),
        "--batch-size",
        "8",
    ]
    assert main(["convert", str(written(tmp_path, given)), "ours.yaml", *asked]) == 0
    assert main(["check", "ours.yaml"]) == 0
    assert "18 train, 10 test" in capsys.readouterr().out
    assert main(["run", "ours.yaml", "run_dir=run"]) == 0
    entries = read_births(tmp_path / "run")
    assert [entry["birth"] for entry in entries if "founder" not in entry] == [1, 2, 3, 4, 5, 6]
    assert not [entry for entry in entries if "failure" in entry]
    assert (tmp_path / "run" / "best" / "mergekit.yaml").exists() == (method == "linear")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"genome": None}, "genome: Input should be a valid dictionary"),
        ({"tasks": []}, "tasks: expected at least one task with a weight above 0"),
        ({"tasks": [{"weight": 1}]}, "tasks[0].name: Field required"),
        (
            {"tasks": [{"name": "t", "weight": "much"}]},
            "tasks[0].weight: Input should be a valid number, unable to parse",
        ),
        ({"limit": 0}, "limit: expected at least 1 document, got 0"),
        (
            {"genome": {"models": ["a/b"], "merge_method": "linear"}},
            "genome.models: expected at least 2 models",
        ),
        (
            {"genome": {"models": ["a/b", "c/d"], "merge_method": "tie"}},
            "genome.merge_method: expected one of linear, ",
        ),
        (
            {"genome": {"models": ["a/b", "c/d"], "merge_method": "ties"}},
            "genome: base_model is required for this method",
        ),
        (
            {"genome": {"models": ["a/b", "c@d@e"], "merge_method": "linear"}},
            "genome.models[1]: Invalid model path - multiple @",
        ),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path, capsys, change, said):
    assert main(["convert", str(written(tmp_path, BASE | change)), str(tmp_path / "out.yaml")]) == 2
    heard = capsys.readouterr().err
    assert said in heard
    assert "Traceback" not in heard
    assert not (tmp_path / "out.yaml").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "while parsing"),
        ("- a", "expected keys and values"),
        ("a: !!bool maybe", r"theirs.yml: .*KeyError: 'maybe'"),
        ("a: !!timestamp abc", "theirs.yml: .*AttributeError"),
        (f"a: {'[' * 3000}", "theirs.yml: .*brackets in brackets"),
        (None, "there is no such file"),
    ],
)
def test_a_file_that_is_none(tmp_path, text, said):
    if text is not None:
        (tmp_path / "theirs.yml").write_text(text)
    with pytest.raises(UserError, match=said):
        convert(tmp_path / "theirs.yml")


@pytest.mark.parametrize(
    "option", [["--births", "-1"], ["--search", "cma"], ["--timeout", "nan"], ["--batch-size", "0"]]
)
def test_options_out_of_range(tmp_path, capsys, option):
    assert main(["convert", str(written(tmp_path, BASE)), *option]) == 2
    assert f"{option[0]}: expected" in capsys.readouterr().err


def test_it_writes_over_nothing_unless_asked(tmp_path, capsys):
    path, out = written(tmp_path, BASE | {"shuffle": True}), tmp_path / "new" / "out.yaml"
    assert main(["convert", str(path)]) == 0
    printed = capsys.readouterr()
    assert main(["convert", str(path), str(out)]) == 0
    assert (out.read_text(), capsys.readouterr().err) == (printed.out, printed.err)
    assert printed.err.startswith("no counterpart: shuffle: ")
    assert f"# {printed.err}" == printed.out.splitlines(keepends=True)[-1]
    out.write_text("mine")
    assert main(["convert", str(path), str(out)]) == 2
    assert out.read_text() == "mine"
    assert main(["convert", str(path), str(out), "--overwrite"]) == 0
    assert out.read_text() == printed.out
    for taken in (path, tmp_path):
        assert main(["convert", str(path), str(taken), "--overwrite"]) == 2
    assert yaml.safe_load(path.read_text())["shuffle"]


def test_without_mergekit(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mergekit.evo.config", None)
    with pytest.raises(UserError, match=r"pip install 'evomerge\[llm\]'"):
        convert(written(tmp_path, BASE))


def test_the_guide_shows_what_is_written(tmp_path):
    given, *ours = re.findall(r"^```yaml\n(.*?)^```", DOC.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "my.yml").write_text(given)
    assert convert(tmp_path / "my.yml")[0] == ours[0]
    strategy = yaml.safe_load(ours[1])
    assert (
        strategy.items()
        <= yaml.safe_load(convert(tmp_path / "my.yml", Options(search="cma-es"))[0]).items()
    )


def test_the_guide_has_every_field_and_every_option():
    table = "\n".join(
        line.split("|")[1] for line in DOC.read_text().splitlines() if line.startswith("|")
    )
    script = (Path(theirs.__file__).parents[1] / "scripts" / "evolve.py").read_text()
    options = set(re.findall(r'"(--[\w-]+)', script))
    assert len(options) > 20
    names = [name for kind in CHANGES for name in kind.model_fields] + sorted(options)
    assert [name for name in names if f"`{name}`" not in table] == []


def test_comments_and_awkward_values_are_read_again(tmp_path):
    call = {
        "a": {
            "b": ["1e5", "${x}", "a: b", "- x", "#", "no", "two\nlines", None, 1.5, True],
            "self.attn": r"\d",
        },
        "parts": [{"k": 1, "deep": {"l": {"m": [[1, 2]]}}}, [1, 2], "s", {}],
        "empty": {},
        "none": [],
    }  # fmt: skip
    comments = {
        ("a",): "first",
        ("a", "b"): "long " * 60,
        ("parts", 0, "deep", "l"): "deep",
        ("none",): "last",
    }
    text = commented(call, comments)
    (tmp_path / "c.yaml").write_text(text)
    assert config.load(tmp_path / "c.yaml") == call
    for comment in comments.values():
        assert " ".join(comment.split()) in " ".join(
            re.sub(r"^ *# ", "", text, flags=re.MULTILINE).split()
        )
