"""The rows that configs ask for."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge.compare.rows import ALWAYS, Run, folder_of
from evomerge.config import calls, config
from evomerge.errors import UserError
from evomerge.evolution import OUTSIDE, evolve, with_defaults
from evomerge.files import within
from evomerge.run.settings import RANGES


def rows_of_configs(
    paths: Sequence[Path],
    overrides: Sequence[str],
    *,
    vary: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    out: Path,
) -> dict[str, list[Run]]:
    """The runs that configs ask for, by the names of their rows.

    Args:
        paths: configs.
        overrides: `key=value`, for every config.
        vary: values by key: a row for each config and each combination of values.
        seeds: random seeds of the runs of each row.
        out: where runs are made, as ROW/SEED.

    Raises:
        UserError: if a config is wrong; the message has a line for each mistake of each row.
    """
    rows: dict[str, list[Run]] = {}
    problems: list[str] = []
    for name, path, values in _named(paths, vary):
        try:
            call = _call(path, [*overrides, *values])
        # All mistakes are told at once, rather than one after each try.
        except UserError as error:
            problems += [f"{name}: {line}" for line in str(error).splitlines()]
            continue
        # Two rows of one name would be drawn as one, and run in one folder.
        if name in rows or name in ALWAYS:
            problems.append(
                f"{name}: there is a row of this name already; "
                "give the config another name, or --vary a value once"
            )
        runs = []
        for seed in seeds:
            runs.append(Run(out / folder_of(name) / str(seed), call | {"seed": seed}, ours=True))
        rows[name] = runs
    if problems:
        raise UserError("\n".join(problems))
    return rows


def _named(
    paths: Sequence[Path], vary: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Path, list[str]]]:
    """Of each row its name, its config, and the overrides that it has for itself."""
    stems = Counter(path.stem for path in paths)
    for path in paths:
        stem = path.stem
        # Configs of one name are told apart by their folders.
        if stems[stem] > 1:
            stem = f"{path.resolve().parent.name}-{stem}"
        for combination in itertools.product(*vary.values()):
            name = stem
            values = []
            for key, value in zip(vary, combination, strict=True):
                name += f",{key.rpartition('.')[2]}={value}"
                values.append(f"{key}={value}")
            yield name, path, values


def _call(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The whole call of a config, with all defaults, as plain data.

    Raises:
        UserError: if the config is wrong.
    """
    loaded = config.load(path, overrides)
    # A config may be one that is run alone, too, and say where.
    loaded.pop("run_dir", None)
    # What is named in a comparison is named from here, wherever a fitness goes.
    with within(None):
        built = calls.build({**loaded, "seed": 0}, evolve, outside=OUTSIDE, check=RANGES)
    parts, settings = with_defaults(built)
    return config.plain(calls.describe(**parts, **vars(settings)))
