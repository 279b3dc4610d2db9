"""Whole runs of image generators: the same answer killed and resumed and on other workers; what they leave, and what a report shows."""

import json
import re

import numpy as np
import pytest
import tiny_judges
import tiny_pipelines
import torch
from card_checks import checked
from diffusers import DiffusionPipeline
from whole_runs import PATIENCE, assert_same_run, start

from evomerge import Crossover, NaturalNiches, evolve
from evomerge.cli import main
from evomerge.report.record import Record
from evomerge.workers.ray import Ray
from fitness.classifier import ClassProbability
from fitness.painting import Painter, noise_of
from fitness.records import JsonLines
from fitness.text_to_image import TextToImage
from populations.diffusion import DiffusionModels

SMALL = {"steps": 2, "guidance": 1.0, "height": 16, "width": 16}


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """Two pipelines, a classifier, and twelve prompts with the classes that are wanted."""
    folder = tmp_path_factory.mktemp("ground")
    lines = [
        json.dumps({"prompt": f"a {number}<b>", "label": number % 3}) + "\n" for number in range(12)
    ]
    (folder / "prompts.jsonl").write_text("".join(lines))
    return {
        "seeds": tiny_pipelines.saved(folder),
        "judge": tiny_judges.classifier(folder / "judge"),
        "prompts": folder / "prompts.jsonl",
    }


def bred(ground, run_dir=None, births=10, relative=True, **settings):
    data = JsonLines(ground["prompts"], ground["prompts"])
    fitness = TextToImage(data, ClassProbability(ground["judge"]), **SMALL)
    strategy = NaturalNiches(size=4, relative=relative, crossover=Crossover(ratio=(-0.3, 1.3)))
    call = {
        "strategy": strategy,
        "births": births,
        "run_dir": run_dir,
        "tile": 5,
        "progress": False,
    }
    return evolve(DiffusionModels(ground["seeds"], device="cpu"), fitness, **call | settings)


def test_a_longer_run_is_a_resumed_one(ground, tmp_path):
    bred(ground, tmp_path / "long", lookahead=3)
    bred(ground, tmp_path / "short", lookahead=3, births=4)
    bred(ground, tmp_path / "short", lookahead=3, resume=True)
    assert_same_run(tmp_path / "long", tmp_path / "short")


def test_scoring_only_what_can_matter_changes_nothing(ground, tmp_path):
    with_it = bred(ground, tmp_path / "on", relative=False)
    without = bred(ground, tmp_path / "off", relative=False, foresee=False)
    assert [m.id for m in with_it.members] == [m.id for m in without.members]
    assert np.array_equal(with_it.scores, without.scores)


def test_on_ray_it_is_the_same_run(ground, tmp_path, cluster):
    bred(ground, tmp_path / "here", births=6, lookahead=3)
    bred(ground, tmp_path / "there", births=6, lookahead=3, workers=Ray(2, cpus=0.5))
    assert_same_run(tmp_path / "here", tmp_path / "there")


def test_what_a_run_leaves(ground, tmp_path):
    bred(ground, tmp_path / "run")
    best = tmp_path / "run" / "best"
    answers = [json.loads(line) for line in (best / "test.jsonl").read_text().splitlines()]
    pipeline = DiffusionPipeline.from_pretrained(best)
    pipeline.set_progress_bar_config(disable=True)
    pictures = Painter(**SMALL)(
        pipeline,
        [entry["prompt"] for entry in answers],
        [noise_of(0, "test", n) for n in range(12)],
    )
    judge = ClassProbability(ground["judge"])
    scores = judge.score(pictures, [], [{"label": n % 3} for n in range(12)])
    assert [entry["score"] for entry in answers] == pytest.approx(scores.tolist(), abs=1e-6)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["best"]["test"] == pytest.approx(float(np.mean(scores)), abs=1e-6)
    head, _ = checked(best / "README.md")
    assert "base_model" not in head, "the folders of the seeds have no README.md"
    assert (head["library_name"], head["tags"]) == ("diffusers", ["merge", "evomerge"])
    assert main(["rebuild", str(best / "recipe.json"), str(tmp_path / "again")]) == 0
    again = DiffusionPipeline.from_pretrained(tmp_path / "again").unet.state_dict()
    assert all(
        torch.equal(tensor, again[name]) for name, tensor in pipeline.unet.state_dict().items()
    )


def test_a_report_shows_members_side_by_side(ground, tmp_path, monkeypatch):
    bred(ground, tmp_path / "run", births=14)
    run = Record.read(tmp_path / "run")
    bests = {entry.get("id", entry["birth"]) for entry in run.bests}
    assert run.gallery.keys() == bests | {founder["id"] for founder in run.founders}
    shown = run.gallery[run.founders[1]["id"]]
    assert [entry["prompt"] for entry in shown] == [f"a {number}<b>" for number in range(10)]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "From the founders to the best" in page
    assert "a 3&lt;b&gt;" in page
    assert "a 3<b>" not in page
    strips = re.search(r'<div class="strips".*?</figure>', page, re.DOTALL)[0]
    assert strips.count("<img") == 10 * strips.count("<p>")
    assert strips.count("class=won") == 10
    assert "<b>seed0</b>" in strips
    assert "<b>seed1</b>" in strips


def test_a_gallery_that_fails_costs_no_run(ground, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(TextToImage, "showcase", lambda self, split: np.array([99]))
    bred(ground, tmp_path / "run", births=3)
    assert "is not shown beside others: IndexError" in caplog.text
    assert not (tmp_path / "run" / "gallery").exists()
    assert "From the founders to the best" not in (tmp_path / "run" / "report.html").read_text()


def config(ground, **changes):
    fitness = {
        "_target_": "fitness.text_to_image.TextToImage",
        "data": {"_target_": "fitness.records.JsonLines", "train": str(ground["prompts"])},
        "score": {"_target_": "fitness.classifier.ClassProbability", "model": ground["judge"]},
        **SMALL,
    }
    population = {"_target_": "populations.diffusion.DiffusionModels", "seeds": ground["seeds"]}
    return {
        "population": population,
        "fitness": fitness,
        "strategy": {"size": 4},
        "births": 2,
    } | changes


def test_from_the_command_line(ground, tmp_path):
    """The whole way, a function of the user's own in a file of the user's own among it."""
    (tmp_path / "mine.py").write_text(
        "def bright(prompt, image):\n    return sum(image.getdata(0)) / 255 / image.width / image.height\n"
    )
    given = config(ground)
    given["fitness"]["score"] = "mine.bright"
    (tmp_path / "config.yaml").write_text(json.dumps(given))
    run = start("run", "config.yaml", "run_dir=run", cwd=tmp_path)
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    assert (tmp_path / "run" / "best" / "model_index.json").is_file()
    done = start("export", "run", "mine", cwd=tmp_path)
    assert done.wait(timeout=PATIENCE) == 0
    assert (tmp_path / "mine" / "model_index.json").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"seeds": ["one", "two"]},
            "population: seeds: expected a folder, or owner/name of the hub, there is no folder one",
        ),
        (
            {"components": {"vae": 9}},
            "population.components: vae: expected the place of a seed from 0 to 1, got 9",
        ),
        ({"bred": ["eyes"]}, "population: bred: "),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    ground, tmp_path, capsys, monkeypatch, change, message
):
    monkeypatch.chdir(tmp_path)
    given = config(ground)
    given["population"] |= change
    (tmp_path / "config.yaml").write_text(json.dumps(given))
    assert main(["run", "config.yaml", "run_dir=run"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()
