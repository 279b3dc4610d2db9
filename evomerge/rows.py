"""What is compared: rows of runs that differ by their random seed alone, from configs, or from runs that are there already."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evomerge import calls, config
from evomerge.errors import UserError
from evomerge.evolution import evolve, with_defaults
from evomerge.rundir import read_births
from evomerge.settings import Settings
from evomerge.sweep import Sweep

SWEEP = "sweep"
"""The row of the sweep, which is always there."""

OUTSIDE = ("run_dir", "resume", "progress")
"""Arguments of `evolve` that are not a config's."""


@dataclass(frozen=True)
class Run:
    """A run of a row.

    Attributes:
        path: its directory.
        call: the call of `evolve` that makes it, as plain data.
        ours: whether it is made here; otherwise it is taken as it is.
    """

    path: Path
    call: Mapping[str, Any]
    ours: bool

    @property
    def seed(self) -> int:
        """Its random seed."""
        return int(self.call.get("seed", 0))


@dataclass(frozen=True)
class Plan:
    """A comparison before it is run.

    Attributes:
        rows: the runs of each row by its name, in order.
        sweep: those of the sweep, one for each random seed of the first row.
        births: up to which birth they are compared.
    """

    rows: Mapping[str, Sequence[Run]]
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
    rows: dict[str, list[Run]] = {}
    problems: list[str] = []
    for name, call in _from_configs([path for path in given if not path.is_dir()], overrides, vary, problems):
        rows[name] = [Run(out / name / str(seed), call | {"seed": seed}, ours=True) for seed in seeds]
    if problems:
        raise UserError("\n".join(problems))
    for name, runs in _from_runs([path for path in given if path.is_dir()]).items():
        if name in rows:
            raise UserError(f"{runs[0].path}: there is a row {name!r} from a config already")
        rows[name] = runs
    if (overrides or vary) and not any(run.ours for runs in rows.values() for run in runs):
        raise UserError(f"{[*overrides, *vary][0]}: expected a config to override, there are only runs")
    sweep = rows.pop(SWEEP, None)
    if not rows:
        raise UserError("expected at least one config or run to compare, besides the sweep")
    births = _births(rows)
    _check_fitness(rows)
    first = next(iter(rows.values()))
    if sweep is None:
        call = {**first[0].call, "strategy": calls.describe(strategy=Sweep(points, _angle(first[0].call)))["strategy"]}
        call |= {"births": min(points, births)}
        sweep = [Run(out / SWEEP / str(run.seed), call | {"seed": run.seed}, ours=True) for run in first]
    return Plan(rows, sweep, births)


def shared(plan: Plan) -> list[Run]:
    """The runs of the sweep, once the first row's runs have told their founders: of those with the same founders, each is the first.

    Founders that do not depend on the random seed, such as language models, are so mixed once and not for each seed.
    """
    first, told = next(iter(plan.rows.values())), {}
    for run in first:
        with suppress(OSError, ValueError):
            told[run.seed] = str([{**entry, "best": None} for entry in read_births(run.path) if "founder" in entry])
    chosen: dict[str, Path] = {}
    return [replace(run, path=chosen.setdefault(told.get(run.seed, f"seed {run.seed}"), run.path)) for run in plan.sweep]


def _from_configs(
    paths: Sequence[Path], overrides: Sequence[str], vary: Mapping[str, Sequence[str]], problems: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the call of each row that configs ask for; what is wrong with one is added to `problems`."""
    stems = Counter(path.stem for path in paths)
    for path in paths:
        stem = path.stem if stems[path.stem] == 1 else f"{path.resolve().parent.name}-{path.stem}"
        for values in itertools.product(*vary.values()):
            varied = [f"{key}={value}" for key, value in zip(vary, values, strict=True)]
            name = ",".join([stem, *(text.rpartition(".")[2] if "." in text.partition("=")[0] else text for text in varied)])
            try:
                loaded = config.load(path, [*overrides, *varied])
                loaded.pop("run_dir", None)
                built = calls.build({**loaded, "seed": 0}, evolve, outside=OUTSIDE, check=Settings)
            except UserError as error:
                problems += [f"{name}: {line}" for line in str(error).splitlines()]
                continue
            parts, settings = with_defaults(built)
            yield name, config.plain(calls.describe(**parts, **vars(settings)))


def _from_runs(folders: Sequence[Path]) -> dict[str, list[Run]]:
    """The runs that are in folders, or are these, by a name for those that one call made."""
    rows: dict[str, list[Run]] = {}
    made: dict[str, Any] = {}
    for folder in folders:
        paths = [folder] if (folder / "config.yaml").is_file() else sorted(path.parent for path in folder.glob("**/config.yaml"))
        if not paths:
            raise UserError(f"{folder}: there is no run in it")
        for path in paths:
            call = config.load(path / "config.yaml")
            alike = {key: value for key, value in call.items() if key == "births" or key not in (*config.CHANGEABLE, "seed")}
            known = next((name for name, other in made.items() if other == alike), None)
            if known is None:
                known = _name(path, made)
                made[known] = alike
            rows.setdefault(known, []).append(Run(path, call, ours=False))
    return rows


def _name(path: Path, taken: Mapping[str, Any]) -> str:
    """A name for the row of a run: its directory's, without a number at the end, or the one's above."""
    path = path.resolve()
    name = path.parent.name if path.name.isdigit() else re.sub(r"-\d+$", "", path.name)
    return next(found for n in itertools.count(1) if (found := name if n == 1 else f"{name}-{n}") not in taken)


def _births(rows: Mapping[str, Sequence[Run]]) -> int:
    """How many births all can be compared by.

    Raises:
        UserError: if configs ask for different numbers of them, or a run has fewer than they ask for.
    """
    wanted = {name: runs[0].call["births"] for name, runs in rows.items() if runs[0].ours}
    if len(set(wanted.values())) > 1:
        told = ", ".join(f"{name} has {births}" for name, births in wanted.items())
        raise UserError(f"births: the rows of a comparison need the same number, {told}; give births=N for all")
    has = {str(run.path): int(run.call["births"]) for runs in rows.values() for run in runs if not run.ours}
    births = int(next(iter(wanted.values()))) if wanted else min(has.values())
    if births < 1:
        raise UserError(f"births: expected a number of at least 1, got {births}")
    for path, number in has.items():
        if number < births:
            raise UserError(f"births: the run in {path} has {number}, the others {births}; resume it with births={births}")
    return births


def _check_fitness(rows: Mapping[str, Sequence[Run]]) -> None:
    """Checks that all rows are scored by the same.

    Raises:
        UserError: if not.
    """
    (first, one), *others = ((name, run.call["fitness"]) for name, runs in rows.items() for run in runs)
    for name, other in others:
        if found := config.differences(one, other, "fitness"):
            where, ours, theirs = found[0]
            raise UserError(f"{where}: the rows of a comparison need the same, {first} has {ours!r} and {name} has {theirs!r}")


def _angle(call: Mapping[str, Any]) -> Any:
    """The angle of a sweep beside a call: that of its crossover, if it has one."""
    crossover = call["strategy"].get("crossover")
    return crossover.get("angle", "part") if isinstance(crossover, dict) else "part"
