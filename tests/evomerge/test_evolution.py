"""The loop: the same answer however it is run, and what ends a run."""

import re

import numpy as np
import pytest
import torch
from whole_runs import DIGITS, assert_same_archive, assert_same_run, log_of, small_run

from evomerge import Crossover, NaturalNiches, UserError
from evomerge.errors import Interrupted
from fitness.classification import Classification, probability, right
from populations.mnist import Classifiers
from populations.modules import Modules

pytestmark = pytest.mark.whole

SCHEDULES = [
    {"lookahead": 1},
    {"lookahead": 4, "stack": 4},
    {"lookahead": 16, "stack": 8},
    {"lookahead": 8, "stack": 1},
]


class Tripped(Classification):
    """Goes wrong with some children, as bad luck would have it; with which ones depends on the model alone."""

    score_many = None  # one by one: it cannot score stacks

    def __init__(self, data, every=3, error=RuntimeError, answer=None):
        super().__init__(data)
        self.every, self.error, self.answer, self.seen = every, error, answer, set()

    def __call__(self, model, datapoints, split):
        scores = super().__call__(model, datapoints, split)
        self.seen.add(mark := int(abs(float(next(model.parameters()).detach().sum())) * 1e4))
        if len(self.seen) <= 2 or split != "train" or mark % self.every:
            return scores
        if self.answer is not None:
            return self.answer(len(scores))
        raise self.error("it slipped")


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_run_is_the_same_twice(tmp_path, schedule):
    for name in ("one", "other"):
        small_run(tmp_path / name, seed=3, **schedule)
    assert_same_run(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("schedule", SCHEDULES[:3], ids=str)
def test_scoring_only_what_can_matter_changes_nothing(tmp_path, schedule, seed):
    archives = [
        small_run(
            tmp_path / str(foresee), births=300, seed=seed, foresee=foresee, retile=50, **schedule
        )
        for foresee in (True, False)
    ]
    assert_same_archive(*archives)
    what_decides = ("train", "fitness", "reason", "scored")
    assert log_of(tmp_path / "True", *what_decides) == log_of(tmp_path / "False", *what_decides)
    scored = [entry["scored"] for entry in log_of(tmp_path / "True") if "scored" in entry]
    assert np.mean(scored) < 0.99
    assert all(entry["scored"] == 1.0 for entry in log_of(tmp_path / "False") if "scored" in entry)


def test_a_stack_raises_the_same_children_as_one_by_one():
    """Scores may differ in a rounding here and there; with these few births and this margin they do not."""
    archives = [small_run(births=60, lookahead=4, stack=stack) for stack in (1, 4)]
    assert [m.id for m in archives[0].members] == [m.id for m in archives[1].members]


def cosine(outputs, targets):
    """How much of the outputs' length the target has; there is none where all outputs are zero."""
    return (
        (outputs / outputs.norm(dim=-1, keepdim=True))
        .gather(-1, targets[:, None])[:, 0]
        .clamp(0, 1)
    )


def test_a_stack_with_empty_places_is_like_any_other(tmp_path):
    """Places are empty where a tiling ends, where births end, and where a child is already rejected."""
    settings = {
        "lookahead": 8,
        "stack": 4,
        "retile": 10,
        "tile": 100,
        "fitness": Classification(DIGITS, cosine),
    }
    settings["population"] = Classifiers(DIGITS, hidden=(16,), sd=1.0)
    settings["strategy"] = NaturalNiches(size=4, mutation=0.3)
    small_run(tmp_path / "on", births=250, **settings)
    small_run(tmp_path / "off", births=250, **settings, foresee=False)
    small_run(tmp_path / "resumed", births=41, **settings)
    small_run(tmp_path / "resumed", births=250, resume=True, **settings)
    log = log_of(tmp_path / "on")
    assert not [entry for entry in log if "failure" in entry]
    assert [entry for entry in log if entry.get("scored", 1) < 1]
    assert_same_run(tmp_path / "on", tmp_path / "resumed")
    foreseen = ("scored", "reason", "train", "fitness")
    assert log_of(tmp_path / "on", *foreseen) == log_of(tmp_path / "off", *foreseen)


def test_births_are_planned_from_what_was_decided(tmp_path):
    small_run(tmp_path / "run", births=40, lookahead=8)
    for entry in log_of(tmp_path / "run"):
        assert all(parent <= max(entry["birth"] - 8, 0) for parent in entry.get("parents", []))


def test_another_seed_is_another_run(tmp_path):
    for seed in (0, 1):
        small_run(tmp_path / str(seed), births=10, seed=seed)
    assert log_of(tmp_path / "0") != log_of(tmp_path / "1")


def test_best_is_the_best_child_even_if_it_is_not_admitted(tmp_path):
    small_run(tmp_path / "run", births=300)
    log = log_of(tmp_path / "run")
    best = [entry for entry in log if entry.get("best")]
    assert best[-1]["train"] == max(entry["train"] for entry in log if "train" in entry)
    assert [entry["train"] for entry in best] == sorted(entry["train"] for entry in best)
    assert all("test" in entry for entry in best)


def test_a_validation_split_chooses_best_among_the_admitted(tmp_path):
    data = type(DIGITS)(validation=0.2)
    small_run(
        tmp_path / "run",
        births=200,
        validate=True,
        fitness=Classification(data),
        population=Classifiers(data, (16,), sd=0.1),
    )
    best = [entry for entry in log_of(tmp_path / "run") if entry.get("best")]
    assert [entry["validation"] for entry in best] == sorted(entry["validation"] for entry in best)
    assert all(entry.get("admitted", True) for entry in best)


def test_scores_between_0_and_1_and_relative_ones(tmp_path):
    for relative in (False, True):
        strategy = NaturalNiches(
            size=6, relative=relative, crossover=Crossover(angle="part"), mutation=0.05
        )
        archive = small_run(
            births=60, strategy=strategy, fitness=Classification(DIGITS, probability)
        )
        assert 0 < archive.scores.mean() < 1


WRONG = {
    "raises": (None, "RuntimeError: it slipped"),
    "too few": (lambda n: np.zeros(n - 1), "a score for each datapoint"),
    "a text": (lambda n: "nonsense", "it returned str"),
    "not a number": (lambda n: np.full(n, np.nan), "such as nan"),
    "negative": (lambda n: np.full(n, -1.0), "such as -1"),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_fitness_that_fails_on_a_child_is_a_failed_birth(tmp_path, how):
    answer, why = WRONG[how]
    small_run(tmp_path / "run", births=40, fitness=Tripped(DIGITS, answer=answer), failures=40)
    failed = [entry for entry in log_of(tmp_path / "run") if "failure" in entry]
    assert 0 < len(failed) < 40
    assert all(why in entry["failure"] and not entry["admitted"] for entry in failed)


def test_too_many_failures_in_a_row_end_the_run_saved(tmp_path):
    with pytest.raises(UserError, match=r"5 births in a row failed.*it slipped.*resume"):
        small_run(tmp_path / "run", births=40, fitness=Tripped(DIGITS, every=1), failures=5)
    assert len(log_of(tmp_path / "run")) == 2 + 5


def test_what_the_environment_does_ends_the_run_saved(tmp_path):
    with pytest.raises(Interrupted, match=r"3 times.*OSError.*resume"):
        small_run(tmp_path / "run", births=40, fitness=Tripped(DIGITS, error=OSError))
    assert (tmp_path / "run" / "state" / "latest").is_dir()


def test_a_child_whose_weights_overflow_is_a_failed_birth(tmp_path):
    strategy = NaturalNiches(size=4, mutation=1e38, crossover=None)
    with pytest.raises(UserError, match="not all finite"):
        small_run(tmp_path / "run", strategy=strategy, failures=4)


def test_patience_and_hours_end_a_run(tmp_path):
    small_run(tmp_path / "patience", births=5000, patience=30)
    log = log_of(tmp_path / "patience")
    assert log[-1]["birth"] == [entry["birth"] for entry in log if entry.get("best")][-1] + 30
    small_run(tmp_path / "hours", births=10**6, hours=1 / 3600)
    assert 0 < log_of(tmp_path / "hours")[-1]["birth"] < 10**6


def test_resuming_with_more_births_is_the_longer_run(tmp_path):
    settings = {"lookahead": 8, "stack": 4, "retile": 30}
    small_run(tmp_path / "long", births=150, **settings)
    small_run(tmp_path / "short", births=70, **settings)
    small_run(tmp_path / "short", births=150, resume=True, **settings)
    assert_same_run(tmp_path / "long", tmp_path / "short")


def test_immigrants_come_to_the_same_run_after_a_resume(tmp_path):
    settings = {
        "lookahead": 8,
        "stack": 4,
        "strategy": NaturalNiches(size=8, mutation=0.01, immigrants=0.2),
    }
    small_run(tmp_path / "long", births=90, **settings)
    small_run(tmp_path / "short", births=44, **settings)
    small_run(tmp_path / "short", births=90, resume=True, **settings)
    assert_same_run(tmp_path / "long", tmp_path / "short")
    log = log_of(tmp_path / "long")
    alone = [entry for entry in log if "founder" not in entry and not entry["parents"]]
    assert 8 < len(alone) < 30
    assert any(entry["admitted"] for entry in alone)
    card = (tmp_path / "long" / "best" / "README.md").read_text()
    assert re.search(r"from \d founders( and \d+ immigrants)?, \d+ ancestors between", card)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"births": -1}, "births: expected a number of at least 0, got -1"),
        ({"stack": 2}, "stack: expected at most the lookahead, 1"),
        ({"hours": 0.0}, "hours: expected a number above 0"),
        ({"resume": True}, "resume: expected the run_dir"),
        ({"validate": True}, "validate: the fitness has no validation split"),
        ({"strategy": NaturalNiches(crossover=Crossover(angle="tensor"))}, None),
        ({"population": Classifiers(DIGITS, order="unit"), "strategy": NaturalNiches(crossover=Crossover(angle="tensor"))}, "flat axis"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else str(value),  # no addresses: they differ between processes
)  # fmt: skip
def test_wrong_arguments(settings, message):
    if message is None:
        small_run(births=2, **settings)
        return
    with pytest.raises(UserError, match=message):
        small_run(**settings)


class NanInTileTwo(Classification):
    """One model of a stack, once, gives no number in the third tile."""

    def score_many(self, models, datapoints, split):
        scores = super().score_many(models, datapoints, split).astype(np.float32)
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 3:
            scores[1, 0] = np.nan
        return scores


def test_a_failure_in_a_stack_leaves_its_company_whole(tmp_path):
    archive = small_run(
        tmp_path / "run", births=24, lookahead=8, stack=4, tile=300, fitness=NanInTileTwo(DIGITS)
    )
    assert not np.isnan(archive.scores).any()
    assert not any(
        "failure" in entry for entry in log_of(tmp_path / "run")
    )  # asked alone, it did not fail again


class BadOnTest(Classification):
    """A child, not the founders, cannot be scored on the test split."""

    def __call__(self, model, datapoints, split):
        if split == "test":
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 8:
                return np.full(len(datapoints), np.nan)
        return super().__call__(model, datapoints, split)


def test_a_child_that_fails_on_the_test_split_is_a_failed_birth(tmp_path):
    small_run(tmp_path / "run", births=120, fitness=BadOnTest(DIGITS))
    failed = [entry for entry in log_of(tmp_path / "run") if "failure" in entry]
    assert len(failed) == 1
    assert "test split" in failed[0]["failure"]


class Accumulates(torch.nn.Module):
    """A module that vmap cannot run."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)

    def forward(self, images):
        outputs = torch.zeros(len(images), 10)
        outputs += self.layer(images)
        return outputs


def test_any_module_can_be_bred(tmp_path):
    small_run(tmp_path / "run", births=10, population=Modules(Accumulates, sd=0.1))
    assert not any("failure" in entry for entry in log_of(tmp_path / "run"))


class OddAnswers(Classification):
    """Explains with what JSON does not know, or not at all."""

    def explain(self, model, datapoints, split):
        if self.score is probability:
            raise RuntimeError("no words")
        return [{"expected": np.int64(1), "answer": {1, 2}} for _ in datapoints]


@pytest.mark.parametrize("score", [right, probability])
def test_what_explains_the_best_cannot_cost_it(tmp_path, score):
    small_run(tmp_path / "run", births=3, fitness=OddAnswers(DIGITS, score))
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "run" / "best" / "test.jsonl").is_file() == (score is right)


@pytest.mark.parametrize(
    "wrong",
    [
        {"births": "10"},
        {"lookahead": 2.0},
        {"seed": None},
        {"workers": 2},
        {"strategy": Crossover()},
        {"run_dir": 3},
    ],
    ids=str,
)
def test_wrong_types_from_python(wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))}: expected"):
        small_run(**wrong)
