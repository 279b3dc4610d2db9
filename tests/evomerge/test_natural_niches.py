"""Which births M2N2 plans: parents, and what a plan becomes."""

from collections import Counter

import numpy as np
import pytest
from torch import nn

from evomerge.archives.archive import Archive, Member
from evomerge.archives.competition import Competition
from evomerge.genome.crossover import Crossover
from evomerge.genome.weights import Weights
from evomerge.strategies.natural_niches import NaturalNiches
from evomerge.strategies.strategy import birth_rng
from populations.modules import Modules


def layer():
    """Six parameters."""
    return nn.Linear(2, 2)


SPECIES = Modules(layer, sd=0.5)


def look(scores, **how):
    """The view of an archive with these scores; members have ids from 10 on, also as weights."""
    members = [
        Member(10 + i, (), Weights(np.full(6, 10 + i, np.float32)), np.float32(row))
        for i, row in enumerate(scores)
    ]
    return Archive(max(2, len(members)), Competition(**how), tuple(members)).view


def facts(birth):
    """All of a plan."""
    return birth.number, birth.parents, birth.crossing, birth.mutation, birth.mutation_seed


def pairs(strategy, view, births=4000):
    return Counter(
        strategy.plan(number, view, SPECIES, seed=1).parents for number in range(1, births + 1)
    )


def test_a_plan_depends_on_nothing_but_its_arguments():
    view, strategy = (
        look(np.random.default_rng(0).random((5, 20))),
        NaturalNiches(mutation=0.01, crossover=Crossover(splits=2)),
    )
    forth = {number: facts(strategy.plan(number, view, SPECIES, seed=3)) for number in range(1, 30)}
    back = {
        number: facts(strategy.plan(number, view, SPECIES, seed=3))
        for number in reversed(range(1, 30))
    }
    assert forth == back
    assert len({plan[1:] for plan in forth.values()}) == 29
    assert forth[1] != facts(strategy.plan(1, view, SPECIES, seed=4))


def test_draws_come_in_a_fixed_order():
    """Both parents, then each chromosome's ratio and splits, then the mutation's seed."""
    species = Modules(layer, chromosomes={"bias": "bias"})
    view, strategy = (
        look([[1, 1, 0], [0, 1, 1], [0, 1, 0]]),
        NaturalNiches(mutation=0.5, crossover=Crossover(2, (-1.0, 1.0))),
    )
    plan = strategy.plan(5, view, species, seed=0)
    rng = birth_rng(0, 5)
    first = int(
        np.searchsorted(np.cumsum(view.fitness), rng.random() * view.fitness.sum(), side="right")
    )
    pull = view.attraction(first)
    second = int(np.searchsorted(np.cumsum(pull), rng.random() * pull.sum(), side="right"))
    assert plan.parents == (10 + first, 10 + second)
    drawn = [
        (2 * rng.random() - 1, sorted(start + int(size * rng.random()) for _ in "ab"))
        for start, size in ((0, 2), (2, 4))
    ]
    assert plan.crossing.ratios == tuple(ratio for ratio, _ in drawn)
    assert plan.crossing.splits == tuple(tuple(splits) for _, splits in drawn)
    assert plan.mutation_seed == int(rng.bit_generator.random_raw()) >> 1


def test_a_plan_in_literal_numbers():
    plan = NaturalNiches(mutation=0.01).plan(
        3, look([[1, 1, 0], [0, 1, 1], [0, 1, 0]]), SPECIES, seed=2
    )
    assert facts(plan)[:2] == (3, (10, 11))
    assert plan.crossing.ratios == (0.8655681603895086,)
    assert plan.crossing.splits == ((0,),)
    assert plan.mutation_seed == 2979653689891355026


def chances(view, attracted=True):
    """The chance of each pair of members, by the rules."""
    fitness = view.fitness / view.fitness.sum()
    expected = {}
    for a in range(len(fitness)):
        pull = view.attraction(a) if attracted else view.fitness.copy()
        pull[a] = 0
        for b in range(len(fitness)):
            expected[10 + a, 10 + b] = fitness[a] * pull[b] / pull.sum()
    return expected


def as_expected(counts, expected):
    births = sum(counts.values())
    for pair, chance in expected.items():
        assert abs(counts[pair] / births - chance) <= 4 * np.sqrt(chance * (1 - chance) / births), (
            pair
        )
    assert set(counts) <= {pair for pair, chance in expected.items() if chance > 0}


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("attracted", [True, False])
def test_parents_are_drawn_in_proportion(alpha, attracted):
    view = look(np.random.default_rng(1).random((4, 9)) ** 2, alpha=alpha)
    as_expected(pairs(NaturalNiches(attraction=attracted), view), chances(view, attracted))


def uniform(members):
    return {
        (10 + a, 10 + b): (a != b) / (members * (members - 1))
        for a in range(members)
        for b in range(members)
    }


# member 10 alone has scores; nobody attracts it, and it attracts all others
ALONE = [[1, 1], [0, 0], [0, 0]]
# all are alike: nobody attracts anybody
ALIKE = [[1, 0.5], [1, 0.5], [1, 0.5]]
# 11 and 12 can do nothing that 10 cannot, and differ in fitness
NESTED = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (np.zeros((3, 2)), uniform(3)),
        (ALIKE, uniform(3)),
        (ALONE, {(10, 11): 0.5, (10, 12): 0.5}),
        ([[1, 1], [0, 0]], {(10, 11): 1.0}),
    ],
    ids=["no fitness", "no attraction", "no fitness among the others", "two members"],
)
def test_where_all_are_zero_the_next_rule_decides(scores, expected):
    as_expected(pairs(NaturalNiches(), look(scores), 2000), expected)


def test_where_nobody_attracts_the_second_is_drawn_by_fitness():
    view = look(NESTED)
    counts = pairs(NaturalNiches(), view)
    after_the_best = {pair: count for pair, count in counts.items() if pair[0] == 10}
    share = view.fitness[1] / view.fitness[1:].sum()
    assert after_the_best.keys() == {(10, 11), (10, 12)}
    births = sum(after_the_best.values())
    assert after_the_best[10, 11] / births == pytest.approx(
        share, abs=4 * np.sqrt(share * (1 - share) / births)
    )


def test_nobody_mates_with_itself():
    rng = np.random.default_rng(2)
    for trial in range(300):
        scores = (rng.random((int(rng.integers(2, 5)), 3)) < 0.3).astype(np.float32)
        strategy = NaturalNiches(attraction=bool(trial % 2), warmup=(trial % 3) * 10)
        for number in range(1, 20):
            first, second = strategy.plan(number, look(scores), SPECIES, seed=trial).parents
            assert first != second


@pytest.mark.parametrize("members", [0, 1])
def test_two_parents_are_needed(members):
    with pytest.raises(ValueError, match=f"two members.*{members}"):
        NaturalNiches().plan(1, look(np.ones((members, 3))), SPECIES, seed=0)


def test_warm_up_pairs_at_random():
    view = look(ALONE)
    as_expected(pairs(NaturalNiches(warmup=2000), view, 2000), uniform(3))
    firsts = [
        {NaturalNiches(warmup=2).plan(number, view, SPECIES, seed).parents[0] for seed in range(60)}
        for number in (1, 2, 3, 4)
    ]
    assert firsts == [{10, 11, 12}, {10, 11, 12}, {10}, {10}]


def test_without_crossover_a_child_has_one_parent():
    strategy = NaturalNiches(crossover=None, mutation=0.25)
    plan = strategy.plan(1, look(NESTED), SPECIES, seed=0)
    assert len(plan.parents) == len(plan.genomes) == 1
    assert plan.crossing is None
    child = plan.child(SPECIES).vector
    assert child.tolist() == plan.genomes[0].mutate(0.25, plan.mutation_seed).vector.tolist()
    assert (child != plan.genomes[0].vector).all()


def test_a_child_is_crossed_and_then_mutated():
    view = look(np.random.default_rng(3).random((3, 5)))
    bare, mutated = (NaturalNiches(mutation=sd).plan(4, view, SPECIES, seed=5) for sd in (0.0, 0.1))
    crossed = bare.genomes[0].cross(bare.genomes[1], bare.crossing, SPECIES)
    assert [genome.vector[0] for genome in bare.genomes] == list(bare.parents)
    assert bare.child(SPECIES).vector.tolist() == crossed.vector.tolist()
    assert (
        mutated.child(SPECIES).vector.tolist()
        == crossed.mutate(0.1, mutated.mutation_seed).vector.tolist()
    )


def test_an_archive_competes_as_the_strategy_says():
    weights = np.array([0.5, 1.5])
    kept = NaturalNiches(size=7, alpha=0.5, capacity="one", relative=True).archive(weights)
    assert kept.size == 7
    assert vars(kept.competition) == {
        "alpha": 0.5,
        "capacity": "one",
        "relative": True,
        "weights": weights,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 1}, "size: .*1"),
        ({"alpha": -1.0}, "alpha: .*-1"),
        ({"alpha": float("inf")}, "alpha: .*inf"),
        ({"mutation": -0.01}, "mutation: .*-0.01"),
        ({"mutation": float("nan")}, "mutation: .*nan"),
        ({"warmup": -1}, "warmup: .*-1"),
        ({"immigrants": 1.0}, "immigrants: .*1.0"),
        ({"immigrants": float("nan")}, "immigrants: .*nan"),
        ({"crossover": None}, "crossover: .*copy"),
        ({"capacity": "min"}, "capacity: .*'min'"),
    ],
)
def test_a_wrong_setting_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        NaturalNiches(**arguments)


def test_a_crossover_that_the_axis_does_not_allow_is_named():
    by_unit = Modules(lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), order="unit")
    strategy = NaturalNiches(crossover=Crossover(angle="tensor"))
    strategy.fit(SPECIES)
    with pytest.raises(ValueError, match=r"crossover\.angle: "):
        strategy.fit(by_unit)
    NaturalNiches(crossover=None, mutation=0.1).fit(by_unit)


def test_immigrants_are_random_founders_in_place_of_children():
    view, strategy = look(ALONE), NaturalNiches(immigrants=0.25, mutation=0.1)
    plans = [strategy.plan(number, view, SPECIES, seed=1) for number in range(1, 2001)]
    alone = [plan for plan in plans if not plan.parents]
    assert 440 < len(alone) < 560
    assert {(plan.genomes, plan.crossing, plan.mutation) for plan in alone} == {((), None, 0.0)}
    vectors = np.array([plan.child(SPECIES).vector for plan in alone])
    assert len(np.unique(vectors[:, 0])) == len(alone)
    assert vectors.std() == pytest.approx(0.5, rel=0.05)
    assert plans[7].child(SPECIES).vector.tolist() == plans[7].child(SPECIES).vector.tolist()
    assert {len(plan.parents) for plan in plans} == {0, 2}


def test_immigrants_need_a_population_of_random_founders(tmp_path):
    strategy = NaturalNiches(immigrants=0.1)
    strategy.fit(SPECIES)
    with pytest.raises(ValueError, match=r"immigrants: .*random founders"):
        strategy.fit(Modules(layer, [tmp_path / "a", tmp_path / "b"]))

    class Settled:
        axis = SPECIES.axis

    with pytest.raises(ValueError, match=r"immigrants: .*method immigrant.*Settled"):
        strategy.fit(Settled())
