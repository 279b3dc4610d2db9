"""All that is wrong is told at once: seeds that are missing, and data beside them."""

import json

import pytest

from evomerge.cli import main
from evomerge.errors import UserError, all_of
from populations.settings.errors import each_of


@pytest.mark.parametrize(
    "species", ["populations.llm.LanguageModels", "populations.diffusion.DiffusionModels"]
)
def test_every_missing_folder_is_told_and_the_data_too(tmp_path, monkeypatch, capsys, species):
    monkeypatch.chdir(tmp_path)
    call = {
        "population": {"_target_": species, "seeds": ["one", "two", "one"]},
        "fitness": {
            "_target_": "fitness.questions.QuestionAnswering",
            "data": {"_target_": "fitness.records.JsonLines", "train": "nowhere.jsonl"},
        },
        "births": 1,
    }
    (tmp_path / "config.yaml").write_text(json.dumps(call))
    assert main(["check", "config.yaml"]) == 2
    said = capsys.readouterr().err
    for name in ("one", "two"):
        line = f"seeds: expected a folder, or owner/name of the hub, there is no folder {name}\n"
        assert said.count(line) == 1
    assert said.count("there is no file nowhere.jsonl") == 1


def broken(name):
    """Is missing, damaged, or there, by its name."""
    if name == "missing":
        raise FileNotFoundError("there is none")
    if name.startswith("damaged"):
        raise ValueError(name)
    return name


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (["good", "missing"], FileNotFoundError, "seeds: there is none"),
        (["missing", "good", "missing"], FileNotFoundError, "seeds: there is none"),
        (["damaged 1", "missing"], ValueError, "seeds: damaged 1\nseeds: there is none"),
        (["damaged 1", "damaged 2"], ValueError, "seeds: damaged 1\nseeds: damaged 2"),
    ],
)
def test_what_is_wrong_with_each_of_a_list(given, kind, message):
    assert each_of("seeds", ["good", "better"], broken) == ["good", "better"]
    with pytest.raises(kind) as caught:
        each_of("seeds", given, broken)
    assert str(caught.value) == message


def test_all_of_several_calls():
    def wrong():
        raise UserError("fitness: wrong")

    def gone():
        raise UserError("seeds: gone")

    assert all_of(lambda: 1, lambda: 2) == [1, 2]
    with pytest.raises(UserError, match=r"^fitness: wrong$"):
        all_of(lambda: 1, wrong)
    with pytest.raises(UserError, match=r"^fitness: wrong\nseeds: gone$"):
        all_of(wrong, gone)


def test_a_mistake_that_two_parts_stumble_over_is_told_once():
    def reads(part):
        raise UserError(f"{part}: no file digits") from FileNotFoundError("no file digits")

    with pytest.raises(UserError, match=r"^fitness: no file digits$"):
        all_of(lambda: reads("fitness"), lambda: reads("population"))
