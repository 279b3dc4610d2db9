"""What is compared: rows of runs that differ by their random seed alone, from configs, or from runs that are there already."""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evomerge.config import calls, config, resumed
from evomerge.config.targets import TARGET, names_the_same, path_of
from evomerge.errors import UserError
from evomerge.evolution import OUTSIDE, evolve, with_defaults
from evomerge.files import within
from evomerge.run.settings import RANGES
from evomerge.rundir.births import read_births
from evomerge.strategies.sweep import Sweep

log = logging.getLogger(__name__)

SWEEP, BEST_SEED = "sweep", "best seed"
"""The rows that are always there."""

OURS = ("seed", "run_dir")
"""Keys that a comparison sets itself."""

FOLDER = 80
"""Longest name of a row's folder."""


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
    for key in [text.partition("=")[0] for text in overrides] + list(vary):
        if key in OURS:
            raise UserError(f"{key}: a comparison sets it itself; give --seeds, or --out")
    rows: dict[str, list[Run]] = {}
    problems: list[str] = []
    for name, call in _from_configs(
        [path for path in given if not path.is_dir()], overrides, vary, problems
    ):
        if name in rows or name in (SWEEP, BEST_SEED):
            problems.append(
                f"{name}: there is a row of this name already; give the config another name, or --vary a value once"
            )
        rows[name] = [
            Run(out / _folder(name) / str(seed), call | {"seed": seed}, ours=True) for seed in seeds
        ]
    if problems:
        raise UserError("\n".join(problems))
    found, mixed = _from_runs([path for path in given if path.is_dir()], rows)
    rows |= found
    if (overrides or vary) and not any(run.ours for runs in rows.values() for run in runs):
        raise UserError(
            f"{[*overrides, *vary][0]}: expected a config to override, there are only runs"
        )
    if not rows:
        raise UserError("expected at least one config or run to compare, besides a sweep")
    births = _births(rows)
    first = next(iter(rows.values()))
    call = dict(first[0].call) | {
        "strategy": calls.describe(strategy=Sweep(points, _angle(first[0].call)))["strategy"]
    }
    call |= {"births": points, "lookahead": 1, "stack": 1, "patience": None, "hours": None}
    sweep = [
        mixed.get(run.seed, Run(out / SWEEP / str(run.seed), call | {"seed": run.seed}, ours=True))
        for run in first
    ]
    _check_fitness({**rows, SWEEP: sweep})
    _tell_populations({**rows, SWEEP: sweep})
    return Plan(rows, sweep, births)


def shared(plan: Plan) -> list[Run]:
    """The runs of the sweep, once the first row's runs have told their founders: of those with the same founders, each is one.

    Founders that do not depend on the random seed, such as language models, are so mixed once and not for each seed.
    """
    first, told = next(iter(plan.rows.values())), {}
    for run in first:
        with suppress(OSError, ValueError):
            told[run.seed] = str(
                [
                    {**entry, "best": None, "time": None}
                    for entry in read_births(run.path)
                    if "founder" in entry
                ]
            )
    chosen: dict[str, Run] = {}
    for run in sorted(plan.sweep, key=lambda run: run.ours):  # rather what is there
        chosen.setdefault(told.get(run.seed, f"seed {run.seed}"), run)
    mine = [(run, chosen[told.get(run.seed, f"seed {run.seed}")]) for run in plan.sweep]
    return [
        run if of is run else replace(of, call={**of.call, "seed": run.seed}) for run, of in mine
    ]


def _from_configs(
    paths: Sequence[Path],
    overrides: Sequence[str],
    vary: Mapping[str, Sequence[str]],
    problems: list[str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the call of each row that configs ask for; what is wrong with one is added to `problems`."""
    stems = Counter(path.stem for path in paths)
    for path in paths:
        stem = path.stem if stems[path.stem] == 1 else f"{path.resolve().parent.name}-{path.stem}"
        for values in itertools.product(*vary.values()):
            varied = list(zip(vary, values, strict=True))
            name = ",".join([stem, *(f"{key.rpartition('.')[2]}={value}" for key, value in varied)])
            try:
                loaded = config.load(
                    path, [*overrides, *(f"{key}={value}" for key, value in varied)]
                )
                loaded.pop("run_dir", None)
                with within(
                    None
                ):  # what is named in a comparison is named from here, wherever a fitness goes
                    built = calls.build(
                        {**loaded, "seed": 0}, evolve, outside=OUTSIDE, check=RANGES
                    )
            except UserError as error:
                problems += [f"{name}: {line}" for line in str(error).splitlines()]
                continue
            parts, settings = with_defaults(built)
            yield name, config.plain(calls.describe(**parts, **vars(settings)))


def _from_runs(
    folders: Sequence[Path], taken: Mapping[str, Any]
) -> tuple[dict[str, list[Run]], dict[int, Run]]:
    """The runs that are in folders, or are these, by a name for those that one call made; and by its seed each run of a sweep.

    Raises:
        UserError: if there is none, one is no run of `evolve`, or two are the same.
    """
    rows: dict[str, list[Run]] = {}
    made: dict[str, Any] = {}
    sweeps: dict[int, Run] = {}
    paths: dict[Path, Path] = {}
    for folder in folders:
        below = (
            [folder]
            if (folder / "config.yaml").is_file()
            else sorted(path.parent for path in folder.glob("**/config.yaml"))
        )
        if not below:
            raise UserError(f"{folder}: there is no run in it")
        paths |= {path.resolve(): path for path in below}
    for path in paths.values():
        call = config.load(path / "config.yaml")
        if (
            not all(
                isinstance(call.get(key), dict) for key in ("population", "fitness", "strategy")
            )
            or type(call.get("births")) is not int
        ):
            raise UserError(
                f"{path}: expected a run directory, its config.yaml is not the call of a run"
            )
        run = Run(path, call, ours=False)
        if names_the_same(call["strategy"].get(TARGET), path_of(Sweep)):
            sweeps.setdefault(run.seed, run)
            continue
        alike = {
            key: value
            for key, value in call.items()
            if key == "births" or key not in (*resumed.CHANGEABLE, "seed")
        }
        known = next((name for name, other in made.items() if other == alike), None)
        if known is None:
            known = _name(path, [*made, *taken, SWEEP, BEST_SEED])
            made[known] = alike
        same = next((other for other in rows.get(known, ()) if other.seed == run.seed), None)
        if same is not None:
            raise UserError(
                f"{path}: it is the same run as {same.path}, with the same random seed, {run.seed}; name one of them"
            )
        rows.setdefault(known, []).append(run)
    return rows, sweeps


def _name(path: Path, taken: Sequence[str]) -> str:
    """A name for the row of a run: its directory's, without a number at the end, or the one's above."""
    path = path.resolve()
    name = path.parent.name if path.name.isdigit() else re.sub(r"-\d+$", "", path.name)
    return next(
        found
        for n in itertools.count(1)
        if (found := name if n == 1 else f"{name}-{n}") not in taken
    )


def _folder(name: str) -> str:
    """The name of a row's folder: as the row's, as far as that can be one."""
    plain = re.sub(r"[^\w.,=+-]+", "-", name)[:FOLDER].strip(".")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _births(rows: Mapping[str, Sequence[Run]]) -> int:
    """How many births all can be compared by.

    Raises:
        UserError: if configs ask for different numbers of them, or a run has fewer than they ask for.
    """
    wanted = {name: runs[0].call["births"] for name, runs in rows.items() if runs[0].ours}
    if len(set(wanted.values())) > 1:
        told = ", ".join(f"{name} has {births}" for name, births in wanted.items())
        raise UserError(
            f"births: the rows of a comparison need the same number, {told}; give births=N for all"
        )
    has = {
        str(run.path): int(run.call["births"])
        for runs in rows.values()
        for run in runs
        if not run.ours
    }
    births = int(next(iter(wanted.values()))) if wanted else min(has.values())
    if births < 1:
        raise UserError(f"births: expected a number of at least 1, got {births}")
    for path, number in has.items():
        if number < births:
            raise UserError(
                f"births: the run in {path} has {number}, the others {births}; resume it with births={births}"
            )
    return births


def _check_fitness(rows: Mapping[str, Sequence[Run]]) -> None:
    """Checks that all rows are scored by the same.

    Raises:
        UserError: if not.
    """
    (first, one), *others = (
        (name, run.call["fitness"]) for name, runs in rows.items() for run in runs
    )
    for name, other in others:
        if found := resumed.differences(one, other, "fitness"):
            where, ours, theirs = found[0]
            raise UserError(
                f"{where}: the rows of a comparison need the same, {first} has {ours!r} and {name} has {theirs!r}"
            )


def _tell_populations(rows: Mapping[str, Sequence[Run]]) -> None:
    """Says in what the populations differ, which is allowed."""
    (first, one), *others = ((name, runs[0].call["population"]) for name, runs in rows.items())
    for name, other in others:
        for where, ours, theirs in resumed.differences(one, other, "population"):
            log.warning(
                "%s: %s has %r, %s has %r; best seed and sweep are those of %s",
                where,
                first,
                ours,
                name,
                theirs,
                first,
            )


def _angle(call: Mapping[str, Any]) -> Any:
    """The angle of a sweep beside a call: that of its crossover, if it has one."""
    crossover = call["strategy"].get("crossover")
    return crossover.get("angle", "part") if isinstance(crossover, dict) else "part"
