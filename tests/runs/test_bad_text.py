"""What users get wrong with text: records, templates, scores, environments and servers.

Each mistake has one clear message.
"""

import json
import re
import socket

import numpy as np
import pytest
from agent_server import Rooms, serving
from tiny_llama import TinyLlama, tiny_llama, tokenizer

from fitness import json_client
from fitness.agents import Agents
from fitness.generation import Generator
from fitness.http_environment import HttpEnvironment
from fitness.matching import AnyOf, gsm8k, numeric
from fitness.questions import QuestionAnswering
from fitness.records import JsonLines, Part
from fitness.webshop import overlap

GOOD = {"question": "1 + 1 =", "answer": "#### 2"}


@pytest.fixture(scope="module")
def llama():
    return tiny_llama()


def refused(error, words, call, *arguments):
    """What is raised is of this class and says this, with all expected parts in one line."""
    with pytest.raises(error) as raised:
        call(*arguments)
    message = str(raised.value)
    assert re.search(words, message), message
    assert "\n" not in message


def records(*lines):
    return "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)


FILES = {
    "no file": (FileNotFoundError, "no file .*train.jsonl$", None, {}),
    "a broken line": (
        ValueError,
        'train.jsonl, line 2: not JSON .*: {"question": "1$',
        records(GOOD, '{"question": "1'),
        {},
    ),
    "two objects on a line": (
        ValueError,
        "line 1: not JSON .Extra data",
        records('{"a": 1} {"a": 2}'),
        {},
    ),
    "no object": (
        ValueError,
        r"line 3: expected an object in braces, got \[1, 2\]",
        records(GOOD, "", [1, 2]),
        {},
    ),
    "one JSON document over many lines": (
        ValueError,
        r"line 1: not JSON",
        "[\n" + records(GOOD) + "]",
        {},
    ),
    "not UTF-8": (ValueError, "line 1: not JSON .*utf-8", b'{"question": "\xff"}\n', {}),
    "a missing field": (
        ValueError,
        (
            r"datapoint 1 of train \(.*train.jsonl, line 3\): template: no field 'question'; "
            r"its fields: query, answer"
        ),
        records(GOOD, "", {"query": "?", "answer": "1"}),
        {},
    ),
    "a missing reference": (
        ValueError,
        r"line 1\): answer: no field 'answer'; its fields: question",
        records({"question": "?"}),
        {},
    ),
    "a record without fields": (ValueError, "no field 'question'; its fields: none", "{}\n", {}),
    "an empty file": (ValueError, "train.jsonl: it has no records", "\n\n", {}),
    "a template with an unknown field": (
        ValueError,
        "template: no field 'qestion'; its fields: question, answer",
        records(GOOD),
        {"template": "{qestion}"},
    ),
    "an attribute in a template": (
        ValueError,
        r"no field 'question\.real'",
        records(GOOD),
        {"template": "{question.real}"},
    ),
    "a list in a template": (
        ValueError,
        (
            r"line 1\): template: question: expected a text or a number, got a list of 2, "
            r"\[.a., .b.\]$"
        ),
        records({"question": ["a", "b"], "answer": "1"}),
        {},
    ),
    "an object in a template": (
        ValueError,
        r'line 1\): template: question: expected a text or a number, got an object, {"a": 1}$',
        records({"question": {"a": 1}, "answer": "1"}),
        {},
    ),
    "null in a template": (
        ValueError,
        r"line 2\): template: question: expected a text or a number, got null$",
        records(GOOD, {"question": None, "answer": "1"}),
        {},
    ),
    "true in a template": (
        ValueError,
        "question: .* got true$",
        records({"question": True, "answer": "1"}),
        {},
    ),
    "NaN in a template": (
        ValueError,
        "question: .* got NaN$",
        records('{"question": NaN, "answer": "1"}'),
        {},
    ),
    "an empty prompt": (
        ValueError,
        r"datapoint 0 of train \(.*, line 1\): template: nothing stands in the field 'question'$",
        records({"question": " \n", "answer": "1"}),
        {"template": "Q: {question}\nA:"},
    ),
    "half a character in a prompt": (
        ValueError,
        (
            r"line 1\): template: question: half a character, '\\ud83d' \(a lone surrogate\), "
            r"stands at place 2 of 'a \\ud83d'$"
        ),
        records({"question": "a \ud83d", "answer": "1"}),
        {},
    ),
    "half a character in a reference": (
        ValueError,
        (
            r"line 2\): answer: half a character, '\\udc00' \(a lone surrogate\), stands at "
            r"place 0 of '\\udc00!'$"
        ),
        records(GOOD, {"question": "?", "answer": "\udc00!"}),
        {},
    ),
    "a key that stands twice": (
        ValueError,
        r"train.jsonl, line 2: not JSON \(an object has the key 'answer' more than once\): ",
        records(GOOD, '{"question": "?", "answer": "1", "answer": "2"}'),
        {},
    ),
    "a line of brackets without an end": (
        ValueError,
        "line 1: not JSON .*recursion",
        "[" * 200_000,
        {},
    ),
    "a list as the reference": (
        ValueError,
        r"datapoint 0 of train \(.*train.jsonl, line 2\): answer: expected a text or a "
        r"whole number as the reference, "
        r'got a list of 2, \["2", "two"\]; where any of several counts, score: {_target_: '
        r"fitness.matching.AnyOf}$",
        records("", {"question": "?", "answer": ["2", "two"]}),
        {},
    ),
    "an object as the reference": (
        ValueError,
        "line 1.: answer: .* got an object",
        records({"question": "?", "answer": {"value": "2"}}),
        {},
    ),
    "null as the reference": (
        ValueError,
        "line 1.: answer: .* got null$",
        records({"question": "?", "answer": None}),
        {},
    ),
    "a decimal compared as text": (
        ValueError,
        "got 0.5; numbers are compared by",
        records({"question": "?", "answer": 0.5}),
        {},
    ),
    "two numbers as the reference": (
        ValueError,
        (
            r"line 1\): answer: expected one plain number \(such as 1,234.5 or -3\) and "
            r"nothing else in the reference, got '3 or 4'$"
        ),
        records({"question": "?", "answer": "3 or 4"}),
        {"score": numeric},
    ),
    "a stop in the reference": (
        ValueError,
        r"line 2\): answer: 'a\\nb' has '\\n' in it, where stop ends each answer$",
        records({"question": "?", "answer": "a\n"}, {"question": "?", "answer": "a\nb"}),
        {"stop": ["x", "\n"]},
    ),
    "null among alternatives": (
        ValueError,
        "line 1.: answer: .* got null$",
        records({"question": "?", "answer": ["2", None]}),
        {"score": AnyOf()},
    ),
    "a text where queries should be": (
        ValueError,
        (
            "line 1.: answer: expected a list of one query or more, each a text with a word "
            "in it, got 'red hat'$"
        ),
        records({"question": "?", "answer": "red hat"}),
        {"score": overlap},
    ),
    "a reference without a number": (
        ValueError,
        r"line 1\): answer: expected a number in the reference, got 'two'",
        records({"question": "?", "answer": "two"}),
        {"score": numeric},
    ),
    "a reference without ####": (
        ValueError,
        r"line 2\): answer: expected '####' and a number at the end of the reference, got '2'",
        records(GOOD, GOOD | {"answer": "2"}),
        {"score": gsm8k},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_records_are_known_to_be_wrong_before_anything_is_generated(tmp_path, name):
    error, words, content, settings = FILES[name]
    if content is not None:
        (tmp_path / "train.jsonl").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    refused(
        error,
        words,
        QuestionAnswering(JsonLines(tmp_path / "train.jsonl"), **settings).size,
        "train",
    )


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"start": 3}, "expected records from 3, it has 3"),
        ({"stop": 4}, "expected records from 0 to 4, it has 3"),
    ],
)
def test_a_part_beyond_its_file(tmp_path, part, words):
    (tmp_path / "train.jsonl").write_text(records(GOOD, GOOD, GOOD))
    refused(ValueError, words, JsonLines(Part(tmp_path / "train.jsonl", **part)).split, "train")


def agents(**settings):
    return lambda: Agents(Env(), **settings)


def questions(**settings):
    return lambda: QuestionAnswering(Two(), **settings)


def server(splits=None, **settings):
    return lambda: HttpEnvironment(
        **{"url": "http://localhost:1", "splits": splits or {"train": (0, 3)}} | settings
    )


class Two:
    """Two questions."""

    def split(self, name):
        return [GOOD, GOOD] if name == "train" else None


class Env:
    """Episodes that go on and on, until the turn in which they do something else."""

    def __init__(self, turn=0, answer=None, first="go > "):
        self.turn, self.answer, self.first = turn, answer, first

    def size(self, split):
        return 3

    def episode(self, datapoint, split):
        return Run(self)


class Run:
    def __init__(self, env):
        self.env, self.turn = env, 0

    def reset(self):
        return said(self.env.first)

    def step(self, action):
        self.turn += 1
        return said(self.env.answer) if self.turn == self.env.turn else ("on > ", 0.5, False)


def said(what):
    if isinstance(what, Exception):
        raise what
    return what


SETTINGS = {
    "half a character in a template": (
        questions(template="{question}\ud83d"),
        r"^template: half a character, '\\ud83d'",
    ),
    "a part that ends before it starts": (
        lambda: Part("x", 3, 3),
        "^stop: expected more than start, 3, got 3",
    ),
    "a part from below 0": (lambda: Part("x", -1), "^start: expected at least 0, got -1"),
    "a broken brace": (
        questions(template="{question"),
        "^template: expected '}' before end of string in '{question'",
    ),
    "a brace that closes nothing": (
        questions(template="{question}}"),
        "^template: Single '}'.*a brace .* is doubled",
    ),
    "a brace with a format": (
        questions(template="{question:>9}"),
        "^template: expected names of fields alone in braces",
    ),
    "a brace without a name": (
        questions(template="{} ="),
        "^template: expected names of fields alone in braces",
    ),
    "a class as a score": (
        questions(score=AnyOf),
        (
            "^score: expected a function or an object, got the class AnyOf; in a config, "
            "{_target_: fitness.matching.AnyOf} makes one$"
        ),
    ),
    "a template without a field": (
        questions(template="question"),
        "^template: expected a field in braces",
    ),
    "a system without a chat": (
        questions(system="Be brief."),
        "^system: a system's message needs chat: true",
    ),
    "an expression that is none": (
        questions(extract="answer is ("),
        r"^extract: not a regular expression \(missing \)",
    ),
    "no new tokens": (questions(max_new_tokens=0), "^max_new_tokens: expected at least 1, got 0"),
    "no batch": (agents(batch=0), "^batch: expected at least 1, got 0"),
    "an empty stop": (agents(stop=["\n", ""]), "^stop: expected texts of at least one character"),
    "no turns": (agents(turns=0), "^turns: expected at least 1, got 0"),
    "no threads": (agents(threads=0), "^threads: expected at least 1, got 0"),
    "a template without a transcript": (
        agents(template="{question}"),
        "^template: expected {transcript} in it once",
    ),
    "a chat with a template": (
        agents(template="Go. {transcript}", chat=True),
        "^template: a chat has none of its own",
    ),
    "an agent's system without a chat": (
        agents(system="Go."),
        "^system: a system's message needs chat: true",
    ),
    "an agent's broken expression": (agents(extract="["), "^extract: not a regular expression"),
    "a url that is none": (
        server(url="localhost:36001"),
        "^url: expected one that begins with http:// or https://, got 'localh",
    ),
    "a split of another name": (
        server({"dev": (0, 2)}),
        "^splits: expected train, test or validation, got 'dev'",
    ),
    "a split that is empty": (
        server({"test": (2, 2)}),
        r"^splits.test: expected a first task .*, got 2, 2",
    ),
    "no time": (server(timeout=0), "^timeout: expected seconds above 0, got 0"),
    "fewer than no retries": (server(retries=-1), "^retries: expected at least 0, got -1"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_out_of_range(name):
    call, words = SETTINGS[name]
    refused(ValueError, words, call)


def raises(error):
    def score(prompt, response, reference):
        raise error

    return score


SCORES = {
    "raises": (raises(KeyError("unit")), "datapoint 1 of train: score raised KeyError: 'unit'"),
    "gives more than 1": (
        lambda *_: 1.5,
        r"datapoint 1 of train: score: expected a number in \[0, 1\], got 1.5",
    ),
    "gives less than 0": (lambda *_: -1, "expected a number .* got -1"),
    "gives NaN": (lambda *_: float("nan"), "expected a number .* got nan"),
    "gives nothing": (lambda *_: None, "expected a number .* got None"),
    "gives text": (lambda *_: "good", "expected a number .* got 'good'"),
    "gives two numbers": (lambda *_: np.array([0.5, 0.5]), r"expected a number .* got array"),
    "takes two arguments": (
        lambda response, reference: 1,
        "score raised TypeError: .*takes 2 positional arguments but 3 were given",
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_that_is_none(llama, name):
    score, words = SCORES[name]
    refused(
        ValueError,
        words,
        QuestionAnswering(Two(), score=score, max_new_tokens=2),
        llama,
        np.array([1, 0]),
        "train",
    )


@pytest.mark.parametrize("error", [OSError("the judge is silent"), MemoryError("full")])
def test_a_score_whose_surroundings_fail(llama, error):
    refused(
        type(error),
        str(error),
        QuestionAnswering(Two(), score=raises(error)),
        llama,
        np.array([0]),
        "train",
    )


@pytest.mark.parametrize("split", ["test", "dev"])
def test_a_split_that_is_missing(llama, split):
    refused(
        ValueError, f"no split '{split}'", QuestionAnswering(Two()), llama, np.array([0]), split
    )


PICKY = "{{ raise_exception('System role not supported') }}"

MODELS = {
    "a prompt that is too long": (
        lambda: tiny_llama(max_position_embeddings=16),
        {"max_new_tokens": 12},
        (
            "datapoint 0 of train: its prompt has 7 tokens and its answer up to 12 "
            ".max_new_tokens., the model has 16 positions"
        ),
    ),
    "a chat without a template": (
        tiny_llama,
        {"chat": True},
        "^chat: the tokenizer has no chat template",
    ),
    "a chat template that refuses": (
        lambda: tiny_llama(chat=PICKY),
        {"chat": True, "system": "Be brief."},
        (
            "^chat: the tokenizer's chat template refuses the roles system, user: System role "
            "not supported"
        ),
    ),
    "a chat template that is broken": (
        lambda: tiny_llama(chat="{% for %}"),
        {"chat": True},
        "^chat: the tokenizer's chat template refuses the roles user",
    ),
    "a prompt without tokens": (
        tiny_llama,
        {"template": "{empty}"},
        "datapoint 0 of train: template: nothing stands in the field 'empty'$",
    ),
    "another model's tokenizer": (
        lambda: TinyLlama(
            tiny_llama().model, tokenizer("".join(map(chr, range(200, 400))) + "1 +=")
        ),
        {},
        "datapoint 0 of train: the tokenizer gives token [0-9]+, the model knows 94",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_cannot_take_the_prompts(name):
    make, settings, words = MODELS[name]

    class Data:
        def split(self, split):
            return [GOOD | {"empty": ""}]

    refused(
        ValueError, words, QuestionAnswering(Data(), **settings), make(), np.array([0]), "train"
    )


def test_a_first_observation_that_is_too_long(llama):
    words = "^datapoint 2 of train: its prompt has 300 tokens and its answer up to 32"
    refused(ValueError, words, Agents(Env(first="x" * 300)), llama, np.array([2]), "train")


ENVIRONMENTS = {
    "raises in its third turn": (
        Env(3, KeyError("cart")),
        "datapoint 2 of train, turn 3: the environment: KeyError: 'cart'",
    ),
    "raises at reset": (
        Env(first=RuntimeError("no shop")),
        "datapoint 2 of train, reset: the environment: RuntimeError: no shop",
    ),
    "shows no text at reset": (
        Env(first=None),
        "datapoint 2 of train, reset: .*expected a text as the observation, got None",
    ),
    "shows no text": (
        Env(2, (b"x", 0.0, False)),
        "datapoint 2 of train, turn 2: .*expected a text as the observation, got b'x'",
    ),
    "shows half a character": (
        Env(2, ("x\ud83d", 0.0, False)),
        r"train, turn 2: the environment: half a character, '\\ud83d'",
    ),
    "rewards above 1": (
        Env(1, ("x", 10, False)),
        r"turn 1: .*expected a reward in \[0, 1\], got 10$",
    ),
    "rewards below 0": (Env(1, ("x", -0.1, False)), "expected a reward .* got -0.1"),
    "rewards with NaN": (Env(1, ("x", float("nan"), True)), "expected a reward .* got nan"),
    "rewards with text": (Env(1, ("x", "0.5", True)), "expected a reward .* got '0.5'"),
    "rewards with nothing": (Env(1, ("x", None, True)), "expected a reward .* got None"),
    "does not say whether it is over": (
        Env(1, ("x", 0.0, None)),
        "expected true or false .* got None",
    ),
    "answers with four things": (
        Env(1, ("x", 0.0, True, {})),
        "expected an observation, a reward and whether it is over, got",
    ),
    "answers with nothing": (
        Env(1, None),
        "turn 1: .*expected an observation, a reward and whether it is over, got None",
    ),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_that_fails(llama, name):
    environment, words = ENVIRONMENTS[name]
    refused(
        ValueError,
        words,
        Agents(environment, turns=4, max_new_tokens=2),
        llama,
        np.array([2]),
        "train",
    )


SERVERS = {
    "garbage": (
        {"step": (200, b"<html>It works!</html>")},
        ValueError,
        "/step: expected an answer in JSON, got <html>It works!",
    ),
    "not UTF-8": ({"step": (200, b"\xff\xfe")}, ValueError, "/step: expected an answer in JSON"),
    "an error of its own": (
        {"step": (500, b"Internal Server Error")},
        OSError,
        "/step: the server failed: 500, Internal Server E",
    ),
    "always busy": ({"create": (503, b"busy")}, OSError, "/create: the server failed: 503, busy"),
    "hanging up": (
        {"step": "hanging up"},
        OSError,
        "/step: the connection broke: RemoteDisconnected",
    ),
    "silence": ({"step": "silence"}, TimeoutError, "/step: no answer in 0.3 seconds"),
    "silence at once": ({"create": "silence"}, TimeoutError, "/create: no answer in 0.3 seconds"),
    "a refusal": (
        {"reset": (422, b'{"detail": "session_id: field required"}')},
        ValueError,
        (
            r'datapoint 1 of train, reset: .*/reset: the server refused {"env_idx": 1, '
            r'"session_id": 1}: 422, .*field required'
        ),
    ),
    "no such path": (
        {"create": (404, b"Not Found")},
        ValueError,
        "/create: the server refused {}: 404, Not Found",
    ),
    "a place that is none": (
        {"create": (200, b'{"name": 1}')},
        ValueError,
        "/create: expected a number, or .* 'env_idx', got None",
    ),
    "a place that is true": (
        {"create": (200, b"true")},
        ValueError,
        "/create: expected a number, .* got True",
    ),
    "no observation at reset": (
        {"reset": (200, b"null")},
        ValueError,
        "/reset: expected an observation, got null",
    ),
    "another field at reset": (
        {"reset": (200, b'{"observation": "x"}')},
        ValueError,
        "/reset: expected an answer with the field 'state', got the fields observation",
    ),
    "no reward": (
        {"step": (200, b'{"state": "x", "done": false}')},
        ValueError,
        "turn 1: .*/step: expected an answer with the field 'reward', got the fields state, done",
    ),
    "a list": (
        {"step": (200, b"[1]")},
        ValueError,
        r"/step: expected an answer with the field 'state', got \[1\]",
    ),
    "a reward of 10": (
        {"step": (200, b'{"state": "x", "reward": 10, "done": true}')},
        ValueError,
        r"datapoint 1 of train, turn 1: the environment: expected a reward in \[0, 1\], got 10",
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_answers_wrongly(llama, name, monkeypatch):
    monkeypatch.setattr(json_client, "PAUSE", 0.001)
    rooms = Rooms()
    rooms.replies, error, words = SERVERS[name]
    with serving(rooms) as url:
        environment = HttpEnvironment(url, {"train": (0, 3)}, timeout=0.3)
        refused(error, words, Agents(environment, max_new_tokens=2), llama, np.array([1]), "train")


def test_a_server_that_is_not_there(llama, monkeypatch):
    monkeypatch.setattr(json_client, "PAUSE", 0.001)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        words = f"^{url}/create: the server cannot be reached: .*refused"
        refused(
            OSError,
            words,
            Agents(HttpEnvironment(url, {"train": (0, 3)})),
            llama,
            np.array([1]),
            "train",
        )


def test_memory_for_no_prompt_at_all(llama):
    import torch

    class Full:
        def __getattr__(self, name):
            return getattr(llama.model, name)

        def generate(self, **kwargs):
            raise torch.OutOfMemoryError("CUDA out of memory")

    fitness = QuestionAnswering(Two(), max_new_tokens=4)
    words = (
        "^there is no memory to answer one prompt of 7 tokens with up to 4 new ones: lower "
        "max_new_tokens"
    )
    refused(
        MemoryError, words, fitness, TinyLlama(Full(), llama.tokenizer), np.array([0, 1]), "train"
    )
    assert Generator().batch == 64
