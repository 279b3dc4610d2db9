"""Task vectors made once, and then weighted: to the bit what mergekit makes in one call."""

import pytest
import torch
from mergekit.merge_methods import GeneralizedTaskArithmeticMerge, get, registered_methods

from populations import method_merging
from populations.method_kinds import SEARCHED, methods
from populations.method_merging import Anew, Inputs, KeptVectors
from populations.methods import Method

FAMILY = [
    method.spec.name
    for method in registered_methods()
    if isinstance(method, GeneralizedTaskArithmeticMerge)
]
DTYPES = [torch.float32, torch.bfloat16]
WEIGHTS = [0.6, 0.9, -0.2, 0.4, -1.3, 0.05, 0.0]


def bits(tensor):
    """A tensor's numbers as integers, which tell 0 from -0."""
    return tensor.view({2: torch.int16, 4: torch.int32}[tensor.element_size()])


def tensors(count, shape=(12, 16), seed=0, dtype=torch.float32):
    """A base, and seeds around it, in which some numbers are the base's, 0 or -0."""
    draw = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=draw)
    base[torch.rand(shape, generator=draw) < 0.1] = -0.0
    seeds = []
    for _ in range(count):
        change = 0.3 * torch.randn(shape, generator=draw)
        change[torch.rand(shape, generator=draw) < 0.2] = -0.0
        seeds.append((base + change).to(dtype))
    return base.to(dtype), seeds


def made(name, seed=0, **parameters):
    """A method that leaves half of each seed, where it leaves something out."""
    drops = getattr(get(name), "sparsification_method", None) is not None
    return Method(name, ({"density": 0.5} if drops else {}) | parameters, seed)


def assert_the_same(method, base, seeds, weights, name="w"):
    """In one call, and by its task vectors."""
    expected = method.merge(name, seeds, weights, base)
    vectors = method.task_vectors(name, seeds, base)
    child = method.merge_vectors(name, vectors, weights, base)
    assert type(child) is torch.Tensor
    assert child.dtype == expected.dtype
    assert torch.equal(bits(child), bits(expected))


def test_the_family_is_all_of_mergekits_methods_that_trim_drop_or_take_differences():
    assert len(FAMILY) == 8
    for name in methods():
        assert Method(name).has_task_vectors == (name in FAMILY)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [0.05, 0.5, 1.0, [0.3, 0.8, 1.0]])
@pytest.mark.parametrize("name", FAMILY)
def test_weighted_afterwards_a_child_is_what_mergekit_makes_of_the_seeds(name, density, dtype):
    epsilon = {"epsilon": 0.02} if name.startswith("della") else {}
    for seed in (0, 1):
        method = made(name, seed, density=density, **epsilon)
        for index, shape in enumerate([(12, 16), (70,), (3, 2, 4)]):
            base, seeds = tensors(3, shape, index, dtype)
            assert_the_same(method, base, seeds, WEIGHTS[:3], f"layer.{index}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "parameters",
    [
        {"normalize": True},
        {"rescale": True},
        {"rescale": False},
        {"int8_mask": True, "lambda": 0.7},
        {"normalize": "true", "lambda": "1.5"},
    ],
)
@pytest.mark.parametrize("name", FAMILY)
def test_so_it_is_whatever_else_is_set(name, parameters, dtype):
    base, seeds = tensors(2, dtype=dtype)
    assert_the_same(made(name, **parameters), base, seeds, WEIGHTS[:2])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("della", {"epsilon": [0.1, 0.3]}), ("breadcrumbs", {"gamma": [0.2, 0.05]})],
)
def test_so_it_is_with_other_numbers_for_each_seed(name, parameters):
    base, seeds = tensors(2)
    assert_the_same(made(name, **parameters), base, seeds, WEIGHTS[:2])
    assert_the_same(made(name), base, seeds, WEIGHTS[:2])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_so_it_is_for_any_number_of_seeds_and_seeds_that_weigh_nothing(count):
    base, seeds = tensors(count)
    assert_the_same(made("ties", normalize=True), base, seeds, WEIGHTS[-count:])
    assert_the_same(made("dare_ties"), base, seeds, [0.0] * count)


def test_seeds_and_base_of_two_types_merge_in_the_wider_one():
    wide, _ = tensors(0)
    _, seeds = tensors(2, dtype=torch.bfloat16)
    method = made("dare_ties")
    vectors = method.task_vectors("w", seeds, wide)
    child = method.merge_vectors("w", vectors, WEIGHTS[:2], wide)
    assert child.dtype == torch.float32
    expected = method.merge("w", seeds, WEIGHTS[:2], wide)
    assert torch.equal(bits(child.bfloat16()), bits(expected))


def test_the_random_state_stays_as_it_was():
    base, seeds = tensors(2)
    before = torch.random.get_rng_state()
    made("dare_linear").task_vectors("w", seeds, base)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_mergekit_cannot_do_names_the_tensor():
    base, seeds = tensors(2)
    with pytest.raises(ValueError, match=r"^ties of tensor 'w': Tensor size mismatch"):
        made("ties").task_vectors("w", [seeds[0], seeds[1][:3]], base)
    with pytest.raises(ValueError, match=r"^ties of tensor 'w': Parameter density expects 2 "):
        made("ties", density=[0.5] * 3).task_vectors("w", seeds, base)
    with pytest.raises(ValueError, match=r"^della of tensor 'w': Epsilon must be chosen"):
        made("della", density=0.9).task_vectors("w", seeds, base)
    vectors = made("ties").task_vectors("w", seeds, base)
    with pytest.raises(ValueError, match=r"^ties of tensor 'w': Parameter weight expects 2 "):
        made("ties").merge_vectors("w", vectors, [0.5] * 3, base)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [2, 5, 9])
def test_a_tensor_in_pieces_is_the_tensor_at_once(count, dtype, monkeypatch):
    """Seven seeds and more are summed up in several steps, at the end of a tensor in other ones."""
    monkeypatch.setattr(method_merging, "PIECE", 1 << 9)
    shape = (41, 53)
    base, seeds = tensors(count, shape, dtype=dtype)
    weights = (WEIGHTS + WEIGHTS)[:count]
    for name in FAMILY:
        method = made(name)
        slot = torch.empty(shape, dtype=dtype)
        kept = KeptVectors("device", lambda _: Inputs(base, seeds), lambda _: None)
        kept.merge(method, "w", slot, weights)
        expected = method.merge("w", seeds, weights, base)
        assert torch.equal(bits(slot), bits(expected)), name


def test_vectors_are_made_once_and_the_seeds_are_then_given_back():
    base, seeds = tensors(2)
    asked, released = [], []

    def inputs(name):
        asked.append(name)
        return Inputs(base, seeds)

    kept = KeptVectors("device", inputs, released.append)
    slot, expected = torch.empty_like(base), torch.empty_like(base)
    for weights in ([1.0, 0.0], [0.3, 0.4], [-0.3, 1.4]):
        for name in ("a", "b"):
            kept.merge(made("ties"), name, slot, weights)
            Anew(lambda _: Inputs(base, seeds)).merge(made("ties"), name, expected, weights)
            assert torch.equal(bits(slot), bits(expected))
    assert asked == released == ["a", "b"]


def test_slots_of_another_type_get_what_is_computed_in_it():
    """As ever, a method computes in the type of the resident model."""
    base, seeds = tensors(2)
    slot = torch.empty(base.shape, dtype=torch.bfloat16)
    kept = KeptVectors("device", lambda _: Inputs(base, seeds), lambda _: None)
    kept.merge(made("ties"), "w", slot, WEIGHTS[:2])
    narrow = [seed.bfloat16() for seed in seeds]
    expected = made("ties").merge("w", narrow, WEIGHTS[:2], base.bfloat16())
    assert torch.equal(bits(slot), bits(expected))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("place", ["device", "pinned"])
@pytest.mark.parametrize("name", FAMILY)
def test_so_it_is_on_a_gpu(name, place):
    base, seeds = tensors(3)
    slot, expected = torch.empty_like(base).cuda(), torch.empty_like(base).cuda()
    kept = KeptVectors(place, lambda _: Inputs(base, seeds), lambda _: None)
    Anew(lambda _: Inputs(base, seeds)).merge(made(name), "w", expected, WEIGHTS[:3])
    for _ in range(2):
        kept.merge(made(name), "w", slot, WEIGHTS[:3])
        assert torch.equal(bits(slot), bits(expected))


def test_every_method_of_the_family_is_searched():
    assert {methods()[name] for name in FAMILY} == {SEARCHED}


SEARCHED_DENSITY = {"from": 0.05, "to": 1.0}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in FAMILY if name != "task_arithmetic"])
def test_what_is_left_of_kept_differences_is_what_mergekit_leaves(name, dtype, monkeypatch):
    """At any density: of numbers that are alike, as of many in bfloat16, the same are left."""
    monkeypatch.setattr(method_merging, "PIECE", 1 << 9)
    shape = (41, 53)
    base, seeds = tensors(3, shape, dtype=dtype)
    asked = []

    def inputs(tensor):
        asked.append(tensor)
        return Inputs(base, seeds)

    searched = Method(name, {"density": SEARCHED_DENSITY})
    if name.startswith("della"):
        searched = Method(name, {"density": {"from": 0.2, "to": 0.8}, "epsilon": 0.1})
    kept = KeptVectors("device", inputs, lambda _: None, searched=True)
    slot, expected = torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)
    for place in (0.0, 0.001, 0.3, 0.77, 1.0):
        method = searched.at([place])
        kept.merge(method, "w", slot, WEIGHTS[:3])
        Anew(lambda _: Inputs(base, seeds)).merge(method, "w", expected, WEIGHTS[:3])
        assert torch.equal(bits(slot), bits(expected)), place
    assert asked == ["w"]


@pytest.mark.parametrize("shape", [(1,), (2,), (7, 1)])
def test_small_tensors_are_trimmed_alike(shape):
    base, seeds = tensors(2, shape)
    for name in ("ties", "breadcrumbs", "breadcrumbs_ties", "dare_ties"):
        kept = KeptVectors("device", lambda _: Inputs(base, seeds), lambda _: None, searched=True)
        slot, expected = torch.empty(shape), torch.empty(shape)
        for density in (0.1, 0.5, 0.9, 1.0):
            method = made(name, density=density)
            kept.merge(method, "w", slot, WEIGHTS[:2])
            Anew(lambda _: Inputs(base, seeds)).merge(method, "w", expected, WEIGHTS[:2])
            assert torch.equal(bits(slot), bits(expected)), (name, density)
