"""Questions that are made up: right answers, and no question in two splits."""

import pickle

import pytest

from fitness.skills import LENGTH, WORDS_TO_SORT, Arithmetic, Sorting, Sums, WordSorting

SKILLS = (Arithmetic, Sorting, Sums, WordSorting)
SPLITS = ("lessons", "train", "validation", "test")


def right(question):
    if question.startswith("sort "):
        return " ".join(sorted(question.split()[1:]))
    if question.startswith("Sort these words: "):
        return " ".join(sorted(question.removeprefix("Sort these words: ").split()))
    a, sign, b = question.removeprefix("What is ").removesuffix("?").split()
    return str(int(a) + int(b) if sign == "+" else int(a) - int(b))


@pytest.mark.parametrize("skill", SKILLS)
def test_answers_are_right(skill):
    data = skill(train=1500, test=2000, validation=300)
    for split in SPLITS:
        for record in data.split(split):
            assert record.keys() == {"question", "answer"}
            assert record["answer"] == right(record["question"])


def test_what_is_asked():
    signs = [record["question"].split()[1] for record in Arithmetic().split("test")]
    assert 0.2 < signs.count("-") / len(signs) < 0.5
    assert not any(record["answer"].startswith("-") for record in Arithmetic().split("lessons"))
    assert all(len(set(record["answer"].split())) == LENGTH for record in Sorting().split("test"))
    for record in WordSorting().split("test"):
        assert len(set(record["answer"].split())) == WORDS_TO_SORT
    assert {len(record["answer"]) for record in Sums().split("test")} == {2, 3}


@pytest.mark.parametrize("skill", SKILLS)
def test_no_question_twice_and_none_in_two_splits_even_of_other_seeds(skill):
    asked = []
    for split in SPLITS:
        mine, theirs = (
            [
                record["question"]
                for record in skill(validation=300, train=1500, seed=seed).split(split)
            ]
            for seed in (0, 1)
        )
        assert len(set(mine)) == len(mine)
        assert mine != theirs
        asked.append({*mine, *theirs})
    assert sum(map(len, asked)) == len(set().union(*asked))


@pytest.mark.parametrize("skill", SKILLS)
def test_a_record_is_the_same_whatever_the_sizes(skill):
    small, large = skill(train=5, test=7, seed=2), skill(train=900, test=1500, validation=3, seed=2)
    assert list(small.split("test")) == list(large.split("test")[:7])
    assert list(small.split("train")) == list(large.split("train")[:5])
    assert list(small.split("lessons")) == list(large.split("lessons"))


@pytest.mark.parametrize("skill", SKILLS)
def test_splits_that_are_not_there(skill):
    assert skill(validation=0).split("validation") is None
    assert skill().split("holidays") is None
    assert len(skill().split("train")) == 500
    assert len(skill().split("test")) == 2000


@pytest.mark.parametrize(("size", "shown"), [(-1, "-1"), (90_000, "90000")])
@pytest.mark.parametrize("skill", SKILLS)
def test_sizes_that_cannot_be(skill, size, shown):
    with pytest.raises(ValueError, match=rf"train: expected .* from 0 to \d+, got {shown}"):
        skill(train=size).split("train")


@pytest.mark.parametrize("skill", SKILLS)
def test_settings_travel(skill):
    data = skill(train=3, seed=5)
    copy = pickle.loads(pickle.dumps(data))
    assert copy == data
    assert list(copy.split("train")) == list(data.split("train"))
