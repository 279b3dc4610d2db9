"""The configs that come with evomerge: each is listed, and its copy is the same config wherever it is put."""

import re
import shlex
from pathlib import Path

import pytest

from evomerge.cli import main
from evomerge.config import config, given
from evomerge.configs.shipped import copies, names

FOLDER = given.shipped()


def test_all_are_listed_with_what_they_are(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {}
    for line in lines[: lines.index("")]:
        name, _, about = line.partition(" ")
        listed[name] = about.strip()
    files = FOLDER.rglob("*.yaml")
    assert set(listed) == {str(path.relative_to(FOLDER).with_suffix("")) for path in files}
    assert listed["skills"].startswith("One language model with two skills")
    assert all(listed.values())


@pytest.mark.parametrize("name", names(FOLDER))
def test_a_copy_is_the_same_config(tmp_path, name):
    texts = copies(FOLDER, name, tmp_path / "mine.yaml")
    for path, text in texts.items():
        path.write_text(text)
    assert config.load(tmp_path / "mine.yaml") == config.load(FOLDER / f"{name}.yaml")
    # its commands run the copy
    text = (tmp_path / "mine.yaml").read_text()
    assert f"evomerge run {tmp_path}/mine.yaml" in re.sub(" +", " ", text)
    assert f"configs/{name}.yaml" not in text


def test_one_is_copied_here_with_what_it_is_based_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["configs", "configs/ablations/scratch_ga_no_crossover.yaml"]) == 0
    here = {path.name for path in tmp_path.iterdir()}
    assert here == {"scratch_ga_no_crossover.yaml", "scratch_ga.yaml", "digits.yaml"}
    # a base that is there already stays, also beside another config
    assert main(["configs", "ablations/no_immigrants"]) == 0
    assert "no_immigrants.yaml is written, it is based on digits.yaml" in capsys.readouterr().out
    assert main(["configs", "digits", "--to", "new/mine.yaml"]) == 0
    assert config.load(Path("new/mine.yaml")) == config.load(FOLDER / "digits.yaml")


def test_nothing_is_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("digits.yaml").write_text("births: 1\n")
    Path("folder").mkdir()
    # It may be anything, no text even.
    Path("skills.yaml").write_bytes(b"\xff\xfe")
    assert main(["configs", "skills_units"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "evomerge: skills.yaml: expected a file that is not there yet; the config is based on what "
        "would be there; --to names a file in another folder"
    ]
    Path("skills.yaml").unlink()
    for words in (["digits"], ["digits_units"], ["skills", "--to", "folder"]):
        assert main(["configs", *words]) == 2
        assert "expected a file that is not there yet" in capsys.readouterr().err
    assert main(["configs", "skills_units", "--to", "skills.yaml"]) == 2
    assert "what skills_units is based on has that name" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"digits.yaml", "folder"}
    assert Path("digits.yaml").read_text() == "births: 1\n"


def test_the_command_in_a_copy_runs_it_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["configs", "skills", "--to", "my own/it's.yaml"]) == 0
    lines = Path("my own/it's.yaml").read_text().splitlines()
    [command] = [line for line in lines if line.startswith("#   evomerge run")]
    assert shlex.split(command) == ["#", "evomerge", "run", "my own/it's.yaml"]


def test_an_unknown_name_has_the_nearest(capsys):
    assert main(["configs", "skils"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "evomerge: skils: no such config comes with evomerge; did you mean 'skills'?"
    ]
    assert main(["configs", "--to", "x.yaml"]) == 2
