"""What was read from a file is not given for another file of that name, nor for the file once it was written again."""

import json
import pickle
import struct
from pathlib import Path

import pytest
import yaml

from fitness.coco import CocoCaptions
from fitness.images import Idx
from fitness.lm_eval_library import load_task
from fitness.records import JsonLines, Part
from fitness.webshop import GoalQueries


def lines(folder, word):
    (folder / "train.jsonl").write_text(json.dumps({"question": word}) + "\n")


def goals(folder, word):
    (folder / "goals.json").write_text(json.dumps({word: ["shoes"]}))


def captions(folder, word):
    content = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [{"image_id": 1, "caption": word}],
    }
    (folder / "captions.json").write_text(json.dumps(content))


def pictures(folder, word):
    """One picture as wide as the word is long."""
    for part in ("train", "t10k"):
        image = struct.pack(">4B3I", 0, 0, 8, 3, 1, 1, len(word)) + bytes(len(word))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(image)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">4BIB", 0, 0, 8, 1, 1, 0))


def task(folder, word):
    (folder / "train.json").write_text(json.dumps({"text": "?", "answer": "!"}))
    settings = {
        "task": f"{word}_task",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"train": "train.json"}, "cache_dir": "cache"},
        "test_split": "train",
        "output_type": "generate_until",
        "doc_to_text": word,
        "doc_to_target": "answer",
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(settings))


KINDS = {
    "JSON lines": (
        lines,
        lambda: JsonLines("train.jsonl"),
        lambda data: data.split("train")[0]["question"],
    ),
    "part of JSON lines": (
        lines,
        lambda: JsonLines(Part("train.jsonl", stop=1)),
        lambda data: data.split("train")[0]["question"],
    ),
    "goals": (
        goals,
        lambda: GoalQueries("goals.json", train=(0, 1)),
        lambda data: data.split("train")[0]["goal"],
    ),
    "captions": (
        captions,
        lambda: CocoCaptions("captions.json", ".", train=(0, 1)),
        lambda data: data.split("train")[0]["prompt"],
    ),
    "pictures": (
        pictures,
        lambda: Idx(Path()),
        lambda data: "x" * data.split("train")[0].shape[1],
    ),
    "their shape": (pictures, lambda: Idx(Path()), lambda data: "x" * data.shape()[1]),
}
"""What writes the files with a word, the data that read them, and the word that they read."""


@pytest.mark.parametrize("kind", KINDS)
def test_data_are_of_the_file_that_is_meant_now(kind, tmp_path, monkeypatch):
    write, made, read = KINDS[kind]
    for name, word in (("one", "x"), ("other", "xx")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        write(Path(), word)
        assert read(made()) == word
    before = made()
    assert read(before) == "xx"
    write(Path(), "xxx")
    assert read(made()) == "xxx"
    # what a run has begun with, it goes on with; a worker reads for itself
    assert read(before) == "xx"
    assert read(pickle.loads(pickle.dumps(before))) == "xxx"


def test_a_task_is_of_the_folder_that_is_meant_now(tmp_path, monkeypatch):
    pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    for name, word in (("one", "x"), ("other", "xx")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        task(Path(), word)
        assert load_task(f"{word}_task", ".").config.doc_to_text == word
    task(Path(), "xxx")
    assert load_task("xxx_task", ".").config.doc_to_text == "xxx"
