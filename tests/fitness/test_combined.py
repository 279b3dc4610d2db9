"""Several fitnesses side by side."""

import pickle

import numpy as np
import pytest
from whole_runs import DIGITS, small_run

from evomerge.contracts import Watches
from evomerge.datapoints import batched_groups
from fitness.classification import Classification, probability
from fitness.combined import Combined
from fitness.competition import competitive_fitness
from fitness.contracts import ScoresStacks, Showcases, can
from fitness.harness import Harness
from fitness.part_names import names_of
from fitness.questions import QuestionAnswering
from fitness.reasoning_gym import ReasoningGym
from fitness.records import JsonLines
from fitness.verifiers import Verifiers


class Table:
    """Scores read from a table: the model is its row."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, dtype=np.float32)

    def size(self, split):
        return self.scores.shape[1]

    def __call__(self, model, datapoints, split):
        return self.scores[model, datapoints]


class Trained(Table):
    """Has a training split alone."""

    def size(self, split):
        return super().size(split) if split == "train" else 0


def test_parts_of_1319_and_100_datapoints_pull_equally():
    """A member that solves all of one part is as fit as one that solves all of the other."""
    large, small = np.zeros((2, 1319)), np.zeros((2, 100))
    large[0], small[1] = 1, 1
    both = Combined([Table(large), Table(small)])
    datapoints = np.arange(both.size("train"))
    scores = np.stack([both(model, datapoints, "train") for model in (0, 1)])
    weights = both.weights("train")
    assert weights.mean() == pytest.approx(1)
    fitness = competitive_fitness(scores, weights=weights)
    assert fitness[0] == pytest.approx(fitness[1])
    assert scores @ weights == pytest.approx([1419 / 2, 1419 / 2])
    thrice = Combined([Table(large), Table(small)], shares=[3, 1])
    fitness = competitive_fitness(scores, weights=thrice.weights("train"))
    assert fitness[0] == pytest.approx(3 * fitness[1])


def test_each_part_is_a_group_of_datapoints():
    groups = Combined([Table(np.zeros((1, 3))), Table(np.zeros((1, 2)))]).groups("train")
    assert {name: own.tolist() for name, own in groups.items()} == {"0": [0, 1, 2], "1": [3, 4]}


def json_lines(folder, name):
    """A part that reads a file of one record."""
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"question": "1 + 1", "answer": "2"}\n')
    return QuestionAnswering(JsonLines(train=str(file)))


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["sums.jsonl", "sorting_train.jsonl"], ["sums", "sorting"]),
        (["gsm8k/train.jsonl", "mbpp/train.jsonl"], ["gsm8k", "mbpp"]),
        (["pretrain.jsonl", "math.training.jsonl"], ["pretrain", "math"]),
        (["a.jsonl", "b.jsonl", "a.json"], ["0: a", "b", "2: a"]),
        (["7.jsonl", "a.jsonl"], ["0", "a"]),
        (["a.jsonl", "a.json", "0: a.jsonl"], ["0: a", "1: a", "2: 0: a"]),
    ],
)
def test_a_part_is_called_by_its_file(tmp_path, files, names):
    """Not by its place, which says nothing; and no part by the name of another."""
    parts = [json_lines(tmp_path, file) for file in files]
    assert list(Combined(parts).groups("train")) == names


def test_names_of_parts(tmp_path):
    table, file = Table(np.zeros((1, 2))), json_lines(tmp_path, "sums.jsonl")
    parts = [table, file, Harness("arc_easy")]
    assert names_of(parts, None) == ["0", "sums", "arc_easy"]
    games = [
        ReasoningGym("leg_counting"),
        ReasoningGym(["chain_sum", "dice"]),
        Verifiers("capitals", {"train": (0, 1)}),
    ]
    assert names_of(games, None) == ["leg_counting", "1", "capitals"]
    both = Combined([table, file], names=["tables", "additions"])
    assert list(both.groups("train")) == ["tables", "additions"]
    [explained] = Combined([table, table], names=["one", "two"]).explain(0, np.array([3]), "train")
    assert explained == {"part": "two"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "expected 2 different names, one for each fitness, got"),
        ("ab", "got 'ab'"),
        (["a", "a"], "got 'a' more than once"),
        (["a", "1"], "'1' is no name"),
        (["a", " "], "' ' is no name"),
        (["a", 1], "1 is no name"),
    ],
)
def test_wrong_names(names, message):
    table = Table(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=message):
        Combined([table, table], names=names)


class WithTest(Table):
    """Has a test split of one datapoint, on which every model scores 1."""

    name = "tested"

    def size(self, split):
        return {"train": super().size(split), "test": 1}.get(split, 0)

    def __call__(self, model, datapoints, split):
        if split == "test":
            return np.ones(len(datapoints), dtype=np.float32)
        return super().__call__(model, datapoints, split)


def test_what_is_watched_is_in_no_other_split():
    parts = [Table(np.zeros((1, 3))), Table(np.zeros((1, 2)))]
    plain = Combined(parts, shares=[1, 2])
    both = Combined(parts, shares=[1, 2], watched=[WithTest([[0.5] * 4]), Trained([[0.25, 0.75]])])
    assert can(both, Watches)
    assert not can(plain, Watches)
    for split in ("train", "test", "validation"):
        assert both.size(split) == plain.size(split)
        assert np.array_equal(both.weights(split), plain.weights(split))
        groups = {name: own.tolist() for name, own in both.groups(split).items()}
        assert groups == {name: own.tolist() for name, own in plain.groups(split).items()}
    groups = {name: own.tolist() for name, own in both.groups("watched").items()}
    assert groups == {"tested": [0], "3": [1, 2]}
    assert both(0, np.array([2, 0, 1]), "watched").tolist() == [0.75, 1.0, 0.25]


@pytest.mark.parametrize(
    ("watched", "message"),
    [([], "watched: expected at least one"), ([Trained(np.zeros((1, 0)))], "has none")],
)
def test_there_has_to_be_something_to_watch(watched, message):
    with pytest.raises(ValueError, match=message):
        Combined([Table([[0]])], watched=watched).size("watched")


def test_what_a_part_watches_is_refused_as_nobody_would_score_it():
    inner = Combined([Trained([[0.5]])], watched=[WithTest([[0.5]])])
    with pytest.raises(ValueError, match=r"parts\[1\]: it watches something"):
        Combined([Trained([[0.5]]), inner])
    with pytest.raises(ValueError, match=r"watched\[0\]: it watches something"):
        Combined([Trained([[0.5]])], watched=[inner])
    Combined([Combined([Trained([[0.5]])])])


class Batches(Trained):
    """Is read three at a time."""

    batch = 3


def test_what_is_watched_has_batches_of_its_own():
    """Without them a tile cuts each of them where the tile before ended."""
    both = Combined([Trained(np.zeros((1, 5)))], watched=[Batches(np.zeros((1, 6)))] * 2)
    assert both.batches() == {"1": 3, "2": 3}
    groups = batched_groups(both, "watched", 12)
    assert [(name, own.tolist(), batch) for name, own, batch in groups] == [
        ("1", [0, 1, 2, 3, 4, 5], 3),
        ("2", [6, 7, 8, 9, 10, 11], 3),
    ]


@pytest.mark.parametrize("outside", [-1, 5])
def test_a_datapoint_that_is_no_parts_has_no_score(outside):
    both = Combined([Table(np.ones((1, 3))), Table(np.ones((1, 2)))])
    with pytest.raises(IndexError, match=f"train: expected datapoints from 0 to 4, got {outside}"):
        both(0, np.array([0, outside]), "train")


def test_any_order_of_datapoints_finds_its_part():
    tables = [np.random.default_rng(i).random((1, size)) for i, size in enumerate((5, 1, 7))]
    both = Combined([Table(table) for table in tables])
    order = np.random.default_rng(9).permutation(13)
    assert both(0, order, "train") == pytest.approx(np.concatenate(tables, axis=1)[0][order])


def test_stacks_only_where_every_part_can():
    images = Classification(DIGITS)
    assert hasattr(Combined([images, images]), "score_many")
    assert not hasattr(Combined([images, Table(np.zeros((1, 2)))]), "score_many")


def test_a_run_with_two_fitnesses(tmp_path):
    both = Combined([Classification(DIGITS), Classification(DIGITS, probability)], shares=[1, 2])
    archive = small_run(tmp_path / "run", births=30, fitness=both, lookahead=2, stack=2)
    assert archive.scores.shape[1] == 2 * 1437
    assert archive.competition.weights.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(([],), "at least one"), (([Table([[0]])], [1, 2]), "1 numbers above 0")],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Combined(*arguments)


class Shown(Table):
    """Has datapoints that a report shows for one member beside another."""

    def showcase(self, split):
        return np.arange(2)


def test_what_parts_show_is_shown():
    parts = [Table(np.zeros((1, 3))), Shown(np.zeros((1, 4))), Shown(np.zeros((1, 5)))]
    assert Combined(parts).showcase("train").tolist() == [3, 4, 7, 8]
    assert not hasattr(Combined(parts[:1]), "showcase")


def test_what_its_parts_cannot_do_it_does_not_claim():
    """Nor does one in another: Python asks the class first, and takes a property for a method."""
    images, table = Classification(DIGITS), Table(np.zeros((1, 2)))
    shown = Shown(np.zeros((1, 4)))
    for parts, stacks, showing in ([images], True, False), ([table, shown], False, True):
        both = Combined([Combined(parts)])
        again = pickle.loads(pickle.dumps(both))
        for one in both, again:
            assert can(one, ScoresStacks) is stacks
            assert can(one, Showcases) is showing
    assert again.showcase("train").tolist() == [2, 3]
    assert again.showcase.__self__ is again
