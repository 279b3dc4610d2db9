"""mergekit's merge methods, all that it registers: what each is here.

mergekit's other ways to the same weights are the judges.
"""

import pickle
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_llama
import torch
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.merge_methods import get, merge_state_dicts, registered_methods
from mergekit.options import MergeOptions
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossover
from evomerge.genome.recipe import Recipe
from populations.llm import LanguageModels
from populations.method_kinds import SEARCHED, SINGLE, methods
from populations.methods import Method

ALL = methods()
WEIGHTED = sorted(name for name, kind in ALL.items() if kind == SEARCHED)
WITHOUT = sorted(name for name, kind in ALL.items() if kind == SINGLE)
DROPPING = ["dare_linear", "dare_ties", "della", "della_linear"]
FIXED = [name for name in WEIGHTED if name not in DROPPING]
COUNTS = {"nuslerp": 2, "nearswap": 1, "arcee_fusion": 1}
DOCS = Path(__file__).resolve().parents[2] / "docs" / "methods.md"


def drops(name):
    """Whether a method drops numbers, and must be told how many."""
    return getattr(get(name), "sparsification_method", None) is not None


def made(name, seed=0, **parameters):
    """A method that drops half of what it may drop, and changes a tenth where it asks how much."""
    return Method(
        name,
        ({"density": 0.5} if drops(name) else {"t": 0.1} if name == "nearswap" else {})
        | parameters,
        seed,
    )


def tensors(count, shape=(12, 16), seed=0, dtype=torch.float32):
    """A base, and seeds around it."""
    draw = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=draw)
    return base.to(dtype), [
        (base + 0.3 * torch.randn(shape, generator=draw)).to(dtype) for _ in range(count)
    ]


def weights(count):
    return [0.6, 0.9, -0.2, 0.4][:count]


@pytest.fixture(autouse=True)
def untouched():
    """Whatever a test does, the random state that all share stays as it was."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), before)


def row(method):
    """What docs/methods.md should say of a method.

    It follows from mergekit's registry, and from what `check` lets through.
    """
    name, spec = method.spec.name, method.spec
    if ALL[name] not in (SEARCHED, SINGLE):
        return f"| {name} | {ALL[name]} | | | |"
    base = {"required": "needed", "optional": "used if there is one"}.get(
        spec.contract.base.value, "left out"
    )
    taken = [count for count in range(1, 6) if fits(made(name), count)]
    seeds = (
        "any"
        if taken == [1, 2, 3, 4, 5]
        else f"{taken[0]} or more"
        if len(taken) > 1
        else f"{taken[0]}"
    )
    settings = []
    for parameter in spec.parameters:
        if parameter.name.startswith("normalize"):
            settings.append(f"{parameter.name} = false")
        elif parameter.required or (parameter.name == "density" and drops(name)):
            settings.append(f"**{parameter.name}**")
        else:
            default = (
                str(parameter.default).lower()
                if isinstance(parameter.default, bool)
                else parameter.default
            )
            settings.append(f"{parameter.name} = {default}")
    listed = ", ".join(one for one in settings if one != "**weight**") or "none"
    return f"| {name} | {ALL[name]} | {base} | {seeds} | {listed} |"


def fits(method, count):
    try:
        method.check(count, True, searched=ALL[method.name] == SEARCHED)
    except ValueError as error:
        if re.search(r"inputs; got \d$", str(error)):
            return False
        raise
    return True


@pytest.mark.parametrize("method", registered_methods(), ids=lambda method: method.spec.name)
def test_the_docs_say_of_each_method_what_it_is(method):
    """Searched, a single child, or why it cannot be had.

    None that mergekit registers is left out, and none is made up.
    """
    rows = re.findall(r"^\| [a-z_0-9]+ \|.*$", DOCS.read_text(), re.MULTILINE)
    rows = [line for line in rows if not line.startswith("| method |")]
    assert row(method) in rows
    assert len(rows) == len(registered_methods())


@pytest.mark.parametrize("name", ALL)
def test_each_method_runs_as_what_it_is_and_as_nothing_else(name):
    count = COUNTS.get(name, 3)
    base, seeds = tensors(count)
    method = made(name)
    for searched in (True, False):
        if ALL[name] == (SEARCHED if searched else SINGLE):
            method.check(count, True, searched=searched)
            child = (
                method.merge("w", seeds, weights(count), base)
                if searched
                else method.single("w", seeds, base)
            )
            assert child.shape == base.shape
            assert child.isfinite().all()
        else:
            with pytest.raises(ValueError, match=f"^name: {name} (takes|mixes)"):
                method.check(count, True, searched=searched)


@pytest.mark.parametrize("name", WEIGHTED)
def test_every_coefficient_matters_and_the_same_ones_give_the_same_child(name):
    count = COUNTS.get(name, 3)
    base, seeds = tensors(count)
    method = made(name)
    child = method.merge("w", seeds, weights(count), base)
    assert torch.equal(
        pickle.loads(pickle.dumps(method)).merge("w", seeds, weights(count), base), child
    )
    for k in range(count):
        other = weights(count)
        other[k] += 0.1
        assert not torch.allclose(method.merge("w", seeds, other, base), child, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [name for name in [*WEIGHTED, *WITHOUT] if name not in DROPPING])
def test_a_child_is_what_mergekit_makes_of_whole_state_dicts(name, dtype):
    count = COUNTS.get(name, 3)
    models = [{}] + [{} for _ in range(count)]
    for index, shape in enumerate([(12, 16), (7,), (3, 2, 4)]):
        base, seeds = tensors(count, shape, index, dtype)
        for model, tensor in zip(models, [base, *seeds], strict=True):
            model[f"layer.{index}"] = tensor
    method = made(name)
    takes_base = get(name).spec.contract.base.value != "ignored"
    parameters = dict(method.parameters)
    if name in WEIGHTED:
        parameters["weight"] = weights(count)
        parameters |= {
            p.name: False for p in get(name).spec.parameters if p.name.startswith("normalize")
        }
    expected = merge_state_dicts(
        models if takes_base else models[1:],
        name,
        parameters=parameters,
        base=0 if takes_base else None,
    )
    for key, tensor in expected.items():
        base, *seeds = (model[key] for model in models)
        child = (
            method.merge(key, seeds, weights(count), base)
            if name in WEIGHTED
            else method.single(key, seeds, base)
        )
        assert child.dtype == dtype
        assert torch.equal(child, tensor.to(dtype))  # arcee_fusion gives float32, whatever it got


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Three tiny Llamas on disk: a base and two fine-tunes of it, as far as weights go."""
    folder = tmp_path_factory.mktemp("checkpoints")
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 20,
    }
    draw = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(**sizes, num_key_value_heads=2, tie_word_embeddings=False)
        )
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in ("base", "first", "second"):
        if name != "base":
            tuned = {
                key: tensor + 0.02 * torch.randn(tensor.shape, generator=draw)
                for key, tensor in base.items()
            }
            model.load_state_dict(tuned)
        model.save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize("name", [*FIXED, *WITHOUT])
def test_a_child_is_what_mergekit_makes_of_checkpoints_on_disk(name, checkpoints, tmp_path):
    """A recipe with a split between tensors, as the YAML of mergekit-yaml.

    It has other weights for the MLPs than for the rest.
    """
    names = ["first", "second"][: COUNTS.get(name, 2)]
    shares = {"first": (0.8, 0.3), "second": (0.2, 0.7)}
    method, spec = made(name), get(name).spec
    config = {
        "merge_method": name,
        "dtype": "float32",
        "models": [{"model": str(checkpoints / seed)} for seed in names],
        "parameters": dict(method.parameters),
    }
    if spec.contract.base.value != "ignored":
        config["base_model"] = str(checkpoints / "base")
    if name in WEIGHTED:
        config["parameters"] |= {
            p.name: False for p in spec.parameters if p.name.startswith("normalize")
        }
        for model, seed in zip(config["models"], names, strict=True):
            mlp, rest = shares[seed]
            model["parameters"] = {"weight": [{"filter": "mlp", "value": mlp}, {"value": rest}]}
    options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True)
    run_merge(MergeConfiguration.model_validate(config), str(tmp_path), options)
    (file,) = tmp_path.glob("*.safetensors")
    expected = load_file(file)
    base, *seeds = (
        load_file(checkpoints / folder / "model.safetensors") for folder in ("base", *names)
    )
    assert set(expected) == set(base)
    for key, tensor in expected.items():
        inputs = [seed[key] for seed in seeds]
        if name in WEIGHTED:
            child = method.merge(
                key, inputs, [shares[seed]["mlp" not in key] for seed in names], base[key]
            )
        else:
            child = method.single(key, inputs, base[key])
        torch.testing.assert_close(child, tensor, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", DROPPING)
def test_drops_come_from_the_seed_and_the_tensors_name_alone(name):
    base, seeds = tensors(3)
    child = made(name).merge("a", seeds, weights(3), base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        assert torch.equal(made(name).merge("a", seeds, weights(3), base), child)
    assert not torch.equal(made(name).merge("b", seeds, weights(3), base), child)
    assert not torch.equal(made(name, seed=1).merge("a", seeds, weights(3), base), child)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", DROPPING)
def test_children_with_the_same_drops_are_right(name, normalize):
    """What a seed keeps shows in the child that is this seed alone.

    From there on the rule of each method is written out.
    """
    base, seeds = tensors(3, (40, 50))
    method = made(name, rescale=False)
    kept = torch.stack([method.merge("w", seeds, np.eye(3)[k], base) - base for k in range(3)])
    deltas = torch.stack(seeds) - base
    dropped = kept == 0
    torch.testing.assert_close(kept[~dropped], deltas[~dropped], rtol=0, atol=1e-6)
    assert dropped.float().mean((1, 2)).tolist() == pytest.approx([0.5] * 3, abs=0.05)
    shares = torch.tensor(weights(3)).view(3, 1, 1)
    kept *= shares
    votes = shares.expand_as(kept)
    if not name.endswith(
        "linear"
    ):  # of the numbers that are left, those on the side of the weightier sign
        agrees = kept.sign() == torch.where(kept.sum(0) >= 0, 1.0, -1.0)
        kept, votes = kept * agrees, votes * agrees
    total = votes.sum(0)
    expected = base + kept.sum(0) / (torch.where(total == 0, 1.0, total) if normalize else 1.0)
    child = made(name, rescale=False, normalize=normalize).merge("w", seeds, weights(3), base)
    clear = total.abs() > 0.05  # where weights of both signs cancel, their quotient is rounding
    torch.testing.assert_close(child[clear], expected[clear], rtol=0, atol=1e-5)


def test_linear_is_the_linear_combination():
    _, seeds = tensors(4)
    child = Method("linear").merge("w", seeds, np.array(weights(4)))
    expected = sum(weight * seed.double() for weight, seed in zip(weights(4), seeds, strict=True))
    assert (child.double() - expected).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["linear", "task_arithmetic"])
def test_recipes_that_cross_linearly_are_what_their_weights_would_be(name):
    """Parents' weights merged dense, or their recipes crossed and expressed: the same child."""
    shapes = {"a": (4, 5), "b": (6,), "c": (3, 7), "d": (2, 2)}
    axis = Axis.flat(shapes, cut="tensor")
    base, seeds = {}, [{}, {}, {}]
    for index, (key, shape) in enumerate(shapes.items()):
        base[key], parts = tensors(3, shape, index)
        for seed, part in zip(seeds, parts, strict=True):
            seed[key] = part
    starts = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())])[:-1]

    def express(recipe):
        coefficients = recipe.at(starts)
        named = enumerate(shapes)
        return {
            key: Method(name).merge(key, [seed[key] for seed in seeds], coefficients[i], base[key])
            for i, key in named
        }

    rng = np.random.default_rng(0)
    parents = [Recipe.seed(k, 3, axis.size) for k in range(3)]
    for first, second in ((0, 1), (3, 2), (4, 3)):
        crossing = Crossover(2, (-0.3, 1.3), "none").draw(axis, rng)
        parents.append(parents[first].cross(parents[second], crossing, SimpleNamespace(axis=axis)))
        one, two, child = express(parents[first]), express(parents[second]), express(parents[-1])
        edges = [0, *crossing.splits[0], axis.size]
        for key, start in zip(shapes, starts, strict=True):
            turn = next(i for i in range(3) if edges[i] <= start < edges[i + 1])
            w = crossing.ratios[0] if turn % 2 == 0 else 1 - crossing.ratios[0]
            torch.testing.assert_close(
                child[key], (1 - w) * one[key] + w * two[key], rtol=0, atol=1e-5
            )


@pytest.mark.parametrize(
    ("name", "parameters", "seeds", "base", "message"),
    [
        (
            "dare_tie",
            {},
            2,
            True,
            "name: mergekit has no merge method 'dare_tie'; did you mean 'dare_ties'?",
        ),
        ("zzz", {}, 2, True, "name: mergekit has no merge method 'zzz'"),
        (
            "karcher",
            {},
            2,
            True,
            "name: karcher takes no weight for each seed, so there is nothing to search: "
            "it makes a single",
        ),
        (
            "slerp",
            {"t": 0.5},
            1,
            True,
            "name: slerp mixes two models by one ratio: this is crossover with angle: tensor",
        ),
        (
            "passthrough",
            {},
            1,
            False,
            "name: passthrough takes one model alone: there is nothing to merge",
        ),
        (
            "ties",
            {"density": 0.5},
            2,
            False,
            "name: ties merges differences from a base, and there is no base",
        ),
        (
            "nuslerp",
            {},
            3,
            False,
            "nuslerp of 3 seeds: Merge method requires exactly 2 non-base inputs; got 3",
        ),
        (
            "ties",
            {},
            2,
            True,
            "parameters: ties needs density, the share of numbers that it keeps of each seed, "
            "such as 0.5",
        ),
        (
            "ties",
            {"desnity": 0.5},
            2,
            True,
            "parameters: ties has no 'desnity'; did you mean 'density'?; expected int8_mask",
        ),
        (
            "ties",
            {"density": "half"},
            2,
            True,
            "parameters: density: expected a number, got 'half'",
        ),
        (
            "ties",
            {"density": [0.5, None]},
            2,
            True,
            "parameters: density: expected a number, got None",
        ),
        (
            "ties",
            {"density": 50},
            2,
            True,
            "parameters: density: expected a share from 0 to 1, got 50",
        ),
        (
            "ties",
            {"density": float("nan")},
            2,
            True,
            "parameters: density: expected a share from 0 to 1, got nan",
        ),
        (
            "ties",
            {"density": [0.5] * 3},
            2,
            True,
            "ties of 2 seeds and a base: Parameter density expects 2 values; got 3",
        ),
        (
            "linear",
            {"normalize": "maybe"},
            2,
            False,
            "parameters: normalize: expected true or false, got 'maybe'",
        ),
        (
            "linear",
            {"normalize": [True, False]},
            2,
            False,
            "parameters: normalize: expected true or false, got [True, False]",
        ),
        (
            "linear",
            {"weight": 0.5},
            2,
            False,
            "parameters: weight comes from the genome, it cannot be set",
        ),
        (
            "task_arithmetic",
            {"lambda": float("inf")},
            2,
            True,
            "parameters: task_arithmetic with {'lambda': inf} makes weights",
        ),
        (
            "della",
            {"density": 0.9},
            2,
            True,
            "della of 2 seeds and a base: Epsilon must be chosen such that density",
        ),
    ],
)
def test_what_cannot_be_searched_is_known_before_a_weight_is_read(
    name, parameters, seeds, base, message
):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Method(name, parameters).check(seeds, base)


@pytest.mark.parametrize(
    ("name", "parameters", "seeds", "message"),
    [
        (
            "ties",
            {"density": 0.5},
            2,
            "name: ties takes a weight for each seed: it is searched, and has no single child",
        ),
        ("nearswap", {}, 1, "parameters: nearswap needs t"),
        ("arcee_fusion", {"t": 1}, 1, "parameters: arcee_fusion has no 't'; it has none"),
        (
            "model_stock",
            {},
            1,
            "model_stock of 1 seeds and a base: Merge method requires at least 3 inputs; got 2",
        ),
    ],
)
def test_what_makes_no_single_child_is_known_before_a_weight_is_read(
    name, parameters, seeds, message
):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Method(name, parameters).check(seeds, True, searched=False)


def test_tensors_that_mergekit_cannot_merge_are_named():
    base, seeds = tensors(2)
    with pytest.raises(ValueError, match=r"^linear of tensor 'w': Tensor size mismatch"):
        Method("linear").merge("w", [seeds[0], seeds[1][:3]], [0.5, 0.5])
    with pytest.raises(
        ValueError, match=r"^linear of tensor 'w': Parameter weight expects 2 values; got 3"
    ):
        Method("linear").merge("w", seeds, [0.5, 0.5, 0.5])
    with pytest.raises(
        ValueError,
        match=r"^multislerp of tensor 'w': The weighted sum of the input tensors is zero",
    ):
        Method("multislerp").merge("w", [base] * 3, [0.2, 0.3, 0.5], base)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", DROPPING)
def test_on_a_gpu_drops_are_the_tensors_own_too(name):
    base, seeds = tensors(2)
    base, seeds = base.cuda(), [seed.cuda() for seed in seeds]
    before = torch.cuda.get_rng_state()
    child = made(name).merge("a", seeds, weights(2), base)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert torch.equal(made(name).merge("a", seeds, weights(2), base), child)
    assert not torch.equal(made(name).merge("b", seeds, weights(2), base), child)


@pytest.mark.parametrize("name", ["nuslerp", "multislerp", "linear"])
def test_a_base_that_a_method_may_do_without_counts_where_there_is_one(name, tmp_path):
    *seeds, base = tiny_llama.tuned(tmp_path, ["a", "b", "base"])
    population = LanguageModels(
        seeds, base=base, method=Method(name), dtype="float32", device="cpu"
    )
    bounds = np.array([0, population.axis.size])
    member = population.express(Recipe(bounds, np.array([[0.25, 0.75]]))).model.state_dict()
    *parts, below = [load_file(Path(folder) / "model.safetensors") for folder in (*seeds, base)]
    takes = name != "linear"
    for key, tensor in below.items():
        inputs = [part[key] for part in parts]
        expected = Method(name).merge(key, inputs, [0.25, 0.75], tensor if takes else None)
        assert torch.equal(member[key], expected)
    # What is in the weights is in the recipe, on the card, and in memory.
    assert [source.get("base", False) for source in population.sources()] == [False, False, True][
        : 2 + takes
    ]
    assert len(population.card()["others"]) == takes
    alone = LanguageModels(seeds, method=Method(name), dtype="float32", device="cpu")
    assert (population.footprint()["seeds"] > alone.footprint()["seeds"]) == takes
