"""evomerge compare: rows of runs side by side, as a table, as pictures, as CSV, and as a page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from evomerge.compare import side_by_side
from evomerge.compare.csv_files import curves_csv, table_csv
from evomerge.compare.page import page
from evomerge.compare.pictures import pictures
from evomerge.compare.plan import Plan, plan, shared
from evomerge.compare.rows import BEST_SEED, SWEEP, Rows, Run
from evomerge.compare.table import as_markdown, table
from evomerge.compare.tally import Done, Row
from evomerge.errors import UserError
from evomerge.files import saving, write_file
from evomerge.report.svg import standalone
from evomerge.rundir.checks import check_place
from evomerge.words import aligned

COMPARISON = "comparison.json"
"""The file by which a comparison's folder is known: the runs of each row."""

FILES = (
    COMPARISON,
    "report.html",
    "table.csv",
    "table.md",
    "curves.csv",
    "score.svg",
    "coverage.svg",
    "entropy.svg",
)
"""What a comparison writes."""


def compare(
    given: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    vary: Mapping[str, Sequence[str]] | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    out: Path = Path("runs/compare"),
    jobs: int = 1,
    at: Sequence[int] = (),
    reach: Sequence[float] = (),
    points: int = 41,
) -> tuple[str, bool]:
    """Runs what is not there yet, and writes the comparison.

    Args:
        given: as `plan`.
        overrides: as `plan`.
        vary: as `plan`.
        seeds: as `plan`.
        out: the comparison's folder: runs of configs as ROW/SEED, and report.html, table.csv,
            table.md, curves.csv, score.svg, coverage.svg and entropy.svg.
        jobs: runs that go on at once.
        at: numbers of births, after which the test score is told.
        reach: test scores, to which births are counted; the sweep's if none.
        points: ratios of the sweep.

    Returns:
        The table for a terminal; and whether every run ended.

    Raises:
        UserError: as `plan`; if a run that is there was made by another call; or if `out` is a run
            or has files that are no comparison's.
        Stopped: if it was asked to stop, once all runs have saved; the same call goes on.
    """
    # What is wrong is said before the first run begins, since runs may take days.
    _check_place(out)
    planned = plan(given, overrides, vary=vary or {}, seeds=seeds, out=out, points=points)
    for births in at:
        if births > planned.births:
            raise UserError(
                f"--at: expected at most the {planned.births} births of the comparison, "
                f"got {births}"
            )
    runs: list[Run] = []
    for row in planned.rows.values():
        runs += row
    side_by_side.check([*runs, *planned.sweep])
    failed = side_by_side.run_all(runs, jobs)
    # The searches have said by now whose founders are the same.
    sweep = shared(planned)
    different = {run.path: run for run in reversed(sweep)}
    failed |= side_by_side.run_all(list(different.values()), jobs)

    # A run that failed costs its own place in the table, and no other's.
    rows = tally({**planned.rows, SWEEP: sweep}, planned.births, failed)
    reach = sorted(set(reach)) or _score_of_sweep(rows)
    cells = table(rows, at, reach)
    with saving(out):
        out.mkdir(parents=True, exist_ok=True)
        _write(out, rows, planned, cells, reach)
    return aligned(cells), not any(row.failed for row in rows)


def tally(runs: Rows, births: int, failed: Mapping[Path, str]) -> list[Row]:
    """What the runs came to; the best seed and the sweep come last.

    Args:
        runs: the runs of each row, those of the sweep last.
        births: up to which birth searches are compared.
        failed: why runs failed, by their directories.
    """
    rows = []
    for name, given in runs.items():
        done = []
        reasons = []
        for run in given:
            # A sweep has as many births as it has ratios.
            last = run.call["births"] if name == SWEEP else births
            reason = failed.get(run.path)
            if reason is None:
                try:
                    done.append(Done.read(run.path, run.seed, last))
                except (OSError, ValueError, LookupError, TypeError) as error:
                    reason = f"its files cannot be read: {type(error).__name__}: {error}"
            if reason is not None:
                reasons.append((run.seed, reason))
        rows.append(Row(name, done, reasons))
    *searches, sweep = rows
    return [*searches, Row(BEST_SEED, _with_seeds(rows), seed=True), sweep]


def _with_seeds(rows: Sequence[Row]) -> list[Done]:
    """Runs that have the best seed among their founders: those of the first row that has any."""
    for row in rows:
        if row.runs:
            return row.runs
    return []


def _check_place(out: Path) -> None:
    """Checks that a comparison can be written here: into a new folder, or over another comparison.

    Raises:
        UserError: if not.
    """
    check_place(out / COMPARISON)
    if (out / "config.yaml").exists():
        raise UserError(f"--out: {out} is a run; name another folder")
    if (out / COMPARISON).exists():
        return
    for name in FILES:
        if (out / name).exists():
            raise UserError(
                f"--out: {out} has a {name} that is no comparison's; name another folder"
            )


def _score_of_sweep(rows: Sequence[Row]) -> list[float]:
    """The sweep's test score, rounded down so that a search that is as good reaches it."""
    sweep = rows[-1]
    if not sweep.runs:
        return []
    return [math.floor(1e4 * sweep.test.value) / 1e4]


def _write(
    out: Path,
    rows: Sequence[Row],
    planned: Plan,
    cells: Sequence[Sequence[str]],
    reach: Sequence[float],
) -> None:
    """Writes the comparison's files into a folder."""
    paths = {}
    # Whoever reads the folder later finds by it which runs the figures are of.
    for name, runs in planned.rows.items():
        paths[name] = [str(run.path) for run in runs]
    drawn = pictures(rows, planned.births)
    write_file(out / COMPARISON, json.dumps(paths, indent=2) + "\n")
    write_file(out / "table.csv", table_csv(rows, reach))
    write_file(out / "curves.csv", curves_csv(rows))
    write_file(out / "table.md", as_markdown(cells))
    for name, svg in drawn.items():
        path = out / f"{name}.svg"
        # The picture of an earlier comparison would be taken for this one's.
        if svg:
            write_file(path, standalone(svg))
        else:
            path.unlink(missing_ok=True)
    write_file(out / "report.html", page(out, rows, planned, cells, drawn))
