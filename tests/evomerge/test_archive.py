"""The archive: who is fit, who leaves, and what a view of it says."""

import json
from itertools import pairwise

import numpy as np
import pytest

from evomerge.archives.archive import Archive, Member, View
from evomerge.archives.competition import Competition
from evomerge.archives.tiling import Tiling
from fitness.attraction import attraction
from fitness.competition import RejectionBound, competitive_fitness


def member(number, scores):
    return Member(number, (), None, np.asarray(scores, dtype=np.float32))


def archive(scores, size=None, **how):
    """An archive of members 0, 1, ... with these scores, full unless `size` says otherwise."""
    members = tuple(member(number, row) for number, row in enumerate(scores))
    return Archive(size or len(members), Competition(**how), members)


def ids(members):
    return [one.id for one in members]


SETTINGS = [
    {"alpha": alpha, "capacity": capacity, "relative": relative}
    for alpha in (0.0, 0.5, 1.0, 2)
    for capacity in ("max", "one")
    for relative in (False, True)
]


@pytest.mark.parametrize("how", SETTINGS, ids=lambda how: "-".join(map(str, how.values())))
def test_a_view_agrees_with_the_functions_to_the_bit(how):
    rng = np.random.default_rng(0)
    for members, datapoints in ((2, 1), (3, 2), (7, 33), (15, 500), (20, 1437)):
        for weights in (None, rng.random(datapoints)):
            scores = rng.random((members + 1, datapoints), dtype=np.float32)
            scores[:, rng.random(datapoints) < 0.2] = 0
            view, all_of_it = (
                archive(scores[:-1], weights=weights, **how).view,
                {**how, "weights": weights},
            )
            assert view.fitness.tolist() == competitive_fitness(scores[:-1], **all_of_it).tolist()
            assert view.attraction(1).tolist() == attraction(scores[:-1], 1, **all_of_it).tolist()
            assert (
                view.compete(scores[-1]).tolist()
                == competitive_fitness(scores, **all_of_it).tolist()
            )


def test_admission_agrees_with_the_reference_code(shared):
    cases = json.loads((shared / "golden/operators.json").read_text())["competition"]
    for case in cases:
        kept = archive(case["scores"], alpha=case["alpha"], capacity="one")
        leaver, _ = kept.admit(member(99, case["child"]))
        replaced = case["reference_code"]["replaced"]
        assert leaver.id == (99 if replaced is None else replaced)
        assert ids(kept.members) == [i for i in (*range(len(case["scores"])), 99) if i != leaver.id]
    replaced = [case["reference_code"]["replaced"] for case in cases]
    assert None in replaced
    assert any(row is not None for row in replaced)


def test_the_least_fit_leaves():
    # z of the first = 4, of the second = 1, of the third = 2:
    # fitness 1/4 + 1, 1/4, 1/4 + 1/2, newcomer 1/4 + 1/2
    kept = archive([[1, 1, 0], [1, 0, 0], [1, 0, 1]])
    leaver, fitness = kept.admit(member(3, [1, 0, 1]))
    assert leaver.id == 1
    assert fitness == 0.75
    assert ids(kept.members) == [0, 2, 3]
    assert kept.scores.tolist() == [[1, 1, 0], [1, 0, 1], [1, 0, 1]]
    assert [row.scores.tolist() for row in kept.members] == kept.scores.tolist()


def test_a_newcomer_may_be_the_least_fit_itself():
    kept = archive([[1, 1, 0], [0, 0, 1]])
    before = kept.view
    leaver, fitness = kept.admit(newcomer := member(2, [0, 0.5, 0]))
    assert leaver is newcomer
    assert fitness == pytest.approx(0.5 / 1.5)
    assert kept.view is before


def test_nobody_leaves_while_there_is_room():
    kept = Archive(3)
    for number, scores in enumerate([[1, 0], [0, 0], [0, 1]]):
        assert not kept.view.full
        leaver, fitness = kept.admit(member(number, scores))
        assert leaver is None
        assert fitness == competitive_fitness(kept.scores)[-1]
    assert kept.view.full
    assert ids(kept.members) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_of_equally_fit_ones_the_older_leaves(seed):
    """A newcomer that equals the least fit member takes its place, whatever rounding does."""
    rng = np.random.default_rng(seed)
    scores = rng.random((5, 200), dtype=np.float32)
    scores[[1, 3]] = scores[1] * 0.5
    kept = archive(scores, weights=rng.random(200))
    for newcomer, leaver in ((5, 1), (6, 3), (7, 5)):
        assert kept.admit(member(newcomer, scores[3]))[0].id == leaver
    assert ids(kept.members) == [0, 2, 4, 6, 7]


def test_where_nobody_has_any_score_the_oldest_leaves():
    kept = archive(np.zeros((3, 4)))
    assert kept.admit(member(3, np.zeros(4)))[0].id == 0
    assert ids(kept.members) == [1, 2, 3]


def test_relative_scores_are_taken_over_all_who_compete():
    """The newcomer lowers a worst score, so that what both members share there counts."""
    scores, newcomer = [[0.5, 0.5, 0.0], [0.5, 0.0, 0.25]], [0.0, 0.375, 0.125]
    kept = archive(scores, relative=True, capacity="one")
    assert kept.view.fitness.tolist() == [1, 1]
    assert kept.view.rows.tolist() == [[0, 0.5, 0], [0, 0, 0.25]]
    expected = [0.5 + 0.5 / 0.875, 0.5 + 0.25 / 0.375, 0.375 / 0.875 + 0.125 / 0.375]
    np.testing.assert_allclose(
        kept.view.compete(np.array(newcomer, dtype=np.float32)), expected, rtol=1e-12
    )
    leaver, fitness = kept.admit(member(2, newcomer))
    assert leaver.id == 2
    assert fitness == pytest.approx(expected[-1])
    assert kept.scores.tolist() == scores, "the archive keeps the scores as they came"


def test_a_view_outlives_what_comes_after():
    kept = archive([[1, 0], [0, 0.5]])
    before, scores = kept.view, kept.scores.tolist()
    assert kept.admit(member(2, [0, 1]))[0].id == 1
    assert ids(before.members) == [0, 1]
    assert before.scores.tolist() == scores
    assert before.fitness.tolist() == [1, 0.5]


def test_coverage_and_entropy_by_hand():
    view = archive([[1, 1, 0, 0.5], [0, 1, 0, 0.25], [0, 1, 0, 0], [0, 1, 0, 0.25]]).view
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert view.coverage == (1 + 1 + 0 + 0.5) / 4
    assert view.entropy == pytest.approx(2 * quarter / 4, rel=1e-12)
    assert archive([[1, 0], [0, 1]]).view.entropy == 1.0
    assert archive([[1, 0], [1, 0]]).view.entropy == 0.0


def test_the_scarcest_come_first_and_then_the_first():
    assert archive([[1, 0, 0.5, 0, 0.5], [0, 0, 0.5, 0.25, 0.5]]).view.scarcity().tolist() == [
        1,
        3,
        0,
        2,
        4,
    ]
    view = archive(np.random.default_rng(0).random((3, 1000)) < 0.5).view
    assert view.scarcity().tolist() == sorted(range(1000), key=lambda j: (view.total[j], j))


def test_a_view_keeps_one_bound_for_each_tiling():
    kept = archive(
        [[1, 0.25, 0, 0], [0, 0.5, 1, 0]],
        alpha=0.5,
        capacity="one",
        weights=np.array([1, 2, 0.5, 0.5]),
    )
    tilings = [
        Tiling.cut(number, np.array(order), 2)
        for number, order in enumerate(([0, 1, 2, 3], [3, 2, 1, 0]))
    ]
    bounds = [kept.view.bound(tiling) for tiling in tilings]
    assert [kept.view.bound(tiling) for tiling in tilings] == bounds
    for tiling, bound in zip(tilings, bounds, strict=True):
        how = {"alpha": 0.5, "capacity": "one", "weights": kept.competition.weights}
        expected = RejectionBound(kept.scores, tiling.tiles, **how)
        scored = np.array([0.5, 0.25])
        assert bound.lead(1, scored).tolist() == expected.lead(1, scored).tolist()
        assert bound.lost(0, scored) == expected.lost(0, scored)


@pytest.mark.parametrize(
    ("how", "bounded"),
    [({}, True), ({"alpha": 0.0}, True), ({"alpha": 1.5}, False), ({"relative": True}, False)],
)
def test_where_a_rejection_can_be_foreseen(how, bounded):
    assert Competition(**how).bounded is bounded


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"alpha": -0.5}, "alpha: .*-0.5"),
        ({"alpha": float("nan")}, "alpha: .*nan"),
        ({"capacity": "min"}, "capacity: .*'min'"),
    ],
    ids=str,
)
def test_a_competition_names_what_is_wrong(how, message):
    with pytest.raises(ValueError, match=message):
        Competition(**how)


@pytest.mark.parametrize("size", [1, 0, -3])
def test_an_archive_has_two_members_at_least(size):
    with pytest.raises(ValueError, match=f"size: .*{size}"):
        Archive(size)


@pytest.mark.parametrize("wrong", [[1.0, 0.0], [[1.0, 0.0, 0.0]]])
def test_scores_of_another_length_are_told(wrong):
    kept = archive([[1, 0, 0], [0, 1, 0]])
    with pytest.raises(ValueError, match=r"scores: expected shape \(3,\), got \("):
        kept.admit(member(2, wrong))
    assert ids(kept.members) == [0, 1]


def test_a_long_life_agrees_with_the_plain_algorithm():
    """400 newcomers against a list sorted out the slow way; restored, it goes on alike."""
    rng, kept, plain = np.random.default_rng(8), Archive(6), []
    for number in range(400):
        scores = (rng.random(40) < rng.random()).astype(np.float32) * np.float32(
            rng.choice([1, 0.5])
        )
        leaver, fitness = kept.admit(newcomer := member(number, scores))
        plain.append(newcomer)
        expected = competitive_fitness(np.stack([one.scores for one in plain]))
        assert fitness == expected[-1]
        assert leaver is (plain.pop(int(expected.argmin())) if len(plain) > 6 else None)
        assert list(kept.members) == plain
        assert all(older.id < younger.id for older, younger in pairwise(kept.members))
        if number % 100 == 50:
            kept = Archive(6, kept.competition, kept.members)
    assert isinstance(kept.view, View)
