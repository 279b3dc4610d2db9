"""What a thing can do besides, asked of it and not of its class."""

import pytest

import evomerge.contracts
import fitness.contracts


class Scores:
    """Datapoints that do not all weigh the same."""

    def weights(self, split):
        return [1.0, 2.0]


class Wrapper:
    """Passes on whatever it is asked for."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)


class OptsOut(Scores):
    """Its base class has weights."""

    weights = None


class Unfinished(Scores):
    """Its weights are there only where its argument says so."""

    @property
    def weights(self):
        raise AttributeError("no weights")


@pytest.mark.parametrize("contracts", [evomerge.contracts, fitness.contracts])
@pytest.mark.parametrize(
    ("thing", "has"),
    [
        (Scores(), True),
        (Wrapper(Scores()), True),
        (Wrapper(Wrapper(Scores())), True),
        (Wrapper(OptsOut()), False),
        (OptsOut(), False),
        (Unfinished(), False),
        (object(), False),
    ],
)
def test_a_wrapper_can_what_it_wraps(contracts, thing, has):
    assert contracts.can(thing, contracts.Weighted) is has
    assert not contracts.can(thing, contracts.Explains)
