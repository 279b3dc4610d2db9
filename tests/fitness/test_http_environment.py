"""Episodes on a server, and servers that fail."""

import pickle
import socket

import numpy as np
import pytest
from agent_server import Rooms, serving
from tiny_llama import tiny_llama

from fitness import json_client
from fitness.agents import Agents
from fitness.http_environment import HttpEnvironment

SPLITS = {"train": (2, 8), "test": (0, 2)}


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(json_client, "PAUSE", 0.001)


@pytest.fixture
def rooms():
    return Rooms()


@pytest.fixture
def url(rooms):
    with serving(rooms) as url:
        yield url


def test_sizes_are_those_of_the_ranges():
    environment = HttpEnvironment("http://nowhere", SPLITS)
    assert [environment.size(split) for split in ("train", "test", "validation")] == [6, 2, 0]


def test_an_episode(rooms, url):
    episode = HttpEnvironment(url + "/", SPLITS).episode(0, "train")
    assert episode.reset() == "task 2"
    assert episode.step("go") == ("step 1", pytest.approx(1 / 3), False)
    assert episode.step("no") == ("step 2", pytest.approx(1 / 3), False)
    assert episode.step("go") == ("step 3", pytest.approx(2 / 3), True)
    episode.close()
    assert rooms.heard == [
        ("create", {}),
        ("reset", {"env_idx": 1, "session_id": 2}),
        *[("step", {"env_idx": 1, "action": action}) for action in ("go", "no", "go")],
    ]


def test_other_servers_have_other_fields():
    rooms = Rooms("id", "data_idx", "observation")
    with serving(rooms) as url:
        environment = HttpEnvironment(
            url, SPLITS, place="id", task="data_idx", observation="observation"
        )
        episode = environment.episode(1, "test")
        assert episode.reset() == "task 1"
        assert episode.step("go") == ("step 1", 0.5, False)
    assert rooms.heard[1:] == [
        ("reset", {"id": 1, "data_idx": 1}),
        ("step", {"id": 1, "action": "go"}),
    ]


def test_the_first_observation_may_be_asked_for(rooms, url):
    episode = HttpEnvironment(url, SPLITS, observe=True).episode(1, "test")
    assert episode.reset() == "seen at 1"
    assert [path for path, _ in rooms.heard] == ["create", "reset", "observation"]


def test_places_are_used_again_and_closed_in_the_end(rooms, url):
    environment = HttpEnvironment(url, SPLITS)
    pair = [environment.episode(0, "test") for _ in range(2)]
    for episode in pair:
        episode.reset()
    for episode in pair:
        episode.close()
        episode.close()
    environment.episode(0, "test").reset()
    assert rooms.made == 2
    environment.close()
    assert rooms.closed == [1], "the other is in use"
    environment.close()
    assert rooms.closed == [1]


def test_a_place_for_each_episode(rooms, url):
    environment = HttpEnvironment(url, SPLITS, reuse=False)
    for _ in range(2):
        episode = environment.episode(0, "test")
        episode.reset()
        episode.close()
    assert (rooms.made, rooms.closed) == (2, [1, 2])


def test_a_place_that_failed_is_left_alone(rooms, url):
    environment = HttpEnvironment(url, SPLITS)
    episode = environment.episode(0, "test")
    episode.reset()
    rooms.replies["step"] = 500, b"{}"
    with pytest.raises(OSError, match="500"):
        episode.step("go")
    episode.close()
    environment.episode(0, "test").reset()
    assert rooms.made == 2


def test_an_agent_plays_on_a_server(rooms, url):
    fitness = Agents(HttpEnvironment(url, SPLITS), turns=4, max_new_tokens=4, threads=3)
    assert fitness.size("train") == 6
    scores = fitness(tiny_llama(), np.array([0, 5, 1]), "train")
    assert scores.tolist() == [0, 0, 0]
    steps = [asked["env_idx"] for path, asked in rooms.heard if path == "step"]
    tasks = {
        asked["env_idx"]: asked["session_id"] for path, asked in rooms.heard if path == "reset"
    }
    assert sorted(tasks.values()) == [2, 3, 7]
    assert {task: steps.count(place) for place, task in tasks.items()} == {2: 3, 3: 4, 7: 4}
    fitness(tiny_llama(), np.array([0, 5, 1]), "train")
    assert rooms.made == 3


def test_a_busy_server_is_asked_again(rooms, url):
    left = [(503, b"busy"), (503, b"busy"), None]
    rooms.replies["create"] = lambda: left.pop(0)
    assert HttpEnvironment(url, SPLITS).episode(0, "test").reset() == "task 0"
    assert [path for path, _ in rooms.heard] == ["create"] * 3 + ["reset"]


def test_a_silent_server_is_not_asked_twice(rooms, url):
    """It may have taken the action."""
    rooms.replies["step"] = "silence"
    episode = HttpEnvironment(url, SPLITS, timeout=0.2).episode(0, "test")
    episode.reset()
    with pytest.raises(TimeoutError, match=rf"^{url}/step: no answer in 0.2 seconds"):
        episode.step("go")
    assert [path for path, _ in rooms.heard].count("step") == 1


def test_a_server_that_takes_no_connection_in_time():
    """Its backlog is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        with pytest.raises(TimeoutError, match=r"no (answer|connection) in 0.2 seconds"):
            HttpEnvironment(f"http://127.0.0.1:{address[1]}", SPLITS, timeout=0.2).episode(
                0, "test"
            ).reset()
        for one in waiting:
            one.close()


def test_settings_travel_and_places_do_not(url, rooms):
    environment = HttpEnvironment(url, SPLITS)
    episode = environment.episode(0, "test")
    episode.reset()
    episode.close()
    copy = pickle.loads(pickle.dumps(environment))
    assert not [name for name in vars(copy) if name.startswith("_")]
    copy.episode(0, "test").reset()
    assert rooms.made == 2
