"""What a vector stands for: the way from vectors to genomes."""

import numpy as np
import pytest
from tiny_decoder import SHAPES

from evomerge import AllWeights, Coefficients, Crossover, Ratios
from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe
from evomerge.genome.weights import Weights


class Recipes:
    """Seeds that are only known by number."""

    def __init__(self, seeds, **axis):
        self.axis, self.seeds = Axis.flat(SHAPES, cut="tensor", **axis), seeds

    def founders(self, rng=None):
        return [Recipe.seed(index, self.seeds, self.axis.size) for index in range(self.seeds)]


class Networks:
    """Weights of their own, and immigrants where asked for."""

    def __init__(self, immigrants=True):
        self.axis = Axis.flat({"a": (2, 3)})
        if immigrants:
            self.immigrant = lambda rng: Weights(rng.standard_normal(6, dtype=np.float32))

    def founders(self, rng=None):
        return [Weights(np.full(6, value, dtype=np.float32)) for value in (1.0, 2.0)]


def test_ratios_sum_to_one_and_the_first_seed_gives_the_rest():
    coding = Ratios(by="layer").coding(Recipes(3), Recipes(3).founders())
    assert coding.size == 4 * 2
    recipe = coding.genome(np.arange(8) / 10)
    assert np.allclose(recipe.coefficients.sum(axis=1), 1)
    assert np.allclose(recipe.coefficients[0], [0.9, 0.0, 0.1])
    assert np.allclose(
        recipe.at(np.array([6]))[0], [0.5, 0.2, 0.3]
    )  # layers.0 begins behind the embedding


def test_coefficients_are_free():
    population = Recipes(2)
    coding = Coefficients(by="chromosome").coding(population, population.founders())
    recipe = coding.genome(np.array([1.5, -2.0]))
    assert recipe.bounds.tolist() == [0, population.axis.size]
    assert recipe.coefficients.tolist() == [[1.5, -2.0]]


def test_coefficients_that_may_not_be_negative_are_absolute_values_and_may_be_shares():
    population = Recipes(2)

    def made(**settings):
        return (
            Coefficients(by="chromosome", **settings)
            .coding(population, population.founders())
            .genome(np.array([1.5, -0.5]))
        )

    assert made(negative=False).coefficients.tolist() == [[1.5, 0.5]]
    assert made(normalize=True).coefficients.tolist() == [[1.5, -0.5]]
    assert made(negative=False, normalize=True).coefficients.tolist() == [[0.75, 0.25]]


@pytest.mark.parametrize("vector", [Ratios(), Coefficients()], ids=["ratios", "coefficients"])
@pytest.mark.parametrize("seeds", [2, 3])
def test_a_search_over_recipes_starts_from_the_seeds_and_mixtures(vector, seeds):
    population = Recipes(seeds)
    coding = vector.coding(population, population.founders())
    rows = [coding.genome(row) for row in coding.start(seeds + 5, np.random.default_rng(0))]
    for index in range(seeds):
        assert (rows[index].coefficients == np.eye(seeds)[index]).all()
    for recipe in rows[seeds:]:
        assert np.allclose(recipe.coefficients.sum(axis=1), 1)
        assert (recipe.coefficients > 0).all()
        assert len(np.unique(recipe.coefficients, axis=0)) == 4  # each layer by itself
    assert np.allclose(coding.genome(coding.centre()).coefficients, 1 / seeds)
    assert coding.start(1, np.random.default_rng(0)).shape == (1, coding.size)
    assert coding.parents == seeds


def test_a_search_over_weights_starts_from_founders_and_immigrants():
    coding = AllWeights().coding(Networks(), Networks().founders())
    rows = coding.start(4, np.random.default_rng(0))
    assert rows[:2, 0].tolist() == [1.0, 2.0]
    assert len(np.unique(rows[2:])) == 12  # drawn
    assert coding.centre().tolist() == [1.0] * 6
    assert coding.genome(rows[3]).vector.dtype == np.float32


def test_without_immigrants_it_goes_on_with_mixtures_of_founders():
    coding = AllWeights().coding(Networks(immigrants=False), Networks().founders())
    rows = coding.start(6, np.random.default_rng(0))
    assert ((rows[2:] > 1) & (rows[2:] < 2)).all()
    assert (rows[2:] == rows[2:, :1]).all()  # one ratio for all
    assert len(np.unique(rows[2:])) == 4


def test_weights_cross_as_genomes_do():
    population, rng = Networks(), np.random.default_rng(5)
    coding = AllWeights().coding(population, population.founders())
    a, b = coding.start(4, rng)[2:]
    crossover = Crossover(angle="whole")
    child = coding.cross(a, b, crossover, np.random.default_rng(1))
    crossing = crossover.draw(population.axis, np.random.default_rng(1))
    assert (child == Weights(a).cross(Weights(b), crossing, population).vector).all()


def test_coefficients_cross_with_w_before_the_split_and_1_minus_w_behind():
    population = Recipes(2)
    coding = Ratios().coding(population, population.founders())
    a, b = np.zeros(4), np.ones(4)
    seen = set()
    for seed in range(30):
        child = coding.cross(a, b, Crossover(ratio=(0.2, 0.2)), np.random.default_rng(seed))
        before, behind = np.isclose(child, 0.2), np.isclose(child, 0.8)
        assert (before | behind).all()
        assert (np.diff(behind.astype(int)) >= 0).all()  # first the one, then the other
        seen.add(int(before.sum()))
    assert seen == {0, 1, 2, 3}
    child = coding.cross(a, b, Crossover(splits=0, ratio=(0.3, 0.3)), np.random.default_rng(0))
    assert np.allclose(child, 0.3)


def test_the_wrong_kind_of_population_is_told():
    with pytest.raises(
        ValueError, match=r"Recipes breeds recipes; choose evomerge.Ratios or evomerge.Coefficients"
    ):
        AllWeights().coding(Recipes(2), Recipes(2).founders())
    with pytest.raises(ValueError, match=r"Networks breeds weights; choose evomerge.AllWeights"):
        Ratios().coding(Networks(), Networks().founders())
    with pytest.raises(ValueError, match=r"by: expected one of .*'layer'.*, got 'layers'"):
        Coefficients(by="layers")
