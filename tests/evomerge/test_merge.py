"""What `evomerge merge` takes for granted of files and tasks, and what it refuses to guess."""

import pytest

from evomerge.merge.fields import fields_of
from evomerge.merge.reading import Division
from evomerge.merge.scores import score_of, stops
from evomerge.merge.tasks import chosen


@pytest.mark.parametrize(
    ("record", "template", "answer"),
    [
        ({"question": "a", "answer": "b"}, "Question: {question}\nAnswer:", "answer"),
        ({"id": 3, "prompt": "a", "completion": "b"}, "{prompt}", "completion"),
        ({"prompt": "a", "response": "b"}, "{prompt}", "response"),
        ({"input": "a", "output": "b"}, "Input: {input}\nOutput:", "output"),
        ({"question": "a", "context": "c", "answer": "b"}, "{context}\n\nQuestion: {question}\nAnswer:", "answer"),
        ({"question": "a", "answers": ["b", "c"]}, "Question: {question}\nAnswer:", "answers"),
        ({"problem": "a", "solution": "b"}, "Problem: {problem}\nSolution:", "solution"),
    ],
)  # fmt: skip
def test_fields_of_the_usual_kinds(record, template, answer):
    fields = fields_of([record, record], None, None)
    assert (fields.template(chat=False), fields.answer) == (template, answer)


def test_what_is_asked_about_is_left_out_where_there_is_never_any():
    empty = {"instruction": "Add.", "input": "", "output": "2"}
    assert fields_of([empty], None, None).template(chat=True) == "{instruction}"
    fields = fields_of([empty, {**empty, "input": "1 1"}], None, None)
    assert fields.template(chat=True) == "{instruction}\n\n{input}"
    assert "### Input:\n{input}\n" in fields.template(chat=False)


def test_what_is_asked_about_is_not_lost_where_the_first_record_has_none():
    first, second = {"instruction": "Add.", "input": None}, {"instruction": "Add.", "input": "1 1"}
    records = [{**first, "output": "2"}, {**second, "output": "2"}]
    assert fields_of(records, None, None).beside == "input"
    assert fields_of(records[:1], None, None).beside is None
    del records[0]["input"]
    with pytest.raises(ValueError, match=r"asked about input, which 1 of 2 records have; give all"):
        fields_of(records, None, None)
    assert fields_of(records, "{instruction}", None).answer == "output"
    numbers = [{"instruction": "Double.", "input": 0, "output": 0}]
    assert fields_of(numbers, None, None).beside == "input"
    with pytest.raises(ValueError, match=r"^question may be asked about context, which is no text"):
        fields_of([{"question": "a", "context": ["b"], "answer": "c"}], None, None)


def test_what_the_user_says_goes_before():
    record = {"question": "a", "prompt": "b", "answer": "c", "output": "d"}
    fields = fields_of([record], "{prompt} -> ", "output")
    assert (fields.question, fields.answer) == (None, "output")
    assert fields_of([{"output": "a", "answer": "b"}], "{output}", None).answer == "answer"


@pytest.mark.parametrize(
    ("records", "template", "said"),
    [
        ([{"question": "a", "prompt": "b", "answer": "c"}], None, "the question may be in question or in prompt"),
        ([{"text": "a", "answer": "c"}], None, "no field is known to be the question; its fields: text, answer; say it with --template"),
        ([{"question": "a", "answer": "b", "solution": "c"}], None, "the answer may be in answer or in solution; say it with --answer"),
        ([{"question": "a", "label": 1}], None, "no field is known to be the answer"),
        ([{"question": "a", "answer": "b"}, {"answer": "b"}], None, "its fields: answer"),
        ([{"question": ["a"], "answer": "b"}], None, "no field is known to be the question"),
        ([{"a": 1}, {"b": 1}], "{a}", "its fields: none that all records have"),
    ],
)  # fmt: skip
def test_what_cannot_be_known_is_not_guessed(records, template, said):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        fields_of(records, template, None)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("references", "path", "several"),
    [
        (["4", "four"], "exact", False),
        ([4, 5], "exact", False),
        ([4, 5.5], "numeric", False),
        (["2 + 2 = 4 #### 4", "#### 1,000"], "gsm8k", False),
        (["2 + 2 = 4 #### 4", "5"], "exact", False),
        ([["a", "b"], ["c"]], "exact", True),
        ([[1.5]], "numeric", True),
    ],
)
def test_a_score_is_what_the_references_ask_for(references, path, several):
    score = score_of(references, None)
    assert (score.path, score.several) == (f"fitness.matching.{path}", several)


def test_a_score_that_is_none_is_refused():
    assert score_of(["a"], "builtins.max").path == "builtins.max"
    with pytest.raises(ValueError, match=r"^--score: .*got 'exat'; did you mean 'exact'\?$"):
        score_of(["a"], "exat")
    with pytest.raises(ValueError, match=r"^--score: fitness.matching has no 'exat'"):
        score_of(["a"], "fitness.matching.exat")


def test_an_answer_ends_where_a_right_one_must_have_ended():
    exact, worked_out = score_of(["a"], None), score_of(["#### 1"], None)
    assert stops(["a ", 3], exact, "{prompt}") == ["\n"]
    assert stops(["a\nb"], exact, "Question: {question}\nAnswer:") == ["\nQuestion:"]
    assert stops(["a\nb"], exact, "{prompt}") == []
    assert stops(["#### 1"], worked_out, "Question: {question}") == ["\nQuestion:"]


@pytest.mark.parametrize(
    ("count", "limit", "train", "test"),
    [
        (10, None, range(8), range(8, 10)),
        (10, 1, range(1), range(8, 9)),
        (2, None, range(1), range(1, 2)),
        (3, None, range(2), range(2, 3)),
        (10**6, 5, range(5), range(800_000, 800_005)),
    ],
)
def test_a_file_is_divided_in_its_own_order(count, limit, train, test):
    assert Division(0.8, limit).halves(count) == (train, test)


def test_one_record_cannot_be_divided():
    with pytest.raises(ValueError, match="expected two or more to divide into train and test"):
        Division(0.8).halves(1)
    assert Division(0.01).halves(2) == (range(1), range(1, 2))


@pytest.mark.parametrize(
    ("parts", "sizes", "train", "test"),
    [
        ({"training": "train", "validation": "dev", "test": "test"}, (9, 5, 7), ("validation", range(5)), ("test", range(7))),
        ({"training": "train", "validation": "dev"}, (900, 5), ("training", range(500)), ("validation", range(5))),
        ({"validation": "dev"}, (10,), ("validation", range(8)), ("validation", range(8, 10))),
        # two names of one split of the data set
        ({"validation": "all", "test": "all"}, (10, 10), ("test", range(8)), ("test", range(8, 10))),
        ({"training": "train", "test": "test"}, (9, 0), ("training", range(7)), ("training", range(7, 9))),
    ],
)  # fmt: skip
def test_a_task_is_not_trained_on_what_it_is_tested_on(parts, sizes, train, test):
    counts = dict(zip(parts, sizes, strict=True))
    assert chosen(parts, counts, Division(0.8)) == (train, test)
    small = chosen(parts, counts, Division(0.8, 1))
    assert [len(places) for _, places in small] == [1, 1]
    with pytest.raises(ValueError, match="has no documents"):
        chosen(parts, dict.fromkeys(parts, 0), Division(0.8))
