"""The checks for whoever adds a part: all of ours pass them, and faulty parts do not."""

import functools

import numpy as np
import pytest
import tiny_llama
import tiny_pipelines
from torch import nn

from evomerge import Crossover, NaturalNiches, Sweep
from evomerge.testing import check_fitness, check_population, check_strategy
from fitness.classification import Classification
from fitness.combined import Combined
from fitness.images import SklearnDigits
from fitness.questions import QuestionAnswering
from fitness.skills import Arithmetic, Sorting
from populations.diffusion import DiffusionModels
from populations.llm import LanguageModels
from populations.methods import Method
from populations.mnist import Classifiers
from populations.modules import Modules

DIGITS = SklearnDigits()
SMALL = Classifiers(DIGITS, hidden=(8,))


def network():
    return nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


def language_models(folder, **settings):
    seeds = []
    for seed in range(2):
        tiny_llama.save(folder / str(seed), seed)
        seeds.append(folder / str(seed))
    return LanguageModels(seeds, **settings)


POPULATIONS = {
    "classifiers": lambda folder: SMALL,
    "classifiers by unit": lambda folder: Classifiers(DIGITS, hidden=(8,), order="unit"),
    "modules": lambda folder: Modules(network),
    "language models": language_models,
    "language models by unit": functools.partial(language_models, order="unit"),
    "pipelines": lambda folder: DiffusionModels(tiny_pipelines.saved(folder)),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_our_populations_pass(name, tmp_path):
    check_population(POPULATIONS[name](tmp_path))


def test_a_population_that_merges_by_a_method_passes(tmp_path):
    tiny_llama.save(tmp_path / "base", 7)
    check_population(
        language_models(tmp_path, method=Method("ties", {"density": 0.5}), base=tmp_path / "base")
    )


def classifier():
    return SMALL.express(SMALL.founders(np.random.default_rng(0))[0])


FITNESSES = {
    "digits": lambda: (Classification(DIGITS), classifier()),
    "questions": lambda: (
        QuestionAnswering(Arithmetic(train=3, test=2), "{question} = ", max_new_tokens=3),
        tiny_llama.tiny_llama(),
    ),
    "several": lambda: (
        Combined(
            [
                QuestionAnswering(Arithmetic(train=3, test=2), "{question} = ", max_new_tokens=3),
                QuestionAnswering(Sorting(train=2, test=2), "{question} = ", max_new_tokens=3),
            ]
        ),
        tiny_llama.tiny_llama(),
    ),
}


@pytest.mark.parametrize("name", FITNESSES)
def test_our_fitnesses_pass(name):
    check_fitness(*FITNESSES[name]())


STRATEGIES = {
    "natural niches": NaturalNiches(size=4, mutation=0.01),
    "crossover over the whole": NaturalNiches(size=4, crossover=Crossover(angle="whole")),
    "immigrants": NaturalNiches(size=4, immigrants=0.3),
    "sweep": Sweep(6),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_our_strategies_pass(name):
    check_strategy(STRATEGIES[name], SMALL, Classification(DIGITS))


class Drifting(Classification):
    """It scores otherwise each time."""

    calls = 0

    def __call__(self, model, datapoints, split):
        type(self).calls += 1
        return np.roll(super().__call__(model, datapoints, split), self.calls)


class Words(Classification):
    def __call__(self, model, datapoints, split):
        return ["right"] * len(datapoints)


class Far(Classification):
    def __call__(self, model, datapoints, split):
        return 2.0 * super().__call__(model, datapoints, split)


class Stuck(Classification):
    def __reduce__(self):
        raise TypeError("it holds a socket")


class Endless(Classification):
    def size(self, split):
        return -1


class Broken(Classification):
    def __call__(self, model, datapoints, split):
        raise RuntimeError("no licence")


class Short(Classification):
    def explain(self, model, datapoints, split):
        return super().explain(model, datapoints, split)[1:]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Drifting, "the train split, scored again: expected the same scores, they differ"),
        (Words, "the fitness must return numbers of shape"),
        (Far, r"the fitness must return scores in \[0, 1\]"),
        (Stuck, "fitness: expected an object that can be pickled: it holds a socket"),
        (Endless, r"size\('train'\): expected a whole number of at least 0, got -1"),
        (Broken, "expected no error, got RuntimeError: no licence"),
        (Short, "explain: expected 718 rows, got 717"),
    ],
)
def test_a_faulty_fitness_does_not(kind, said):
    with pytest.raises(AssertionError, match=said):
        check_fitness(kind(DIGITS), classifier())


class Restless(Classifiers):
    """Its founders are drawn from no seed."""

    def founders(self, rng):
        return super().founders(np.random.default_rng())


class Lonely(Classifiers):
    def founders(self, rng):
        return super().founders(rng)[:1]


class Mute(Classifiers):
    def express(self, genome):
        return None


class Idle(Classifiers):
    def save(self, genome, directory):
        pass


class Unbounded(Classifiers):
    def founders(self, rng):
        founders = super().founders(rng)
        founders[1].vector[3] = np.nan
        return founders


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Restless, "founder 0 in another process: expected the same numbers in"),
        (Lonely, "founders: expected two or more, got 1"),
        (Mute, "express: expected a model, got None"),
        (Idle, "save: expected files in the directory, it is empty"),
        (Unbounded, "founders: founder 1 has numbers that are not finite"),
    ],
)
def test_a_faulty_population_does_not(kind, said):
    with pytest.raises(AssertionError, match=said):
        check_population(kind(DIGITS, hidden=(8,)))


class Moody(NaturalNiches):
    """It plans by what it has planned before, which a resume does not know."""

    plans = 0

    def plan(self, number, view, population, seed):
        type(self).plans += 1
        return super().plan(number, view, population, self.plans)


def test_a_faulty_strategy_does_not():
    with pytest.raises(AssertionError, match="after a resume"):
        check_strategy(Moody(size=4, mutation=0.5), SMALL, Classification(DIGITS))
