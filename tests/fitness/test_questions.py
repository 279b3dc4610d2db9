"""Scores of answers to questions: prompts from records, and what a response is worth."""

import json
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from tiny_llama import CHAT, tiny_llama

from fitness.generation import Generator
from fitness.matching import exact, gsm8k, numbers, numeric
from fitness.questions import QuestionAnswering
from fitness.records import JsonLines, Part
from fitness.responses import extracted


@dataclass(frozen=True)
class Sums:
    """Four sums, and two of them as the test split."""

    fields: tuple = ("question", "answer")

    def split(self, name):
        count = {"train": 4, "test": 2}.get(name)
        return (
            None
            if count is None
            else [
                dict(zip(self.fields, (f"{i} + {i} =", str(2 * i)), strict=True))
                for i in range(count)
            ]
        )


@pytest.fixture(scope="module")
def llama():
    return tiny_llama()


def said(language, prompts, special=True, **settings):
    generator = Generator(**settings)
    return generator(language, generator.encode(language, prompts, str, special=special))


PROMPTS = [f"Q: {i} + {i} =\nA: " for i in range(4)]


def fitness(**settings):
    return QuestionAnswering(Sums(), "Q: {question}\nA: ", **{"max_new_tokens": 8} | settings)


def test_size():
    assert [fitness().size(split) for split in ("train", "test", "validation")] == [4, 2, 0]


def test_a_score_is_what_the_function_says_of_prompt_response_and_reference(llama):
    heard = []

    def score(*arguments):
        heard.append(arguments)
        return len(heard) / 10

    scores = fitness(score=score)(llama, np.array([3, 0, 2]), "train")
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx([0.1, 0.2, 0.3])
    responses = said(llama, [PROMPTS[i] for i in (3, 0, 2)], max_new_tokens=8)
    assert heard == [
        (PROMPTS[i], response, str(2 * i)) for i, response in zip((3, 0, 2), responses, strict=True)
    ]


@pytest.mark.parametrize("score", [exact, numeric])
def test_right_answers_score_one(llama, score):
    """The references are made from what the model answers, but for one."""
    answers = said(llama, PROMPTS, max_new_tokens=8)

    class Known(Sums):
        def split(self, name):
            whole = [f" {i}{answers[i]}9 " for i in range(4)]
            references = [str(numbers(text)[-1]) for text in whole] if score is numeric else whole
            references[1] = "2"
            return [{"question": f"{i} + {i} =", "answer": references[i]} for i in range(4)]

    def told(prompt, response, reference):
        return score(prompt, f"{PROMPTS.index(prompt)}{response}9", reference)

    assert QuestionAnswering(Known(), "Q: {question}\nA: ", score=told, max_new_tokens=8)(
        llama, np.arange(4), "train"
    ).tolist() == [1, 0, 1, 1]


def test_what_counts_is_the_last_match_of_the_expression(llama):
    heard = []
    free = said(llama, [PROMPTS[0]], max_new_tokens=8)[0]
    for extract in ("(.)(.)$", "^..", "nowhere"):
        fitness(extract=extract, score=lambda _p, response, _r: heard.append(response) or 0)(
            llama, np.array([0]), "train"
        )
    assert heard == [free[-2], free[:2], ""]
    assert extracted("answer is 3, no: answer is 4", r"answer is (\w)") == "4"
    assert extracted("a\nb", "a.b") == "a\nb"
    assert extracted("b", "(a)?b") == ""


def test_explain(llama):
    shown = fitness(score=lambda prompt, response, reference: float(reference == "4")).explain(
        llama, np.array([2, 1]), "train"
    )
    responses = said(llama, [PROMPTS[2], PROMPTS[1]], max_new_tokens=8)
    assert shown == [
        {"prompt": PROMPTS[2], "expected": "4", "answer": responses[0], "score": 1},
        {"prompt": PROMPTS[1], "expected": "2", "answer": responses[1], "score": 0},
    ]
    assert json.dumps(shown)


def test_settings_of_generation_are_handed_on(llama):
    stop = said(llama, [PROMPTS[0]], max_new_tokens=5)[0][2]
    shown = fitness(max_new_tokens=5, stop=stop, batch=2).explain(llama, np.arange(4), "train")
    assert [entry["answer"] for entry in shown] == said(
        llama, PROMPTS, max_new_tokens=5, stop=stop, batch=2
    )
    assert len(shown[0]["answer"]) == 2


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_a_chat_is_written_by_the_template_and_nothing_is_added(system):
    language = tiny_llama(chat=CHAT)
    shown = fitness(chat=True, system=system).explain(language, np.array([1]), "train")
    first = "" if system is None else "<|system|>Be brief.\n"
    text = f"{first}<|user|>{PROMPTS[1]}\n<|assistant|>"
    assert shown[0]["answer"] == said(language, [text], special=False, max_new_tokens=8)[0]
    assert shown[0]["prompt"] == PROMPTS[1]


@pytest.mark.parametrize("chat", [False, True])
def test_a_token_at_the_start_is_the_tokenizers_or_the_templates(chat):
    language = tiny_llama(chat="<s>{{ messages[0].content }}", begin=True)
    heard, generate = [], language.model.generate

    def recorded(input_ids, **kwargs):
        heard.extend(input_ids.tolist())
        return generate(input_ids=input_ids, **kwargs)

    language.model.generate = recorded
    fitness(chat=chat)(language, np.array([1]), "train")
    assert heard == [[1, *language.tokenizer(PROMPTS[1], add_special_tokens=False)["input_ids"]]]


def test_prompts_are_tokenized_once_for_a_tokenizer(llama):
    asked = []

    class Counting:
        tokenizer = llama.tokenizer
        model = llama.model

        def __call__(self, *args, **kwargs):
            asked.append(args)
            return llama.tokenizer(*args, **kwargs)

        def __getattr__(self, name):
            return getattr(llama.tokenizer, name)

        def __len__(self):
            return len(llama.tokenizer)

    first, second = (type(llama)(llama.model, Counting()) for _ in range(2))
    made = fitness()
    for tile in ([0, 1], [2, 3], [0, 1]):
        made(first, np.array(tile), "train")
    assert len(asked) == 1
    made(first, np.array([0]), "test")
    assert len(asked) == 2
    made(second, np.array([0]), "test")
    assert len(asked) == 3


def test_datapoints_are_the_same_in_any_array(llama):
    made = fitness(score=lambda prompt, _response, _reference: float(prompt == PROMPTS[1]))
    assert made(llama, np.array([0, 1]), "train").tolist() == [0, 1]
    assert made(llama, np.array([1, 0], dtype=np.int32), "train").tolist() == [1, 0]


def test_settings_travel_and_prompts_do_not(llama):
    made = QuestionAnswering(Sums(), score=numeric, max_new_tokens=4)
    before = made(llama, np.arange(2), "train")
    copy = pickle.loads(pickle.dumps(made))
    assert not [name for name in vars(copy) if name.startswith("_")]
    assert copy(llama, np.arange(2), "train").tolist() == before.tolist()


def test_braces_of_the_records_are_left_alone(llama):
    class Braces(Sums):
        def split(self, name):
            return [{"question": "{x} {", "answer": "x"}]

    shown = QuestionAnswering(Braces(), "{{{question}}}", max_new_tokens=1).explain(
        llama, np.array([0]), "train"
    )
    assert shown[0]["prompt"] == "{{x} {}"


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_json_lines(tmp_path):
    train = lines(tmp_path / "train.jsonl", [{"q": i} for i in range(10)])
    data = JsonLines(Part(train, stop=4), test=train, validation=Part(train, 7))
    assert [record["q"] for record in data.split("train")] == [0, 1, 2, 3]
    assert [record["q"] for record in data.split("validation")] == [7, 8, 9]
    assert len(data.split("test")) == 10
    assert JsonLines(train).split("test") is None
    assert data.where(1, "validation") == f"{train}, line 9"


def test_lines_that_are_empty_do_not_count(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes('\ufeff{"q": "é\u2028"}\r\n\r\n{"q": 2}'.encode())
    data = JsonLines(path)
    assert [record["q"] for record in data.split("train")] == ["é\u2028", 2]
    assert data.where(1, "train") == f"{path}, line 3"


def test_gsm8k_from_files(tmp_path, llama):
    records = [
        {"question": f"What is {i} plus 1?", "answer": f"{i} + 1 = {i + 1}\n#### {i + 1}"}
        for i in range(5)
    ]
    data = JsonLines(
        Part(lines(tmp_path / "train.jsonl", records), stop=3), test=tmp_path / "train.jsonl"
    )
    made = QuestionAnswering(data, score=gsm8k, max_new_tokens=4)
    assert (made.size("train"), made.size("test")) == (3, 5)
    assert made(llama, np.arange(3), "train").tolist() == [0, 0, 0]


def test_a_config_names_it_all(tmp_path):
    """As YAML does: paths as texts, parts as mappings, functions by import path."""
    from evomerge.config.calls import build, describe

    lines(tmp_path / "train.jsonl", [{"question": "1", "answer": "#### 1"}] * 3)
    given = {
        "data": {
            "_target_": "fitness.records.JsonLines",
            "train": {"path": str(tmp_path / "train.jsonl"), "stop": 2},
            "test": str(tmp_path / "train.jsonl"),
        },
        "score": "fitness.matching.gsm8k",
        "stop": ["\n", "Q:"],
    }
    made = QuestionAnswering(**build(given, QuestionAnswering))
    assert made.score is gsm8k
    assert [made.size("train"), made.size("test")] == [2, 3]
    again = describe(fitness=made)["fitness"]
    assert again["score"] == "fitness.matching.gsm8k"
    assert again["stop"] == ["\n", "Q:"]


@pytest.mark.parametrize(
    "score", [{}, {"score": "fitness.matching.numeric"}, {"score": "fitness.matching.exact"}]
)
def test_a_config_says_that_any_of_several_references_counts(tmp_path, score):
    from evomerge.config.calls import build, describe

    lines(tmp_path / "train.jsonl", [{"question": "1", "answer": ["1", "1.0"]}])
    data = {"_target_": "fitness.records.JsonLines", "train": str(tmp_path / "train.jsonl")}
    given = {"data": data, "score": {"_target_": "fitness.matching.AnyOf"} | score}
    made = QuestionAnswering(**build(given, QuestionAnswering))
    assert made.size("train") == 1
    assert [made._score(0, response, "train") for response in ("1.0", "1", "2")] == [1, 1, 0]
    again = describe(fitness=made)["fitness"]["score"]
    assert (
        again == {"_target_": "fitness.matching.AnyOf", "score": "fitness.matching.exact"} | score
    )
    assert pickle.loads(pickle.dumps(made)).size("train") == 1


def test_numbers_and_empty_fields_have_a_place_in_a_prompt_beside_others(tmp_path, llama):
    records = [
        {"a": 1, "b": "", "c": 2.5, "other": float("nan"), "answer": 4},
        {"a": "x", "b": "y", "c": 0, "answer": "z"},
    ]
    data = JsonLines(lines(tmp_path / "train.jsonl", records))
    shown = QuestionAnswering(data, "{a}|{b}|{c}", max_new_tokens=1).explain(
        llama, np.arange(2), "train"
    )
    assert [entry["prompt"] for entry in shown] == ["1||2.5", "x|y|0"]
