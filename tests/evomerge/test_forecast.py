"""The time of a whole run, from the births of its rehearsal."""

import numpy as np
import pytest

from evomerge.check.forecast import loop_seconds


def entries(seconds, scored=None):
    """Lines of a log."""
    if scored is None:
        scored = np.ones(len(seconds))
    return [
        {"birth": birth, "seconds": time, "scored": share}
        for birth, (time, share) in enumerate(zip(seconds, scored, strict=True), 1)
    ]


def test_time_grows_with_births_where_all_births_are_alike():
    log = entries([3.0] * 10)
    assert loop_seconds(log, 30.0, 100) == (pytest.approx(300), pytest.approx(300))


def test_what_is_made_on_first_use_is_not_made_again():
    log = entries([9.0, 1.0, 1.0, 1.0])
    expected, longest = loop_seconds(log, 12.0, 100)
    assert expected == longest == pytest.approx(100)


def test_of_children_that_are_stopped_ever_earlier_the_later_half_counts():
    log = entries([4.0, 4.0, 3.0, 1.0], scored=[1.0, 1.0, 0.75, 0.25])
    expected, longest = loop_seconds(log, 12.0, 10)
    assert expected == pytest.approx(20)
    assert longest == pytest.approx(40)  # none of the second half was scored to the end


def test_whole_births_of_the_second_half_say_what_the_longest_time_is():
    log = entries([9.0, 4.0, 3.0, 1.0], scored=[1.0, 1.0, 1.0, 0.25])
    assert loop_seconds(log, 17.0, 10)[1] == pytest.approx(30)


def test_where_no_birth_was_whole_it_is_the_slowest():
    log = entries([1.0, 3.0, 2.0], scored=[0.0, 0.5, 0.25])
    assert loop_seconds(log, 6.0, 10)[1] == pytest.approx(30)


def test_what_comes_on_top_of_a_birth_comes_on_top_of_all():
    log = entries([3.0] * 10)
    assert loop_seconds(log, 35.0, 100)[0] == pytest.approx(350)


def test_two_workers_need_half_the_time():
    log = entries([3.0] * 10)
    assert loop_seconds(log, 15.0, 100)[0] == pytest.approx(150)


@pytest.mark.parametrize("seconds", [1.5, 0.0])
def test_one_birth_is_enough(seconds):
    expected, longest = loop_seconds(entries([seconds]), seconds, 4)
    assert expected == longest == pytest.approx(4 * seconds)
