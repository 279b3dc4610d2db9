"""Units by patterns: what cannot be a pattern or a count is said when it is written down."""

import pytest

from populations.units import Units


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("q_proj(", "o_proj"), r"rows: 'q_proj\(' is not a regular expression"),
        (("q_proj", "o_proj["), r"columns: 'o_proj\[' is not a regular expression"),
        (("q_proj", "o_proj", 0), r"count: expected at least 1, got 0"),
        (("q_proj", "o_proj", -1), r"count: expected at least 1, got -1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Units(*settings)


def test_layers_come_in_the_order_of_the_model():
    names = [
        f"model.layers.{layer}.mlp.{part}.weight"
        for layer in (0, 1)
        for part in ("up", "gate", "down")
    ]
    assert Units(r"(gate|up)", "down").by_layer(names) == [
        (names[:2], names[2:3]),
        (names[3:5], names[5:]),
    ]
