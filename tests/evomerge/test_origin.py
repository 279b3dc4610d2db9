"""What was bred from what, in few words."""

import pytest
from whole_runs import small_run

from evomerge.report.record import Record
from evomerge.report.sections import origin


@pytest.mark.parametrize(
    ("seeds", "names"),
    [
        (["a/skills/low", "b/skills/high/"], ["low", "high"]),
        (["a/mine/model", "b/yours/model"], ["mine/model", "yours/model"]),
        (["hub/one", "/there/two.safetensors"], ["one", "two"]),
        (["there/same", "there/same"], ["same (1)", "same (2)"]),
        (["same", "same/"], ["same (1)", "same (2)"]),
        ("random", ["founder 0", "founder 1"]),
        (["one"], ["founder 0", "founder 1"]),
        ([{"a": 1}, "b"], ["founder 0", "founder 1"]),
    ],
)
def test_founders_are_called_after_their_seeds(tmp_path, seeds, names):
    small_run(tmp_path, births=0)
    run = Record.read(tmp_path)
    run.call["population"]["seeds"] = seeds
    assert [run.label(entry["id"]) for entry in run.founders] == names


def test_a_strategy_in_words():
    strategy = {
        "_target_": "NaturalNiches",
        "size": 20,
        "warmup": 3,
        "crossover": {"_target_": "Crossover", "ratio": [0, 1]},
    }
    assert origin._settings_of(strategy) == "NaturalNiches (size 20, Crossover (ratio [0, 1]))"
    assert origin._settings_of(None) == origin._settings_of("text") == ""
