"""Who plans the births of a run, ready to plan the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from evomerge.contracts import Genome, can
from evomerge.errors import UserError, as_user_error
from evomerge.run.parts import Parts, Stage
from evomerge.run.state import State
from evomerge.strategies.strategy import Birth, Learner, Planner, Stoppable


def planner_for(
    parts: Parts,
    state: State,
    stage: Stage,
    founders: Callable[[], Sequence[Genome]],
    resources: ExitStack,
    births: Iterable[Mapping[str, Any]] = (),
) -> Planner:
    """Has the strategy make ready to plan, and tells it what was decided before.

    Args:
        parts: what the run is made of.
        state: where it is.
        stage: what stands around a step that may take long.
        founders: gives the founders' genomes.
        resources: what lets go of the planner at the run's end.
        births: the log's lines of the births that are decided.

    Raises:
        UserError: if it cannot plan, or does not come to the births in flight again.
    """
    begin = parts.strategy.begin
    with stage("making ready to plan"):
        planner: Planner = as_user_error(
            "strategy",
            lambda: begin(parts.population, parts.fitness, founders, parts.settings.seed),
        )
    # Registered before it is told anything, which may fail.
    if can(planner, Stoppable):
        resources.callback(planner.stop)
    if can(planner, Learner):
        for entry in births:
            planner.tell(entry)
        _check_again(planner, parts, state)
    return planner


def _check_again(planner: Planner, parts: Parts, state: State) -> None:
    """Checks that a planner that has learned comes to the births in flight again.

    Raises:
        UserError: if not.
    """
    view = state.archive.view
    for job in state.jobs.values():
        birth = job.birth
        # A plan by parents is whole in the snapshot. What the strategy itself has made is not.
        if birth.made is None:
            continue
        again = planner.plan(birth.number, view, parts.population, parts.settings.seed)
        if not _same_child(birth, again):
            raise UserError(
                f"strategy: it does not come to birth {birth.number} again as it was; the run "
                "began with another version, or on another kind of machine, and cannot go on "
                "with this one"
            )


def _same_child(one: Birth, other: Birth | None) -> bool:
    """Whether two plans make the same child, to the bit."""
    if one.made is None or other is None or other.made is None:
        return False
    # Both may be recipes of other lengths.
    before, now = one.made.tensors(), other.made.tensors()
    if before.keys() != now.keys():
        return False
    return all(before[name].equal(now[name]) for name in before)
