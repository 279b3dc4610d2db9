"""Captions and pictures from files in COCO's format, as COCO's own, STAIR's (Japanese), and others' are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fitness.messages import shown
from fitness.readable import check_readable

Stretch = tuple[int, int | None]
"""The first picture, and the one before which it ends (null: the last), as in a slice: [-2000, null] are the last 2,000."""


@dataclass(frozen=True)
class CocoCaptions:
    """Records with "prompt", a picture's first caption, and "image", its path; pictures in the order of their ids.

    Attributes:
        captions: a JSON file with "images" (id, file_name) and "annotations" (image_id, caption).
        images: the folder that the pictures are in.
        train: the pictures of the training split.
        test: of the test split, if there is one.
        validation: of the validation split, if there is one.
    """

    captions: Path
    images: Path
    train: Stretch
    test: Stretch | None = None
    validation: Stretch | None = None

    def split(self, name: str) -> Sequence[Mapping[str, Any]] | None:
        """As `Records.split`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is not in that format, or a split has no pictures.
        """
        stretch = {"train": self.train, "test": self.test, "validation": self.validation}.get(name)
        if stretch is None:
            return None
        every = _pictures(Path(self.captions).expanduser())
        chosen = every[slice(*stretch)]
        if not chosen:
            raise ValueError(
                f"{name}: expected pictures from {stretch[0]} to {stretch[1]}, {self.captions} has {len(every)}"
            )
        others = [
            every[slice(*part)]
            for part in (self.train, self.test, self.validation)
            if part not in (None, stretch)
        ]
        if any(set(chosen) & set(other) for other in others):
            raise ValueError(
                f"{name}: some of its {len(chosen)} pictures are in another split too; {self.captions} has {len(every)}"
            )
        return [
            {"prompt": caption, "image": str(Path(self.images).expanduser() / file)}
            for file, caption in chosen
        ]

    def where(self, index: int, split: str) -> str:
        """The picture of a record."""
        records = self.split(split)
        return "" if records is None else f"{self.captions}, {Path(records[index]['image']).name}"


@lru_cache(maxsize=4)
def _pictures(path: Path) -> list[tuple[str, str]]:
    """(file, first caption) of every picture that has one."""
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of captions, but there is no file {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        captions: dict[Any, Any] = {}
        for annotation in content["annotations"]:
            captions.setdefault(annotation["image_id"], annotation["caption"])
        pictures = sorted(content["images"], key=lambda image: image["id"])
        pairs = [
            (image["file_name"], captions[image["id"]])
            for image in pictures
            if image["id"] in captions
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected captions in COCO's format, with images and annotations ({error!r})"
        ) from None
    return [
        (_text(path, file, file), _text(path, file, caption).strip()) for file, caption in pairs
    ]


def _text(path: Path, file: Any, value: Any) -> str:
    """The name or the caption of a picture.

    Raises:
        ValueError: if it is no text, or none that can be read.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{path}, picture {shown(file)}: expected a file name and a caption, got {shown(value)}"
        )
    try:
        check_readable(value)
    except ValueError as error:
        raise ValueError(f"{path}, picture {shown(file)}: {error}") from None
    return value
