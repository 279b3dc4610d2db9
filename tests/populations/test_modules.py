"""Any torch module as a species: genomes and back, files, stacks, founders."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from weight_expansions import expansions

from evomerge.genome.crossover import Crossing
from evomerge.genome.weights import Weights
from populations.linear_chains import hidden_layers
from populations.modules import Modules


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def deep():
    layers = [
        nn.Linear(6, 8, bias=False),
        nn.Tanh(),
        nn.Linear(8, 5),
        nn.GELU(),
        nn.Dropout(),
        nn.Linear(5, 4, bias=False),
    ]
    return nn.Sequential(
        OrderedDict((f"layer{index}", layer) for index, layer in enumerate(layers))
    )


def one_relu():
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 8), relu, nn.Linear(8, 8), relu, nn.Linear(8, 4))


def one_linear():
    linear = nn.Linear(6, 6)
    return nn.Sequential(linear, nn.ReLU(), linear, nn.ReLU(), nn.Linear(6, 4))


def one_weight():
    layers = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    layers[2].weight = layers[0].weight
    return layers


def convolutions():
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 3, 2),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


class Residual(nn.Sequential):
    """Its layers look like a chain, its way through them is not one."""

    def __init__(self):
        super().__init__(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))

    def forward(self, inputs):
        return inputs + super().forward(inputs)


class Tied(nn.Module):
    """Reads and writes with one matrix, whose first name is not the first in the alphabet."""

    def __init__(self):
        super().__init__()
        self.reads = nn.Linear(6, 6, bias=False)
        self.answers = nn.Linear(6, 6)
        self.answers.weight = self.reads.weight

    def forward(self, inputs):
        return self.answers(self.reads(inputs).relu())


INPUTS = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))


def genomes(population, count, seed=0):
    """Random genomes that any module can bear: what stands for a variance is positive."""
    rng = np.random.default_rng(seed)
    states = [
        {
            n: torch.from_numpy(0.1 + rng.random(shape, dtype=np.float32) - 0.3 * ("var" not in n))
            for n, shape in shapes.items()
        }
        for shapes in [population.axis.shapes] * count
    ]
    return [population.genome(state) for state in states]


def outputs(module):
    with torch.no_grad():
        return module.eval()(INPUTS)


AXES = {
    "flat": (mlp, {}),
    "by_input": (mlp, {"layout": "by_input"}),
    "chromosomes": (mlp, {"chromosomes": {"biases": "bias"}}),
    "unit": (mlp, {"order": "unit"}),
    "unit, two hidden layers": (deep, {"order": "unit"}),
    "its own way": (Residual, {}),
    "unit, named": (
        Residual,
        {"order": "unit", "layers": [(["0.weight", "0.bias"], ["2.weight"])]},
    ),
    "convolutions": (convolutions, {"layout": "by_input"}),
    "tied": (Tied, {}),
    "an activation twice": (one_relu, {}),
    "a linear layer twice": (one_linear, {}),
    "a weight twice": (one_weight, {}),
}


@pytest.fixture(params=AXES)
def population(request):
    build, settings = AXES[request.param]
    return Modules(build, **settings)


def test_a_genome_and_its_state_are_the_same_numbers(population):
    (genome,) = genomes(population, 1)
    state = population.state(genome)
    assert list(state) == list(population.axis.shapes)
    assert population.genome(state).vector.tobytes() == genome.vector.tobytes()
    flat = torch.cat([tensor.flatten() for tensor in state.values()]).numpy()
    order = population.axis.order
    assert genome.vector.tolist() == (flat if order is None else flat[order]).tolist()


def test_expressed_and_saved_and_loaded_it_answers_the_same(population, tmp_path):
    first, second = genomes(population, 2)
    expected = [outputs(population.express(genome)).clone() for genome in (first, second)]
    assert not torch.equal(*expected)
    population.save(first, tmp_path)
    fresh = population.build()
    fresh.load_state_dict({**fresh.state_dict(), **population.state(first)})
    assert torch.equal(outputs(fresh), expected[0])
    fresh = population.build()
    fresh.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(outputs(fresh), expected[0])
    assert torch.equal(outputs(population.express(second)), expected[1]), (
        "what was saved stays out of it"
    )


def test_what_is_saved_can_be_a_seed(population, tmp_path):
    saved = genomes(population, 2)
    for name, genome in zip("ab", saved, strict=True):
        (tmp_path / name).mkdir()
        population.save(genome, tmp_path / name)
    settings = {
        name: getattr(population, name) for name in ("order", "layout", "chromosomes", "layers")
    }
    seeded = Modules(
        population.build, [tmp_path / name / "model.safetensors" for name in "ab"], **settings
    )
    founders = seeded.founders(np.random.default_rng(0))
    assert [founder.vector.tobytes() for founder in founders] == [
        genome.vector.tobytes() for genome in saved
    ]


def test_a_stack_answers_as_its_modules_do(population):
    members = genomes(population, 5)
    expected = torch.stack([outputs(population.express(genome)).clone() for genome in members])
    found = population.express_many(members)(INPUTS)
    assert found.shape == expected.shape == (5, *expected.shape[1:])
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_company_in_a_stack_changes_nothing(population):
    one, *others = genomes(population, 9)
    for slot in range(4):
        answers = []
        for company in (others[:3], others[3:6], [one] * 3):
            stack = population.express_many([*company[:slot], one, *company[slot:]])
            answers.append(stack(INPUTS)[slot].clone())
        assert torch.equal(answers[0], answers[1])
        assert torch.equal(answers[0], answers[2])


def test_who_is_not_needed_changes_nothing_for_the_others(population):
    stack = population.express_many(genomes(population, 4))
    expected = stack(INPUTS).clone()
    stack.only([2, 0])
    assert torch.equal(stack(INPUTS), expected[[2, 0]])
    assert torch.equal(population.express_many(genomes(population, 4))(INPUTS), expected), (
        "the next ones are all needed"
    )


def test_a_chain_answers_alike_module_after_module_and_at_once():
    stack = Modules(mlp).express_many(genomes(Modules(mlp), 3))
    torch.testing.assert_close(stack._at_once(INPUTS), stack(INPUTS), rtol=1e-5, atol=1e-5)


def test_a_chain_of_linear_layers_takes_inputs_of_any_shape():
    population = Modules(mlp)
    members = genomes(population, 3)
    expected = population.express_many(members)(INPUTS)
    found = population.express_many(members)(INPUTS.view(3, 3, 6))
    torch.testing.assert_close(found, expected.view(3, 3, 3, 4))


def test_a_genome_holds_floating_point_buffers_and_no_integers():
    assert list(Modules(convolutions).axis.shapes) == [
        "1.weight", "1.bias", "2.weight", "2.bias", "2.running_mean", "2.running_var",
        "5.weight", "5.bias",
    ]  # fmt: skip


def test_a_tied_tensor_lies_on_the_axis_once():
    assert Modules(Tied).axis.shapes == {"reads.weight": (6, 6), "answers.bias": (6,)}


def test_integer_buffers_are_those_of_the_first_seed(tmp_path):
    for name, seen in (("a", 7), ("b", 9)):
        state = convolutions().state_dict()
        save_file({**state, "2.num_batches_tracked": torch.tensor(seen)}, tmp_path / name)
    population = Modules(convolutions, [tmp_path / "a", tmp_path / "b"])
    founders = population.founders(np.random.default_rng(0))
    assert population.express(founders[1]).state_dict()["2.num_batches_tracked"] == 7


def test_a_model_is_ready_to_be_asked():
    population = Modules(convolutions)
    model = population.express(genomes(population, 1)[0])
    assert not model.training
    assert not model(torch.ones(1, 6)).requires_grad
    assert torch.is_grad_enabled()
    with pytest.raises(RuntimeError):
        model(torch.ones(1, 5))
    assert torch.is_grad_enabled(), "also where the forward pass ends in an error"


@pytest.mark.parametrize(
    ("build", "layers"),
    [
        (mlp, [(["0.weight", "0.bias"], ["2.weight"])]),
        (deep, [(["layer0.weight"], []), (["layer2.weight", "layer2.bias"], ["layer5.weight"])]),
        (one_relu, [(["0.weight", "0.bias"], []), (["2.weight", "2.bias"], ["4.weight"])]),
    ],
)
def test_hidden_layers_are_read_off_a_chain(build, layers):
    assert hidden_layers(build()) == layers


@pytest.mark.parametrize(
    "build", [convolutions, Tied, lambda: nn.Sequential(nn.Linear(6, 4)), lambda: nn.Linear(6, 4)]
)
def test_where_hidden_layers_cannot_be_read_off_they_are_asked_for(build):
    with pytest.raises(ValueError, match=r"layers: .*name them"):
        _ = Modules(build, order="unit").axis


def test_a_split_hands_over_whole_units():
    """A child has ratio 0 and then 1, unit by unit.

    What the hidden units of each parent do comes over unchanged.
    """
    population = Modules(mlp, order="unit")
    a, b = genomes(population, 2)
    units, rest = population.axis.unit_bounds
    child = a.cross(
        b, Crossing((0.0, 0.0), ((int(units[3]),), (int(rest[-1]),)), "part"), population
    )
    states = [population.state(genome) for genome in (a, b, child)]
    for name in ("0.weight", "0.bias"):
        expected = torch.cat([states[0][name][:3], states[1][name][3:]])
        assert torch.equal(states[2][name], expected)
    assert torch.equal(
        states[2]["2.weight"],
        torch.cat([states[0]["2.weight"][:, :3], states[1]["2.weight"][:, 3:]], dim=1),
    )
    assert torch.equal(states[2]["2.bias"], states[0]["2.bias"])


@pytest.mark.parametrize("sd", [None, 0.5])
def test_random_founders_come_from_their_own_random_states(sd):
    population = Modules(mlp, count=3, sd=sd)
    state = torch.get_rng_state()
    founders = [genome.vector.tolist() for genome in population.founders(np.random.default_rng(5))]
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random state is touched"
    torch.rand(7)
    again = [genome.vector.tolist() for genome in population.founders(np.random.default_rng(5))]
    more = [
        genome.vector.tolist()
        for genome in Modules(mlp, count=4, sd=sd).founders(np.random.default_rng(5))
    ]
    assert again == founders
    assert more[:3] == founders
    assert len({tuple(vector) for vector in more}) == 4
    assert founders != [
        genome.vector.tolist() for genome in population.founders(np.random.default_rng(6))
    ]


def test_sd_is_the_spread_of_random_founders():
    (founder, _) = Modules(lambda: nn.Linear(100, 100), sd=0.02).founders(np.random.default_rng(0))
    assert founder.vector.dtype == np.float32
    assert founder.vector.std() == pytest.approx(0.02, rel=0.05)
    state = Modules(mlp).state(Modules(mlp).founders(np.random.default_rng(0))[0])
    assert 0.2 < state["0.weight"].abs().max() <= 1 / np.sqrt(6), "as the module initialises itself"


def test_settings_travel_and_what_was_built_does_not():
    population = Modules(mlp, order="unit", sd=0.1)
    members = genomes(population, 2)
    expected = (
        population.express_many(members)(INPUTS),
        outputs(population.express(members[0])).clone(),
    )
    data = pickle.dumps(population)
    assert len(data) < 1000
    copy = pickle.loads(data)
    assert torch.equal(copy.express_many(members)(INPUTS), expected[0])
    assert torch.equal(outputs(copy.express(members[0])), expected[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 1}, "count: .*1"),
        ({"seeds": ["a"]}, "seeds: .*1"),
        ({"seeds": "weights.safetensors"}, r"seeds: .*weights\.safetensors"),
        ({"sd": -1.0}, "sd: .*-1"),
        ({"sd": float("nan")}, "sd: .*nan"),
        ({"order": "units"}, "order: .*units"),
        ({"order": "unit", "layout": "by_input"}, "order: .*layout"),
        ({"order": "unit", "cut": "tensor"}, "order: .*cut"),
        ({"order": "unit", "chromosomes": {"a": "b"}}, "order: .*chromosomes"),
        ({"layers": []}, "layers: "),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Modules(mlp, **settings)


def changed(**tensors):
    """The state dict of a module with some tensors replaced, or left out where None."""
    return {
        name: tensor
        for name, tensor in {**mlp().state_dict(), **tensors}.items()
        if tensor is not None
    }


@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        (None, FileNotFoundError, "no file .*second"),
        (b"no safetensors", ValueError, "second: not a whole safetensors file"),
        (
            changed(**{"0.bias": None}),
            ValueError,
            r"second: expected '0\.bias' of shape \(8,\), it has .*0\.weight",
        ),
        (
            changed(**{"0.bias": torch.zeros(7)}),
            ValueError,
            r"second: expected '0\.bias' of shape \(8,\), got \(7,\)",
        ),
        (
            changed(**{"0.bias": torch.full((8,), torch.nan)}),
            ValueError,
            r"second: '0\.bias' has numbers that are not finite",
        ),
    ],
)
def test_a_wrong_seed_is_named(second, error, message, tmp_path):
    save_file(mlp().state_dict(), tmp_path / "first")
    if isinstance(second, bytes):
        (tmp_path / "second").write_bytes(second)
    elif second is not None:
        save_file(second, tmp_path / "second")
    with pytest.raises(error, match="seeds: .*" + message):
        Modules(mlp, [tmp_path / "first", tmp_path / "second"]).founders(np.random.default_rng(0))


def test_a_seed_of_another_precision_is_taken_as_it_is(tmp_path):
    state = {name: tensor.half() for name, tensor in mlp().state_dict().items()}
    for name in "ab":
        save_file(state, tmp_path / name)
    founder = Modules(mlp, [tmp_path / "a", tmp_path / "b"]).founders(np.random.default_rng(0))[0]
    assert founder.vector.dtype == np.float32
    assert (
        founder.vector.tolist()
        == torch.cat([tensor.flatten() for tensor in state.values()]).tolist()
    )


def test_genomes_are_not_tied_to_what_is_resident():
    population = Modules(mlp)
    vector = np.arange(population.axis.size, dtype=np.float32)
    genome = Weights(vector.copy())
    state = population.state(genome)
    model = population.express(genome)
    with torch.no_grad():
        for tensor in (*model.parameters(), *state.values()):
            tensor.zero_()
    assert genome.vector.tolist() == vector.tolist()


STRIDED = {
    "the last of some": lambda x: x[:, -1:],
    "transposed": lambda x: x.transpose(0, 1),
    "some in the middle": lambda x: x[:, 1:4],
    "an image, channels last": lambda x: x.reshape(4, 8, 2, 3).permute(0, 2, 3, 1),
    "contiguous, and yet not to be folded": lambda x: x[:, :1].reshape(4, 8, 1).transpose(1, 2),
}


@pytest.mark.parametrize("strides", STRIDED)
@pytest.mark.parametrize("bias", [True, False])
def test_inputs_of_any_strides_are_multiplied_as_one_matrix(strides, bias):
    population = Modules(lambda: nn.Sequential(nn.Linear(8, 5, bias=bias)))
    model = population.express(genomes(population, 1)[0])
    inputs = STRIDED[strides](torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0)))
    with expansions(model) as expanded:
        found = model(inputs)
    assert expanded == []
    weights = [parameter.detach().double() for parameter in model[0].parameters()]
    bare = nn.functional.linear(inputs.double(), *weights)
    assert torch.allclose(found.double(), bare, atol=1e-5)
    with expansions(model) as expanded:
        nn.functional.linear(inputs, model[0].weight.detach())
    assert expanded, "torch expands a frozen weight here"
