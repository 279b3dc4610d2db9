"""Groups of parameters: chromosomes, layers, runs of layers, blocks, tensors."""

import numpy as np
import pytest
from tiny_decoder import SHAPES

from evomerge import Coefficients, Ratios
from evomerge.genome.axis import Axis
from evomerge.genome.groups import groups
from evomerge.genome.layers import Layer


def by_tensor(axis, by, layers=None):
    """The group of each tensor."""
    bounds, numbers = groups(axis, by, layers)
    starts = {
        placement.tensor: start
        for placement, start in zip(
            axis.placements(np.array([0, axis.size])), tensor_starts(axis), strict=True
        )
    }
    return {
        tensor: int(numbers[np.searchsorted(bounds, start, side="right") - 1])
        for tensor, start in starts.items()
    }


def tensor_starts(axis):
    sizes = [
        np.prod(axis.shapes[placement.tensor])
        for placement in axis.placements(np.array([0, axis.size]))
    ]
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int).tolist()


def test_groups_on_one_chromosome():
    axis = Axis.flat(SHAPES)
    assert list(by_tensor(axis, "layer").values()) == [0, 1, 1, 2, 2, 3]
    assert list(by_tensor(axis, "block").values()) == [0, 1, 1, 2, 2, 3]
    assert list(by_tensor(axis, "tensor").values()) == [0, 1, 2, 3, 4, 5]
    assert set(by_tensor(axis, "chromosome").values()) == {0}


def test_a_layer_lies_in_several_chromosomes_and_is_one_group_a_block_is_not():
    axis = Axis.flat(SHAPES, chromosomes={"attention": "attn", "mlp": "mlp"})
    layers = by_tensor(axis, "layer")
    assert (
        layers["layers.0.attn.weight"]
        == layers["layers.0.mlp.weight"]
        != layers["layers.1.mlp.weight"]
    )
    blocks = by_tensor(axis, "block")
    assert len(set(blocks.values())) == 6
    chromosomes = by_tensor(axis, "chromosome")
    assert (
        chromosomes["layers.0.attn.weight"]
        == chromosomes["layers.1.attn.weight"]
        != chromosomes["layers.0.mlp.weight"]
    )
    assert groups(axis, "chromosome")[0].tolist() == [0, 8, 16, 24]


def test_groups_on_the_unit_axis_are_whole_layers():
    axis = Axis.unit(
        {"0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4)},
        [Layer(["0.weight", "0.bias"], ["2.weight"])],
    )
    assert groups(axis, "layer")[0].tolist() == [0, axis.size]
    with pytest.raises(ValueError, match="needs a flat axis"):
        groups(axis, "tensor")


def test_layers_together_and_what_is_outside_of_them_goes_with_the_first_and_the_last():
    names = [
        "embed",
        *(f"layers.{layer}.{part}" for layer in range(12) for part in ("attn", "mlp")),
        "norm",
        "head",
    ]
    axis = Axis.flat({f"{name}.weight": (2,) for name in names})
    assert list(by_tensor(axis, "layer", 1).values()) == [
        0,
        *(layer for layer in range(12) for _ in range(2)),
        11,
        11,
    ]
    assert list(by_tensor(axis, "layer", 4).values()) == [
        0,
        *(layer // 4 for layer in range(12) for _ in range(2)),
        2,
        2,
    ]
    axis = Axis.flat(
        {f"{name}.weight": (2,) for name in names}, chromosomes={"attention": "attn", "mlp": "mlp"}
    )
    found = by_tensor(axis, "block", 6)
    assert set(found.values()) == set(range(6))
    assert (
        found["layers.0.attn.weight"]
        == found["layers.5.attn.weight"]
        != found["layers.6.attn.weight"]
    )
    assert found["embed.weight"] != found["layers.0.mlp.weight"]  # it is in another chromosome
    assert found["embed.weight"] != found["norm.weight"] == found["head.weight"]


def test_settings_that_do_not_fit_are_told():
    with pytest.raises(
        ValueError, match=r"layers: expected by: 'layer' or 'block' beside it, got 'chromosome'"
    ):
        Coefficients(by="chromosome", layers=2)
    with pytest.raises(ValueError, match="layers: expected a number of at least 1, got 0"):
        Ratios(layers=0)
    with pytest.raises(ValueError, match="layers: no tensor's name has a number"):
        groups(Axis.flat({"a": (2,), "b": (3,)}), "layer", 2)
