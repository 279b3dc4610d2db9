"""Figures in words."""

import pytest

from evomerge.words import figure


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1146.089, "1,146"),
        (123.4, "123"),
        (99.94, "99.9"),
        (1.0, "1"),
        (0.01234, "0.0123"),
        (0.0, "0"),
    ],
)
def test_no_digit_before_the_point_is_lost(value, text):
    assert figure(value) == text
