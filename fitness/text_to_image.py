"""Scores of a text-to-image pipeline: a judge says what the picture for each prompt is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from fitness.contracts import ChecksRecords, can
from fitness.messages import datapoint_name, shown
from fitness.painting import Painter, noise_of
from fitness.part_names import name_of
from fitness.pictures import data_uri, pil
from fitness.portable import Portable
from fitness.questions import Records
from fitness.reading import ReadsPrompts, readers, warn
from fitness.templates import filled, parts

SHOWN = 10
"""Prompts that a report shows for one member beside another."""


class Judge(Protocol):
    """Says what pictures are worth (`fitness.clip`, `fitness.classifier`, or your own).

    Optional: `check(record)`, which raises a ValueError if a record lacks what it is judged by; it
    is asked before anything is drawn. `reader`, a `fitness.reading.Reader`, where it reads the
    prompts: those that it cuts are named.
    """

    def score(
        self, pictures: torch.Tensor, prompts: Sequence[str], records: Sequence[Mapping[str, Any]]
    ) -> Any:
        """(B, 3, H, W) pictures in [0, 1], B prompts and records to (B,) scores in [0, 1]."""


class TextToImage(Portable):
    """One score for each prompt, by what a judge says of the picture drawn for it.

    In place of a judge there may be a function of (prompt, picture).
    """

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
            score: a judge; or a function of the prompt and the picture (a PIL image) that gives a
                number in [0, 1].
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
        # settings that are passed on are checked by those who take them, before anything is loaded
        Painter(steps, guidance, height, width, negative, batch, options)
        parts(template)
        if seed < 0:
            raise ValueError(f"seed: expected a number of at least 0, got {seed}")
        self.data = data
        self.score = score
        self.template = template
        self.steps = steps
        self.guidance = guidance
        self.height = height
        self.width = width
        self.negative = negative
        self.batch = batch
        self.options = options
        self.seed = seed
        self.group = group

    @property
    def name(self) -> str | None:
        """What its data are called, if they have a name."""
        return name_of(self.data)

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
            # records of one file need not have the same fields
            record = self._records[split][index]
            if self.group not in record:
                raise ValueError(f"{self._where(index, split)}: group: no field {self.group!r}")
            # numbers and texts are names, and a list is none
            name = record[self.group]
            if name is None or isinstance(name, list | dict):
                raise ValueError(
                    f"{self._where(index, split)}: group: {self.group}: expected a name, "
                    f"got {shown(name)}"
                )
            names.append(str(name))
        groups = {}
        column = np.array(names)  # (D,)
        for name in dict.fromkeys(names):
            groups[name] = np.flatnonzero(column == name)
        return groups

    def __call__(self, model: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            ValueError: if the pipeline cannot draw, or the judge fails or gives no numbers in
                [0, 1].
        """
        return self._judged(self._draw(model, datapoints, split), datapoints, split)

    def explain(self, model: Any, datapoints: np.ndarray, split: str) -> list[dict[str, Any]]:
        """For each datapoint its prompt, the picture as a small PNG in a data URI, the score."""
        pictures = self._draw(model, datapoints, split)  # (B, 3, H, W)
        scores = self._judged(pictures, datapoints, split)  # (B,)
        prompts = self._prompts(split)
        entries = []
        for index, picture, score in zip(datapoints, pictures, scores, strict=True):
            entry = {"prompt": prompts[index], "picture": data_uri(picture), "score": float(score)}
            entries.append(entry)
        return entries

    def showcase(self, split: str) -> np.ndarray:
        """(n,) the datapoints that a report shows for one member beside another: the first few."""
        return np.arange(min(SHOWN, self.size(split)))

    def _draw(self, pipeline: Any, datapoints: np.ndarray, split: str) -> torch.Tensor:
        """(B, 3, H, W) the pictures of these datapoints, in [0, 1]."""
        if not self.size(split):
            raise ValueError(f"{self.data} has no split {split!r}")
        # the run's log has it once, not for every member
        if split not in self._compared:
            self._compared.add(split)
            self._warn_of_limits(pipeline, split)
        prompts = []
        noises = []
        for index in datapoints:
            prompts.append(self._prompts(split)[index])
            noises.append(noise_of(self.seed, split, int(index)))
        return self._painter(pipeline, prompts, noises)

    def _warn_of_limits(self, pipeline: Any, split: str) -> None:
        """Says, once a split, which prompts are longer than what reads them."""
        prompts = self._prompts(split)
        encoders = readers(pipeline, self.options)
        warn(prompts, encoders, lambda index: self._where(index, split), f"of {split}")
        # the negative prompt is the same for every split
        if self.negative is not None and len(self._compared) == 1:
            warn([self.negative], encoders, lambda _: "negative", "(negative)")
        if can(self.score, ReadsPrompts):
            judge = [self.score.reader]
            warn(prompts, judge, lambda index: self._where(index, split), f"of {split}")

    def _judged(self, pictures: torch.Tensor, datapoints: np.ndarray, split: str) -> np.ndarray:
        """(B,) float32 scores of (B, 3, H, W) pictures."""
        prompts = [self._prompts(split)[index] for index in datapoints]
        # a judge sees a whole batch, a function one picture after another
        if can(self.score, Judge):
            records = [self._records[split][index] for index in datapoints]
            with torch.no_grad():
                scores = np.asarray(self.score.score(pictures, prompts, records), dtype=np.float32)
        else:
            answers = []
            for index, prompt, picture in zip(datapoints, prompts, pictures, strict=True):
                answers.append(self._asked(index, prompt, picture, split))
            scores = np.array(answers, dtype=np.float32)
        # a judge may be a user's own
        if scores.shape != datapoints.shape:
            raise ValueError(
                f"score: expected a score for each of {len(datapoints)} pictures, "
                f"got shape {scores.shape}"
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
        # the surroundings are no fault of the function, and are tried again
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise ValueError(
                f"{self._where(index, split)}: score raised {type(error).__name__}: {error}"
            ) from error

    def _prompts(self, split: str) -> list[str]:
        """The prompt of each datapoint.

        By then all that can be known to be wrong of the records is known.
        """
        if split not in self._filled:
            records = self.data.split(split) or ()
            self._records[split] = records
            written = parts(self.template)
            # asked once, as the answer takes longer than a check
            judge = self.score if can(self.score, ChecksRecords) else None
            prompts = []
            for index, record in enumerate(records):
                prompts.append(self._prompt(written, judge, index, record, split))
            self._filled[split] = prompts
        return self._filled[split]

    def _prompt(
        self,
        written: Sequence[tuple[str, str | None]],
        judge: ChecksRecords | None,
        index: int,
        record: Mapping[str, Any],
        split: str,
    ) -> str:
        """The prompt of one record, held against the template and the judge."""
        for _, field in written:
            if field is not None and record.get(field) is None:
                given = [name for name, value in record.items() if value is not None]
                known = ", ".join(given) or "none"
                raise ValueError(
                    f"{self._where(index, split)}: template: no field {field!r}; "
                    f"its fields: {known}"
                )
        # what the judge misses is known before the first picture, which takes its time
        try:
            if judge is not None:
                judge.check(record)
            return filled(written, record)
        except ValueError as error:
            raise ValueError(f"{self._where(index, split)}: {error}") from None

    def _where(self, index: int, split: str) -> str:
        """Names a datapoint."""
        return datapoint_name(self.data, index, split)

    @cached_property
    def _painter(self) -> Painter:
        """What draws; its batches stay small once memory has run out."""
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
    def _compared(self) -> set[str]:
        """The splits whose prompts have been held against what reads them."""
        return set()

    @cached_property
    def _records(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """The records of each split that has been read."""
        return {}

    @cached_property
    def _filled(self) -> dict[str, list[str]]:
        """The prompts of each split that has been read."""
        return {}
