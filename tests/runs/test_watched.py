"""What is only watched: it is scored and shown, and a run is the same without it."""

import json
import logging

import numpy as np
import pytest
from whole_runs import DIGITS, log_of, small_run, state_of

from evomerge import UserError
from fitness.classification import Classification
from fitness.combined import Combined

pytestmark = pytest.mark.whole

BIRTHS = 60


class Forgotten:
    """Scores a member by how often it was asked before: whoever comes later has less."""

    def __init__(self, size=4):
        self.size_of_test = size
        self.asked = 0

    def size(self, split):
        return self.size_of_test if split == "test" else 0

    def __call__(self, model, datapoints, split):
        self.asked += 1
        return np.full(len(datapoints), 1 / self.asked, dtype=np.float32)


class Refuses(Forgotten):
    """Cannot be scored."""

    def __call__(self, model, datapoints, split):
        raise RuntimeError("no such book")


def fitness(watched=None):
    return Combined([Classification(DIGITS)], names=names(watched), watched=watched)


def names(watched):
    return ["digits", *[f"facts{place}" for place in range(len(watched or ()))]]


def plain_state(run_dir):
    """The newest snapshot without what is watched."""
    state, tensors = state_of(run_dir)
    state["best"].pop("watched", None)
    plain = {name: data for name, data in tensors.items() if "watched" not in name}
    return state, plain


def test_a_run_is_the_same_with_it_without_it_and_resumed(tmp_path):
    small_run(tmp_path / "without", births=BIRTHS, fitness=fitness())
    watched = [Classification(DIGITS), Forgotten()]
    small_run(tmp_path / "with", births=BIRTHS, fitness=fitness(watched))
    small_run(tmp_path / "resumed", births=BIRTHS // 2, fitness=fitness([watched[0]]))
    small_run(tmp_path / "resumed", births=BIRTHS, fitness=fitness([watched[0]]), resume=True)
    plain = log_of(tmp_path / "without")
    for name in ("with", "resumed"):
        assert log_of(tmp_path / name, "watched") == plain
        assert (
            plain_state(tmp_path / name)[0]["best"] == plain_state(tmp_path / "without")[0]["best"]
        )
    assert plain_state(tmp_path / "with") == plain_state(tmp_path / "without")

    # founders have it, and whoever has become the best; nobody else has
    log = log_of(tmp_path / "with")
    for entry in log:
        assert ("watched" in entry) == ("founder" in entry or bool(entry.get("best")))
    bests = [entry for entry in log if entry.get("best")]
    assert len(bests) > 1
    for entry in bests:
        assert entry["watched"]["facts0"] == pytest.approx(entry["test"])
        assert set(entry["watched"]) == {"facts0", "facts1"}

    shown = json.loads((tmp_path / "with" / "summary.json").read_text())["watched"]
    assert shown["facts0"]["best"] == bests[-1]["watched"]["facts0"]
    founders = [entry["watched"]["facts0"] for entry in log if "founder" in entry]
    assert list(shown["facts0"]["founders"].values()) == founders
    assert "Only watched" in (tmp_path / "with" / "report.html").read_text()
    assert "watched" not in json.loads((tmp_path / "without" / "summary.json").read_text())
    assert "Only watched" not in (tmp_path / "without" / "report.html").read_text()


def test_what_every_founder_could_and_the_best_cannot_is_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        small_run(tmp_path / "run", births=BIRTHS, fitness=fitness([Forgotten()]))
    [said] = [record for record in caplog.records if record.getMessage().startswith("watched, ")]
    assert said.levelno == logging.WARNING
    assert said.getMessage().startswith("watched, facts0: founder 0 1.000, founder 1 0.500, best ")
    assert said.getMessage().endswith(": less than any founder")


class Ranks:
    """Two datapoints, of which one weighs three times what the other does."""

    def size(self, split):
        return 2 if split == "train" else 0

    def weights(self, split):
        return np.array([3.0, 1.0])

    def __call__(self, model, datapoints, split):
        return np.asarray(datapoints, dtype=np.float32)


def test_a_mean_of_what_is_watched_has_its_own_weights(tmp_path):
    """As every other mean of that fitness has."""
    small_run(tmp_path / "run", births=2, fitness=fitness([Ranks()]))
    for entry in log_of(tmp_path / "run"):
        if "founder" in entry:
            assert entry["watched"]["facts0"] == pytest.approx(0.25)
    assert "0.250 <small>" in (tmp_path / "run" / "report.html").read_text()


def test_what_cannot_be_watched_ends_before_the_first_birth(tmp_path):
    with pytest.raises(UserError, match=r"fitness on the watched split: .*no such book"):
        small_run(tmp_path / "run", births=BIRTHS, fitness=fitness([Refuses()]))
    assert not (tmp_path / "run").exists()
