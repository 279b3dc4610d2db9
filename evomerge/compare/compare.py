"""evomerge compare: rows of runs side by side, as a table, as pictures with bands, as CSV, and as one page."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from evomerge.compare import side_by_side
from evomerge.compare.rows import BEST_SEED, SWEEP, Plan, Run, plan, shared
from evomerge.compare.tally import Done, Row
from evomerge.errors import UserError
from evomerge.export import markdown
from evomerge.files import saving, write_file
from evomerge.intervals import Mean
from evomerge.report import figures, page
from evomerge.report.figures import Curve
from evomerge.report.page import card
from evomerge.report.svg import INK, MUTED, PALETTE, standalone
from evomerge.rundir.checks import check_place

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
        given: as `rows.plan`.
        overrides: as `rows.plan`.
        vary: as `rows.plan`.
        seeds: as `rows.plan`.
        out: the comparison's folder: runs of configs as ROW/SEED, and report.html, table.csv, table.md, curves.csv, score.svg,
            coverage.svg and entropy.svg.
        jobs: runs that go on at once.
        at: numbers of births, after which the test score is told.
        reach: test scores, to which births are counted; the sweep's if none.
        points: ratios of the sweep.

    Returns:
        The table for a terminal; and whether every run ended.

    Raises:
        UserError: as `rows.plan`; if a run that is there was made by another call; or if `out` is a run or has files that are no comparison's.
        Stopped: if it was asked to stop, once all runs have saved; the same call goes on.
    """
    _check_place(out)
    planned = plan(given, overrides, vary=vary or {}, seeds=seeds, out=out, points=points)
    for births in at:
        if births > planned.births:
            raise UserError(
                f"--at: expected at most the {planned.births} births of the comparison, got {births}"
            )
    runs = [run for of in planned.rows.values() for run in of]
    side_by_side.check([*runs, *planned.sweep])
    failed = side_by_side.run_all(runs, jobs)
    sweep = shared(planned)
    failed |= side_by_side.run_all(list({run.path: run for run in reversed(sweep)}.values()), jobs)
    rows = tally({**planned.rows, SWEEP: sweep}, planned.births, failed)
    reach = sorted(set(reach)) or [
        math.floor(1e4 * row.test.value) / 1e4 for row in rows if row.name == SWEEP and row.runs
    ]
    with saving(out):
        out.mkdir(parents=True, exist_ok=True)
        write(out, rows, planned, at, reach)
    return as_text(rows, at, reach), not any(row.failed for row in rows)


def _check_place(out: Path) -> None:
    """Checks that a comparison can be written here: into a new folder, or over another comparison.

    Raises:
        UserError: if not.
    """
    check_place(out / COMPARISON)
    if (out / "config.yaml").exists():
        raise UserError(f"--out: {out} is a run; name another folder")
    if (out.is_dir() and not (out / COMPARISON).exists()) and (
        there := [name for name in FILES if (out / name).exists()]
    ):
        raise UserError(
            f"--out: {out} has a {there[0]} that is no comparison's; name another folder"
        )


def tally(runs: Mapping[str, Sequence[Run]], births: int, failed: Mapping[Path, str]) -> list[Row]:
    """What the runs came to; the best seed and the sweep come last."""
    rows = []
    for name, of in runs.items():
        done, wrong = [], []
        for run in of:
            try:
                if run.path not in failed:
                    done.append(
                        Done.read(
                            run.path, run.seed, births if name != SWEEP else run.call["births"]
                        )
                    )
                    continue
                why = failed[run.path]
            except (OSError, ValueError, LookupError, TypeError) as error:
                why = f"its files cannot be read: {type(error).__name__}: {error}"
            wrong.append((run.seed, why))
        rows.append(Row(name, done, wrong))
    founders = next((row.runs for row in rows if row.runs), [])
    return [*rows[:-1], Row(BEST_SEED, founders, seed=True), rows[-1]]


def write(
    out: Path, rows: Sequence[Row], planned: Plan, at: Sequence[int], reach: Sequence[float]
) -> None:
    """Writes the comparison's files into a folder."""
    drawn = {
        "score": _scores(rows, planned.births),
        "coverage": _curves(rows, "coverage"),
        "entropy": _curves(rows, "entropy"),
    }
    table = _table(rows, at, reach)
    write_file(
        out / COMPARISON,
        json.dumps(
            {name: [str(run.path) for run in runs] for name, runs in planned.rows.items()}, indent=2
        )
        + "\n",
    )
    write_file(out / "table.csv", _csv(_numbers(rows, reach)))
    write_file(out / "curves.csv", _csv(_points(rows)))
    write_file(out / "table.md", _markdown(table))
    for name, svg in drawn.items():
        if svg:
            write_file(out / f"{name}.svg", standalone(svg))
        else:
            (out / f"{name}.svg").unlink(missing_ok=True)
    write_file(out / "report.html", _page(out, rows, planned, table, drawn))


def as_text(rows: Sequence[Row], at: Sequence[int], reach: Sequence[float]) -> str:
    """The table for a terminal."""
    head, *body = _table(rows, at, reach)
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *body)
    )


def _table(rows: Sequence[Row], at: Sequence[int], reach: Sequence[float]) -> list[list[str]]:
    """The table's head and its lines; a column that has nothing in it is left out."""
    runs = [run for row in rows if row.name != SWEEP for run in row.runs]
    tested = any(run.tested for run in runs)
    lines = [
        _line(row, rows[0], at, reach, "test" if tested else "train, without a test split")
        for row in rows
    ]
    idle = ["train"] * (not tested) + ["births"] * (len({run.born for run in runs}) < 2)
    head = [
        name
        for name in lines[0]
        if name not in idle and (name == "" or any(line[name] for line in lines))
    ]
    return [head, *([line[name] for name in head] for line in lines)]


def _line(
    row: Row, first: Row, at: Sequence[int], reach: Sequence[float], test: str
) -> dict[str, str]:
    """What the table says of a row, by column; `test` is what the score is called that the rows are compared by."""
    runs = len(row.runs)
    own = row.runs if not row.seed else []  # what the seeds cost is nothing
    reached = [row.births_to(score) for score in reach]
    memory = max((run.memory for run in own), default=0)
    return {
        "": row.name,
        test: _mean(row.test),
        f"ahead of {first.name}": "" if row is first else _mean(row.ahead(first), "{:+.3f}"),
        "train": _mean(row.train),
        **{f"test after {births:,}": _mean(row.after(births)) for births in at},
        **{
            f"births to {score:g}": f"{_plain(mean.value, '{:,.0f}')} ({count} of {runs})"
            if count
            else "never" * bool(runs)
            for score, (mean, count) in zip(reach, reached, strict=True)
        },
        "births": _plain(row.mean("born"), "{:,.0f}") if own else "",
        "scored": _plain(row.mean("scored"), "{:.2f}") if own else "",
        "seconds": _plain(row.mean("seconds"), "{:,.0f}") if own else "",
        "memory": f"{memory / 1e9:.2f} GB" if memory else "",
        "runs": str(runs),
        "failed": "; ".join(f"seed {seed}: {why}" for seed, why in row.failed),
    }


def _numbers(rows: Sequence[Row], reach: Sequence[float]) -> list[list[object]]:
    """table.csv: a line for each run, so that anyone can take other means than ours."""
    names = ["train", "test", "scored", "failures", "seconds", "memory"]
    lines: list[list[object]] = [
        ["row", "seed", *names, *(f"births_to_{score:g}" for score in reach), "failed"]
    ]
    for row in rows:
        for run in row.runs:
            if row.seed:
                lines.append(
                    [
                        row.name,
                        run.seed,
                        run.founder_train,
                        run.founder_test,
                        *[None] * (4 + len(reach)),
                        None,
                    ]
                )
            else:
                own = [getattr(run, name) for name in names]
                lines.append(
                    [row.name, run.seed, *own, *(run.births_to(score) for score in reach), None]
                )
        lines += [[row.name, seed, *[None] * (6 + len(reach)), why] for seed, why in row.failed]
    return lines


def _points(rows: Sequence[Row]) -> list[list[object]]:
    """curves.csv: mean and half of the 95 % interval of each curve."""
    kinds = ("scores", "coverage", "entropy")
    lines: list[list[object]] = [
        ["row", "births", *(f"{kind}{end}" for kind in kinds for end in ("", "_half"))]
    ]
    for row in rows:
        if row.runs and not row.seed:
            curves = [row.curve(kind) for kind in kinds]
            columns = [
                curves[0][0],
                *(column for _, mean, half in curves for column in (mean, half)),
            ]
            lines += [
                [row.name, *(value.item() for value in point)]
                for point in zip(*columns, strict=True)
            ]
    return lines


def _scores(rows: Sequence[Row], births: int) -> str:
    """Test score over births; what is no search is a level line."""
    lines = _lines(rows, "scores")
    if not lines:
        return ""
    early = [line.values[len(line.values) // 20] for line in lines]
    levels = [row for row in rows if row.runs and (row.seed or row.name == SWEEP)]
    for row, colour in zip(levels, (MUTED, INK), strict=False):
        lines.append(Curve(row.name, [0, births], [row.test.value] * 2, colour, dashed=True))
    values = np.concatenate([early, *(line.values for line in lines[len(early) :])])
    low, high = (
        float(values.min()),
        max(
            float(np.max(np.asarray(line.values) + (line.band if line.band is not None else 0)))
            for line in lines
        ),
    )
    margin = 0.04 * (high - low)
    return figures.curves(lines, bottom=max(low - margin, 0.0), top=min(high + margin, 1.005))


def _curves(rows: Sequence[Row], kind: str) -> str:
    lines = _lines(rows, kind)
    return figures.curves(lines, top=1.02) if lines else ""


def _lines(rows: Sequence[Row], kind: str) -> list[Curve]:
    """A curve for each search."""
    lines = []
    for place, row in enumerate(
        row for row in rows if row.runs and not row.seed and row.name != SWEEP
    ):
        births, mean, half = row.curve(kind)
        colour, again = PALETTE[place % len(PALETTE)], place >= len(PALETTE)
        lines.append(Curve(row.name, births, mean, colour, band=half, dashed=again))
    return lines


def _page(
    out: Path, rows: Sequence[Row], planned: Plan, table: list[list[str]], drawn: Mapping[str, str]
) -> str:
    head, *body = table
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in body
    )
    how = (
        "The mean over runs that differ by their random seed alone, with its 95 % interval by Student's t; differences have Welch's. Nothing is "
        "chosen by the test score. Seconds are of runs that may have gone on beside each other, memory is the most that one process of any run had. "
        "Where founders do not depend on the random seed, the sweep is one run, counted for each."
    )
    runs = "".join(
        f"<tr><td>{escape(row.name)}</td><td>{run.seed}</td><td>{run.test:.4f}</td><td>{run.train:.4f}</td>"
        f"<td>{run.coverage[-1]:.3f}</td><td>{run.entropy[-1]:.3f}</td><td>{run.failures}</td></tr>"
        for row in rows
        if not row.seed
        for run in row.runs
    )
    named = "<tr><th>row</th><th>seed</th><th>test</th><th>train</th><th>coverage</th><th>entropy</th><th>failed births</th></tr>"
    calls = "".join(
        f"<details><summary>{escape(name)}</summary><pre>{escape(_config(of[0].path))}</pre></details>"
        for name, of in (*planned.rows.items(), (SWEEP, planned.sweep))
    )
    bands = "Lines are means over runs, bands their 95 % intervals."
    sections = {
        "Results": [
            card(
                "",
                f'<div class="table"><table><tr>{cells}</tr>{lines}</table></div>',
                how,
                wide=True,
            )
        ],
        "Over births": [
            card("Test score of the best", drawn["score"], bands, wide=True)
            if drawn["score"]
            else "",
            card(
                "Coverage",
                drawn["coverage"],
                f"The share of training datapoints that some member solves. {bands}",
            )
            if drawn["coverage"]
            else "",
            card(
                "Entropy",
                drawn["entropy"],
                f"How differently members score, in archives as large as each search has them. {bands}",
            )
            if drawn["entropy"]
            else "",
        ],
        "Every run": [
            card(
                "",
                f'<div class="table"><table>{named}{runs}</table></div>',
                f"Up to birth {planned.births:,}.",
                wide=True,
            )
        ],
        "How they were run": [card("", calls, "The call of the first run of each row.", wide=True)],
    }
    told = f'<h1>{escape(out.resolve().name)}</h1><p class="sub">{len(rows)} rows, {planned.births:,} births each</p>'
    return page.fill(out.resolve().name, told, sections)


def _config(path: Path) -> str:
    file = path / "config.yaml"
    return file.read_text(encoding="utf-8") if file.is_file() else "not there"


def _csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [["" if cell is None else cell for cell in line] for line in lines]
    )
    return text.getvalue()


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *body = (
        [escape(cell, quote=False).replace("|", "\\|") for cell in line] for line in table
    )
    return markdown.table(head, body)


def _mean(mean: Mean, form: str = "{:.3f}") -> str:
    if math.isnan(mean.value):
        return ""
    return form.format(mean.value) + ("" if math.isnan(mean.half) else f" ± {mean.half:.3f}")


def _plain(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)
