"""Numbers of a method that are searched: ranges, what a member has of its own, and what is refused."""

import re

import numpy as np
import pytest
import tiny_llama
import torch

from evomerge.genome.crossover import Crossing
from evomerge.genome.recipe import Recipe
from evomerge.strategies.vector import Coefficients, Ratios
from evomerge.testing import check_population
from populations.llm import LanguageModels
from populations.method_ranges import spread
from populations.methods import Method

DENSITY = {"from": 0.2, "to": 0.9}
LAMBDA = {"from": 0.5, "to": 1.5}


@pytest.fixture
def population(tmp_path):
    """Makes language models of two seeds and a base, with a method."""
    *seeds, base = tiny_llama.tuned(tmp_path, ["a", "b", "base"])

    def make(method, **settings):
        return LanguageModels(seeds, base=base, method=method, device="cpu", **settings)

    return make


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.model.state_dict().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_member_has_a_number_in_the_place_of_each_range():
    method = Method("ties", {"lambda": LAMBDA, "density": [0.3, DENSITY], "normalize": True})
    assert [range_.label for range_ in method.ranges] == ["lambda", "density[1]"]
    member = method.at(np.array([0.25, 1.0]))
    assert member.parameters["lambda"] == 0.75
    assert member.parameters["density"] == [0.3, pytest.approx(0.9)]
    assert member.parameters["normalize"] is True
    assert method.parameters["density"] == [0.3, DENSITY]
    assert method.numbers([0.25, 1.0]) == {"lambda": 0.75, "density[1]": pytest.approx(0.9)}
    assert method.ranges[1].at(1.0) <= 0.9
    assert Method("ties", {"density": [0.2, 0.9]}).ranges == []
    with pytest.raises(ValueError, match=r"expected a genome with 2 settings, .*, got 0"):
        method.at([])
    with pytest.raises(ValueError, match=r"expected a genome with 0 settings, .*, got 1"):
        Method("ties", {"density": 0.5}).at([0.5])


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        (
            "ties",
            {"density": {"from": 0.2, "until": 0.9}},
            "parameters: density: expected a number, or a range such as {from: 0.2, to: 0.9}, got",
        ),
        (
            "ties",
            {"density": [{"low": 0.2}, 0.5]},
            "parameters: density: expected a number, or a range such as {from: 0.2, to: 0.9}, got",
        ),
        (
            "ties",
            {"density": {"from": 0.2, "to": 1.9}},
            "parameters: density: expected a share from 0 to 1, got 1.9",
        ),
        (
            "ties",
            {"density": {"from": "little", "to": 0.9}},
            "parameters: density: expected a number, got 'little'",
        ),
        (
            "ties",
            {"density": {"from": 0.5, "to": 0.5}},
            "parameters: density: expected a range that goes up, from 0.5 to 0.5",
        ),
        (
            "ties",
            {"density": 0.5, "normalize": {"from": 0, "to": 1}},
            "parameters: normalize: expected true or false, got a range",
        ),
        (
            "ties",
            {"density": {"from": {"from": 0, "to": 1}, "to": 1}},
            "parameters: density: expected a number, got {'from': 0, 'to': 1}",
        ),
        (
            "della",
            {"density": {"from": 0.3, "to": 0.8}, "epsilon": {"from": 0.1, "to": 0.25}},
            "della of 2 seeds and a base: Epsilon must be chosen such that density",
        ),
    ],
)
def test_a_range_that_is_none_or_goes_too_far_is_known_at_once(name, parameters, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Method(name, parameters).check(2, True)


def test_ranges_that_fit_at_all_their_ends_are_fine():
    epsilon = {"from": 0.1, "to": 0.25}
    Method("della", {"density": {"from": 0.3, "to": 0.7}, "epsilon": epsilon}).check(2, True)
    Method("ties", {"density": [DENSITY, DENSITY]}).check(2, True)


def test_a_single_child_has_nothing_to_search():
    epsilon = {"from": 1e-6, "to": 1e-4}
    with pytest.raises(ValueError, match=r"^parameters: epsilon: expected a number, got a range"):
        Method("ram", {"epsilon": epsilon}).check(2, True, searched=False)


def test_founders_are_spread_over_the_ranges(population):
    places = spread(2, 5, np.random.default_rng(0))
    assert np.allclose(np.sort(places, axis=0).T, [[0.1, 0.3, 0.5, 0.7, 0.9]] * 2)
    method = Method("ties", {"density": DENSITY, "lambda": LAMBDA})
    founders = population(method).founders(np.random.default_rng(0))
    assert np.allclose(np.sort([founder.settings for founder in founders], axis=0).T, [0.25, 0.75])
    again = population(method).founders(np.random.default_rng(0))
    assert [one.settings.tolist() for one in again] == [one.settings.tolist() for one in founders]


def test_children_mix_their_parents_settings_and_stay_in_the_ranges(population):
    species = population(Method("ties", {"density": DENSITY, "lambda": LAMBDA}))
    size = species.axis.size
    one, two = Recipe.seed(0, 2, size), Recipe.seed(1, 2, size)
    one = Recipe(one.bounds, one.coefficients, np.array([0.2, 1.0]))
    two = Recipe(two.bounds, two.coefficients, np.array([0.6, 0.0]))
    child = one.cross(two, Crossing((0.25,), ((),), "none"), species)
    assert np.allclose(child.settings, [0.3, 0.75])
    assert one.cross(two, Crossing((-0.3,), ((),), "none"), species).settings[1] == 1.0
    mutated = child.mutate(0.1, seed=3)
    assert np.array_equal(mutated.settings, child.mutate(0.1, seed=3).settings)
    moved = np.abs(mutated.settings - child.settings)
    assert (moved > 0).all()
    assert (moved < 0.5).all()
    far = np.stack([child.mutate(5.0, seed).settings for seed in range(30)])
    assert far.min() == 0
    assert far.max() == 1
    stored = Recipe.from_tensors(mutated.tensors())
    assert np.array_equal(stored.settings, mutated.settings)


def test_recipes_without_settings_are_stored_and_mutate_as_ever():
    recipe = Recipe.seed(0, 2, 10)
    assert set(recipe.tensors()) == {"bounds", "coefficients"}
    assert Recipe.from_tensors(recipe.tensors()).settings.shape == (0,)
    settled = Recipe(recipe.bounds, recipe.coefficients, np.array([0.5]))
    assert np.array_equal(recipe.mutate(0.1, 7).coefficients, settled.mutate(0.1, 7).coefficients)


@pytest.mark.parametrize("name", ["ties", "dare_ties", "della"])
@pytest.mark.parametrize("searched", ["density", "lambda"])
def test_a_member_is_expressed_with_its_own_numbers(name, searched, population, caplog):
    caplog.set_level("INFO", "populations")
    fixed = {"density": 0.5} | ({"epsilon": 0.05} if name == "della" else {})
    wide = {"density": DENSITY, "lambda": LAMBDA}[searched]
    species = population(Method(name, fixed | {searched: wide}))
    made = []
    for genome in species.founders(np.random.default_rng(1)):
        numbers = species.settings_of(genome)
        assert list(numbers) == [searched]
        made.append(weights_of(species.express(genome)))
        plain = population(Method(name, fixed | numbers))
        bare = Recipe(genome.bounds, genome.coefficients)
        assert_equal(made[-1], weights_of(plain.express(bare)))
    # Only what is left of the seeds has to be made anew, so a searched lambda costs nothing.
    assert ("since it searches density" in caplog.text) == (searched == "density")
    assert caplog.text.count("made once and kept") == 3


def test_ranks_count_where_density_is_searched(population):
    """Of each seed a difference from the base, and for what trims by size its order in 4 bytes."""
    sizes = {}
    for name in ("ties", "dare_ties"):
        for density in (0.5, DENSITY):
            footprint = population(Method(name, {"density": density})).footprint()
            sizes[name, density == 0.5] = footprint["seeds"]
    numbers = population(Method("ties", {"density": 0.5})).axis.size
    assert sizes["ties", False] == sizes["ties", True] + 2 * numbers * 4
    assert sizes["dare_ties", False] == sizes["dare_ties", True]


def test_it_is_a_population_like_any_other(population):
    check_population(population(Method("ties", {"density": DENSITY})))


@pytest.mark.parametrize("vector", [Ratios(), Coefficients()])
def test_vectors_of_coefficients_refuse_what_they_cannot_hold(vector, population):
    species = population(Method("ties", {"density": DENSITY}))
    founders = species.founders(np.random.default_rng(0))
    with pytest.raises(ValueError, match="vectors hold coefficients alone, and numbers of the "):
        vector.coding(species, founders)
