"""What is compared: rows from configs, or from runs that are there, with a sweep beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evomerge.compare.configured import rows_of_configs
from evomerge.compare.existing import rows_of_runs
from evomerge.compare.rows import SWEEP, Rows, Run
from evomerge.config import calls, resumed
from evomerge.errors import UserError
from evomerge.rundir.births import read_births
from evomerge.strategies.sweep import Sweep

log = logging.getLogger(__name__)

OURS = ("seed", "run_dir")
"""Keys that a comparison sets itself."""


@dataclass(frozen=True)
class Plan:
    """A comparison before it is run.

    Attributes:
        rows: the runs of each row by its name, in order.
        sweep: the runs of the sweep, one for each random seed of the first row.
        births: up to which birth they are compared.
    """

    rows: Rows
    sweep: Sequence[Run]
    births: int


def plan(
    given: Sequence[Path],
    overrides: Sequence[str],
    *,
    vary: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    out: Path,
    points: int,
) -> Plan:
    """Reads what is to be compared; runs nothing.

    Args:
        given: configs, run directories, or folders of run directories.
        overrides: `key=value`, for every config.
        vary: values by key: a row for each config and each combination of values.
        seeds: random seeds of the runs of each config.
        out: where runs are made, as ROW/SEED.
        points: ratios of the sweep.

    Raises:
        UserError: if anything is wrong, or the rows have not one fitness and one number of births.
    """
    # A seed or a place for all runs would make them one run.
    keys = [text.partition("=")[0] for text in overrides]
    for key in [*keys, *vary]:
        if key in OURS:
            raise UserError(f"{key}: a comparison sets it itself; give --seeds, or --out")
    configs = []
    folders = []
    for path in given:
        if path.is_dir():
            folders.append(path)
        else:
            configs.append(path)
    rows = rows_of_configs(configs, overrides, vary=vary, seeds=seeds, out=out)
    existing, sweeps = rows_of_runs(folders, rows)
    if (overrides or vary) and not rows:
        needless = [*overrides, *vary][0]
        raise UserError(f"{needless}: expected a config to override, there are only runs")
    rows |= existing
    if not rows:
        raise UserError("expected at least one config or run to compare, besides a sweep")
    births = _births(rows)

    first = next(iter(rows.values()))
    # Its parts are the first row's, with whose score those of others are compared.
    call = _sweep_call(first[0].call, points)
    sweep = []
    for run in first:
        # A run of a sweep that is there already is not made again.
        new = Run(out / SWEEP / str(run.seed), call | {"seed": run.seed}, ours=True)
        sweep.append(sweeps.get(run.seed, new))
    everything = {**rows, SWEEP: sweep}
    _check_fitness(everything)
    _log_populations(everything)
    return Plan(rows, sweep, births)


def shared(plan: Plan) -> list[Run]:
    """The runs of the sweep, of which those with the same founders are one.

    Founders that do not depend on the random seed, such as language models, are so mixed once and
    not for each seed. The first row's runs have to be there: their logs have the founders.
    """
    first = next(iter(plan.rows.values()))
    founders = {}
    for run in first:
        # A run that failed says nothing of its founders, so its seed is swept by itself.
        with suppress(OSError, ValueError):
            founders[run.seed] = _founders(run.path)
    by_founders: dict[str, Run] = {}
    # Rather a sweep that is there already than one that is yet to be made.
    for run in sorted(plan.sweep, key=lambda run: run.ours):
        by_founders.setdefault(founders.get(run.seed, f"seed {run.seed}"), run)
    sweep = []
    for run in plan.sweep:
        chosen = by_founders[founders.get(run.seed, f"seed {run.seed}")]
        if chosen is not run:
            # The numbers of another seed's sweep count for this seed, too.
            chosen = replace(chosen, call={**chosen.call, "seed": run.seed})
        sweep.append(chosen)
    return sweep


def _founders(path: Path) -> str:
    """What the log says of a run's founders, but for when, and which of them was best."""
    texts = []
    for entry in read_births(path):
        if "founder" in entry:
            texts.append(str({**entry, "best": None, "time": None}))
    return "\n".join(texts)


def _sweep_call(call: Mapping[str, Any], points: int) -> dict[str, Any]:
    """The call of a sweep with the parts of another call: every ratio once, one after another."""
    crossover = call["strategy"].get("crossover")
    angle: Any = "part"
    if isinstance(crossover, dict):
        angle = crossover.get("angle") or angle
    numbers = {"births": points, "lookahead": 1, "stack": 1, "patience": None, "hours": None}
    return {**call, **calls.describe(strategy=Sweep(points, angle)), **numbers}


def _births(rows: Rows) -> int:
    """How many births all can be compared by.

    Raises:
        UserError: if configs ask for different numbers of them, or a run has fewer than they do.
    """
    wanted: dict[str, int] = {}
    there: dict[Path, int] = {}
    for name, runs in rows.items():
        for run in runs:
            if run.ours:
                wanted[name] = int(run.call["births"])
            else:
                there[run.path] = int(run.call["births"])
    if len(set(wanted.values())) > 1:
        numbers = ", ".join(f"{name} has {births}" for name, births in wanted.items())
        raise UserError(
            f"births: the rows of a comparison need the same number, {numbers}; "
            "give births=N for all"
        )
    # A longer run is compared as far as the shortest one goes.
    births = min(wanted.values() or there.values())
    if births < 1:
        raise UserError(f"births: expected a number of at least 1, got {births}")
    for path, number in there.items():
        if number < births:
            raise UserError(
                f"births: the run in {path} has {number}, the others {births}; "
                f"resume it with births={births}"
            )
    return births


def _check_fitness(rows: Rows) -> None:
    """Checks that all rows are scored by the same fitness.

    Raises:
        UserError: if not.
    """
    first = next(iter(rows))
    fitness = rows[first][0].call["fitness"]
    # Scores of different fitnesses are different things, and their means say nothing.
    for name, runs in rows.items():
        for run in runs:
            differences = resumed.differences(fitness, run.call["fitness"], "fitness")
            if differences:
                where, ours, theirs = differences[0]
                raise UserError(
                    f"{where}: the rows of a comparison need the same, "
                    f"{first} has {ours!r} and {name} has {theirs!r}"
                )


def _log_populations(rows: Rows) -> None:
    """Says in what the populations differ, which is allowed."""
    first = next(iter(rows))
    population = rows[first][0].call["population"]
    # It may be what is compared, such as the seeds or how they are merged.
    for name, runs in rows.items():
        theirs = runs[0].call["population"]
        for where, old, new in resumed.differences(population, theirs, "population"):
            log.warning(
                "%s: %s has %r, %s has %r; best seed and sweep are those of %s",
                where,
                first,
                old,
                name,
                new,
                first,
            )
