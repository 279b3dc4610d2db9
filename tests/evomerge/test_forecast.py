import numpy as np
import pytest

from evomerge.check import forecast


def falling(births, *, middle, slope=-1.0, floor=0.3, members=20, seed=0):
    """Shares of children that are stopped ever earlier: of half of what can be saved after `middle` births."""
    at = np.arange(1, births + 1)
    mean = floor + (1 - floor) / (1 + (at / middle) ** (-slope / np.log(2)))
    rng = np.random.default_rng(seed)
    return np.where(at <= members, 1.0, np.clip(mean + rng.normal(0, 0.05, births), 1 / 12, 1))


@pytest.mark.parametrize("middle", [100, 1000, 5000])
def test_what_later_children_are_scored_on_follows_from_the_first_fifth(middle):
    scored = falling(10_000, middle=middle)
    assert forecast.mean_share(scored[:2000], 10_000, 20) == pytest.approx(scored.mean(), rel=0.15)


def test_before_the_archive_is_full_and_the_run_has_said_anything_it_is_what_runs_are_like():
    assert forecast.mean_share(np.ones(5), 20, 20) == pytest.approx(1)
    assert 0.5 < forecast.mean_share(np.ones(5), 1000, 20) < 0.9
    assert forecast.mean_share(np.ones(5), 10**12, 20) == pytest.approx(forecast.FLOOR, abs=0.02)


def test_what_is_known_of_all_births_is_what_was():
    scored = falling(300, middle=100)
    assert forecast.mean_share(scored, 300, 20) == pytest.approx(scored.mean())


def test_the_time_of_a_birth_is_told_apart_from_the_share_that_it_is_scored_on():
    scored = falling(500, middle=100)
    full, part = forecast.cost_of_birth(scored, 2.0 * (0.4 + 0.6 * scored))
    assert full == pytest.approx(2.0, rel=0.02)
    assert part == pytest.approx(0.4, abs=0.03)


def entries(scored, seconds, best=()):
    births = enumerate(zip(scored, seconds, strict=True), 1)
    return [
        {"birth": b, "scored": s, "seconds": t} | ({"best": True} if b in best else {})
        for b, (s, t) in births
    ]


def reckon(log, elapsed, births, **changes):
    return forecast.loop_seconds(
        log, elapsed, births, **({"members": 20, "stops": True, "test": 0.0} | changes)
    )


def test_where_no_child_is_stopped_time_grows_with_births():
    log = entries(np.ones(10), np.full(10, 3.0))
    assert reckon(log, 30.0, 100, stops=False) == (pytest.approx(300), pytest.approx(300))
    expected, most = reckon(log, 30.0, 100)
    assert most == pytest.approx(300)
    assert 150 < expected < 290


def test_what_comes_on_top_of_a_birth_comes_on_top_of_all():
    log = entries(np.ones(10), np.full(10, 3.0))
    assert reckon(log, 35.0, 100, stops=False)[0] == pytest.approx(350)


def test_new_bests_become_rare():
    log = entries(np.ones(10), np.full(10, 3.0), best=(2, 5))
    expected, _ = reckon(log, 36.0, 100, stops=False, test=1.0)
    assert expected == pytest.approx(300 + 2 * 3 * 10**forecast.BESTS, rel=1e-3)


def test_two_workers_need_half_the_time():
    log = entries(np.ones(10), np.full(10, 3.0))
    assert reckon(log, 15.0, 100, stops=False)[0] == pytest.approx(150)
