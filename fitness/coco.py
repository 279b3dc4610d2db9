"""Captions and pictures from files in COCO's format: COCO's own, STAIR's (Japanese), others'."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from fitness.messages import shown
from fitness.portable import Portable
from fitness.readable import check_readable
from fitness.versions import Version, version_of

Stretch = tuple[int, int | None]
"""The first picture, and the one before which it ends, as in a slice.

[-2000, null] are the last 2,000.
"""


@dataclass(frozen=True)
class CocoCaptions(Portable):
    """Records with "prompt", a picture's first caption, and "image", its path.

    Pictures are in the order of their ids.

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
        splits = {"train": self.train, "test": self.test, "validation": self.validation}
        stretch = splits.get(name)
        if stretch is None:
            return None
        every = self._every
        chosen = every[slice(*stretch)]
        if not chosen:
            raise ValueError(
                f"{name}: expected pictures from {stretch[0]} to {stretch[1]}, "
                f"{self.captions} has {len(every)}"
            )
        # stretches from the end and from the start overlap where the file is short
        for other in splits.values():
            if other is None or other == stretch:
                continue
            if set(chosen) & set(every[slice(*other)]):
                raise ValueError(
                    f"{name}: some of its {len(chosen)} pictures are in another split too; "
                    f"{self.captions} has {len(every)}"
                )
        folder = Path(self.images).expanduser()
        records = []
        for file, caption in chosen:
            records.append({"prompt": caption, "image": str(folder / file)})
        return records

    def where(self, index: int, split: str) -> str:
        """The picture of a record."""
        records = self.split(split)
        if records is None:
            return ""
        return f"{self.captions}, {Path(records[index]['image']).name}"

    @cached_property
    def _every(self) -> list[tuple[str, str]]:
        """The pictures of the file as it is on first use."""
        path = Path(self.captions).expanduser()
        return _pictures(path, version_of([path]))


@lru_cache(maxsize=4)
def _pictures(path: Path, _version: Version) -> list[tuple[str, str]]:
    """(file, first caption) of every picture that has one."""
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of captions, but there is no file {path}")
    # whatever is missing, or of another kind, the file is not in the format
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        captions: dict[Any, Any] = {}
        for annotation in content["annotations"]:
            captions.setdefault(annotation["image_id"], annotation["caption"])
        pairs = []
        for image in sorted(content["images"], key=lambda image: image["id"]):
            # a file of captions may be about some of the pictures only
            if image["id"] in captions:
                pairs.append((image["file_name"], captions[image["id"]]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected captions in COCO's format, with images and annotations ({error!r})"
        ) from None
    pictures = []
    for file, caption in pairs:
        pictures.append((_text(path, file, file), _text(path, file, caption).strip()))
    return pictures


def _text(path: Path, file: Any, value: Any) -> str:
    """The name or the caption of a picture.

    Raises:
        ValueError: if it is no text, or none that can be read.
    """
    # an empty caption would be a prompt for nothing
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{path}, picture {shown(file)}: expected a file name and a caption, got {shown(value)}"
        )
    try:
        check_readable(value)
    except ValueError as error:
        raise ValueError(f"{path}, picture {shown(file)}: {error}") from None
    return value
