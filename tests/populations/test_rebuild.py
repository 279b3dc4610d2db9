"""A member made again from its recipe.json; recipes not to be trusted, or not of these seeds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_llama
from safetensors.torch import load_file

from evomerge.cli import main
from evomerge.export import recipe_file
from evomerge.genome.crossover import Crossover
from populations.llm import LanguageModels

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module", params=["flat", "unit"])
def exported(tmp_path_factory, request):
    """A folder with two seeds, a, b, and a member of theirs with its recipe, out."""
    folder = tmp_path_factory.mktemp(request.param)
    population = LanguageModels(tiny_llama.tuned(folder, "ab"), order=request.param)
    genome, other = population.founders(np.random.default_rng(0))
    crossover = Crossover(angle="part", ratio=(-0.3, 1.3))
    for draw in range(4):
        crossing = crossover.draw(population.axis, np.random.default_rng(draw))
        genome, other = genome.cross(other, crossing, population), genome
    (folder / "out").mkdir()
    population.save(genome, folder / "out")
    recipe_file.write(folder / "out", population, genome)
    return folder


def rebuilt(exported, out, *arguments, change=None):
    """The exit code of `evomerge rebuild` of a recipe that was changed."""
    given = json.loads((exported / "out" / "recipe.json").read_text())
    if change is not None:
        change(given)
    (out / "recipe.json").write_text(json.dumps(given))
    return main(["rebuild", str(out / "recipe.json"), str(out / "made"), *arguments])


def settings(**changes):
    return lambda given: given["population"].update(changes)


def test_a_member_is_made_again_to_the_bit(exported, tmp_path):
    assert rebuilt(exported, tmp_path) == 0
    for name in ("model.safetensors", "recipe.json", "tokenizer.json", "config.json"):
        assert (tmp_path / "made" / name).read_bytes() == (exported / "out" / name).read_bytes(), (
            name
        )


def test_seeds_may_lie_elsewhere(exported, tmp_path):
    seeds = [str(shutil.copytree(exported / name, tmp_path / f"moved-{name}")) for name in "ab"]
    gone = settings(seeds=["not/here", "nor/here"])
    assert rebuilt(exported, tmp_path, f"seeds=[{','.join(seeds)}]", "device=cpu", change=gone) == 0
    assert [
        seed["name"]
        for seed in json.loads((tmp_path / "made" / "recipe.json").read_text())["seeds"]
    ] == seeds
    made, before = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "made", exported / "out")
    )
    assert all((made[name] == before[name]).all() for name in before)


def change_coefficient(given):
    given["coefficients"][0][0] += 0.5


def too_large(given):
    given["coefficients"][0][0] = 1e300


def call_it_base(given):
    given["seeds"][1]["base"] = True
    given["coefficients"] = [row[:1] for row in given["coefficients"]]


def put_bounds(given):
    given["bounds"][0] = 5


def drop_row(given):
    del given["coefficients"][0]


def lose(key):
    return lambda given: given.pop(key)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (
            settings(seeds={"_target_": "os.system", "command": "touch ran"}),
            [],
            "os.system is no class of evomerge's own",
        ),
        (
            settings(seeds={"_target_": "populations.seeds.os.system", "command": "touch ran"}),
            [],
            "is no class of evomerge's own; if you trust the recipe, say --trust",
        ),
        (
            settings(_target_="populations.modules.Modules", build="stranger.ran"),
            [],
            "is no class of evomerge's own",
        ),
        (
            settings(chat_template="/etc/hostname"),
            [],
            "chat_template: it wants the file /etc/hostname",
        ),
        (settings(device="cuda:7"), [], "population: device: 'cuda:7' cannot be used"),
        (
            settings(seed_device="pinned"),
            [],
            "population: seed_device: 'pinned' is the host's memory beside a GPU",
        ),
        (
            settings(trust_remote_code=True),
            [],
            "trust_remote_code: it wants to run code that comes with a seed",
        ),
        (settings(order="units"), [], "population.order: expected"),
        (None, ["seeds=[b,a]"], "was made of"),
        (None, ["seeds=[a]"], "population.seeds: expected at least 2 models"),
        (None, ["seeds=[a,b,a]"], "it was made of 2 models, there are 3 here"),
        (None, ["seeds=[a,nowhere]"], "there is no folder nowhere"),
        (None, ["seed=[a,b]"], "population.seed: unknown key; did you mean 'seeds'?"),
        (None, ["seeds"], "'seeds': expected key=value"),
        (change_coefficient, [], "its tensors are not what its bounds and coefficients give"),
        (put_bounds, [], "bounds: expected numbers that rise from 0"),
        (drop_row, [], "coefficients: expected"),
        (too_large, [], "numbers that float32 can hold"),
        (call_it_base, [], "coefficients: expected"),
        (lambda given: given["seeds"][0].update(sha256=5), [], "a seed has no sha256"),
        (lose("seeds"), [], "its seeds is no list"),
        (lambda given: given["seeds"][1].pop("sha256"), [], "a seed has no sha256"),
        (lose("tensors"), [], "its tensors is no dict"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(
    exported, tmp_path, monkeypatch, capsys, change, arguments, message
):
    for name in "ab":
        (tmp_path / name).symlink_to(exported / name)
    monkeypatch.chdir(tmp_path)
    assert rebuilt(exported, tmp_path, *arguments, change=change) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
    assert not Path("ran").exists()


def test_what_is_there_stays_and_what_is_no_recipe_is_refused(exported, tmp_path, capsys):
    (tmp_path / "made").mkdir()
    assert rebuilt(exported, tmp_path) == 2
    assert "expected a folder that is not there yet" in capsys.readouterr().err
    assert os.listdir(tmp_path / "made") == []
    for text in ("no json", "[1, 2]"):
        (tmp_path / "other.json").write_text(text)
        assert main(["rebuild", str(tmp_path / "other.json"), str(tmp_path / "new")]) == 2
        assert "expected a recipe.json of evomerge" in capsys.readouterr().err
    assert main(["rebuild", str(tmp_path / "none.json"), str(tmp_path / "new")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    (tmp_path / "deep.json").write_text("[" * 200_000)
    assert main(["rebuild", str(tmp_path / "deep.json"), str(tmp_path / "new")]) == 2
    assert "it cannot be read" in capsys.readouterr().err


def test_code_beside_a_recipe_runs_only_if_it_is_trusted(exported, tmp_path):
    """A folder that somebody else has packed, with modules named as ours and transformers'."""
    for module in ("transformers", "populations"):
        (tmp_path / f"{module}.py").write_text(
            "from pathlib import Path\nPath('ran').touch()\nraise ImportError('stranger')\n"
        )
    for name in ("recipe.json", "a", "b"):
        (tmp_path / name).symlink_to(
            exported / "out" / name if name == "recipe.json" else exported / name
        )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "evomerge", "rebuild", "recipe.json"]
    safe = subprocess.run(
        [*command, "made"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (safe.returncode, (tmp_path / "ran").exists()) == (0, False), safe.stderr
    # A command says that this one hides a package of ours, and does not run it.
    (tmp_path / "populations.py").unlink()
    risky = subprocess.run(
        [*command, "other", "--trust"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (risky.returncode, (tmp_path / "ran").exists()) == (2, True), risky.stderr


def test_what_is_trusted_may_be_anything(exported, tmp_path):
    template = tmp_path / "chat.jinja"
    template.write_text(tiny_llama.CHAT)
    assert rebuilt(exported, tmp_path, "--trust", change=settings(chat_template=str(template))) == 0
