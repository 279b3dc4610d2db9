"""The parameter axis: in which order parameters lie, and where units end."""

from itertools import pairwise

import numpy as np
import pytest

from evomerge.genome.axis import Axis
from evomerge.genome.layers import Layer

MLP = {"0.weight": (3, 4), "0.bias": (3,), "2.weight": (2, 3), "2.bias": (2,)}
DEEP = {
    "0.weight": (3, 4),
    "0.bias": (3,),
    "2.weight": (5, 3),
    "2.bias": (5,),
    "4.weight": (2, 5),
    "4.bias": (2,),
}
GATED = {"in.weight": (6, 4), "in.bias": (6,), "out.weight": (4, 3), "out.bias": (4,)}
TWICE = Layer(["in.weight", "in.bias"], ["out.weight"], twice={"in.weight", "in.bias"})
LAYERS = {
    "mlp": (MLP, [(["0.weight", "0.bias"], ["2.weight"])]),
    "deep": (DEEP, [(["0.weight", "0.bias"], []), (["2.weight", "2.bias"], ["4.weight"])]),
}


def numbered(shapes):
    """Each tensor filled with its places in the state dict."""
    tensors, start = {}, 0
    for name, shape in shapes.items():
        tensors[name] = np.arange(start, start + int(np.prod(shape))).reshape(shape)
        start += tensors[name].size
    return tensors


def bounds(axis):
    return [chromosome.tolist() for chromosome in axis.unit_bounds]


def test_flat_is_the_order_of_the_state_dict():
    axis = Axis.flat({**MLP, "scale": ()})
    assert axis.order is None
    assert axis.size == 24
    assert bounds(axis) == [[0, 12, 15, 21, 23, 24]]
    assert [chromosome.name for chromosome in axis.chromosomes] == ["all"]
    assert axis.whole_tensors


def test_by_input_lays_matrices_input_by_input():
    shapes = {**MLP, "conv": (2, 3, 2, 2)}
    tensors, axis = numbered(shapes), Axis.flat(shapes, layout="by_input")
    lying = [t.swapaxes(0, 1).ravel() if t.ndim > 1 else t for t in tensors.values()]
    assert axis.order.tolist() == np.concatenate(lying).tolist()
    assert bounds(axis) == [[0, 12, 15, 21, 23, 47]], "a tensor is a unit"
    assert axis.whole_tensors


@pytest.mark.parametrize("case", LAYERS)
def test_a_unit_is_its_incoming_weights_its_bias_and_its_outgoing_weights(case):
    shapes, layers = LAYERS[case]
    tensors, axis = numbered(shapes), Axis.unit(shapes, layers)
    last = list(shapes)[-2]
    expected = []
    for rows, columns in layers:
        for unit in range(shapes[rows[0]][0]):
            weight, bias = (tensors[name] for name in rows)
            expected.append(
                [*weight[unit], bias[unit], *(tensors[name][:, unit] for name in columns)]
            )
    expected = [np.hstack(unit).tolist() for unit in expected]
    units, rest = bounds(axis)
    found = [axis.order[start:stop].tolist() for start, stop in pairwise(units)]
    assert found == expected
    assert axis.order[units[-1] :].tolist() == tensors[last.replace("weight", "bias")].tolist()
    assert [chromosome.name for chromosome in axis.chromosomes] == ["units", "rest"]
    assert rest == [units[-1], axis.size]
    assert axis.cut == "unit"
    assert not axis.whole_tensors


def test_a_gated_unit_has_a_gate_and_a_value():
    """Three units: rows 0 to 2 of the first matrix are gates, rows 3 to 5 values."""
    tensors, axis = numbered(GATED), Axis.unit(GATED, [TWICE])
    weight, bias, out = (tensors[name] for name in ("in.weight", "in.bias", "out.weight"))
    expected = [[*weight[u], *weight[u + 3], bias[u], bias[u + 3], *out[:, u]] for u in range(3)]
    assert [
        axis.order[start:stop].tolist() for start, stop in pairwise(bounds(axis)[0])
    ] == expected
    with pytest.raises(ValueError, match=r"number of units.*'in.weight': 3.*'out.bias': 4"):
        Axis.unit(GATED, [Layer(["in.weight", "out.bias"], [], twice={"in.weight"})])


@pytest.mark.parametrize(
    "axis",
    [
        Axis.flat(DEEP),
        Axis.flat(DEEP, layout="by_input"),
        Axis.flat({"a": (), "b": (2, 3, 4), "c": (1,)}, layout="by_input"),
        Axis.flat(DEEP, chromosomes={"biases": "bias"}),
        Axis.unit(*LAYERS["deep"]),
        Axis.unit({"w": (4, 2)}, [(["w"], [])]),
    ],
    ids=["flat", "by_input", "odd", "chromosomes", "unit", "no rest"],
)
def test_the_axis_holds_every_parameter_once(axis):
    order = np.arange(axis.size) if axis.order is None else axis.order
    assert sorted(order.tolist()) == list(range(axis.size))
    ends = [0, *(chromosome[-1] for chromosome in axis.unit_bounds)]
    assert [chromosome[0] for chromosome in axis.unit_bounds] == ends[:-1]
    assert ends[-1] == axis.size
    assert all((np.diff(chromosome) > 0).all() for chromosome in axis.unit_bounds)


def test_a_tensor_belongs_to_the_first_chromosome_that_finds_its_name():
    axis = Axis.flat(DEEP, chromosomes={"second": r"^2\.", "biases": "bias$"})
    named = {
        chromosome.name: [block.parts[0].tensor for block in chromosome.blocks]
        for chromosome in axis.chromosomes
    }
    assert named == {
        "second": ["2.weight", "2.bias"],
        "biases": ["0.bias", "4.bias"],
        "rest": ["0.weight", "4.weight"],
    }
    places = numbered(DEEP)
    laid = [places[tensor].ravel() for tensors in named.values() for tensor in tensors]
    assert axis.order.tolist() == np.concatenate(laid).tolist()


def test_without_a_rest_there_is_no_such_chromosome():
    axis = Axis.flat(MLP, chromosomes={"weights": "weight", "others": "."})
    assert [chromosome.name for chromosome in axis.chromosomes] == ["weights", "others"]


@pytest.mark.parametrize(
    ("chromosomes", "message"),
    [
        ({"attention": "attn"}, r"chromosomes\.attention: .*'attn'.*0\.weight"),
        ({"all": ".", "late": "bias"}, r"chromosomes\.late: .*'bias'"),
        ({"broken": "("}, r"chromosomes\.broken: '\(' is not a regular expression"),
    ],
)
def test_a_wrong_chromosome_is_named(chromosomes, message):
    with pytest.raises(ValueError, match=message):
        Axis.flat(MLP, chromosomes=chromosomes)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([(["1.weight"], [])], r"'1\.weight'.*its tensors are 0\.weight"),
        ([(["0.weight", "0.weight"], [])], r"'0\.weight' is named twice"),
        ([(["0.weight"], []), (["2.weight"], ["0.weight"])], r"'0\.weight' is named twice"),
        ([(["0.weight"], ["0.bias"])], r"'0\.bias'.*no dimension 1"),
        ([(["0.weight", "2.bias"], [])], r"number of units.*'0\.weight': 3.*'2\.bias': 2"),
        ([([], [])], "number of units"),
    ],
)
def test_a_wrong_layer_is_named(layers, message):
    with pytest.raises(ValueError, match=r"^layers: .*" + message):
        Axis.unit(MLP, layers)


@pytest.mark.parametrize("setting", [{"layout": "by_output"}, {"cut": "unit"}])
def test_a_wrong_setting_is_named(setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"{name}: .*'{value}'"):
        Axis.flat(MLP, **setting)


LLAMA = {
    "embed.weight": (5, 4),
    "layers.0.q": (4, 4),
    "layers.0.norm": (4,),
    "layers.1.q": (4, 4),
    "layers.1.norm": (4,),
    "norm": (4,),
}


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ("row", [*range(0, 20, 4), 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60]),
        ("tensor", [0, 20, 36, 40, 56, 60]),
        ("layer", [0, 20, 40, 60]),
        ("element", list(range(64))),
    ],
)
def test_where_a_split_may_fall(cut, expected):
    axis = Axis.flat(LLAMA, cut=cut)
    assert [list(cuts) for cuts in axis.cuts] == [expected]
    assert [list(cuts) for cuts in Axis.flat(MLP, cut="layer").cuts] == [[0, 15]]
    assert axis.whole_tensors
    assert bounds(axis) == [[0, 20, 36, 40, 56, 60, 64]]


LYING = {
    "element": Axis.flat(DEEP),
    "by_input": Axis.flat(DEEP, layout="by_input", cut="row"),
    "row": Axis.flat(DEEP, cut="row", chromosomes={"second": r"^2\."}),
    "tensor": Axis.flat({**DEEP, "scale": ()}, cut="tensor"),
    "unit": Axis.unit(*LAYERS["deep"]),
    "gated": Axis.unit(GATED, [TWICE]),
}


@pytest.mark.parametrize("name", LYING)
def test_where_tensors_lie_among_stretches(name):
    """Numbers of stretches, laid on the axis and in the state dict, are the same numbers."""
    axis, rng = LYING[name], np.random.default_rng(3)
    for _ in range(30):
        places = np.concatenate([list(cuts) for cuts in axis.cuts])
        ends = np.unique([0, axis.size, *rng.choice(places, 4)])
        along = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        stored = np.empty(axis.size, int)
        stored[np.arange(axis.size) if axis.order is None else axis.order] = along
        expected = dict(
            zip(
                axis.shapes,
                np.split(
                    stored, np.cumsum([np.prod(s, dtype=int) for s in axis.shapes.values()])[:-1]
                ),
                strict=True,
            )
        )
        seen = []
        for placement in axis.placements(ends):
            shape = axis.shapes[placement.tensor] or (1,)
            found = np.repeat(placement.stretches, np.diff(placement.edges))
            if placement.dim is not None:
                found = np.broadcast_to(
                    found.reshape([-1 if d == placement.dim else 1 for d in range(len(shape))]),
                    shape,
                )
            assert found.ravel().tolist() == expected[placement.tensor].tolist(), placement
            seen.append(placement.tensor)
        assert sorted(seen) == sorted(axis.shapes)


def test_a_bound_inside_a_unit_of_several_tensors_is_an_error():
    with pytest.raises(ValueError, match=r"inside a unit of 0\.weight, 0\.bias"):
        list(Axis.unit(*LAYERS["deep"]).placements(np.array([0, 2, 45])))
