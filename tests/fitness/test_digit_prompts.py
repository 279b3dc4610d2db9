"""Prompts for digits: no wording and no picture in two splits, whatever the sizes."""

import pickle
import re

import numpy as np
import pytest

from fitness.digit_prompts import SPLITS, WORDS, DigitPrompts, pictures, wordings

EVERY = ("lessons", *SPLITS)


def everything(seed=0):
    """All records of the splits that are scored."""
    return DigitPrompts(train=340, test=340, validation=170, seed=seed)


def wording(record):
    """The prompt with a gap for the digit, and whether that is a word."""
    gap = re.compile(rf"\b({'|'.join(WORDS)}|\d)\b")
    found = gap.findall(record["prompt"])
    assert len(found) == 1, "a prompt names one digit"
    assert found[0] in (WORDS[record["label"]], str(record["label"]))
    return gap.sub("{}", record["prompt"]), found[0].isalpha()


@pytest.mark.parametrize("split", EVERY)
def test_a_record(split):
    records = everything().split(split)
    assert [record["label"] for record in records] == [place % 10 for place in range(len(records))]
    for record in records:
        assert record.keys() == {"prompt", "label", "image"}
        assert (record["image"].shape, record["image"].dtype) == ((16, 16), np.uint8)
        assert record["image"].max() > 150
        assert wording(record)


@pytest.mark.parametrize("split", EVERY)
def test_a_picture_is_of_its_digit(split):
    images, labels = pictures(split)
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert all(
        known[record["image"].tobytes()] == record["label"] for record in everything().split(split)
    )


def test_a_picture_is_scikit_learns_enlarged():
    from sklearn.datasets import load_digits

    small = load_digits().images[0]
    corners = pictures("lessons")[0][0].reshape(8, 2, 8, 2).mean(axis=(1, 3))
    assert np.corrcoef(corners.ravel(), small.ravel())[0, 1] > 0.95


def test_no_wording_and_no_picture_in_two_splits_even_of_other_seeds():
    said, shown = [], []
    for split in SPLITS:
        records = [*everything().split(split), *everything(seed=1).split(split)]
        said.append({wording(record) for record in records})
        shown.append({record["image"].tobytes() for record in records})
    shown.append({record["image"].tobytes() for record in DigitPrompts().split("lessons")})
    assert [len(wordings) for wordings in said] == [20, 20, 20]
    assert sum(map(len, said)) == len(set().union(*said))
    assert sum(map(len, shown)) == len(set().union(*shown))


def test_lessons_have_all_words_and_their_own_pictures():
    assert {wording(record) for record in DigitPrompts().split("lessons")} >= {
        wording(record) for split in SPLITS for record in everything().split(split)
    }
    assert len(wordings("lessons")) == 60
    images, labels = pictures("lessons")
    assert images.shape == (len(labels), 16, 16)
    assert np.bincount(labels).min() > 80


@pytest.mark.parametrize("split", SPLITS)
def test_nothing_comes_twice(split):
    records = DigitPrompts(validation=170).split(split)
    assert len({record["prompt"] for record in records}) == min(len(records), 200)
    assert len({record["image"].tobytes() for record in records}) == len(records)


def test_a_record_is_the_same_whatever_the_sizes_and_another_with_another_seed():
    def plain(records):
        return [
            (record["prompt"], record["label"], record["image"].tobytes()) for record in records
        ]

    small, large, other = (
        DigitPrompts(train=5, test=7, seed=2),
        DigitPrompts(train=300, test=40, seed=2),
        DigitPrompts(seed=3),
    )
    assert plain(small.split("test")) == plain(large.split("test")[:7])
    assert plain(small.split("train")) == plain(large.split("train")[:5])
    assert plain(small.split("test")) != plain(other.split("test")[:7])
    copy = pickle.loads(pickle.dumps(large))
    assert copy == large
    assert plain(copy.split("test")) == plain(large.split("test"))


def test_splits_that_are_not_there():
    assert DigitPrompts().split("validation") is None
    assert DigitPrompts().split("holidays") is None
    assert len(DigitPrompts().split("train")) == 200
    assert len(DigitPrompts().split("test")) == 200


@pytest.mark.parametrize("size", [-1, 90_000])
def test_sizes_that_cannot_be(size):
    with pytest.raises(
        ValueError, match=rf"train: expected a number of prompts from 0 to \d+, got {size}"
    ):
        DigitPrompts(train=size).split("train")
