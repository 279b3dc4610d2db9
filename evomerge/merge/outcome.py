"""What a merge came to, in words: before and after by skill, and how to go on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge.config.labels import titled
from evomerge.datapoints import WATCHED
from evomerge.files import shortened
from evomerge.report.means import group_means, mean_score
from evomerge.report.record import Record
from evomerge.rundir.births import id_of
from evomerge.rundir.places import BEST_FOLDER, REPORT
from evomerge.words import aligned

MOST = 1000
"""Most skills that are told one by one."""


def outcome(run_dir: Path, config: Path, names: Sequence[str], start: str) -> str:
    """What is printed at the end.

    Args:
        run_dir: of the run, which has ended.
        config: the config that it ran.
        names: of the skills that are trained for, in the order of the fitness.
        start: the folder in which the command was given: paths are told as seen from there.
    """
    run = Record.read(run_dir)
    split = "test" if run.bests[-1].get("test") is not None else "train"
    lines = [aligned(_table(run, names, split)), ""]
    # The best may be one of the models that were given, and then nothing was won.
    best = run.bests[-1]
    if "founder" in best:
        lines.append(f"No child is better than {run.label(id_of(best))} yet.")
    lines += _unanswered(run, names, split)
    births = int(run.call["births"])
    seed = int(run.call["seed"])
    more = 3 * max(births, 1)
    shown_run, shown_config = (shortened(str(path), start) for path in (run_dir, config))
    lines += [
        f"model    {shown_run}/{BEST_FOLDER}",
        f"report   {shown_run}/{REPORT}",
        f"go on    evomerge resume {shlex.quote(shown_run)} births={more}",
        f"again    evomerge run {shlex.quote(shown_config)} seed={seed + 1}",
    ]
    return "\n".join(lines)


def _table(run: Record, names: Sequence[str], split: str) -> list[list[str]]:
    """A line for each skill, a column for each model that was given and one for the best."""
    members = [*run.founders, run.bests[-1]]
    columns = [run.label(id_of(entry)) for entry in run.founders]
    lines = [[split, *columns, "merged"]]
    for title, means in _by_skill(run, members, names, split):
        lines.append([title, *(f"{mean:.3f}" for mean in means)])
    cells = []
    for entry in members:
        mean = mean_score(run, entry, split)
        text = f"{mean.value:.3f}"
        if mean.interval is not None:
            low, high = mean.interval
            text += f" ({low:.2f} to {high:.2f})"
        cells.append(text)
    # With one skill there is but this line.
    title = names[0] if len(names) == 1 else "all"
    lines.append([title, *cells])
    for title, means in _watched(run, members):
        lines.append([f"{title} (watched)", *(f"{mean:.3f}" for mean in means)])
    return lines


def _watched(run: Record, members: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[float]]]:
    """The mean scores of members on each part that is only watched."""
    table = []
    for name in members[-1].get(WATCHED) or ():
        title = titled(name, run.call.get("fitness"))
        table.append((title, [entry[WATCHED][name] for entry in members]))
    return table


def _by_skill(
    run: Record, members: Sequence[Mapping[str, Any]], names: Sequence[str], split: str
) -> list[tuple[str, list[float]]]:
    """The mean scores of members for each skill; nothing where there is but one."""
    table = group_means(run, members, split, MOST)
    # An override may have made another fitness, whose groups have names of their own.
    if len(names) != len(table):
        return table
    return [(name, means) for name, (_, means) in zip(names, table, strict=True)]


def _unanswered(run: Record, names: Sequence[str], split: str) -> list[str]:
    """What is said of skills on which no model that was given has any score."""
    table = _by_skill(run, run.founders, names, split)
    if not table:
        table = [(names[0], [entry[split] for entry in run.founders])]
    # There is nothing to merge, or to forget, where nobody is right, and mostly the question is
    # put wrongly.
    lines = []
    for name, means in [*table, *_watched(run, run.founders)]:
        if not any(means):
            lines.append(
                f"No model that was given is ever right on {name}. The report shows answers; "
                "--template, --chat, --score and --max-new-tokens say how they are asked."
            )
    return lines
