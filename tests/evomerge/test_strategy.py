"""The random states of births and founders."""

import numpy as np
import pytest

from evomerge.strategies.strategy import birth_rng, founders_rng


def test_the_random_state_of_a_birth_is_its_number():
    assert (
        birth_rng(7, 3).random(3).tolist()
        == np.random.default_rng(np.random.SeedSequence(7, spawn_key=(3,))).random(3).tolist()
    )
    # literal values: another numpy, or another way to draw, would be another run
    assert birth_rng(0, 1).random() == 0.6771968569751019
    assert birth_rng(7, 3).random() != birth_rng(7, 4).random()
    assert birth_rng(7, 3).random() != birth_rng(8, 3).random()


def test_founder_i_draws_from_the_spawn_key_0_i():
    for count in (2, 5):
        for i, rng in enumerate(founders_rng(7).spawn(count)):
            expected = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(0, i)))
            assert rng.random(2).tolist() == expected.random(2).tolist()
    assert founders_rng(7).spawn(2)[1].random(2).tolist() == pytest.approx(
        [0.87290853, 0.32423713], abs=1e-8
    )
