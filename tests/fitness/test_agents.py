"""Scores of a model that acts: episodes side by side, and the last reward as the score."""

import logging
import pickle
import threading

import numpy as np
import pytest
from tiny_llama import CHAT, TinyLlama, tiny_llama

from fitness.agents import Agents
from fitness.generation import Generator


class Doors:
    """Doors in a row, d + 1 of them for datapoint d: each turn leads through one."""

    def __init__(self):
        self.heard, self.closed = {}, []

    def size(self, split):
        return {"train": 6}.get(split, 0)

    def episode(self, datapoint, split):
        return Walk(self, datapoint)


class Walk:
    def __init__(self, doors, datapoint):
        self.doors, self.datapoint, self.left = doors, datapoint, datapoint + 1

    def reset(self):
        self.doors.heard[self.datapoint] = []
        return f"{self.left} doors > "

    def step(self, action):
        self.doors.heard[self.datapoint].append(action)
        self.left -= 1
        return f"{self.left} left > ", 1 - self.left / (self.datapoint + 1), self.left == 0

    def close(self):
        self.doors.closed.append(self.datapoint)


@pytest.fixture(scope="module")
def llama():
    return tiny_llama(max_position_embeddings=512)


@pytest.fixture
def doors():
    return Doors()


def said(language, prompts, special=True):
    generator = Generator(6, "\n")
    return generator(language, generator.encode(language, prompts, str, special=special))


def agents(doors, **settings):
    return Agents(doors, **{"turns": 4, "max_new_tokens": 6} | settings)


def test_the_score_is_the_last_reward(llama, doors):
    scores = agents(doors)(llama, np.array([5, 0, 3, 1]), "train")
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx([4 / 6, 1, 1, 1])
    assert {datapoint: len(actions) for datapoint, actions in doors.heard.items()} == {
        5: 4,
        0: 1,
        3: 4,
        1: 2,
    }
    assert sorted(doors.closed) == [0, 1, 3, 5]


def test_size(doors):
    assert [agents(doors).size(split) for split in ("train", "test")] == [6, 0]


def test_the_prompt_is_all_that_was_said(llama, doors):
    shown = agents(doors, turns=3).explain(llama, np.array([2]), "train")
    transcript, actions = "3 doors > ", []
    for left in (2, 1, 0):
        actions += said(llama, [transcript])
        transcript += f"{actions[-1]}\n{left} left > "
    assert doors.heard[2] == [action.strip() for action in actions]
    assert shown[0]["prompt"] == "3 doors > "
    assert shown[0]["answer"] == transcript.removeprefix("3 doors > ")
    assert shown[0]["score"] == 1


def test_a_template_surrounds_the_transcript(llama, doors):
    agents(doors, turns=1, template="Walk. {transcript}|")(llama, np.array([1]), "train")
    assert doors.heard[1] == [said(llama, ["Walk. 2 doors > |"])[0].strip()]


@pytest.mark.parametrize("system", [None, "Walk."])
def test_a_chat_alternates_user_and_assistant(doors, system):
    language = tiny_llama(chat=CHAT, max_position_embeddings=512)
    agents(doors, turns=2, chat=True, system=system)(language, np.array([1]), "train")
    begin = "" if system is None else "<|system|>Walk.\n"
    first = said(language, [f"{begin}<|user|>2 doors > \n<|assistant|>"], special=False)[0]
    second = said(
        language,
        [f"{begin}<|user|>2 doors > \n<|assistant|>{first}\n<|user|>1 left > \n<|assistant|>"],
        special=False,
    )[0]
    assert doors.heard[1] == [first.strip(), second.strip()]


def test_the_action_may_be_a_part_of_the_response(llama, doors):
    agents(doors, turns=1, extract="^.(..)")(llama, np.array([1]), "train")
    assert doors.heard[1] == [said(llama, ["2 doors > "])[0][1:3].strip()]


def test_each_turn_is_one_batch_of_those_that_still_play(llama, doors):
    sizes, generate = [], llama.model.generate

    def recorded(input_ids, **kwargs):
        sizes.append(len(input_ids))
        return generate(input_ids=input_ids, **kwargs)

    llama.model.generate = recorded
    try:
        agents(doors, turns=9)(llama, np.array([0, 1, 1, 3, 3, 3]), "train")
    finally:
        del llama.model.generate
    assert sizes == [6, 5, 3, 3]


def test_episodes_side_by_side_answer_as_one_alone_does(llama):
    together, alone = Doors(), Doors()
    agents(together)(llama, np.arange(6), "train")
    for datapoint in range(6):
        agents(alone)(llama, np.array([datapoint]), "train")
    assert together.heard == alone.heard


def test_threads_change_nothing_and_are_many(llama):
    names, few, many = set(), Doors(), Doors()
    waiting = threading.Barrier(3, timeout=300)

    class Waits(Walk):
        def step(self, action):
            names.add(threading.current_thread().name)
            waiting.wait()
            return super().step(action)

    many.episode = lambda datapoint, split: Waits(many, datapoint)
    tile = np.array([3, 4, 5])
    assert (
        agents(many, threads=3)(llama, tile, "train").tolist()
        == agents(few)(llama, tile, "train").tolist()
    )
    assert many.heard == few.heard
    assert len(names) >= 3


def test_an_episode_that_outgrows_the_model_ends_with_its_reward(doors, caplog):
    language = tiny_llama(max_position_embeddings=40)
    made = agents(doors, turns=4)
    with caplog.at_level(logging.WARNING):
        scores = made(language, np.array([3, 0, 4]), "train")
    steps = len(doors.heard[3])
    assert 1 <= steps < 4
    assert scores.tolist() == pytest.approx([steps / 4, 1, len(doors.heard[4]) / 5])
    assert len(caplog.records) == 1
    assert f"datapoint 3 of train ends at turn {steps + 1}" in caplog.text
    made(language, np.array([3]), "train")
    assert len(caplog.records) == 1, "said once"


@pytest.mark.parametrize("reward", [1, True, np.float32(0.5), np.int64(0)])
def test_rewards_may_be_any_numbers(llama, doors, reward):
    doors.episode = lambda datapoint, split: Fixed(("", reward, np.bool_(True)))
    assert agents(doors)(llama, np.array([0]), "train").tolist() == [float(reward)]


class Fixed:
    """Answers each action with the same, from a turn on; `reset` first."""

    def __init__(self, answer, first="go > ", since=1):
        self.answer, self.first, self.since, self.turn = answer, first, since, 0

    def reset(self):
        return self._say(self.first)

    def step(self, action):
        self.turn += 1
        return self._say(self.answer) if self.turn >= self.since else ("on > ", 0.0, False)

    def _say(self, what):
        if isinstance(what, Exception):
            raise what
        return what


@pytest.mark.parametrize(
    "error", [OSError("the server is silent"), TimeoutError("no answer"), MemoryError("full")]
)
@pytest.mark.parametrize("when", ["reset", "step"])
def test_what_the_surroundings_did_stays_what_it_is(llama, doors, error, when):
    doors.episode = lambda datapoint, split: (
        Fixed(error, since=2) if when == "step" else Fixed(None, first=error)
    )
    with pytest.raises(type(error)) as raised:
        agents(doors)(llama, np.array([0]), "train")
    assert raised.value is error


def test_episodes_are_closed_when_one_fails(llama, doors):
    class Fails(Walk):
        def step(self, action):
            raise KeyError("door")

        def close(self):
            super().close()
            raise RuntimeError("stuck")

    doors.episode = lambda datapoint, split: Fails(doors, datapoint)
    with pytest.raises(ValueError, match="datapoint 4 of train, turn 1"):
        agents(doors)(llama, np.array([4, 2]), "train")
    assert doors.closed == [4, 2]


def test_settings_travel(llama):
    made = agents(Doors())
    before = made(llama, np.arange(3), "train")
    copy = pickle.loads(pickle.dumps(made))
    assert not [name for name in vars(copy) if name.startswith("_")]
    assert copy(llama, np.arange(3), "train").tolist() == before.tolist()


def test_memory_that_runs_out_shrinks_a_turn(llama, doors):
    import torch

    class Small:
        def __getattr__(self, name):
            return getattr(llama.model, name)

        def generate(self, input_ids, **kwargs):
            if len(input_ids) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return llama.model.generate(input_ids=input_ids, **kwargs)

    tile = np.array([3, 1, 2, 3])
    small = agents(doors)(TinyLlama(Small(), llama.tokenizer), tile, "train")
    assert small.tolist() == agents(Doors())(llama, tile, "train").tolist()
