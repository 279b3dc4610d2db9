"""The examples in docstrings of populations/."""

import doctest

import pytest

from populations import llm


@pytest.mark.parametrize("module", [llm])
def test_examples_are_right(module):
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed
