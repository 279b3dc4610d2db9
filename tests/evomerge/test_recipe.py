"""Recipes: nested merges of seeds, as coefficients; mergekit and dense merges as the judges."""

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mergekit.merge_methods.slerp import slerp

from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossing, Crossover
from evomerge.genome.grams import Grams
from evomerge.genome.recipe import Recipe
from evomerge.genome.slerp import slerp_coefficients
from evomerge.strategies.natural_niches import NaturalNiches

SHAPES = {
    "embed.weight": (11, 8),
    "layers.0.attn.q": (8, 8),
    "layers.0.attn.o": (8, 8),
    "layers.0.mlp.up": (12, 8),
    "layers.0.mlp.down": (8, 12),
    "layers.0.norm": (8,),
    "layers.1.attn.q": (8, 8),
    "layers.1.attn.o": (8, 8),
    "layers.1.mlp.up": (12, 8),
    "layers.1.mlp.down": (8, 12),
    "layers.1.norm": (8,),
    "scale": (),
    "head.weight": (11, 8),
}
ATTENTION = {"attention": "attn"}
UNITS = [
    (["layers.0.attn.q"], ["layers.0.attn.o"]),
    (["layers.0.mlp.up"], ["layers.0.mlp.down"]),
    (["layers.1.mlp.up"], ["layers.1.mlp.down"]),
]
AXES = {
    "element": Axis.flat(SHAPES, chromosomes=ATTENTION),
    "row": Axis.flat(SHAPES, chromosomes=ATTENTION, cut="row"),
    "tensor": Axis.flat(SHAPES, chromosomes=ATTENTION, cut="tensor"),
    "layer": Axis.flat(SHAPES, cut="layer"),
    "unit": Axis.unit(SHAPES, UNITS),
}


@dataclass
class Species:
    """Four seeds, (K, P) float64 along the axis, and what crossing asks of a population."""

    axis: Axis
    seeds: np.ndarray
    grams: Grams


def species(name, count=4, dtype=np.float32):
    """Fine-tunes of one base, as different from each other as real ones are, and more."""
    axis, rng = AXES[name], np.random.default_rng(5)
    base = rng.standard_normal(axis.size)
    stored = (base + 0.4 * rng.standard_normal((count, axis.size))).astype(dtype).astype(np.float64)
    seeds = stored if axis.order is None else stored[:, axis.order]
    starts = np.concatenate([bounds[:-1] for bounds in axis.unit_bounds])
    parts = np.split(seeds, starts[1:], axis=1)
    places = {}
    for chromosome, bounds in zip(axis.chromosomes, axis.unit_bounds, strict=True):
        places |= {
            block.parts[0].tensor: start
            for block, start in zip(chromosome.blocks, bounds, strict=False)
        }

    def front(tensor, entries):
        part = seeds[:, places[tensor] : places[tensor] + entries]
        return part @ part.T

    return Species(axis, seeds, Grams(axis, np.stack([part @ part.T for part in parts]), front))


def dense(recipe, seeds):
    """The weights along the axis, in float64."""
    return np.concatenate(
        [
            recipe.coefficients[i] @ seeds[:, start:stop]
            for i, (start, stop) in enumerate(pairwise(recipe.bounds))
        ]
    )


def turns(crossing, axis):
    """(P,) the mixing ratio at each position, and the numbers of its part and its chromosome."""
    ratio, part, whole = np.empty(axis.size), np.empty(axis.size, int), np.empty(axis.size, int)
    for index, (bounds, w, splits) in enumerate(
        zip(axis.unit_bounds, crossing.ratios, crossing.splits, strict=True)
    ):
        here = np.arange(bounds[0], bounds[-1])
        turn = (here[:, None] >= np.array(splits)).sum(axis=1)
        ratio[here], part[here], whole[here] = (
            np.where(turn % 2, 1 - w, w),
            100 * index + turn,
            index,
        )
    return ratio, part, whole


def directly(a, b, crossing, axis):
    """A dense child: mergekit's SLERP for each tensor, M2N2's for parts and chromosomes."""
    ratio, part, whole = turns(crossing, axis)
    child = np.empty_like(a)
    if crossing.angle == "tensor":
        bounds = np.unique(np.concatenate(axis.unit_bounds))
        for start, stop in pairwise(bounds):
            v0, v1 = (torch.from_numpy(x[start:stop]).view(1, -1) for x in (a, b))
            for w in np.unique(ratio[start:stop]):
                merged = slerp(torch.tensor([w]), v0, v1)[0].numpy()
                child[start:stop] = np.where(ratio[start:stop] == w, merged, child[start:stop])
        return child
    group = part if crossing.angle == "part" else whole
    for index in np.unique(group):
        x, y, w = a[group == index], b[group == index], ratio[group == index]
        theta = np.arccos(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))
        near = np.sin(theta) < 1e-6
        child[group == index] = (
            (1 - w) * x + w * y
            if near
            else (np.sin((1 - w) * theta) * x + np.sin(w * theta) * y) / np.sin(theta)
        )
    return child


CASES = [
    (name, angle)
    for name in AXES
    for angle in ("tensor", "part", "whole")
    if angle != "tensor" or AXES[name].whole_tensors
]


@pytest.mark.parametrize(("name", "angle"), CASES, ids="-".join)
def test_forty_nested_merges_of_four_seeds(name, angle):
    kind, rng = species(name), np.random.default_rng(1)
    crossover = Crossover(splits=3, ratio=(-0.2, 1.2), angle=angle)
    recipes = [Recipe.seed(k, 4, kind.axis.size) for k in range(4)]
    weights = [dense(recipe, kind.seeds) for recipe in recipes]
    assert np.array_equal(np.stack(weights), kind.seeds)
    for _ in range(40):
        first, second = rng.permutation(len(recipes))[:2]
        crossing = crossover.draw(kind.axis, rng)
        recipes.append(recipes[first].cross(recipes[second], crossing, kind))
        weights.append(directly(weights[first], weights[second], crossing, kind.axis))
    for recipe, expected in zip(recipes, weights, strict=True):
        assert recipe.bounds[0] == 0
        assert recipe.bounds[-1] == kind.axis.size
        assert (np.diff(recipe.bounds) > 0).all()
        assert recipe.coefficients.shape == (len(recipe.bounds) - 1, 4)
        np.testing.assert_allclose(dense(recipe, kind.seeds), expected, rtol=1e-9, atol=1e-9)
    assert len(recipes[-1].bounds) > 4


def test_without_an_angle_the_coefficients_are_mixed_linearly():
    kind = species("tensor", 2)
    kind.grams = None  # nobody asks
    a, b = (Recipe.seed(k, 2, kind.axis.size) for k in range(2))
    split = int(kind.axis.unit_bounds[1][3])
    child = a.cross(b, Crossing((0.25, 0.1), ((), (split,)), "none"), kind)
    inside = [int(bounds[0]) for bounds in kind.axis.unit_bounds]
    assert child.bounds.tolist() == [0, inside[1], split, kind.axis.size]
    np.testing.assert_allclose(child.coefficients, [[0.75, 0.25], [0.9, 0.1], [0.1, 0.9]])


def test_stretches_of_equal_coefficients_are_one():
    kind = species("element", 2)
    a = Recipe.seed(0, 2, kind.axis.size)
    child = a.cross(a, Crossing((0.5, 0.5), ((20,), (400,)), "part"), kind)
    assert child.bounds.tolist() == [0, kind.axis.size]
    np.testing.assert_allclose(child.coefficients, [[1.0, 0.0]])


def test_grams_of_any_stretches():
    kind, rng = species("element"), np.random.default_rng(2)
    for _ in range(50):
        bounds = np.unique(rng.integers(0, kind.axis.size + 1, 12))
        expected = [kind.seeds[:, a:b] @ kind.seeds[:, a:b].T for a, b in pairwise(bounds)]
        np.testing.assert_allclose(kind.grams.over(bounds), expected, rtol=1e-10, atol=1e-9)


def test_the_front_of_a_tensor_is_passed_over_once():
    kind, asked = species("element"), []
    front = kind.grams.front
    kind.grams.front = lambda tensor, entries: (
        asked.append((tensor, entries)) or front(tensor, entries)
    )
    for bounds in ([0, 30, 70, kind.axis.size], [0, 30, kind.axis.size], [30, 64, 70]):
        kind.grams.over(np.array(bounds))
    assert asked == [("layers.0.attn.q", 30), ("layers.0.attn.o", 6)]


def test_a_recipe_survives_a_snapshot_and_mutates_by_its_seed():
    recipe = Recipe(np.array([0, 3, 9]), np.array([[0.1, 0.9], [0.4, np.pi]]))
    back = Recipe.from_tensors(recipe.tensors())
    assert back.bounds.tolist() == recipe.bounds.tolist()
    assert back.coefficients.tobytes() == recipe.coefficients.tobytes()
    one, same, other = recipe.mutate(0.1, 3), recipe.mutate(0.1, 3), recipe.mutate(0.1, 4)
    assert one.coefficients.tobytes() == same.coefficients.tobytes()
    assert (one.coefficients != other.coefficients).all()
    assert (one.coefficients != recipe.coefficients).all()
    assert recipe.finite()
    assert not Recipe(recipe.bounds, recipe.coefficients * np.inf).finite()


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_noise_with_a_sum_of_zero_keeps_what_the_seeds_share(count):
    stretches = 40_000
    recipe = Recipe(np.arange(stretches + 1), np.full((stretches, count), 1 / count))
    noise = recipe.mutate(0.1, 7).coefficients - recipe.coefficients
    assert np.abs(noise.sum(axis=1)).max() < 1e-12, "on every stretch by itself"
    assert noise.std() == pytest.approx(0.1, rel=0.02), (
        "each coefficient's noise is as large as asked for"
    )
    free = recipe.mutate(0.1, 7, "free").coefficients - recipe.coefficients
    assert free.std() == pytest.approx(0.1, rel=0.02)
    assert free.sum(axis=1).std() == pytest.approx(0.1 * np.sqrt(count), rel=0.05), (
        "each is drawn alone"
    )


@pytest.mark.parametrize("noise", ["zero-sum", "free"])
def test_a_strategy_says_which_noise_recipes_get(noise):
    view = SimpleNamespace(
        members=[SimpleNamespace(id=-k, genome=Recipe.seed(k, 3, 10)) for k in range(3)],
        fitness=np.ones(3),
        attraction=lambda _: np.ones(3),
    )
    strategy = NaturalNiches(size=3, mutation=0.2, noise=noise, crossover=None)
    birth = strategy.plan(1, view, SimpleNamespace(axis=None), seed=0)
    child = birth.child(SimpleNamespace())
    expected = birth.genomes[0].mutate(0.2, birth.mutation_seed, noise)
    assert child.coefficients.tolist() == expected.coefficients.tolist()
    assert (abs(child.coefficients.sum() - 1) < 1e-12) == (noise == "zero-sum")


def test_noise_of_another_kind_is_refused():
    with pytest.raises(
        ValueError, match=r"noise: expected one of \('zero-sum', 'free'\), got 'gaussian'"
    ):
        NaturalNiches(noise="gaussian")


def test_mergekit_and_recipes_agree_where_seeds_are_nearly_parallel():
    """Above a cosine of 0.9995 mergekit merges linearly, and so does a recipe by tensors."""
    first, second = slerp_coefficients(0.3, 1.0, 0.9996, 1.0, "tensor")
    assert (first, second) == (0.7, 0.3)
    first, second = slerp_coefficients(0.3, 1.0, 0.9994, 1.0, "tensor")
    assert first + second > 1
