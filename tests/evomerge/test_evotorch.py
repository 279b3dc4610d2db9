"""EvoTorch on our ground: its searches, loggers and operators, and M2N2 among them."""

import pickle

import numpy as np
import pytest
import torch
from evotorch import algorithms
from evotorch.algorithms import CMAES, SNES
from evotorch.logging import PandasLogger, StdOutLogger
from evotorch.operators import GaussianMutation
from tiny_llama import tuned
from whole_runs import DIGITS, small_run

from evomerge import AllWeights, Coefficients, Crossover, Genomes, NaturalNiches, Ratios
from evomerge.archives.elites import Features
from evomerge.evotorch import M2N2, MAPElites, Merge, MergeProblem
from evomerge.genome.recipe import Recipe
from evomerge.strategies.problem import as_numpy
from fitness.classification import Classification
from fitness.combined import Combined
from populations.llm import LanguageModels
from populations.mnist import Classifiers

SMALL = {"hidden": (16,), "sd": 0.1}


class Closeness:
    """How near a few numbers of a language model are to those of a target mixture of its seeds."""

    def size(self, split):
        return 24 if split == "train" else 0

    def __call__(self, model, datapoints, split):
        numbers = torch.cat(
            [
                tensor.reshape(-1)[:1]
                for tensor in list(model.model.state_dict().values())[:12]
                for _ in (0, 1)
            ]
        )
        return (1 / (1 + 40 * (numbers - 0.03).abs())).numpy()[datapoints]


def problem(**settings):
    return MergeProblem(Classifiers(DIGITS, **SMALL), Classification(DIGITS), **settings)


def test_an_evaluation_is_the_mean_score_and_what_was_asked_for_besides():
    fitness = Combined([Classification(DIGITS), Classification(DIGITS)], [3.0, 1.0])
    features = Features.from_groups(fitness, None, 4)
    one = MergeProblem(Classifiers(DIGITS, **SMALL), fitness, data=features)
    batch = one.generate_batch(3)
    one.evaluate(batch)
    whole = MergeProblem(Classifiers(DIGITS, **SMALL), fitness, data="scores")
    same = whole.generate_batch(3, empty=True)
    same.set_values(batch.values)
    whole.evaluate(same)
    evals, rows = as_numpy(batch.evals), as_numpy(same.evals)[:, 1:]
    assert rows.shape == (3, 2 * 1437)
    assert set(np.unique(rows)) <= {0.0, 1.0}
    assert np.allclose(evals[:, 0], np.average(rows, axis=1, weights=fitness.weights("train")))
    assert np.allclose(
        evals[:, 1:], np.stack([rows[:, :1437].mean(axis=1), rows[:, 1437:].mean(axis=1)], axis=1)
    )
    model = one.population.express(one.genome(batch.values[2]))
    assert (
        Classification(DIGITS)(model, np.arange(1437), "train") == rows[2, :1437].astype(np.float32)
    ).all()
    one.close()
    whole.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: CMAES(p, stdev_init=0.1, popsize=10, separable=True),
        lambda p: SNES(p, stdev_init=0.1, popsize=10),
    ],
)
def test_evotorchs_loggers_follow_a_search(capsys, make):
    one = problem(seed=1)
    searcher = make(one)
    table, _ = PandasLogger(searcher), StdOutLogger(searcher, interval=5)
    searcher.run(12)
    frame = table.to_dataframe()
    assert len(frame) == 12
    assert frame["best_eval"].iloc[-1] > frame["best_eval"].iloc[0]
    assert "best_eval" in capsys.readouterr().out
    best = searcher.status["best"]
    model = one.population.express(one.genome(best.values))
    assert one.fitness(model, np.arange(1437), "train").mean() == pytest.approx(
        searcher.status["best_eval"]
    )
    one.close()


def test_a_problems_seed_decides_a_search():
    def first(seed):
        one = problem(seed=seed)
        searcher = SNES(one, stdev_init=0.1, popsize=6)
        searcher.run(2)
        one.close()
        return as_numpy(searcher.population.values)

    assert (first(3) == first(3)).all()
    assert (first(3) != first(4)).any()


class WithHoles(MAPElites):
    """Ours, without parents in the place of empty cells."""

    def _fill_holes(self):
        pass


def map_elites(kind, steps):
    """A search with as many cells by digits below and above five."""
    fitness = Classification(DIGITS)
    features = Features.from_groups(fitness, {"low": list("01234"), "high": list("56789")}, 4)
    one = MergeProblem(Classifiers(DIGITS, **SMALL), fitness, data=features)
    operators = [Merge(one, crossover=Crossover(angle="whole")), GaussianMutation(one, stdev=0.05)]
    searcher = kind(one, operators=operators, feature_grid=features.grid(), re_evaluate=False)
    searcher.run(steps)
    one.close()
    return searcher


def test_map_elites_is_evotorchs_own_step_for_step_but_for_empty_cells():
    ours, theirs = (map_elites(kind, 6) for kind in (WithHoles, algorithms.MAPElites))
    for one, other in zip(
        (ours.population.values, ours.population.evals),
        (theirs.population.values, theirs.population.evals),
        strict=True,
    ):
        assert np.array_equal(as_numpy(one), as_numpy(other))
    filled = as_numpy(ours.filled)
    assert np.array_equal(filled, as_numpy(theirs.filled))
    assert 1 < filled.sum() < 16


def test_map_elites_has_parents_from_filled_cells_only():
    searcher = map_elites(MAPElites, 6)
    filled, before = as_numpy(searcher.filled), as_numpy(searcher.population.values)
    assert 1 < filled.sum() < 12
    searcher._fill_holes()
    parents = as_numpy(searcher.population.values)
    assert (parents[filled] == before[filled]).all()
    elites = {row.tobytes() for row in parents[filled]}
    standing_in = [row.tobytes() for row in parents[~filled]]
    assert set(standing_in) <= elites
    assert len(set(standing_in)) > 1
    scores = {
        row.tobytes(): tuple(evals)
        for row, evals in zip(
            parents[filled], as_numpy(searcher.population.evals)[filled], strict=True
        )
    }
    for row, evals in zip(parents, as_numpy(searcher.population.evals), strict=True):
        assert scores[row.tobytes()] == tuple(evals)


def test_a_problem_travels(tmp_path):
    one = problem(seed=2)
    SNES(one, stdev_init=0.1, popsize=4).run(1)
    again = pickle.loads(pickle.dumps(one))
    assert again.seed == 2
    assert again.solution_length == one.solution_length
    one.close()


def test_numbers_that_are_not_finite_score_nothing():
    one = problem()
    batch = one.generate_batch(3)
    values = as_numpy(batch.values)
    values[1, 5] = np.nan
    batch.set_values(torch.from_numpy(values))
    one.evaluate(batch)
    assert as_numpy(batch.evals)[1, 0] == 0.0
    assert (as_numpy(batch.evals)[[0, 2], 0] > 0).all()
    one.close()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"data": "nope"}, 'data: expected features, "scores" or nothing'),
        ({"tile": 0}, "tile: expected"),
    ],
)
def test_wrong_settings_of_a_problem_are_told(settings, told):
    with pytest.raises(ValueError, match=told):
        problem(**settings)


@pytest.mark.parametrize(
    "strategy",
    [
        NaturalNiches(size=6, mutation=0.02, crossover=Crossover(angle="whole")),
        NaturalNiches(size=6, mutation=0.02, immigrants=0.2, warmup=5, attraction=False),
    ],
    ids=["M2N2", "variant"],
)
@pytest.mark.parametrize("vector", [AllWeights(), Genomes()], ids=["weights", "genomes"])
def test_m2n2_as_a_search_is_the_run_of_evolve(strategy, vector):
    one = problem(data="scores", tile=2000, seed=5, vector=vector)
    searcher = M2N2(one, strategy)
    searcher.run(40)
    one.close()
    theirs = small_run(births=40, strategy=strategy, tile=2000, seed=5)
    assert [member.id for member in searcher.archive.members] == [
        member.id for member in theirs.members
    ]
    for mine, other in zip(searcher.archive.members, theirs.members, strict=True):
        assert np.array_equal(mine.scores, other.scores)
        assert np.array_equal(mine.genome.vector, other.genome.vector)
    status = searcher.status
    assert status["coverage"] == theirs.view.coverage
    assert status["entropy"] == theirs.view.entropy
    assert status["pop_best_eval"] == pytest.approx(
        max(theirs.competition.mean(member.scores) for member in theirs.members)
    )
    assert len(searcher.population) == len(theirs.members)


def test_m2n2_plans_the_births_of_a_step_together():
    one = problem(data="scores", seed=5)
    searcher = M2N2(one, NaturalNiches(size=4, mutation=0.02), births=8)
    table = PandasLogger(searcher)
    searcher.run(10)
    one.close()
    assert max(member.id for member in searcher.archive.members) > 8
    best = table.to_dataframe()["best_eval"]
    assert best.iloc[-1] > best.iloc[0]


@pytest.fixture(scope="module")
def llamas(tmp_path_factory):
    """Three tiny fine-tunes of one base."""
    return tuned(tmp_path_factory.mktemp("llamas"), ["a", "b", "c"])


def test_recipes_are_searched_by_coefficients_and_by_m2n2(llamas):
    population, fitness = LanguageModels(llamas, dtype="float32"), Closeness()
    founders = MergeProblem(population, fitness, data="scores", vector=Genomes())
    start = M2N2(founders, NaturalNiches(size=4))
    best_seed = max(
        start.archive.competition.mean(member.scores) for member in start.archive.members
    )
    start.run(30)
    assert isinstance(start.archive.members[-1].genome, Recipe)
    found = start.status["best_eval"]
    assert found >= best_seed
    genome = founders.genome(start.status["best"].values)
    assert fitness(population.express(genome), np.arange(24), "train").mean() == pytest.approx(
        found, abs=1e-6
    )
    founders.close()
    for vector in (Ratios(by="layer"), Coefficients(by="chromosome")):
        one = MergeProblem(population, fitness, vector=vector)
        searcher = CMAES(one, stdev_init=0.3, popsize=8)
        searcher.run(8)
        assert searcher.status["best_eval"] >= best_seed - 0.02
        one.close()


def test_our_crossover_is_an_operator_on_genomes_too(llamas):
    one = MergeProblem(LanguageModels(llamas, dtype="float32"), Closeness(), vector=Genomes())
    searcher = algorithms.GeneticAlgorithm(
        one, operators=[Merge(one, tournament_size=2)], popsize=6, elitist=False, re_evaluate=False
    )
    searcher.run(4)
    stretches = [len(one.genome(values).coefficients) for values in searcher.population.values]
    assert max(stretches) > 2  # several generations of splits
    one.close()


def test_what_m2n2_needs_is_told(llamas):
    one = MergeProblem(
        LanguageModels(llamas, dtype="float32"), Closeness(), vector=Ratios(), data="scores"
    )
    with pytest.raises(
        ValueError, match=r"vector: recipes have stretches of their own.*choose evomerge.Genomes"
    ):
        M2N2(one)
    one.close()
    one = problem()
    with pytest.raises(ValueError, match=r'data="scores", got None'):
        M2N2(one)
    one.close()
    one = problem(data="scores")
    with pytest.raises(ValueError, match="births: expected a number of at least 1, got 0"):
        M2N2(one, births=0)
    with pytest.raises(ValueError, match=r"crossover.angle: 'tensor' needs a flat axis|needs"):
        M2N2(
            MergeProblem(
                Classifiers(DIGITS, order="unit", **SMALL), Classification(DIGITS), data="scores"
            ),
            NaturalNiches(crossover=Crossover(angle="tensor")),
        )
    one.close()
