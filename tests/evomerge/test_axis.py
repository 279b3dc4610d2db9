"""The parameter axis: in which order parameters lie, and where units end."""

from itertools import pairwise

import numpy as np
import pytest

from evomerge.axis import Axis

MLP = {"0.weight": (3, 4), "0.bias": (3,), "2.weight": (2, 3), "2.bias": (2,)}
DEEP = {"0.weight": (3, 4), "0.bias": (3,), "2.weight": (5, 3), "2.bias": (5,), "4.weight": (2, 5), "4.bias": (2,)}
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
            expected.append([*weight[unit], bias[unit], *(tensors[name][:, unit] for name in columns)])
    expected = [np.hstack(unit).tolist() for unit in expected]
    units, rest = bounds(axis)
    found = [axis.order[start:stop].tolist() for start, stop in pairwise(units)]
    assert found == expected
    assert axis.order[units[-1] :].tolist() == tensors[last.replace("weight", "bias")].tolist()
    assert [chromosome.name for chromosome in axis.chromosomes] == ["units", "rest"]
    assert rest == [units[-1], axis.size]
    assert axis.cut == "unit"
    assert not axis.whole_tensors


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
    named = {chromosome.name: [unit[0].tensor for unit in chromosome.units] for chromosome in axis.chromosomes}
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


@pytest.mark.parametrize("setting", [{"layout": "by_output"}, {"cut": "tensor"}])
def test_a_wrong_setting_is_named(setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"{name}: .*'{value}'"):
        Axis.flat(MLP, **setting)
