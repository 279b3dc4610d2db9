"""The rows of runs that are there already."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge.compare.rows import ALWAYS, Run
from evomerge.config import config, resumed
from evomerge.config.targets import TARGET, names_the_same, path_of
from evomerge.errors import UserError
from evomerge.strategies.sweep import Sweep


def rows_of_runs(
    folders: Sequence[Path], taken: Collection[str]
) -> tuple[dict[str, list[Run]], dict[int, Run]]:
    """Puts the runs that one call made into one row.

    Args:
        folders: run directories, or folders of run directories.
        taken: names of other rows.

    Returns:
        The rows by their names; and each run of a sweep by its random seed.

    Raises:
        UserError: if there is no run, one is no run of `evolve`, or two are the same.
    """
    rows: dict[str, list[Run]] = {}
    sweeps: dict[int, Run] = {}
    # What the runs of a row have in common, by its name.
    common: dict[str, Any] = {}
    for path in _run_directories(folders):
        run = _read(path)
        # A sweep is no search: it is the row that each comparison has beside the searches.
        if names_the_same(run.call["strategy"].get(TARGET), path_of(Sweep)):
            sweeps.setdefault(run.seed, run)
            continue
        call = _without_changeable(run.call)
        name = _name_of(call, common)
        if name is None:
            name = _new_name(path, [*common, *taken, *ALWAYS])
            common[name] = call
            rows[name] = []
        # A run that counts twice would make an interval narrower than it is.
        for other in rows[name]:
            if other.seed == run.seed:
                raise UserError(
                    f"{path}: it is the same run as {other.path}, "
                    f"with the same random seed, {run.seed}; name one of them"
                )
        rows[name].append(run)
    return rows, sweeps


def _run_directories(folders: Sequence[Path]) -> list[Path]:
    """The run directories that folders are, or have in them.

    Raises:
        UserError: if a folder has none.
    """
    # A run that is named twice, such as by its folder and by itself, is one.
    paths: dict[Path, Path] = {}
    for folder in folders:
        below = [folder]
        if not (folder / "config.yaml").is_file():
            below = sorted(path.parent for path in folder.glob("**/config.yaml"))
        if not below:
            raise UserError(f"{folder}: there is no run in it")
        for path in below:
            paths[path.resolve()] = path
    return list(paths.values())


def _read(path: Path) -> Run:
    """The run of a run directory.

    Raises:
        UserError: if its config.yaml is not the call of a run.
    """
    call = config.load(path / "config.yaml")
    # Other programs write a config.yaml, too.
    whole = type(call.get("births")) is int
    for key in ("population", "fitness", "strategy"):
        whole = whole and isinstance(call.get(key), dict)
    if not whole:
        raise UserError(
            f"{path}: expected a run directory, its config.yaml is not the call of a run"
        )
    return Run(path, call, ours=False)


def _without_changeable(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call without its random seed, and without what a resume may change, but with births."""
    free = {"seed", *resumed.CHANGEABLE} - {"births"}
    return {key: value for key, value in call.items() if key not in free}


def _name_of(call: Mapping[str, Any], common: Mapping[str, Any]) -> str | None:
    """The row that a call belongs to; None if there is none yet."""
    for name, other in common.items():
        if other == call:
            return name
    return None


def _new_name(path: Path, taken: Collection[str]) -> str:
    """A name for the row of a run, which no other row has.

    It is that of the run's directory, without a number at the end, or that of the folder above it.
    """
    path = path.resolve()
    stem = re.sub(r"-\d+$", "", path.name)
    if path.name.isdigit():
        stem = path.parent.name
    name = stem
    for number in itertools.count(2):
        if name not in taken:
            break
        name = f"{stem}-{number}"
    return name
