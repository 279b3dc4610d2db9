"""The checks for whoever adds a part: all of ours pass them, and faulty parts do not."""

import functools

import numpy as np
import pytest
import tiny_llama
import tiny_pipelines
import torch
from torch import nn

from evomerge import Crossover, NaturalNiches, Sweep
from evomerge.testing import check_fitness, check_population, check_strategy
from fitness.agents import Agents
from fitness.classification import Classification
from fitness.combined import Combined
from fitness.images import SklearnDigits
from fitness.matching import exact
from fitness.questions import QuestionAnswering
from fitness.shop import Shop
from fitness.skills import Arithmetic, Sorting
from fitness.text_to_image import TextToImage
from populations.diffusion import DiffusionModels
from populations.llm import LanguageModels
from populations.methods import Method
from populations.mnist import Classifiers
from populations.modules import Modules

DIGITS = SklearnDigits()
SMALL = Classifiers(DIGITS, hidden=(8,))


def network():
    return nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


def brightness(pictures, records):
    """A judge: how bright a picture is."""
    return np.array([np.asarray(picture).mean() / 255 for picture in pictures])


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
    "language models by a method": functools.partial(
        language_models, method=Method("ties", parameters={"density": 0.5}), base=None
    ),
    "pipelines": lambda folder: DiffusionModels(tiny_pipelines.saved(folder)),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_our_populations_pass(name, tmp_path):
    if name == "language models by a method":
        tiny_llama.save(tmp_path / "base", 7)
        population = language_models(tmp_path, method=Method("ties"), base=tmp_path / "base")
    else:
        population = POPULATIONS[name](tmp_path)
    check_population(population)


def classifier():
    return SMALL.express(SMALL.founders(np.random.default_rng(0))[0])


FITNESSES = {
    "digits": lambda: (Classification(DIGITS), classifier()),
    "questions": lambda: (
        QuestionAnswering(Arithmetic(test=2, train=3), exact, max_new_tokens=3),
        tiny_llama.tiny_llama(),
    ),
    "several": lambda: (
        Combined(
            [
                QuestionAnswering(Arithmetic(test=2, train=3), exact, max_new_tokens=3),
                QuestionAnswering(Sorting(test=2, train=2), exact, max_new_tokens=3),
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


class Doubles(Classification):
    def __call__(self, model, datapoints, split):
        return super().__call__(model, datapoints, split).astype(np.float64)


class Far(Classification):
    def __call__(self, model, datapoints, split):
        return 2 * super().__call__(model, datapoints, split)


class Stuck(Classification):
    def __reduce__(self):
        raise TypeError("it holds a socket")


class Short(Classification):
    def explain(self, model, datapoints, split):
        return super().explain(model, datapoints, split)[1:]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Drifting, "the train split, scored again: expected the same scores, they differ"),
        (Doubles, "expected float32, got float64"),
        (Far, r"expected scores in \[0, 1\], got 0.0 to 2.0"),
        (Stuck, "fitness: expected an object that can be pickled: it holds a socket"),
        (Short, "explain: expected 673 rows, got 672"),
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


class Endless(Classifiers):
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
        (Endless, "founders: founder 1 has numbers that are not finite"),
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
