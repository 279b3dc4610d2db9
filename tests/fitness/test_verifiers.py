"""Environments of verifiers: our model plays them, in rounds, and their own rewards are the scores."""

import json
import logging
import pickle
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from tiny_llama import CHAT, tiny_llama

from evomerge.testing import check_fitness
from fitness.generation import Generator, chat_prompt
from fitness.verifiers import Verifiers
from fitness.verifiers_desk import Desk

vf = pytest.importorskip(
    "verifiers.v1", reason="verifiers is not installed: pip install '.[verifiers]'"
)

ONE_TURN = """
import verifiers.v1 as vf


class Data(vf.TaskData):
    letter: str


class Letters(vf.Task[Data, vf.State, vf.TaskConfig]):
    @vf.reward(weight=0.75)
    async def has_it(self, trace) -> float:
        return float(self.data.letter in trace.last_reply)

    @vf.reward(weight=0.25)
    async def brief(self, trace) -> float:
        return 1 / (1 + len(trace.last_reply))


class Config(vf.TasksetConfig):
    tasks: int = 8


class OneTurn(vf.Taskset[Letters, Config]):
    def load(self):
        for number in range(self.config.tasks):
            data = Data(prompt=f"Say {number}!", letter="#", system_prompt="Be brief.")
            yield Letters(data, self.config.task)


__all__ = ["OneTurn"]
"""

# what is said second depends on what was answered first; some episodes dawdle
MANY_TURNS = """
import asyncio

import verifiers.v1 as vf

DELAYS = [0.0]


class Talk(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    pass


class EnvConfig(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig()


class Talks(vf.Env[EnvConfig]):
    async def run(self, task, agents):
        number = task.data.idx
        async with agents.player.interaction(task) as talk:
            said = await talk.turn()
            # every third is over after one turn
            for turn in range(0 if number % 3 == 0 else 2):
                await asyncio.sleep(DELAYS[number % len(DELAYS)])
                said = await talk.turn(f"Not {said.last_reply}")
        talk.trace.record_reward("length", len(said.last_reply) / 10, 2.0)


class ManyTurns(vf.Taskset[Talk, vf.TasksetConfig]):
    def load(self):
        for number in range(40):
            yield Talk(vf.TaskData(prompt=f"Begin {number}"), self.config.task)


__all__ = ["ManyTurns", "Talks"]
"""

# waits for a word that no model says; notes of each answer whether it was cut
PATIENT = """
import asyncio

import verifiers.v1 as vf

CUT = []


class Talk(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    @vf.reward
    async def whole(self, trace) -> float:
        CUT.append(trace.is_truncated)
        return 0.0


class EnvConfig(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig()


class Talks(vf.Env[EnvConfig]):
    async def run(self, task, agents):
        async with agents.player.interaction(task) as talk:
            said = await talk.turn()
            while task.data.idx and "please" not in said.last_reply:
                said = await talk.turn("Please?")


class Patient(vf.Taskset[Talk, vf.TasksetConfig]):
    def load(self):
        for number in range(2):
            yield Talk(vf.TaskData(prompt="Go"), self.config.task)


__all__ = ["Patient", "Talks"]
"""

BROKEN = """
import verifiers.v1 as vf


class Pair(vf.EnvConfig):
    one: vf.AgentConfig = vf.AgentConfig()
    other: vf.AgentConfig = vf.AgentConfig()


class Two(vf.Env[Pair]):
    async def run(self, task, agents):
        await agents.one.run(task)


class Sad(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    @vf.reward
    async def broken(self, trace) -> float:
        if self.data.idx == 1:
            raise KeyError("gone")
        return -1.0


class Broken(vf.Taskset[Sad, vf.TasksetConfig]):
    def load(self):
        for number in range(3):
            yield Sad(vf.TaskData(prompt="Go"), self.config.task)


__all__ = ["Broken"]
"""

TOOLS = """
import verifiers.v1 as vf


class Add(vf.Toolset):
    @vf.tool
    def add(self, a: int, b: int) -> int:
        "The sum."
        return a + b


class Sum(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    @classmethod
    def toolsets(cls, config):
        return [Add(vf.ToolsetConfig())]


class Tools(vf.Taskset[Sum, vf.TasksetConfig]):
    def load(self):
        yield Sum(vf.TaskData(prompt="Go"), self.config.task)


__all__ = ["Tools"]
"""


@pytest.fixture(scope="module", autouse=True)
def packages(tmp_path_factory):
    """Environments as a user has them: modules on the path."""
    folder = tmp_path_factory.mktemp("environments")
    (folder / "one_turn.py").write_text(ONE_TURN)
    (folder / "many_turns.py").write_text(MANY_TURNS)
    (folder / "patient.py").write_text(PATIENT)
    (folder / "broken.py").write_text(BROKEN)
    (folder / "tools.py").write_text(TOOLS)
    pair = BROKEN.replace('__all__ = ["Broken"]', '__all__ = ["Broken", "Two"]')
    (folder / "pair.py").write_text(pair)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def llama():
    return tiny_llama(chat=CHAT)


def said(language, conversations, **settings):
    """What the model itself says next in each of these conversations."""
    generator = Generator(**settings)
    prompts = [chat_prompt(language.tokenizer, messages) for messages in conversations]
    return generator(language, generator.encode(language, prompts, str, special=False))


def user(text):
    return {"role": "user", "content": text}


def test_a_score_is_the_environments_own_reward(llama):
    fitness = Verifiers("one_turn", {"train": (0, 5), "test": (5, 8)}, max_new_tokens=6, batch=4)
    assert [fitness.size(split) for split in ("train", "test", "validation")] == [5, 3, 0]
    system = {"role": "system", "content": "Be brief."}
    conversations = [[system, user(f"Say {number}!")] for number in range(5)]
    expected = []
    for answer in said(llama, conversations, max_new_tokens=6, batch=4):
        reply = answer.strip()
        expected.append(0.75 * ("#" in reply) + 0.25 / (1 + len(reply)))
    scores = fitness(llama, np.arange(5), "train")
    assert scores.dtype == np.float32
    assert scores == pytest.approx(expected)
    assert len(set(expected)) > 1
    assert fitness(llama, np.array([3, 1]), "train") == pytest.approx([expected[3], expected[1]])
    [entry] = fitness.explain(llama, np.array([2]), "test")
    assert entry["prompt"] == "Say 7!"
    assert entry["score"] == pytest.approx(fitness(llama, np.array([2]), "test")[0])
    assert json.loads(json.dumps(entry)) == entry


def test_an_episode_of_many_turns(llama, caplog):
    caplog.set_level(logging.INFO)
    fitness = Verifiers("many_turns", {"train": (0, 4)}, most=2, max_new_tokens=4)
    expected = []
    for number in range(4):
        conversation = [user(f"Begin {number}")]
        for _ in range(1 if number % 3 == 0 else 3):
            [answer] = said(llama, [conversation], max_new_tokens=4)
            conversation.append({"role": "assistant", "content": answer})
            conversation.append(user(f"Not {answer.strip()}"))
        expected.append(len(answer.strip()) / 10)
    assert fitness(llama, np.arange(4), "train") == pytest.approx(expected)
    assert caplog.records == [], "requests and episodes are no news"
    [entry] = fitness.explain(llama, np.array([1]), "train")
    assert entry["expected"] == "a reward of 2"
    assert len(entry["answer"].split("\n")) >= 3


@pytest.mark.whole
def test_who_is_asked_together_does_not_depend_on_who_is_faster(llama):
    fitness = Verifiers("many_turns", {"train": (0, 40)}, most=2, max_new_tokens=3)
    asked = []
    answer = fitness._answer
    fitness._answer = lambda language, rounds: asked.append(rounds) or answer(language, rounds)
    rounds = []
    assert fitness.size("train") == 40
    for delays in ([0.0], [0.2, 0.0, 0.05], [0.0, 0.1]):
        sys.modules["many_turns"].DELAYS = delays
        fitness(llama, np.arange(40), "train")
        rounds.append(list(asked))
        asked.clear()
    assert [len(conversations) for conversations in rounds[0]] == [40, 26, 26]
    assert rounds[0] == rounds[1] == rounds[2]


def test_a_conversation_that_outgrows_the_model_ends_with_nothing(caplog):
    small = tiny_llama(chat=CHAT)
    small.model.config.max_position_embeddings = 50
    fitness = Verifiers("many_turns", {"train": (0, 3)}, most=2, max_new_tokens=8)
    with caplog.at_level(logging.WARNING):
        scores = fitness(small, np.arange(3), "train")
        fitness(small, np.arange(3), "train")
    assert scores[0] > 0
    assert scores[1:].tolist() == [0, 0]
    assert [record.message[:50] for record in caplog.records if "outgrew" in record.message] == [
        "a conversation outgrew the model's 50 positions an"
    ]


def test_an_environment_without_an_end_is_refused(monkeypatch):
    """It would go on for ever, and the run with it."""
    monkeypatch.setattr("fitness.verifiers.SILENCE", 3)
    small = tiny_llama(chat=CHAT)
    small.model.config.max_position_embeddings = 50
    fitness = Verifiers("patient", {"train": (0, 2)}, max_new_tokens=8)
    with pytest.raises(ValueError, match="outgrew the model's 50 positions and goes on, 3 turns"):
        fitness(small, np.array([1]), "train")


def test_an_environment_knows_which_answers_were_cut(llama):
    [answer] = said(llama, [[user("Go")]], max_new_tokens=8)
    for stop, is_cut in ((None, True), (answer[4], False)):
        fitness = Verifiers("patient", {"train": (0, 1)}, max_new_tokens=8, stop=stop)
        fitness(llama, np.array([0]), "train")
        assert sys.modules["patient"].CUT.pop() == is_cut


def test_a_reward_by_the_clock_is_no_score(llama):
    """Who waits for the other episodes of a tile loses time by the machine."""
    settings = {"player": {"timeout": {"rollout": 0.05}}}
    fitness = Verifiers("patient", {"train": (0, 2)}, max_new_tokens=4, settings=settings)
    with pytest.raises(OSError, match=r"task 1 of train: 'patient': its time was over"):
        fitness(llama, np.array([1]), "train")


def test_an_error_of_the_models_ends_the_episodes(llama):
    fitness = Verifiers("many_turns", {"train": (0, 3)})

    def broken(language, conversations):
        raise RuntimeError("no more")

    fitness._answer = broken
    with pytest.raises(RuntimeError, match="no more"):
        fitness(llama, np.arange(3), "train")
    with pytest.raises(ValueError, match="the tokenizer has no chat template"):
        Verifiers("many_turns", {"train": (0, 3)})(tiny_llama(), np.arange(3), "train")


def test_what_goes_wrong_in_an_environment_names_the_task(llama):
    fitness = Verifiers("broken", {"train": (0, 3)}, max_new_tokens=2)
    with pytest.raises(ValueError, match=r"task 1 of train: 'broken': TaskError: .*gone"):
        fitness(llama, np.array([1]), "train")
    with pytest.raises(
        ValueError, match=r"task 2 of train: expected a reward from 0 to 1 \(most\)"
    ):
        fitness(llama, np.array([2]), "train")
    with pytest.raises(ValueError, match="there is no split 'test'"):
        fitness(llama, np.array([0]), "test")
    with pytest.raises(ValueError, match=r"task 0 of train: 'tools': .*does not support MCP tools"):
        Verifiers("tools", {"train": (0, 1)})(llama, np.array([0]), "train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"environment": "nowhere"}, "environment: 'nowhere': taskset 'nowhere' not found"),
        ({"environment": "pair"}, "environment: 'pair': expected one agent, it has 2: one, other"),
        ({"settings": {"taskset": {"task_count": 3}}}, "task_count"),
        ({"settings": {"taskset": 3}}, "settings.taskset: expected settings by name, got 3"),
        ({"settings": {"taskset": {"id": "pair"}}}, "settings.taskset.id: the taskset is the"),
        ({"settings": {"agent": {"model": "gpt"}}}, "settings.agent.model: the model that is"),
        (
            {"settings": {"agent": {"sampling": {"temperature": 1}}}},
            "settings.agent.sampling: .* answers greedily",
        ),
        ({"splits": {"train": (0, 9)}}, "splits.train: expected tasks 0 to 9, 'one_turn' has 8"),
        (
            {"splits": {"train": (0, 4)}, "settings": {"taskset": {"tasks": 3}}},
            "expected tasks 0 to 4, 'one_turn' has 3",
        ),
    ],
)
def test_what_verifiers_does_not_have_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        Verifiers(**{"environment": "one_turn", "splits": {"train": (0, 2)}} | settings).size(
            "train"
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"splits": {"test": (0, 2)}}, "splits: expected train among them, got test"),
        (
            {"splits": {"train": (0, 2), "dev": (2, 3)}},
            "splits: expected train, test or validation",
        ),
        ({"splits": {"train": (2, 2)}}, "splits.train: expected a first task of at least 0"),
        ({"splits": {"train": (0, 4), "test": (3, 6)}}, "splits: train and test share tasks"),
        ({"most": 0}, "most: expected a number above 0, got 0"),
        ({"batch": 0}, "batch: expected at least 1, got 0"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        Verifiers(**{"environment": "one_turn", "splits": {"train": (0, 2)}} | settings)


@pytest.mark.whole
def test_it_keeps_the_rules_of_a_fitness(llama):
    check_fitness(Verifiers("one_turn", {"train": (0, 4), "test": (4, 6)}, max_new_tokens=4), llama)


def test_settings_travel_and_nothing_else(llama):
    fitness = Verifiers("one_turn", {"train": (0, 2)}, max_new_tokens=4)
    scores = fitness(llama, np.arange(2), "train")
    sent = pickle.dumps(fitness)
    assert len(sent) < 500
    assert pickle.loads(sent)(llama, np.arange(2), "train").tolist() == scores.tolist()


def test_without_the_package_a_user_reads_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "verifiers.v1.utils", None)
    with pytest.raises(ImportError, match=r"pip install 'evomerge\[verifiers\]'"):
        Verifiers("one_turn", {"train": (0, 2)}).size("train")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tools": [{}], "messages": [user("Go")]}, "the environment offers tools"),
        ({"messages": [user([{"type": "image_url"}])]}, "expected text alone in a message"),
    ],
)
def test_what_the_model_cannot_take_is_refused(body, message):
    with Desk(1) as desk:
        address = f"{desk.url}/chat/completions"
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(address, json.dumps(body).encode()))
        assert refused.value.code == 400
        assert message in json.loads(refused.value.read())["error"]["message"]
