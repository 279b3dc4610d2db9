"""Whole runs of language models, on the demo's seeds: the same answer with and without foresight, killed and resumed; what they leave."""

import hashlib
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import transformers
import yaml
from card_checks import checked
from transformers import AutoModelForCausalLM, AutoTokenizer
from whole_runs import PATIENCE, assert_same_run, start

from evomerge import Crossover, NaturalNiches, evolve
from evomerge.cli import main
from evomerge.config.config import versions_in
from evomerge.errors import UserError
from evomerge.export import recipe_file
from evomerge.rundir.births import read_births
from evomerge.workers.ray import Ray
from fitness.agents import Agents
from fitness.combined import Combined
from fitness.questions import QuestionAnswering
from fitness.shop import Shop
from fitness.skills import Arithmetic
from populations import skills
from populations.llm import LanguageModels
from populations.methods import Method
from populations.seeds.seeds import Seeds


def seeds():
    """The demo's two specialists, and what they are good at."""
    return [skills.folder("arithmetic"), skills.folder("shopping")]


def bred(run_dir=None, births=16, **settings):
    sums = QuestionAnswering(
        Arithmetic(train=40, test=8), "{question} = ", max_new_tokens=4, stop="\n"
    )
    fitness = Combined([sums, Agents(Shop(train=20, test=4), max_new_tokens=4)])
    population = LanguageModels(seeds(), chromosomes={"attention": "self_attn"}, dtype="float32")
    strategy = NaturalNiches(size=4, crossover=Crossover(ratio=(-0.3, 1.3)))
    call = {
        "strategy": strategy,
        "births": births,
        "run_dir": run_dir,
        "tile": 10,
        "progress": False,
    }
    return evolve(population, fitness, **call | settings)


@pytest.mark.parametrize("lookahead", [4])
def test_scoring_only_what_can_matter_changes_nothing(tmp_path, lookahead):
    with_it = bred(tmp_path / "on", lookahead=lookahead)
    without = bred(tmp_path / "off", lookahead=lookahead, foresee=False)
    assert [m.id for m in with_it.members] == [m.id for m in without.members]
    assert np.array_equal(with_it.scores, without.scores)
    shares = [
        json.loads((tmp_path / name / "summary.json").read_text())["share_scored"]
        for name in ("on", "off")
    ]
    assert shares[0] < shares[1] == 1


def test_a_run_is_the_same_twice_and_improves_on_its_seeds(tmp_path):
    bred(tmp_path / "one")
    bred(tmp_path / "two")
    assert_same_run(tmp_path / "one", tmp_path / "two")
    # What the answers depend on, though it is loaded on first use.
    made_with = versions_in((tmp_path / "one" / "config.yaml").read_text())
    assert f"transformers {transformers.__version__}" in made_with
    founders = [entry["train"] for entry in read_births(tmp_path / "one") if "founder" in entry]
    assert json.loads((tmp_path / "one" / "summary.json").read_text())["best"]["train"] > max(
        founders
    )


def test_on_ray_it_is_the_same_run(tmp_path, cluster):
    bred(tmp_path / "here", births=8, lookahead=3)
    bred(tmp_path / "there", births=8, lookahead=3, workers=Ray(2, cpus=0.5))
    assert_same_run(tmp_path / "here", tmp_path / "there")


def test_a_longer_run_is_a_resumed_one_which_takes_no_grams_again(tmp_path, monkeypatch, caplog):
    bred(tmp_path / "long", births=14)
    bred(tmp_path / "short", births=6)
    with monkeypatch.context() as patch:
        patch.setattr(Seeds, "_products", lambda *_: pytest.fail("a Gram matrix was taken again"))
        bred(tmp_path / "short", births=10, resume=True)
    kept = (tmp_path / "short" / "grams.safetensors").read_bytes()
    for damaged in (b"damaged", kept[:-9] + bytes([kept[-9] ^ 1]) + kept[-8:]):
        (tmp_path / "short" / "grams.safetensors").write_bytes(damaged)
        caplog.clear()
        bred(tmp_path / "short", births=12, resume=True)
        assert "cannot be read" in caplog.text
        assert (tmp_path / "short" / "grams.safetensors").read_bytes() == kept
    bred(tmp_path / "short", births=14, resume=True)
    assert_same_run(tmp_path / "long", tmp_path / "short")


@pytest.mark.parametrize(("method", "parameters"), [("linear", {}), ("ties", {"density": 0.7})])
def test_methods_of_mergekit_are_searched(tmp_path, method, parameters):
    population = LanguageModels(
        seeds(), base=skills.folder("base"), method=Method(method, parameters), dtype="float32"
    )
    fitness = QuestionAnswering(
        Arithmetic(train=20, test=4), "{question} = ", max_new_tokens=4, stop="\n"
    )
    strategy = NaturalNiches(size=4)
    archive = evolve(
        population, fitness, strategy=strategy, births=6, run_dir=tmp_path / "run", progress=False
    )
    assert len(archive.members) == 4
    recipe = json.loads((tmp_path / "run" / "best" / "recipe.json").read_text())
    assert recipe["population"]["method"]["name"] == method
    assert [Path(seed["name"]).name for seed in recipe["seeds"]] == [
        "arithmetic",
        "shopping",
        "base",
    ][: 3 - (method == "linear")]
    assert (
        main(["rebuild", str(tmp_path / "run" / "best" / "recipe.json"), str(tmp_path / "again")])
        == 0
    )
    files = [tmp_path / folder / "model.safetensors" for folder in ("run/best", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    strategy = NaturalNiches(size=4, crossover=Crossover(angle="part"))
    with pytest.raises(UserError, match=r"crossover.angle: expected 'none'"):
        evolve(population, fitness, strategy=strategy, births=1, progress=False)


def test_numbers_of_a_method_are_searched_kept_and_rebuilt(tmp_path):
    """Members carry their own, through snapshots, a resume, the recipe and the card."""
    method = Method(
        "ties", {"density": {"from": 0.3, "to": 0.9}, "lambda": {"from": 0.8, "to": 1.2}}
    )
    population = LanguageModels(seeds(), base=skills.folder("base"), method=method, dtype="float32")
    fitness = QuestionAnswering(
        Arithmetic(train=20, test=4), "{question} = ", max_new_tokens=4, stop="\n"
    )
    strategy = NaturalNiches(size=4, crossover=Crossover(angle="none"), mutation=0.1)

    def run(folder, births, resume=False):
        return evolve(
            population, fitness, strategy=strategy, births=births, run_dir=tmp_path / folder,
            resume=resume, progress=False,
        )  # fmt: skip

    run("long", 6)
    run("short", 3)
    archive = run("short", 6, resume=True)
    assert_same_run(tmp_path / "long", tmp_path / "short")
    settings = {tuple(member.genome.settings.tolist()) for member in archive.members}
    assert len(settings) == 4
    path = tmp_path / "long" / "best" / "recipe.json"
    recipe = json.loads(path.read_text())
    density, strength = recipe["settings"]
    assert recipe["searched"] == {
        "density": pytest.approx(0.3 + 0.6 * density),
        "lambda": pytest.approx(0.8 + 0.4 * strength),
    }
    card = (tmp_path / "long" / "best" / "README.md").read_text()
    assert f"searched, too: density {recipe['searched']['density']:.4f}, lambda " in card
    assert main(["rebuild", str(path), str(tmp_path / "again")]) == 0
    files = [tmp_path / folder / "model.safetensors" for folder in ("long/best", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    for changes, message in (
        ({"settings": [density, 1.5]}, "settings: expected numbers from 0 to 1, got"),
        ({"settings": [density]}, "expected a genome with 2 settings"),
        ({"settings": [0.123, strength]}, "its searched numbers are not what its settings give"),
        ({"settings": "none"}, "its settings is no list"),
    ):
        path.write_text(json.dumps(recipe | changes))
        with pytest.raises(UserError, match=message):
            recipe_file.rebuild(path, tmp_path / "wrong", {})


SHIPPED = [
    {"_target_": "populations.skills.folder", "name": name} for name in ("arithmetic", "shopping")
]


def config(folder, **changes):
    """A config that needs nothing but what ships: sums, and the shop."""
    parts = [
        {
            "_target_": "fitness.questions.QuestionAnswering",
            "data": {"_target_": "fitness.skills.Arithmetic", "train": 24, "test": 12},
            "template": "{question} = ",
            "max_new_tokens": 4,
            "stop": "\n",
        },
        {
            "_target_": "fitness.agents.Agents",
            "environment": {"_target_": "fitness.shop.Shop", "train": 24, "test": 12},
            "max_new_tokens": 4,
        },
    ]
    given = {
        "population": {
            "_target_": "populations.llm.LanguageModels",
            "seeds": SHIPPED,
            "dtype": "float32",
        },
        "fitness": {"_target_": "fitness.combined.Combined", "parts": parts},
        "strategy": {"size": 5, "crossover": {"ratio": [-0.3, 1.3]}},
        "births": 12,
        "tile": 16,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(given | changes))
    return path


def test_from_config_to_export(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", str(config(tmp_path))]) == 0
    assert "yes, this can run" in capsys.readouterr().out
    assert main(["run", "config.yaml", "run_dir=run"]) == 0
    best = tmp_path / "run" / "best"
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "recipe.json", "mergekit.yaml",
            "lineage.json", "README.md", "test.jsonl"} <= {path.name for path in best.iterdir()}  # fmt: skip
    head, page = checked(best / "README.md")
    assert head["tags"] == ["merge", "mergekit", "evomerge"]
    assert not {"base_model", "base_model_relation", "license"} & head.keys(), (
        "the folders of the seeds have no README.md"
    )
    recipe = json.loads((best / "recipe.json").read_text())
    shares = np.average(recipe["coefficients"], axis=0, weights=np.diff(recipe["bounds"]))
    cells = page.cells[page.cells.index("arithmetic (a folder)") :]
    alone = [entry for entry in read_births(tmp_path / "run") if "founder" in entry]
    for row, share, founder in zip((cells[:5], cells[5:10]), shares, alone, strict=True):
        assert row[2:] == [f"{number:.4f}" for number in (share, founder["train"], founder["test"])]
    assert hashlib.sha256((best / "recipe.json").read_bytes()).hexdigest() in page.text
    assert str(Path.home()) not in page.text
    assert str(seeds()[0]) not in page.text
    results = {
        result["dataset"].get("config"): result for result in head["model-index"][0]["results"]
    }
    assert {"0: QuestionAnswering (Arithmetic)", "1: Agents (Shop)"} <= results.keys()
    assert main(["export", "run", "out"]) == 0
    assert (tmp_path / "out" / "README.md").read_text() == (best / "README.md").read_text()
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (
        best / "model.safetensors"
    ).read_bytes()
    exported, words = (
        AutoModelForCausalLM.from_pretrained("out"),
        AutoTokenizer.from_pretrained("out"),
    )
    answers = [json.loads(line) for line in (best / "test.jsonl").read_text().splitlines()]
    sums = [answer for answer in answers if answer["prompt"].endswith(" = ")]
    assert len(sums) == 12
    value = results["0: QuestionAnswering (Arithmetic)"]["metrics"][0]["value"]
    assert value == pytest.approx(np.mean([answer["score"] for answer in sums]), abs=1e-6)
    for answer in sums:
        ids = words(answer["prompt"], return_tensors="pt").input_ids
        said = exported.generate(ids, max_new_tokens=4, do_sample=False)[0, ids.shape[1] :]
        assert words.decode(said, skip_special_tokens=True).split("\n")[0] == answer["answer"]


def test_killed_and_resumed_it_is_the_same_run(tmp_path):
    config(tmp_path, births=10, save_every=0.001)
    assert start("run", "config.yaml", "run_dir=whole", cwd=tmp_path).wait(timeout=PATIENCE) == 0
    for _ in range(2):
        begun = (tmp_path / "cut" / "config.yaml").exists()
        arguments = ["resume", "cut"] if begun else ["run", "config.yaml", "run_dir=cut"]
        process = start(*arguments, cwd=tmp_path)
        seen = len(read_births(tmp_path / "cut")) if begun else 0
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            log = tmp_path / "cut" / "births.jsonl"
            if (
                (tmp_path / "cut" / "config.yaml").exists()
                and log.exists()
                and len(log.read_text().splitlines()) > seen + 2
            ):
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.01)
        process.wait(timeout=PATIENCE)
    assert start("resume", "cut", cwd=tmp_path).wait(timeout=PATIENCE) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "population.seeds=[a,b]",
            "population: seeds: expected a folder, or owner/name of the hub, there is no folder a",
        ),
        ("population.order=units", "population.order: expected 'flat' or 'unit', got 'units'"),
        (
            "population.vocabulary=lax",
            "population.vocabulary: expected 'strict' or 'trailing', got 'lax'",
        ),
        (
            "population.chromosomes={attention: attn7}",
            "population: chromosomes.attention: no tensor's name matches 'attn7'",
        ),
        ("population.device=gpu", "population.device: expected one that torch knows"),
        (
            "fitness.parts[0].template=question",
            "fitness.parts[0].template: expected a field in braces",
        ),
        (
            "fitness.parts[0].template='{why} = '",
            "template: no field 'why'; its fields: question, answer",
        ),
        ("fitness.parts[0].score=fitness.matching.exakt", "fitness.parts[0].score"),
        ("fitness.parts[0].data.train=100000", "train: expected a number of questions from 0 to"),
        ("fitness.parts[1].turns=0", "fitness.parts[1].turns: expected at least 1, got 0"),
        ("strategy.crossover.angle=tensors", "strategy.crossover.angle: expected"),
        ("population.method={name: tiess}", "method"),
        ("+", "expected key=value"),
    ],
)
def test_mistakes_end_with_one_message_and_nothing_written(
    tmp_path, monkeypatch, capsys, override, message
):
    monkeypatch.chdir(tmp_path)
    path = config(tmp_path)
    assert main(["run", str(path), "run_dir=run", override]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()
