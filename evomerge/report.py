"""report.html: what happened in a run, in one file that needs nothing else, drawn from the run directory alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evomerge import figures
from evomerge.errors import UserError
from evomerge.figures import BLUE, GREEN, LABELLED, MUTED, ORANGE, Curve, Relative
from evomerge.rundir import read_births, read_snapshot, write_file
from fitness.competition import competitive_fitness

POINTS = 400
"""Most points of a curve."""

SHOWN, FEWER = 40, 20
"""Most pictures and reasons of failure that are shown; most pictures beside a confusion matrix, and most answers in text."""

GENERATIONS, COLUMNS = 4, 11
"""How far back a family tree goes; fewer where relatives so often had children together that it would need more columns."""

LEGEND = '<b class="orange">Orange</b> is the best member, <b class="green">green</b> a founder.'
"""What the colours of members mean."""

LETTERS = 500
"""Longest text of an answer."""


@dataclass(frozen=True)
class Run:
    """What the files of a run directory say.

    Attributes:
        name: of the directory.
        founders: the log's lines of the founders.
        births: the log's lines of the births.
        config: text of config.yaml.
        call: the same as data.
        counters: of the newest snapshot; none if there is no snapshot.
        alive: ids of the members alive then.
        scores: (N, D) their scores.
        weights: (D,) of the datapoints, None if all are one.
        ended: how many births it had when it ended, None if it has not.
        answers: what the best member answered on the test split.
        answered_by: that member's id.
    """

    name: str
    founders: list[dict[str, Any]]
    births: list[dict[str, Any]]
    config: str
    call: dict[str, Any]
    counters: dict[str, Any]
    alive: list[int]
    scores: np.ndarray
    weights: np.ndarray | None
    ended: int | None
    answers: list[dict[str, Any]]
    answered_by: int | None

    @classmethod
    def read(cls, path: Path) -> Run:
        """Reads a run directory, of a run that has ended or not."""
        log = read_births(path)
        config = (path / "config.yaml").read_text()
        counters, alive, scores, weights = {}, [], np.zeros((0, 0)), None
        try:
            _, data, tensors = read_snapshot(path)
        except UserError:  # killed before the first one
            pass
        else:
            state = data["state"]
            rows = {member["id"]: row for member, row in zip(state["members"], tensors["scores"].numpy(), strict=True)}
            counters, alive = state["counters"], state["archive"]
            scores = np.array([rows[id] for id in alive], dtype=np.float64)
            weights = tensors["weights"].numpy() if "weights" in tensors else None
        summary, answers, line = (path / name for name in ("summary.json", "best/test.jsonl", "best/lineage.json"))
        lineage = json.loads(line.read_text()) if line.is_file() else []
        call = yaml.safe_load(config)
        return cls(
            path.resolve().name,
            [entry for entry in log if "founder" in entry],
            [entry for entry in log if "founder" not in entry],
            config,
            call if isinstance(call, dict) else {},
            counters,
            alive,
            scores,
            weights,
            json.loads(summary.read_text())["births"] if summary.is_file() else None,
            [json.loads(entry) for entry in answers.read_text().splitlines()] if answers.is_file() else [],
            _id(lineage[0]) if lineage else None,
        )

    @cached_property
    def bests(self) -> list[dict[str, Any]]:
        """The log's lines of those that were best when they were born."""
        return [entry for entry in (*self.founders, *self.births) if entry.get("best")]

    def label(self, id: int) -> str:
        """A member's name."""
        return next((f"founder {entry['founder']}" for entry in self.founders if entry["id"] == id), str(id))


def write(path: Path) -> Path:
    """Draws report.html of a run directory; gives its path."""
    run = Run.read(path)
    sections = {
        "Progress": [_scores(run), _diversity(run)],
        "The members alive": _members(run),
        "Where the best comes from": [_family(run)],
        "What the best gets wrong": _wrong_answers(run, _confusion(run)),
        "What it cost": [_share_scored(run), _seconds(run)],
        "Failed births": [_failures(run)],
        "How it was run": [f'<details class="card wide"><summary>config.yaml</summary><pre>{escape(run.config)}</pre></details>'],
    }
    body = "".join(
        f'<section><h2>{title}</h2><div class="cards">{"".join(cards)}</div></section>'
        for title, cards in sections.items()
        if any(cards)
    )
    page = PAGE.format(title=escape(run.name), style=STYLE, head=_head(run), body=body)
    report = path / "report.html"
    write_file(report, page)
    return report


def _head(run: Run) -> str:
    """Name, state, and the row of numbers."""
    births, best, last = len(run.births), (run.bests or [{}])[-1], (run.births or [{}])[-1]
    seconds, decided = run.counters.get("seconds"), run.counters.get("decided", 0)
    scored = [entry["scored"] for entry in run.births]
    coverage, entropy = last.get("coverage"), last.get("entropy")
    if not run.births and run.scores.size:
        coverage = float(run.scores.max(axis=0).mean())
    numbers = {
        "best, test": _number(best.get("test")),
        "best, validation": _number(best.get("validation")),
        "best, train": _number(best.get("train")),
        "births": f"{births:,}",
        "births a second": f"{decided / seconds:.3g}" if seconds and decided else None,
        "coverage": _number(coverage),
        "entropy": _number(entropy),
        "datapoints scored": f"{100 * float(np.mean(scored)):.0f} %" if scored else None,
        "failed births": f"{sum('failure' in entry for entry in run.births):,}",
    }
    tiles = "".join(f"<div><dd>{value}</dd><dt>{name}</dt></div>" for name, value in numbers.items() if value is not None)
    planned = run.call.get("births")
    of = f" of {planned:,}" if isinstance(planned, int) and planned != births else ""
    state = f"ended after {births:,}{of} births" if run.ended == births else f"not ended: {births:,}{of} births so far"
    parts = (run.call.get(part) for part in ("population", "fitness"))
    kinds = [str(part["_target_"]).rpartition(".")[2] for part in parts if isinstance(part, dict) and "_target_" in part]
    return f'<h1>{escape(run.name)}</h1><p class="sub">{escape(" bred for ".join(kinds))}{", " * bool(kinds)}{state}</p><dl>{tiles}</dl>'


def _scores(run: Run) -> str:
    last = max(len(run.births), 1)

    def best_so_far(split: str, colour: str) -> Curve:
        entries = [entry for entry in run.bests if entry.get(split) is not None]
        births, values = [entry["birth"] for entry in entries], [entry[split] for entry in entries]
        return Curve(f"best, {split}", [*births, last] if births else [], [*values, *values[-1:]], colour, step=True)

    lines = [best_so_far("test", ORANGE), best_so_far("validation", GREEN), best_so_far("train", BLUE), _mean_alive(run)]
    lines = [line for line in lines if len(line.births)]
    if not lines:
        return ""
    how = (
        "Each step is a child that became the best one; nothing is chosen by the test score, so that line may fall. The grey "
        "line is the mean training score of the members alive."
    )
    return _card("Score", figures.curves(lines), how)


def _mean_alive(run: Run) -> Curve:
    """The mean training score of the members alive, as the log tells who came and who left."""
    size = _strategy(run).get("size")
    if not run.births or not isinstance(size, int) or len(run.founders) > size:  # the log does not say who found no place
        return Curve("mean alive", [], [], MUTED)
    train = {entry["id"]: entry["train"] for entry in run.founders}
    births, means, total = [0], [sum(train.values()) / len(train)], sum(train.values())
    for entry in run.births:
        if entry["admitted"]:
            train[entry["birth"]] = entry["train"]
            total += entry["train"] - (train.pop(entry["replaced"]) if "replaced" in entry else 0)
        births.append(entry["birth"])
        means.append(total / len(train))
    kept = _thin(len(births))
    return Curve("mean alive", np.array(births)[kept], np.array(means)[kept], MUTED)


def _diversity(run: Run) -> str:
    if not run.births:
        return ""
    kept = _thin(len(run.births))
    births = [run.births[row] for row in kept]
    lines = [
        Curve(name, [entry["birth"] for entry in births], [entry[name] for entry in births], colour)
        for name, colour in (("coverage", BLUE), ("entropy", ORANGE))
    ]
    how = (
        "Coverage is the share of training datapoints that some member solves; entropy is high where members solve "
        "different ones, and falls as they become alike."
    )
    return _card("Coverage and entropy", figures.curves(lines, top=1.02), how)


def _members(run: Run) -> list[str]:
    """Who is fit, and who solves what, both sorted by fitness."""
    if not run.scores.size:
        return []
    strategy = _strategy(run)
    settings = {name: strategy[name] for name in ("alpha", "capacity", "relative") if name in strategy}
    fitness = competitive_fitness(run.scores, weights=run.weights, **settings)
    order = np.argsort(-fitness, kind="stable")
    best = _id(run.bests[-1]) if run.bests else None
    ids = [run.alive[row] for row in order]
    labels = [run.label(id) for id in ids]
    colours = [ORANGE if id == best else GREEN if id < 1 else BLUE for id in ids]
    when = f" after birth {run.counters['decided']:,}" if run.counters["decided"] != len(run.births) else ""
    return [
        _card(
            "Competitive fitness",
            figures.bars(labels, fitness[order], colours),
            f"The longer the bar, the more a member{when} solves that few others do; who has the shortest is the first to go. "
            + LEGEND,
        ),
        _card(
            "Who solves what",
            figures.niches(labels, run.scores[order]),
            "Each row is a member, each column a datapoint, coloured where it is solved; the shape above counts the members that "
            "solve it, so what is far to the right is somebody's niche, or nobody's.",
        ),
    ]


def _family(run: Run) -> str:
    if not run.bests:
        return ""
    best = _id(run.bests[-1])
    by_id = {_id(entry): entry for entry in (*run.founders, *run.births)}
    if not by_id[best].get("parents"):
        return _card("Family tree", "", f"The best is {run.label(best)}: no child has beaten it yet.")
    for generations in range(GENERATIONS, 0, -1):
        found = youngest = {best}
        for _ in range(generations):
            youngest = {parent for id in youngest for parent in by_id[id].get("parents", ())}
            found = found | youngest
        relatives = {id: _relative(run, by_id[id]) for id in found}
        if max(figures.generations_back(relatives, best).values()) < COLUMNS:
            break
    how = f"Children stand to the right of their parents, each with its training score; {LEGEND}"
    if any(relative.shares for relative in relatives.values()):
        split = any(any(by_id[id].get("splits", ())) for id in found)
        how += " A number on a line is the share that a parent gives" + (", up to the first split point." if split else ".")
    return _card("Family tree", f'<div class="scroll">{figures.family(relatives, best)}</div>', how, wide=True)


def _relative(run: Run, entry: Mapping[str, Any]) -> Relative:
    ratios = entry.get("ratios", ())
    shares = [sorted({f"{share:.2f}" for share in of}, key=float) for of in ([1 - w for w in ratios], ratios)]
    texts = tuple("\N{EN DASH}".join(dict.fromkeys((of[0], of[-1]))) for of in shares) if ratios else ()
    label = run.label(_id(entry))
    return Relative(tuple(entry.get("parents", ())), label, entry.get("train"), texts, "founder" in entry)


def _confusion(run: Run) -> str:
    """A card where labels are few and come again and again, nothing where answers are free text."""
    answers = [entry for entry in run.answers if {"expected", "answer"} <= entry.keys()]
    pairs = [(_text(entry["expected"]), _text(entry["answer"])) for entry in answers]
    labels = sorted({label for pair in pairs for label in pair}, key=_by_number)
    if not 2 <= len(labels) <= LABELLED or 2 * len(labels) > len(pairs):
        return ""
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for expected, answer in pairs:
        counts[labels.index(expected), labels.index(answer)] += 1
    names = [label if len(label) <= 14 else label[:13] + "…" for label in labels]
    who = "the best member" if run.answered_by is None else f"member {run.label(run.answered_by)}"
    how = f"Each row is a label of the test split, each column what {who} answered: blue is right, orange is mixed up."
    return _card("Confusion", figures.confusion(names, counts), how)


def _wrong_answers(run: Run, confusion: str) -> list[str]:
    """Pictures where there are any, a table of the rest, beside or below a confusion matrix."""
    lost = sorted((entry for entry in run.answers if entry["score"] < 1), key=lambda entry: (entry["score"], entry["datapoint"]))
    pictures = [(entry, uri) for entry in lost if "picture" in entry and (uri := figures.picture(entry["picture"]))]
    pictured = {frozenset(entry) for entry, _ in pictures}  # only the first of a kind have their picture in the file
    texts = [entry for entry in lost if "picture" not in entry and frozenset({*entry, "picture"}) not in pictured][:FEWER]
    pictures = pictures[: FEWER if confusion else SHOWN]
    count = f"{len(lost):,} of {len(run.answers):,} test datapoints scored below 1"
    cards = [confusion]
    if pictures:
        tiles = "".join(f'<li><img src="{uri}" alt="">{_caption(entry)}</li>' for entry, uri in pictures)
        how = f"{count}; here are {len(pictures)}, the lowest scores first."
        cards.append(_card("Wrong answers", f'<ul class="gallery">{tiles}</ul>', how, wide=not confusion))
    if texts:
        names = list(dict.fromkeys(name for entry in texts for name in entry))
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = "".join(f"<tr>{''.join(_cell(name, entry.get(name, '')) for name in names)}</tr>" for entry in texts)
        table = f'<table class="answers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        cards.append(_card("Wrong answers", table, f"{count}; here are {len(texts)}, the lowest scores first.", wide=True))
    return cards


def _caption(entry: Mapping[str, Any]) -> str:
    said = {name: escape(_text(value, 60)) for name, value in entry.items() if name not in ("picture", "datapoint")}
    if {"expected", "answer"} <= said.keys():
        return f"expected <b>{said['expected']}</b>, answered <b>{said['answer']}</b>"
    return ", ".join(f"{escape(name)} <b>{value}</b>" for name, value in said.items())


def _cell(name: str, value: Any) -> str:
    return f'<td data-name="{escape(name)}">{escape(_text(value))}</td>'


def _share_scored(run: Run) -> str:
    if not run.births:
        return ""
    line = _binned(run.births, "scored", "share scored", np.mean, BLUE)
    how = (
        "How much of the training split a child was scored on; a child that is certain to be the least fit is not scored to the "
        "end, so lower is cheaper."
    )
    return _card("Datapoints scored", figures.curves([line], form="percent", top=1.02, fill=True), how)


def _seconds(run: Run) -> str:
    timed = [entry for entry in run.births if entry.get("seconds", 0) > 0]
    if not timed:
        return ""
    median, slow = np.percentile([entry["seconds"] for entry in timed], (50, 95))
    lines = [
        _binned(timed, "seconds", "median", np.median, BLUE),
        _binned(timed, "seconds", "95th percentile", lambda values: np.percentile(values, 95), ORANGE),
    ]
    how = f"Half of the births took less than {_span(median)}, 19 of 20 less than {_span(slow)}; each step up a marked line is ten times slower."
    return _card("Time of a birth", figures.curves(lines, form="seconds"), how)


def _failures(run: Run) -> str:
    reasons = Counter(str(entry["failure"]) for entry in run.births if "failure" in entry)
    if not reasons:
        return ""
    rows = "".join(f"<tr><td>{count:,}</td><td>{escape(_text(why))}</td></tr>" for why, count in reasons.most_common(SHOWN))
    more = f" {len(reasons) - SHOWN:,} more reasons are in births.jsonl." if len(reasons) > SHOWN else ""
    how = f"How often each reason ended a birth, {sum(reasons.values()):,} in all; such children are never admitted.{more}"
    return _card("", f"<table><tr><th>births</th><th>reason</th></tr>{rows}</table>", how, wide=True)


def _card(title: str, content: str, how_to_read: str, *, after: str = "", wide: bool = False) -> str:
    heading = f"<h3>{title}</h3>" if title else ""
    return f'<figure class="card{" wide" * wide}">{heading}{content}<figcaption>{how_to_read}</figcaption>{after}</figure>'


def _binned(entries: Sequence[Mapping[str, Any]], key: str, label: str, reduce: Callable[[Any], Any], colour: str) -> Curve:
    """A value of the log's lines over births, in stretches of births that are each reduced to one number."""
    values = np.array([entry[key] for entry in entries], dtype=np.float64)
    births = np.array([entry["birth"] for entry in entries], dtype=np.float64)
    stretches = np.array_split(np.arange(len(values)), min(len(values), max(1, min(120, len(values) // 10))))
    return Curve(label, [births[s].mean() for s in stretches], [float(reduce(values[s])) for s in stretches], colour)


def _thin(count: int) -> np.ndarray:
    """Which of `count` points are drawn, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))


def _by_number(label: str) -> tuple[bool, float, str]:
    """Sorts labels: numbers first and by size, then words."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label


def _id(entry: Mapping[str, Any]) -> int:
    return int(entry.get("id", entry["birth"]))


def _strategy(run: Run) -> dict[str, Any]:
    strategy = run.call.get("strategy")
    return strategy if isinstance(strategy, dict) else {}


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _span(seconds: float) -> str:
    for unit, name in ((1, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.3g} µs"


def _text(value: Any, most: int = LETTERS) -> str:
    """A value from a fitness as short text."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"


STYLE = """
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#1c2430;--muted:#667085;--line:#e4e7ec;
--blue:#2f6fde;--orange:#e2762e;--green:#1f9d72}
@media(prefers-color-scheme:dark){:root{--page:#12151a;--card:#1b2027;--ink:#e8ebf0;--muted:#9aa4b2;--line:#303742;
--blue:#5b93f5;--orange:#f0924f;--green:#3fbf92}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
-webkit-text-size-adjust:100%}
main{max-width:984px;margin:0 auto;padding:28px 12px 48px}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:18px;margin:34px 0 12px}
h3{font-size:15px;margin:0 0 8px}
.orange{color:var(--orange)}.green{color:var(--green)}
.sub{color:var(--muted);margin:4px 0 20px;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(104px,1fr));margin:0;background:var(--card);
border:1px solid var(--line);border-radius:14px;overflow:hidden}
dl div{box-shadow:0 0 0 .5px var(--line);padding:12px 14px;display:flex;flex-direction:column}
dd{margin:0;font-size:21px;font-weight:600;font-variant-numeric:tabular-nums}
dt{color:var(--muted);font-size:12.5px;line-height:1.3}
.cards{display:grid;grid-template-columns:minmax(0,1fr);gap:14px}
.card{margin:0;min-width:0;background:var(--card);border:1px solid var(--line);border-radius:14px;padding:16px}
.card svg{display:block;height:auto;margin:0 auto;stroke-linejoin:round;stroke-linecap:butt}
.card svg text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif!important}
figcaption{color:var(--muted);font-size:13.5px;margin-top:10px}
details{margin-top:8px}details.card{margin:0}
summary{cursor:pointer;font-size:13.5px;color:var(--muted)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:12.5px/1.5 ui-monospace,Menlo,Consolas,monospace;margin:12px 0 0}
.card>svg{width:100%;max-width:520px}
.scroll{overflow-x:auto;direction:rtl}.scroll svg{direction:ltr}
table{border-collapse:collapse;width:100%;font-size:13.5px;margin-top:4px}
th{color:var(--muted);font-weight:500;text-align:left}
th,td{padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
.gallery{list-style:none;margin:0;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(72px,1fr));gap:14px 12px}
.gallery li{font-size:12px;line-height:1.35;color:var(--muted);overflow-wrap:anywhere;min-width:0}
.gallery b{color:var(--ink)}
.gallery img{display:block;width:100%;image-rendering:pixelated;border-radius:8px;margin-bottom:5px;background:#000}
.answers td{white-space:pre-wrap}
@media(min-width:760px){main{padding:44px 24px 64px}.cards{grid-template-columns:repeat(2,minmax(0,1fr));gap:18px}
.wide{grid-column:1/-1}.card{padding:20px}h1{font-size:32px}}
@media(max-width:600px){.answers thead{display:none}.answers tr{display:block;padding:8px 0;border-bottom:1px solid var(--line)}
.answers td{display:block;border:0;padding:1px 0}.answers td::before{content:attr(data-name) " ";color:var(--muted)}}
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}: evomerge</title>
<style>{style}</style>
</head>
<body><main>{head}{body}</main></body>
</html>
"""
