"""Captions in COCO's format: which picture belongs to which split, and files that are none."""

import json

import pytest

from fitness.coco import CocoCaptions


@pytest.fixture
def captions(tmp_path):
    images = [{"id": number, "file_name": f"{number:03}.jpg"} for number in (7, 3, 5, 1, 9)]
    annotations = [
        {"image_id": number, "caption": f" caption {n} of {number}\n"}
        for n in (1, 2)
        for number in (9, 1, 3, 5)
    ]
    (tmp_path / "captions.json").write_text(
        json.dumps({"images": images, "annotations": annotations})
    )
    return tmp_path / "captions.json"


def test_pictures_come_in_the_order_of_their_ids_with_their_first_captions(captions, tmp_path):
    data = CocoCaptions(captions, tmp_path / "pictures", train=(-2, None), test=(0, 2))
    assert data.split("train") == [
        {"prompt": "caption 1 of 5", "image": str(tmp_path / "pictures" / "005.jpg")},
        {"prompt": "caption 1 of 9", "image": str(tmp_path / "pictures" / "009.jpg")},
    ]
    assert [record["prompt"][-1] for record in data.split("test")] == ["1", "3"]
    assert data.split("validation") is None
    assert data.where(1, "train") == f"{captions}, 009.jpg"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"images": []}',
        '{"images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": "a"}]}',
    ],
)
def test_a_file_in_another_format_is_refused(tmp_path, text):
    (tmp_path / "captions.json").write_text(text)
    with pytest.raises(ValueError, match=r"captions.json: expected captions in COCO's format"):
        CocoCaptions(tmp_path / "captions.json", tmp_path, train=(0, 1)).split("train")


def test_what_is_not_there_is_said(captions, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="expected a file of captions, but there is no file"
    ):
        CocoCaptions(tmp_path / "none.json", tmp_path, train=(0, 1)).split("train")
    with pytest.raises(
        ValueError,
        match=r"train: some of its 2 pictures are in another split too; .*captions.json has 4",
    ):
        CocoCaptions(captions, tmp_path, train=(0, 2), test=(1, None)).split("train")
    with pytest.raises(
        ValueError, match=r"train: expected pictures from 10 to 20, .*captions.json has 4"
    ):
        CocoCaptions(captions, tmp_path, train=(10, 20)).split("train")


@pytest.mark.parametrize(
    ("caption", "shown"),
    [
        (None, "got null"),
        (["a cat"], "got a list of 1"),
        ("  ", "got '  '"),
        (7, "got 7"),
        ("a \ud83d", r"half a character, '\\ud83d'"),
    ],
)
def test_a_caption_that_is_none_is_refused_with_its_picture(tmp_path, caption, shown):
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]
    annotations = [{"image_id": 1, "caption": "a cat"}, {"image_id": 2, "caption": caption}]
    (tmp_path / "captions.json").write_text(
        json.dumps({"images": images, "annotations": annotations})
    )
    with pytest.raises(ValueError, match=f"captions.json, picture '2.jpg': .*{shown}"):
        CocoCaptions(tmp_path / "captions.json", tmp_path, train=(0, 2)).split("train")
