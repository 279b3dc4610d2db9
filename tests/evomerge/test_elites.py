"""Who stays in the archive of a search that is not M2N2."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.archives.archive import Member
from evomerge.archives.competition import Competition
from evomerge.archives.elites import Elites, Features, Newest
from fitness.classification import Classification
from fitness.images import SklearnDigits

PLAIN = Competition(alpha=0.0, capacity="one")


def member(id, scores):
    return Member(id, (), None, np.asarray(scores, dtype=np.float32))


def test_the_oldest_leaves_however_fit():
    archive = Newest(3, PLAIN)
    for id, score in enumerate([1.0, 0.9, 0.1, 0.0, 0.5]):
        archive.admit(member(id, [score, score]))
    assert [alive.id for alive in archive.members] == [2, 3, 4]
    assert archive.scores[:, 0].tolist() == pytest.approx([0.1, 0.0, 0.5])


def features(bins, *groups):
    return Features(
        tuple("abcdef"[: len(groups)]), tuple(np.array(group) for group in groups), bins
    )


def test_the_best_of_each_cell_stays():
    rng = np.random.default_rng(0)
    of = features(3, range(6), range(6, 12))
    archive, by_cell = Elites(9, PLAIN, features=of), {}
    for id in range(200):
        newcomer = member(id, rng.random(12) < rng.random())
        mean, cell = (
            newcomer.scores.mean(),
            (int(newcomer.scores[:6].mean() * 3 // 1), int(newcomer.scores[6:].mean() * 3 // 1)),
        )
        cell = tuple(min(step, 2) for step in cell)
        leaver, _ = archive.admit(newcomer)
        before = by_cell.get(cell)
        if before is None or mean > before.scores.mean():
            by_cell[cell] = newcomer
            assert leaver is before
        else:
            assert leaver is newcomer
        assert {alive.id for alive in archive.members} == {alive.id for alive in by_cell.values()}
    assert len(by_cell) > 4


def test_the_log_keeps_a_childs_features_by_name():
    archive = Elites(4, PLAIN, features=features(2, [0, 1], [2]))
    assert archive.remarks(np.array([1, 0, 1], dtype=np.float32)) == {
        "features": {"a": 0.5, "b": 1.0}
    }
    assert Newest(2, PLAIN).remarks(np.zeros(3)) == {}


@given(st.integers(1, 40), st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_the_cells_of_the_grid_are_ours(bins, values):
    of = features(bins, [0], [1])
    grid, cell = of.grid(), of.cells(np.array(values))
    assert grid.shape == (bins**2, 2, 2)
    inside = ((values >= grid[..., 0]) & (values <= grid[..., 1])).all(axis=1)
    assert np.flatnonzero(inside).tolist() == [int(cell[0] * bins + cell[1])]


def test_a_step_begins_at_its_lower_end():
    of = features(10, [0])
    tenths = np.arange(11)[:, None] / 10
    assert of.cells(tenths)[:, 0].tolist() == [*range(10), 9]


def test_features_come_from_the_groups_of_a_fitness():
    digits = Classification(SklearnDigits())
    of = Features.from_groups(digits, {"odd": ["1", "3"], "even": ["0"]}, 5)
    _, labels = SklearnDigits().split("train")
    assert of.names == ("odd", "even")
    assert sorted(of.datapoints[0]) == np.flatnonzero(np.isin(labels, (1, 3))).tolist()
    each = Features.from_groups(digits, None, 5)
    assert each.names == tuple("0123456789")
    assert sum(map(len, each.datapoints)) == digits.size("train")


def test_groups_that_are_not_there_are_told():
    with pytest.raises(ValueError, match=r"features.odd: expected some of 0, 1, .*, got 'one'"):
        Features.from_groups(Classification(SklearnDigits()), {"odd": ["1", "one"]}, 5)
    with pytest.raises(ValueError, match=r"features.odd: expected at least one of"):
        Features.from_groups(Classification(SklearnDigits()), {"odd": []}, 5)
    with pytest.raises(
        ValueError, match=r"features: expected a fitness with a method groups, got object"
    ):
        Features.from_groups(object(), None, 5)
