"""Genomes of weights: their children, their mutants, and mergekit as the judge."""

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mergekit.merge_methods.slerp import slerp
from torch import nn

from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossing, Crossover
from evomerge.genome.weights import Weights


def vector(rng, size):
    return rng.standard_normal(size, dtype=np.float32)


def test_crossover_agrees_with_the_reference_code(shared):
    for case in json.loads((shared / "golden/operators.json").read_text())["crossover"]:
        a, b = (Weights(np.array(case[name], dtype=np.float32)) for name in "ab")
        axis = Axis.flat({"w": a.vector.shape})
        for angle, name in (
            ("whole", "child_whole_vector_angle"),
            ("part", "child_angle_per_part"),
        ):
            child = a.cross(
                b,
                Crossing((case["ratio"],), ((case["split"],),), angle),
                SimpleNamespace(axis=axis),
            )
            np.testing.assert_allclose(child.vector, case[name], rtol=1e-5, atol=1e-5)


def mergekits_child(a, b, shapes, ratio, splits):
    """Tensor by tensor with mergekit's SLERP; each side of a split is taken from its own merge."""
    turns = (np.arange(len(a))[:, None] >= np.array(splits)).sum(axis=1) % 2
    child, start = np.empty(len(a)), 0
    for shape in shapes.values():
        stop = start + int(np.prod(shape))
        v0, v1 = (
            torch.from_numpy(x[start:stop].astype(np.float64)).view(shape)[None] for x in (a, b)
        )
        sides = [
            slerp(torch.tensor([w], dtype=torch.float64), v0, v1)[0].flatten().numpy()
            for w in (ratio, 1 - ratio)
        ]
        child[start:stop] = np.where(turns[start:stop] == 0, *sides)
        start = stop
    return child


KINDS = {
    "any": lambda rng, a: vector(rng, len(a)),
    "near": lambda rng, a: a + np.float32(0.01) * vector(rng, len(a)),
    "nearly parallel": lambda rng, a: (
        a * np.float32(rng.uniform(0.5, 2)) + np.float32(0.05) * vector(rng, len(a))
    ),
    "parallel": lambda rng, a: a * np.float32(rng.uniform(0.1, 3)),
    "antiparallel": lambda rng, a: a * np.float32(-rng.uniform(0.1, 3)),
    "wide": lambda rng, a: np.float32(0.3) * vector(rng, len(a)) - a,
    "zero": lambda rng, a: np.zeros_like(a),
    "tiny": lambda rng, a: np.float32(1e-9) * vector(rng, len(a)),
}


def test_one_angle_for_each_tensor_is_what_mergekit_merges():
    """A thousand children, every tensor of a random kind."""
    shapes = {
        name: tuple(t.shape)
        for name, t in nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4))
        .state_dict()
        .items()
    }
    axis, rng, inside = Axis.flat(shapes), np.random.default_rng(0), 0
    bounds = axis.unit_bounds[0]
    for _ in range(1000):
        a, b = vector(rng, axis.size), np.empty(axis.size, dtype=np.float32)
        for start, stop in pairwise(bounds):
            b[start:stop] = KINDS[rng.choice(list(KINDS))](rng, a[start:stop])
        if rng.random() < 0.1:
            a, b = b, a
        crossing = Crossover(int(rng.integers(4)), (-0.5, 1.5), "tensor").draw(axis, rng)
        child = Weights(a).cross(Weights(b), crossing, SimpleNamespace(axis=axis)).vector
        expected = mergekits_child(a, b, shapes, crossing.ratios[0], crossing.splits[0])
        assert child.dtype == np.float32
        assert np.abs(child - expected).max() <= 1e-6 * max(
            np.abs(expected).max(), np.abs(a).max(), np.abs(b).max()
        )
        inside += bool(set(crossing.splits[0]) - set(bounds.tolist()))
    assert inside > 500


@pytest.mark.parametrize("angle", ["tensor", "part", "whole"])
@pytest.mark.parametrize("factor", [-3.0, -0.7, -0.1, 0.3, 1.0])
def test_parents_on_one_line_are_merged_linearly(angle, factor):
    """However they are scaled: rounding may not make an angle, whose sine would divide."""
    rng, axis = np.random.default_rng(1), Axis.flat({"w": (1000,)})
    for _ in range(20):
        a = vector(rng, 1000)
        b = np.float32(factor) * a
        child = (
            Weights(a)
            .cross(Weights(b), Crossing((0.4,), ((),), angle), SimpleNamespace(axis=axis))
            .vector
        )
        np.testing.assert_allclose(child, 0.6 * a + 0.4 * b, atol=1e-5)


def test_the_angle_has_its_scope():
    """The parts see two right angles and a straight line, the whole what they make together."""
    a, b = np.array([1, 0, 1, 1], dtype=np.float32), np.array([0, 1, 1, 1], dtype=np.float32)
    axis = Axis.flat({"u": (2,), "v": (2,)})

    def child(angle, splits):
        return (
            Weights(a)
            .cross(Weights(b), Crossing((0.5,), (splits,), angle), SimpleNamespace(axis=axis))
            .vector
        )

    right, third = np.sqrt(0.5), np.sin(np.arccos(2 / 3) / 2) / np.sin(np.arccos(2 / 3))
    np.testing.assert_allclose(child("part", (2,)), [right, right, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(child("tensor", (1,)), [right, right, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(
        child("whole", (2,)), [third, third, 2 * third, 2 * third], rtol=1e-6
    )
    np.testing.assert_allclose(child("part", ()), [third, third, 2 * third, 2 * third], rtol=1e-6)


def test_a_child_takes_each_unit_from_one_parent():
    """Ratio 0 before the split and 1 behind it, chromosome by chromosome."""
    axis = Axis.flat({"a": (3,), "b": (4,), "c": (2,)}, chromosomes={"b": "b"})
    first, second = (
        Weights(np.zeros(9, dtype=np.float32) + 1),
        Weights(np.arange(9, dtype=np.float32) + 2),
    )
    child = first.cross(
        second, Crossing((0.0, 1.0), ((1,), (6,)), "part"), SimpleNamespace(axis=axis)
    )
    assert child.vector.tolist() == [1, 3, 4, 5, 6, 7, 1, 1, 1]


def test_parents_stay_as_they_are():
    rng, axis = np.random.default_rng(2), Axis.flat({"w": (50,)})
    a, b = (Weights(vector(rng, 50)) for _ in range(2))
    before = a.vector.copy(), b.vector.copy()
    child = a.cross(b, Crossing((0.3,), ((20,),), "part"), SimpleNamespace(axis=axis))
    mutant = a.mutate(0.1, 5)
    child.vector[:] = mutant.vector[:] = 0
    assert (a.vector == before[0]).all()
    assert (b.vector == before[1]).all()


def test_mutation_is_noise_from_its_seed_alone():
    parent = Weights(vector(np.random.default_rng(3), 100_000))
    noise = parent.mutate(0.01, 2**63 - 1).vector - parent.vector
    assert abs(noise.mean()) < 1e-4
    assert noise.std() == pytest.approx(0.01, rel=0.01)
    state = torch.get_rng_state()
    torch.rand(3)
    again, other = (
        parent.mutate(0.01, 2**63 - 1).vector - parent.vector,
        parent.mutate(0.01, 1).vector - parent.vector,
    )
    assert (again == noise).all()
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.02
    torch.set_rng_state(state)
    parent.mutate(0.01, 1)
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random state is touched"
    assert parent.mutate(0.01, 1).vector.dtype == np.float32


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("numbers", "finite"),
    [
        ([1, -1], True),
        ([3e38, 3e38, 3e38], True),
        ([1, np.nan], False),
        ([np.inf, 1], False),
        ([np.inf, -np.inf], False),
    ],
)
def test_finite(numbers, finite):
    assert Weights(np.array(numbers, dtype=np.float32)).finite() is finite


def test_tensors_and_back():
    genome = Weights(vector(np.random.default_rng(4), 10))
    tensors = genome.tensors()
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    again = Weights.from_tensors(tensors)
    assert again.vector.dtype == np.float32
    assert again.vector.tobytes() == genome.vector.tobytes()
