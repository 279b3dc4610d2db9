"""Whole runs of adapters over one base: resumed they are the same, and a recipe is its member."""

import pytest
import tiny_llama
from tiny_adapters import adapter
from whole_runs import assert_same_run

from evomerge import Crossover, NaturalNiches, evolve
from evomerge.cli import main
from fitness.questions import QuestionAnswering
from fitness.skills import Arithmetic
from populations.llm import LanguageModels

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    tiny_llama.save(folder / "base")
    adapters = [adapter(folder / str(seed), folder / "base", seed)[0] for seed in (1, 2)]
    return [str(folder / "base"), *adapters]


def bred(seeds, run_dir, births, **settings):
    # Weights that are random answer nothing, so a score of its own tells members apart.
    sums = QuestionAnswering(
        Arithmetic(train=12, test=4),
        "{question} = ",
        score=share_of_digits,
        max_new_tokens=4,
    )
    strategy = NaturalNiches(size=4, mutation=0.1, crossover=Crossover(ratio=(-0.3, 1.3)))
    population = LanguageModels(seeds, cut="element", dtype="bfloat16")
    call = {"strategy": strategy, "births": births, "run_dir": run_dir, "progress": False}
    return evolve(population, sums, **call | settings)


def share_of_digits(prompt, response, reference):
    return sum(character.isdigit() for character in response) / max(1, len(response))


def test_a_resumed_run_of_adapters_is_the_same_to_the_bit_and_so_is_what_is_rebuilt(
    seeds, tmp_path
):
    bred(seeds, tmp_path / "long", 8)
    bred(seeds, tmp_path / "short", 4)
    bred(seeds, tmp_path / "short", 8, resume=True)
    assert_same_run(tmp_path / "long", tmp_path / "short")
    best = tmp_path / "long" / "best"
    assert main(["rebuild", str(best / "recipe.json"), str(tmp_path / "again")]) == 0
    name = "model.safetensors"
    assert (best / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
