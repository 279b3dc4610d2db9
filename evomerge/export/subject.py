"""What a model card is about: a member, its run, and what it scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge.contracts import Genome
from evomerge.export.measured import Score


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Attributes:
        run: the run's name.
        id: the member's.
        genome: the member.
        population: its class, with its module.
        facts: what the population's `card()` says.
        config: text of the run's config.yaml.
        call: the same as data.
        births: how many births the run has had.
        ancestors: the log's lines of the member and all its ancestors, by id.
        founders: the log's lines of the founders.
        scores: what the member scored.
    """

    run: str
    id: int
    genome: Genome
    population: str
    facts: Mapping[str, Any]
    config: str
    call: Mapping[str, Any]
    births: int
    ancestors: Mapping[int, dict[str, Any]]
    founders: Sequence[dict[str, Any]]
    scores: Sequence[Score]

    @property
    def seeds(self) -> list[Mapping[str, Any]]:
        """What is known of each seed."""
        return list(self.facts.get("seeds", ()))

    @property
    def models(self) -> list[Mapping[str, Any]]:
        """All models whose weights are in it."""
        return [*self.seeds, *self.facts.get("others", ())]
