"""Scores of a text-to-image pipeline: each datapoint is a prompt with noise of its own, and a judge says what the picture is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from fitness.messages import datapoint_name, shown
from fitness.painting import Painter, noise_of
from fitness.pictures import data_uri, pil
from fitness.questions import Records
from fitness.reading import readers, warn
from fitness.templates import filled, parts

SHOWN = 10
"""Prompts that a report shows for one member beside another."""


class Judge(Protocol):
    """Says what pictures are worth (`fitness.clip`, `fitness.classifier`, or your own).

    Optional: `check(record)`, which raises a ValueError if a record lacks what it is judged by; it is asked before anything is drawn.
    `reader`, a `fitness.reading.Reader`, where it reads the prompts: those that it cuts are named.
    """

    def score(
        self, pictures: torch.Tensor, prompts: Sequence[str], records: Sequence[Mapping[str, Any]]
    ) -> Any:
        """(B, 3, H, W) pictures in [0, 1], B prompts and records to (B,) scores in [0, 1]."""


class TextToImage:
    """One score for each prompt, by what a judge, or a function of (prompt, picture), says of the picture drawn for it."""

    def __init__(
        self,
        data: Records,
        score: Judge | Callable[[str, Any], float],
        template: str = "{prompt}",
        *,
        steps: int = 20,
        guidance: float | None = None,
        height: int | None = None,
        width: int | None = None,
        negative: str | None = None,
        batch: int = 16,
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
        group: str | None = None,
    ) -> None:
        """Settings only; the records are loaded on first use.

        Args:
            data: the records, such as `fitness.records.JsonLines`.
            score: a judge; or a function of the prompt and the picture (a PIL image) that gives a number in [0, 1].
            template: the prompt, with the names of fields in braces; a brace of its own is doubled.
            steps: as `Painter`.
            guidance: as `Painter`.
            height: as `Painter`.
            width: as `Painter`.
            negative: as `Painter`.
            batch: as `Painter`.
            options: as `Painter`.
            seed: of the noise: that of a picture comes from it, the split and the datapoint.
            group: a field of the records; those that have the same there are a group of datapoints.

        Raises:
            ValueError: if a setting is out of its range, or the template is broken.
        """
        Painter(steps, guidance, height, width, negative, batch, options)
        parts(template)
        if seed < 0:
            raise ValueError(f"seed: expected a number of at least 0, got {seed}")
        self.data, self.score, self.template = data, score, template
        self.steps, self.guidance, self.height, self.width = steps, guidance, height, width
        self.negative, self.batch, self.options, self.seed = negative, batch, options, seed
        self.group = group

    def size(self, split: str) -> int:
        """As `Fitness.size`.

        Raises:
            ValueError: if a record lacks a field, or what the judge needs.
        """
        return len(self._prompts(split))

    def groups(self, split: str) -> dict[str, np.ndarray]:
        """As `Fitness.groups`; none without a field to group by.

        Raises:
            ValueError: if a record lacks that field.
        """
        if self.group is None:
            return {}
        names = []
        for index in range(self.size(split)):
            if self.group not in self._records[split][index]:
                raise ValueError(f"{self._where(index, split)}: group: no field {self.group!r}")
            name = self._records[split][index][self.group]
            if name is None or isinstance(name, list | dict):
                raise ValueError(
                    f"{self._where(index, split)}: group: {self.group}: expected a name, got {shown(name)}"
                )
            names.append(str(self._records[split][index][self.group]))
        return {name: np.flatnonzero(np.array(names) == name) for name in dict.fromkeys(names)}

    def __call__(self, model: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            ValueError: if the pipeline cannot draw, or the judge fails or gives no numbers in [0, 1].
        """
        return self._judged(self._draw(model, datapoints, split), datapoints, split)

    def explain(self, model: Any, datapoints: np.ndarray, split: str) -> list[dict[str, Any]]:
        """For each datapoint its prompt, the picture as a small PNG in a data URI, and the score."""
        pictures = self._draw(model, datapoints, split)
        scores = self._judged(pictures, datapoints, split)
        return [
            {
                "prompt": self._prompts(split)[index],
                "picture": data_uri(picture),
                "score": float(score),
            }
            for index, picture, score in zip(datapoints, pictures, scores, strict=True)
        ]

    def showcase(self, split: str) -> np.ndarray:
        """(n,) the datapoints that a report shows for one member beside another: the first few."""
        return np.arange(min(SHOWN, self.size(split)))

    def _draw(self, pipeline: Any, datapoints: np.ndarray, split: str) -> torch.Tensor:
        if not self.size(split):
            raise ValueError(f"{self.data} has no split {split!r}")
        if split not in self._read:
            self._read.add(split)
            self._warn_of_limits(pipeline, split)
        prompts = [self._prompts(split)[index] for index in datapoints]
        return self._painter(
            pipeline, prompts, [noise_of(self.seed, split, int(index)) for index in datapoints]
        )

    def _warn_of_limits(self, pipeline: Any, split: str) -> None:
        """Says, once a split, which prompts are longer than what reads them."""
        drawing = readers(pipeline, self.options) if hasattr(pipeline, "components") else []
        warn(self._prompts(split), drawing, lambda index: self._where(index, split), f"of {split}")
        if self.negative is not None and len(self._read) == 1:
            warn([self.negative], drawing, lambda _: "negative", "(negative)")
        if hasattr(self.score, "reader"):
            warn(
                self._prompts(split),
                [self.score.reader],
                lambda index: self._where(index, split),
                f"of {split}",
            )

    def _judged(self, pictures: torch.Tensor, datapoints: np.ndarray, split: str) -> np.ndarray:
        """(B,) float32 scores."""
        prompts = [self._prompts(split)[index] for index in datapoints]
        if hasattr(self.score, "score"):
            records = [self._records[split][index] for index in datapoints]
            with torch.no_grad():
                scores = np.asarray(self.score.score(pictures, prompts, records), dtype=np.float32)
        else:
            pairs = zip(datapoints, prompts, pictures, strict=True)
            scores = np.array([self._asked(*pair, split) for pair in pairs], dtype=np.float32)
        if scores.shape != datapoints.shape:
            raise ValueError(
                f"score: expected a score for each of {len(datapoints)} pictures, got shape {scores.shape}"
            )
        for index, number in zip(datapoints, scores, strict=True):
            if not 0 <= number <= 1:
                raise ValueError(
                    f"{self._where(index, split)}: score: expected a number in [0, 1], got {number}"
                )
        return scores

    def _asked(self, index: int, prompt: str, picture: torch.Tensor, split: str) -> float:
        """What the user's function says of one picture."""
        assert callable(self.score)
        try:
            return float(self.score(prompt, pil(picture)))
        except (OSError, MemoryError):  # the surroundings, which are tried again
            raise
        except Exception as error:
            raise ValueError(
                f"{self._where(index, split)}: score raised {type(error).__name__}: {error}"
            ) from error

    @cached_property
    def _painter(self) -> Painter:
        return Painter(
            self.steps,
            self.guidance,
            self.height,
            self.width,
            self.negative,
            self.batch,
            self.options,
        )

    @cached_property
    def _read(self) -> set[str]:
        """The splits whose prompts have been held against what reads them."""
        return set()

    @cached_property
    def _records(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        return {}

    @cached_property
    def _filled(self) -> dict[str, list[str]]:
        return {}

    def _prompts(self, split: str) -> list[str]:
        """The prompt of each datapoint, once all that can be known to be wrong of the records is."""
        if split not in self._filled:
            self._records[split] = self.data.split(split) or ()
            written, prompts = parts(self.template), []
            for index, record in enumerate(self._records[split]):
                for _, field in written:
                    if field is not None and record.get(field) is None:
                        known = (
                            ", ".join(name for name, value in record.items() if value is not None)
                            or "none"
                        )
                        raise ValueError(
                            f"{self._where(index, split)}: template: no field {field!r}; its fields: {known}"
                        )
                try:
                    if hasattr(self.score, "check"):
                        self.score.check(record)
                    prompts.append(filled(written, record))
                except ValueError as error:
                    raise ValueError(f"{self._where(index, split)}: {error}") from None
            self._filled[split] = prompts
        return self._filled[split]

    def _where(self, index: int, split: str) -> str:
        """Names a datapoint."""
        return datapoint_name(self.data, index, split)

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, prompts do not."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}
