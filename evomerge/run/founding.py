"""How a run begins: the founders are made, scored on every split, and fill the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evomerge.archives.archive import Archive, Member
from evomerge.archives.tiling import Tiling
from evomerge.contracts import Genome
from evomerge.datapoints import group_codes
from evomerge.errors import UserError, as_user_error
from evomerge.genome.groups import stretches_along
from evomerge.run.best import Best
from evomerge.run.parts import Parts, Stage
from evomerge.run.state import State
from evomerge.rundir.founders import Founding


@dataclass(frozen=True, eq=False)
class Founded:
    """A run before its first birth.

    Attributes:
        genomes: the founders' genomes.
        state: the state of the run.
        founders: the founders with their scores on every split.
        founding: what a report needs of the beginning.
    """

    genomes: Sequence[Genome]
    state: State
    founders: Sequence[Best]
    founding: Founding


def found(parts: Parts, stage: Stage) -> Founded:
    """Makes and scores the founders.

    Args:
        parts: what the run is made of; its workers have started.
        stage: what stands around each step that may take long.

    Raises:
        UserError: if a founder cannot be made or scored, or there are fewer than two.
    """
    archive = parts.empty_archive()
    genomes = _make_founders(parts, stage)
    members = _score_founders(parts, genomes, stage)
    # All are admitted once all are scored: none of them is a newcomer.
    for member in members:
        archive.admit(member)

    # Best is chosen among the founders as it will be among their children.
    candidates = []
    for member in members:
        train = archive.competition.mean(member.scores)
        candidates.append(Best(member.id, member.genome, train, rows={"train": member.scores}))
    if parts.settings.validate:
        candidates = parts.with_scores("validation", candidates, stage)
    candidates = parts.with_scores("test", candidates, stage)
    candidates = parts.with_watched(candidates, stage)
    best = max(candidates, key=lambda candidate: candidate.chosen_by)

    state = State(archive, best, _first_tiling(archive, parts))
    return Founded(genomes, state, candidates, _founding(parts, candidates))


def _make_founders(parts: Parts, stage: Stage) -> Sequence[Genome]:
    """The founders' genomes.

    Raises:
        UserError: if they cannot be made, are fewer than two, or have numbers that are not finite.
    """
    with stage("making the founders"):
        genomes = as_user_error("population", lambda: parts.workers.founders(parts.settings.seed))
    if len(genomes) < 2:
        raise UserError(f"population: expected at least two founders, got {len(genomes)}")
    for index, genome in enumerate(genomes):
        if not genome.finite():
            raise UserError(f"population: founder {index} has numbers that are not finite")
    return genomes


def _score_founders(parts: Parts, genomes: Sequence[Genome], stage: Stage) -> list[Member]:
    """The founders as members, scored on the training split.

    Raises:
        UserError: if one cannot be scored; the message says which.
    """
    size = parts.sizes["train"]
    # There is no archive yet by which datapoints are scarce, so they come in the order of the file.
    tiling = parts.tiling(0, np.arange(size))
    rows = parts.workers.score(genomes, tiling.tiles, "train")
    members = []
    for index, genome in enumerate(genomes):
        with stage(f"founder {index + 1} of {len(genomes)}", size):
            scores = as_user_error(f"fitness of founder {index}", lambda: next(rows))
        # Birth 1 is the first child's, so founders have the ids 1 - K to 0.
        members.append(Member(1 - len(genomes) + index, (), genome, scores))
    return members


def _first_tiling(archive: Archive, parts: Parts) -> Tiling:
    """The tiles of the first births, the scarcest datapoints first."""
    return parts.tiling(1, archive.view.scarcity())


def _founding(parts: Parts, founders: Sequence[Best]) -> Founding:
    """What a report needs of the beginning, and only the beginning knows."""
    scores, weights, sizes = {}, {}, {}
    for split in founders[0].rows:
        sizes[split] = parts.sizes[split]
        scores[split] = np.stack([founder.rows[split] for founder in founders])  # (K, D)
        weighed = parts.weights(split)
        if weighed is not None:
            weights[split] = weighed
    # The splits that the founders were scored on are those that the fitness has.
    codes, names = group_codes(parts.fitness, sizes)
    return Founding(scores, weights, codes, names, stretches_along(parts.axis))
