"""WebShop's goals and queries, from a file of the test's own and from the real one."""

import json

import numpy as np
import pytest
import tiny_llama

from fitness.questions import QuestionAnswering
from fitness.webshop import GoalQueries, bigram_overlap, overlap

GOALS = {
    "i want a red hat": ["red hat", "hat red wool"],
    "find me a table": ["table"],
    "a lamp": ["small lamp"],
}


@pytest.fixture
def goals(tmp_path):
    (tmp_path / "goals.json").write_text(json.dumps(GOALS))
    return tmp_path / "goals.json"


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("red hat", 1.0),
        ("Hat RED", 1.0),
        ("red wool hat", 1.0),
        ("red", 2 / 3),
        ("red red", 0.5),
        ("", 0.0),
        ("blue", 0.0),
    ],
)
def test_overlap_is_with_the_closest_query(response, score):
    assert overlap("", response, GOALS["i want a red hat"]) == pytest.approx(score)


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("red hat", 1.0),
        ("Red  HAT", 1.0),
        ("red wool hat", 4 / 7),  # begins and ends as the first query does
        ("hat red", 4 / 7),  # begins as the second one does
        ("red", 0.4),
        ("wool hat red", 0.25),
        ("", 0.0),
        ("blue", 0.0),
    ],
)
def test_overlap_of_bigrams_is_with_the_closest_query(response, score):
    assert bigram_overlap("", response, GOALS["i want a red hat"]) == pytest.approx(score)


def test_splits_are_parts_of_the_file(goals):
    data = GoalQueries(goals, train=(0, 2), test=(2, 3))
    assert [record["goal"] for record in data.split("train")] == list(GOALS)[:2]
    assert data.split("test") == [{"goal": "a lamp", "queries": ["small lamp"]}]
    assert data.split("validation") is None
    fitness = QuestionAnswering(data, "{goal}\n", "queries", overlap, max_new_tokens=4)
    scores = fitness(tiny_llama.tiny_llama(), np.arange(2), "train")
    assert scores.shape == (2,)


def test_the_real_file(shared):
    data = GoalQueries(
        shared / "data/webshop/goal_query_map.json", train=(0, 1000), test=(1000, 1506)
    )
    assert len(data.split("train")) == 1000
    assert all(
        overlap("", record["queries"][0], record["queries"]) == 1 for record in data.split("test")
    )


@pytest.mark.parametrize(
    ("content", "train", "message"),
    [
        ("{", (0, 1), "expected JSON"),
        ("[]", (0, 1), "expected an object of goals"),
        ("{}", (0, 1), "expected an object of goals"),
        ('{"a": []}', (0, 1), "expected an object of goals"),
        ('{"a": ["b"]}', (0, 2), "train: .* has 1 goals, asked for 0 to 2"),
        ('{"a": ["b"]}', (2, 2), "train: expected a first goal and one behind the last"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path, content, train, message):
    (tmp_path / "goals.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        GoalQueries(tmp_path / "goals.json", train).split("train")


@pytest.mark.parametrize(
    ("goals", "words"),
    [
        (
            {"a": ["b"], "c": [" "]},
            r"goals.json, goal 2\): queries: expected a list of one query or more, "
            r".* got a list of 1",
        ),
        ({"a": ["b", ""]}, r"goal 1\): queries: expected a list"),
        ({" ": ["b"]}, r"goal 1\): template: nothing stands in the field 'goal'"),
        ({"a": ["\ud83d"]}, r"goal 1\): queries: half a character"),
        ({"\ud83d": ["a"]}, r"goal 1\): template: goal: half a character"),
    ],
)
def test_goals_that_nothing_could_be_right_for(tmp_path, goals, words):
    (tmp_path / "goals.json").write_text(json.dumps(goals))
    data = GoalQueries(tmp_path / "goals.json", train=(0, len(goals)))
    with pytest.raises(ValueError, match=words):
        QuestionAnswering(data, "{goal}\n", "queries", overlap).size("train")
