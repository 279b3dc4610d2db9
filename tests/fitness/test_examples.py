"""The examples in docstrings of fitness/."""

import doctest

import pytest

from fitness import numerals, responses, templates


@pytest.mark.parametrize("module", [numerals, responses, templates])
def test_examples_are_right(module):
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed
