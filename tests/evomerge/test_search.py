"""EvoTorch's searches as strategies of a run: the same after a resume, refused in words."""

import os
import signal

import numpy as np
import pytest
from evotorch.algorithms import CMAES, SNES, GeneticAlgorithm
from evotorch.operators import GaussianMutation
from faulty_parts import Faulty
from whole_runs import (
    DIGITS,
    assert_same_run,
    log_of,
    small_run,
    start,
    wait_for_births,
    write_config,
)

from evomerge import Crossover, Operator, Ratios, Search, UserError
from evomerge.archives.elites import Features
from evomerge.evotorch import MAPElites, Merge, MergeProblem
from evomerge.rundir.snapshots import read_snapshot
from evomerge.strategies.problem import as_numpy
from fitness.classification import Classification
from populations.mnist import Classifiers

pytestmark = pytest.mark.whole

MERGE = Operator(Merge, {"crossover": Crossover(angle="whole"), "tournament_size": 2})
MUTATE = Operator(GaussianMutation, {"stdev": 0.05})
ODD_AND_EVEN = {"odd": list("13579"), "even": list("02468")}
SEARCHES = {
    "CMA-ES": Search(CMAES, {"popsize": 8, "stdev_init": 0.1, "separable": True}),
    "SNES": Search(SNES, {"popsize": 10, "stdev_init": 0.1}),
    "GA": Search(GeneticAlgorithm, {"popsize": 8, "re_evaluate": False}, (MERGE, MUTATE)),
    "MAP-Elites": Search(
        MAPElites, {"re_evaluate": False}, (MERGE, MUTATE), features=ODD_AND_EVEN, bins=3
    ),
}


@pytest.fixture(params=SEARCHES)
def search(request):
    return SEARCHES[request.param]


def test_a_search_finds_better_models_than_its_founders(tmp_path, search):
    archive = small_run(tmp_path / "run", births=150, strategy=search, lookahead=10)
    log = log_of(tmp_path / "run")
    founders, children = (
        max(entry["train"] for entry in log if ("founder" in entry) is founder)
        for founder in (True, False)
    )
    assert children > founders + 0.05
    assert [entry["birth"] for entry in log if "founder" not in entry] == list(range(1, 151))
    assert max(archive.competition.mean(member.scores) for member in archive.members) > founders


@pytest.mark.parametrize(
    "schedule", [{"lookahead": 3}, {"lookahead": 16, "stack": 4}], ids=["3", "16 in stacks"]
)
def test_a_search_does_not_depend_on_the_lookahead(tmp_path, search, schedule):
    small_run(tmp_path / "one", births=60, strategy=search, tile=2000)
    small_run(tmp_path / "other", births=60, strategy=search, tile=2000, **schedule)
    one, other = (
        [
            (entry["birth"], entry.get("train"))
            for entry in log_of(tmp_path / name)
            if "founder" not in entry
        ]
        for name in ("one", "other")
    )
    if "stack" in schedule:  # a stack decides the last bits of a score
        assert np.allclose([train for _, train in one], [train for _, train in other], atol=2e-3)
        one, other = one[:8], other[:8]
        assert [birth for birth, _ in one] == [birth for birth, _ in other]
    else:
        assert one == other


def test_another_seed_is_another_search(search):
    one, other = (small_run(births=20, strategy=search, seed=seed) for seed in (0, 1))
    assert not np.array_equal(one.members[-1].genome.vector, other.members[-1].genome.vector)


def test_resuming_with_more_births_is_the_longer_run(tmp_path, search):
    small_run(tmp_path / "whole", births=61, strategy=search, lookahead=5)
    small_run(
        tmp_path / "parts", births=17, strategy=search, lookahead=5
    )  # in the midst of a generation
    small_run(tmp_path / "parts", births=61, strategy=search, lookahead=5, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_killed_search_goes_on(tmp_path):
    settings = {"births": 600, "lookahead": 4, "save_every": 0.05}
    strategy = {
        "_target_": "evomerge.Search",
        "algorithm": "evotorch.algorithms.SNES",
        "settings": {"popsize": 10, "stdev_init": 0.1},
    }
    config = write_config(tmp_path, strategy=strategy, **settings)
    process = start("run", config, "run_dir=killed", cwd=tmp_path)
    wait_for_births(process, tmp_path / "killed", 99)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "summary.json").exists()
    for command in (("resume", "killed"), ("run", config, "run_dir=whole")):
        process = start(*command, cwd=tmp_path)
        _, told = process.communicate()
        assert process.returncode == 0, told
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_a_distribution_keeps_its_last_generation(tmp_path):
    small_run(tmp_path / "run", births=36, strategy=SEARCHES["CMA-ES"])
    _, data, _ = read_snapshot(tmp_path / "run")
    assert data["state"]["archive"] == list(range(29, 37))


def population_of(search, generations):
    """EvoTorch's population after so many generations, scored by ourselves; which of it counts."""
    population, fitness = Classifiers(DIGITS, hidden=(16,), sd=0.1), Classification(DIGITS)
    features = (
        Features.from_groups(fitness, search.features, search.bins) if search.features else None
    )
    problem = MergeProblem(population, fitness, data=features)
    settings = dict(search.settings) | ({"feature_grid": features.grid()} if features else {})
    operators = [operator.kind(problem, **operator.settings) for operator in search.operators]
    searcher = search.algorithm(problem, operators=operators, **settings)
    searcher.run(generations)
    problem.close()
    values = as_numpy(searcher.population.values)
    return values[as_numpy(searcher.filled)] if features else values


@pytest.mark.parametrize("name", ["GA", "MAP-Elites"])
def test_the_archive_is_the_searchs_own_population(name):
    """Besides the founders, which are members from the start, and their first generation's."""
    search = SEARCHES[name]
    size = 8 if name == "GA" else 9
    archive = small_run(
        births=5 * size,
        strategy=search,
        population=Classifiers(DIGITS, hidden=(16,), sd=0.1),
        seed=0,
    )
    theirs = {row.tobytes() for row in population_of(search, 4)}
    ours = {member.genome.vector.tobytes() for member in archive.members}
    assert ours == theirs


def test_a_birth_that_fails_counts_as_one_that_scores_nothing(tmp_path):
    strategy = SEARCHES["SNES"]
    fitness = Faulty(DIGITS, "raises", good=20, every=7)
    small_run(tmp_path / "run", births=60, strategy=strategy, fitness=fitness, tile=2000)
    log = [entry for entry in log_of(tmp_path / "run") if "founder" not in entry]
    failed = [entry for entry in log if "failure" in entry]
    assert len(failed) > 3
    assert all("answers has no such key" in entry["failure"] for entry in failed)
    assert max(entry["train"] for entry in log[30:] if "train" in entry) > max(
        entry["train"] for entry in log[:10] if "train" in entry
    )


def test_features_are_in_the_log_and_tell_cells_apart(tmp_path):
    small_run(tmp_path / "run", births=30, strategy=SEARCHES["MAP-Elites"])
    _, labels = DIGITS.split("train")
    for entry in (entry for entry in log_of(tmp_path / "run") if "founder" not in entry):
        odd = float((labels % 2 == 1).float().mean())
        assert set(entry["features"]) == {"odd", "even"}
        assert entry["features"]["odd"] * odd + entry["features"]["even"] * (
            1 - odd
        ) == pytest.approx(entry["train"], abs=1e-6)


class Breaks(SNES):
    """A search that breaks in its third generation."""

    def step(self):
        if self.step_count == 2:
            raise RuntimeError("no more ideas")
        super().step()


class Ends(SNES):
    """A search that ends by itself after its second generation."""

    @property
    def is_terminated(self):
        return self.step_count == 2


@pytest.mark.parametrize(
    ("algorithm", "told"),
    [(Breaks, "Breaks: RuntimeError: no more ideas"), (Ends, "it has ended by itself")],
)
def test_a_search_that_breaks_ends_the_run_saved(tmp_path, algorithm, told):
    with pytest.raises(UserError, match=rf"strategy: .*{told}.*everything up to birth 20 is saved"):
        small_run(
            tmp_path / "run",
            births=60,
            strategy=Search(algorithm, {"popsize": 10, "stdev_init": 0.1}),
        )
    assert len([entry for entry in log_of(tmp_path / "run") if "founder" not in entry]) == 20


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: Search(CMAES, {"popsize": 8, "stdev_int": 0.1}),
            r"settings.stdev_int: unknown setting of CMAES; did you mean 'stdev_init'\?",
        ),
        (lambda: Search(CMAES, {"popsize": 8}), "settings.stdev_init: missing setting of CMAES"),
        (
            lambda: Search(CMAES, {"stdev_init": 0.1}),
            "settings.popsize: expected a whole number of at least 2, .*CMAES, got None",
        ),
        (
            lambda: Search(CMAES, {"stdev_init": 0.1, "popsize": "many"}),
            "settings.popsize: expected a whole number",
        ),
        (
            lambda: Search(GeneticAlgorithm, {"popsize": 8}, (MUTATE,)),
            "settings.re_evaluate: expected false",
        ),
        (
            lambda: Search(CMAES, {"popsize": 8, "stdev_init": 0.1, "problem": 1}),
            "settings.problem: unknown setting",
        ),
        (
            lambda: Search(GeneticAlgorithm, {"popsize": 8}),
            "operators: GeneticAlgorithm needs at least one, got 0",
        ),
        (
            lambda: Search(CMAES, {"popsize": 8, "stdev_init": 0.1}, (MUTATE,)),
            "operators: CMAES has none, got 1",
        ),
        (lambda: Search(MAPElites, {}, (MUTATE,)), "settings.re_evaluate: expected false"),
        (
            lambda: Search(CMAES, {"popsize": 8, "stdev_init": 0.1}, features={}),
            "features: only MAPElites has some, got CMAES",
        ),
        (
            lambda: Search(MAPElites, {"re_evaluate": False}, (MUTATE,), bins=0),
            "bins: expected a number of at least 1",
        ),
        (lambda: Search(dict), "algorithm: expected a search algorithm of EvoTorch"),
        (
            lambda: Operator(GaussianMutation, {"sd": 0.1}),
            "settings.sd: unknown setting of GaussianMutation",
        ),
        (lambda: Operator(GaussianMutation), "settings.stdev: missing setting of GaussianMutation"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_loaded(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_what_only_the_search_itself_knows_to_be_wrong_is_told(tmp_path):
    with pytest.raises(UserError, match=r"strategy: CMAES: .*"):
        small_run(
            tmp_path / "run",
            births=10,
            strategy=Search(CMAES, {"popsize": 8, "stdev_init": 0.1, "center_init": [1.0, 2.0]}),
        )
    with pytest.raises(
        UserError, match="strategy: expected members that are recipes, Classifiers breeds weights"
    ):
        small_run(
            births=10, strategy=Search(SNES, {"popsize": 8, "stdev_init": 0.1}, vector=Ratios())
        )
    assert not (tmp_path / "run").exists()


def test_a_grid_of_more_cells_than_births_could_fill_is_refused():
    with pytest.raises(
        UserError,
        match=r"strategy: features: 10 features \(0, 1, 2, 3, \.\.\.\) of 3 bins "
        r"make 59,049 cells, expected at most 10,000",
    ):
        small_run(births=10, strategy=Search(MAPElites, {"re_evaluate": False}, (MUTATE,), bins=3))


class Forgetful(SNES):
    """A search that is another one each time: it goes by a count of its own instances."""

    made = 0

    def __init__(self, problem, **settings):
        Forgetful.made += 1
        super().__init__(problem, stdev_init=0.1 * Forgetful.made, **settings)


def test_a_search_that_is_not_the_same_again_cannot_go_on(tmp_path):
    strategy = Search(Forgetful, {"popsize": 10})
    small_run(tmp_path / "run", births=15, strategy=strategy, lookahead=3)
    with pytest.raises(UserError, match="strategy: it does not come to birth 16 again as it was"):
        small_run(tmp_path / "run", births=30, strategy=strategy, lookahead=3, resume=True)
