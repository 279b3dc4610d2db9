"""Digit classifiers: their networks, and the specialists that they can start from."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from evomerge.genome.weights import Weights
from fitness.classification import Classification
from fitness.images import SklearnDigits
from populations.mnist import Classifiers

DIGITS = SklearnDigits()


def accuracy(population, genome, classes, split="train"):
    """Share of right answers on the images of some classes."""
    scores = Classification(DIGITS)(
        population.express(genome), np.arange(len(DIGITS.split(split)[1])), split
    )
    return scores[np.isin(DIGITS.split(split)[1], list(classes))].mean()


@dataclass(frozen=True)
class Even:
    """Digits without odd labels, halved: classes 0 to 4; `lost` are left out."""

    lost: tuple[int, ...] = ()

    def split(self, name):
        images, labels = DIGITS.split(name)
        kept = (labels % 2 == 0) & ~torch.isin(
            labels // 2, torch.tensor(self.lost, dtype=torch.int64)
        )
        return images[kept], labels[kept] // 2

    def shape(self):
        return 8, 8


@pytest.mark.parametrize(
    ("hidden", "classes", "sizes"),
    [
        ((256,), 10, [(256, 64), (256,), (10, 256), (10,)]),
        ((8, 4), 3, [(8, 64), (8,), (4, 8), (4,), (3, 4), (3,)]),
    ],
)
def test_the_network_has_these_sizes(hidden, classes, sizes):
    population = Classifiers(DIGITS, hidden=hidden, classes=classes)
    assert list(population.axis.shapes.values()) == sizes
    layers = [type(layer) for layer in population.network()]
    assert layers == [nn.Linear, nn.ReLU] * len(hidden) + [nn.Linear]


def test_the_default_is_the_papers_network():
    population = Classifiers(DIGITS)
    assert population.axis.size == 19_210
    founders = population.founders(np.random.default_rng(0))
    assert len(founders) == 2
    assert [founder.vector.std() for founder in founders] == pytest.approx([0.01, 0.01], rel=0.02)


@pytest.mark.parametrize("settings", [{}, {"order": "unit"}, {"layout": "by_input"}], ids=str)
def test_specialists_know_their_half_and_no_other(settings):
    population = Classifiers(DIGITS, seeds="specialists", **settings)
    lower, upper = population.founders(np.random.default_rng(0))
    for genome, own, other in ((lower, range(5), range(5, 10)), (upper, range(5, 10), range(5))):
        for split in ("train", "test"):
            assert accuracy(population, genome, own, split) > 0.8
            assert accuracy(population, genome, other, split) < 0.02


def test_specialists_start_each_from_its_own_random_state():
    def founders(seed):
        population = Classifiers(DIGITS, hidden=(16,), seeds="specialists")
        return [
            founder.vector.tolist() for founder in population.founders(np.random.default_rng(seed))
        ]

    state = torch.get_rng_state()
    first = founders(3)
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random state is touched"
    torch.rand(5)
    assert founders(3) == first
    assert founders(4) != first
    population = Classifiers(DIGITS, hidden=(16,))
    alone = population.specialist(range(5, 10), np.random.default_rng(3).spawn(2)[1])
    assert alone.vector.tolist() == first[1]


def test_classes_are_halved():
    lower, upper = Classifiers(Even(), classes=5, seeds="specialists").founders(
        np.random.default_rng(1)
    )
    population = Classifiers(Even(), classes=5)
    images, labels = Even().split("train")
    for genome, own in ((lower, range(2)), (upper, range(2, 5))):
        answers = population.express(genome)(images).argmax(dim=1)
        mine = torch.isin(labels, torch.tensor(list(own)))
        assert (answers == labels)[mine].float().mean() > 0.8
        assert (answers == labels)[~mine].float().mean() < 0.02


def test_a_half_without_images_is_named():
    with pytest.raises(ValueError, match=r"seeds: .*classes 0 to 1"):
        Classifiers(Even(lost=(0, 1)), classes=5, seeds="specialists").founders(
            np.random.default_rng(0)
        )


def test_seeds_may_be_files(tmp_path):
    population = Classifiers(DIGITS, hidden=(16,))
    saved = population.founders(np.random.default_rng(0))
    for name, genome in zip("ab", saved, strict=True):
        save_file(population.state(genome), tmp_path / name)
    for settings in ({}, {"order": "unit"}):
        seeded = Classifiers(
            DIGITS, hidden=(16,), seeds=[tmp_path / "a", tmp_path / "b"], **settings
        )
        founders = seeded.founders(np.random.default_rng(9))
        for founder, genome in zip(founders, saved, strict=True):
            found, expected = seeded.state(founder), population.state(genome)
            assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_references_specialists_lie_input_by_input(shared):
    """Trained by the reference code, and its flat vectors are genomes as they are."""
    vectors = load_file(shared / "golden/specialists.safetensors")
    population = Classifiers(DIGITS, layout="by_input")
    for name, own, other in (
        ("digits_0_to_4", range(5), range(5, 10)),
        ("digits_5_to_9", range(5, 10), range(5)),
    ):
        genome = Weights(vectors[name].numpy())
        assert accuracy(population, genome, own) > 0.8
        assert accuracy(population, genome, other) < 0.02
        assert accuracy(Classifiers(DIGITS), genome, own) < 0.5, (
            "in torch's own layout it is another network"
        )


def test_settings_travel():
    population = Classifiers(DIGITS, hidden=(16,), seeds="specialists", order="unit")
    founders = population.founders(np.random.default_rng(0))
    copy = pickle.loads(pickle.dumps(population))
    again = copy.founders(np.random.default_rng(0))
    assert [founder.vector.tolist() for founder in again] == [
        founder.vector.tolist() for founder in founders
    ]
    assert copy.axis == population.axis


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": ()}, r"hidden: .*\[\]"),
        ({"hidden": (8, 0)}, r"hidden: .*\[8, 0\]"),
        ({"classes": 1}, "classes: .*1"),
        ({"count": 1}, "count: .*1"),
        ({"sd": -0.5}, "sd: .*-0.5"),
        ({"seeds": ["a"]}, "seeds: .*1"),
        ({"seeds": "specialist"}, "seeds: .*'specialist'"),
        ({"order": "unit", "chromosomes": {"a": "b"}}, "order: .*chromosomes"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Classifiers(DIGITS, **settings)
