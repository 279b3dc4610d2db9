"""README.md of a member: its model card, a head in the words of the Hugging Face hub, and a text that people can check it by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evomerge.config.labels import label
from evomerge.contracts import Genome
from evomerge.export import recipe_file
from evomerge.export.licences import inherited, model_name
from evomerge.export.markdown import details, fenced, line, link, plain, table
from evomerge.export.measured import SPLITS, Score
from evomerge.export.published import published
from evomerge.genome.recipe import Recipe

NAME = "README.md"
MERGEKIT = "mergekit.yaml"
"""A config of mergekit, where the population wrote one; its first line is the command."""

STRETCHES = 16
"""Most stretches of a recipe whose coefficients are listed."""

PAPER = "https://arxiv.org/abs/2508.16204"
CITATION = """@inproceedings{abrantes2025competition,
  title         = {Competition and Attraction Improve Model Fusion},
  author        = {Abrantes, Jo{\\~a}o and Lange, Robert Tjarko and Tang, Yujin},
  booktitle     = {Proceedings of the Genetic and Evolutionary Computation Conference},
  year          = {2025},
  eprint        = {2508.16204},
  archiveprefix = {arXiv}
}"""


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Attributes:
        run: the run's name.
        id: the member's.
        genome: the member.
        population: its class, with its module.
        facts: what the population's `card()` says.
        config: text of the run's config.yaml.
        call: the same as data.
        births: how many births the run has had.
        ancestors: the log's lines of the member and all its ancestors, by id.
        founders: the log's lines of the founders.
        scores: what the member scored.
    """

    run: str
    id: int
    genome: Genome
    population: str
    facts: Mapping[str, Any]
    config: str
    call: Mapping[str, Any]
    births: int
    ancestors: Mapping[int, dict[str, Any]]
    founders: Sequence[dict[str, Any]]
    scores: Sequence[Score]

    @property
    def seeds(self) -> list[Mapping[str, Any]]:
        """What is known of each seed."""
        return list(self.facts.get("seeds", ()))

    @property
    def models(self) -> list[Mapping[str, Any]]:
        """All models whose weights are in it."""
        return [*self.seeds, *self.facts.get("others", ())]


def write(folder: Path, subject: Subject) -> None:
    """Writes README.md into a folder that has the member already, and its recipe if it is one."""
    head, body = head_of(subject, (folder / MERGEKIT).is_file()), body_of(subject, folder)
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    (folder / NAME).write_text(
        f"---\n{text}---\n\n{body}", encoding="utf-8", errors="backslashreplace"
    )


def head_of(subject: Subject, mergekit: bool = False) -> dict[str, Any]:
    """The head as data, such as `huggingface_hub.ModelCardData` reads and writes without a loss.

    Args:
        subject: what the card is about.
        mergekit: whether mergekit can build the same weights.
    """
    facts, models = subject.facts, subject.models
    bases = [base for model in models for base in _bases(model)]
    tags = [*facts.get("tags", ()), *(["mergekit"] if mergekit else []), "evomerge"]
    head = {"base_model": _distinct(bases)} | ({"base_model_relation": "merge"} if bases else {})
    head |= inherited(models)[0]
    head |= {
        key: _distinct(text for model in models for text in model.get(key, ()))
        for key in ("language", "datasets")
    }
    head |= {key: value for key, value in facts.items() if key not in ("seeds", "others", "tags")}
    head |= {"tags": _distinct(tags), "model-index": _index(subject)}
    return {key: value for key, value in head.items() if value}


def body_of(subject: Subject, folder: Path) -> str:
    """The text, in Markdown; `folder` has the member's other files."""
    parts = {
        "": f"# {plain(subject.run)}: member {subject.id}\n\n{_what(subject)}",
        "Scores": _scores(subject),
        "What it was made of": _seeds(subject),
        "Licence": inherited(subject.models)[1],
        "How to make it again": _recipe(subject, folder),
        "How it was bred": _bred(subject),
        "How to cite": f"The algorithm, M2N2, is from [Competition and Attraction Improve Model Fusion]({PAPER}):\n\n"
        + fenced(CITATION, "bibtex"),
    }
    return "\n".join(
        (f"## {title}\n\n" if title else "") + text for title, text in parts.items() if text
    )


def _what(subject: Subject) -> str:
    """Who it is: where it comes from, how it was bred, and with what."""
    me, ancestors = subject.ancestors[subject.id], subject.ancestors
    alone = [
        entry for entry in ancestors.values() if not entry.get("parents") and "made" not in entry
    ]
    founders = sum("founder" in entry for entry in alone)
    immigrants = f" and {len(alone) - founders} immigrants" if len(alone) > founders else ""
    between = len(ancestors) - len(alone) - bool(me.get("parents"))
    bred = (
        f" from {founders} founder{'s' * (founders != 1)}{immigrants}, {between} ancestors between"
        if alone
        else ""
    )
    alone_as = (
        "a founder"
        if "founder" in me
        else "what a search found"
        if "made" in me
        else "an immigrant"
    )
    parents = ", ".join(map(str, me.get("parents", ()))) or f"none, it is {alone_as}"
    how = label(subject.call.get("strategy")) or "NaturalNiches"
    by = f"M2N2 ([arXiv 2508.16204]({PAPER}))" if how.startswith("NaturalNiches") else plain(how)
    return (
        f"Bred with evomerge {version('evomerge')} by {by}{bred}. Parents: {parents}. The run had {subject.births} births, with random seed "
        f"{plain(subject.call.get('seed', 0))}. Population: {plain(subject.population)}. Every ancestor, with its parents, mixing ratios "
        "and split points, is in `lineage.json`.\n"
    )


def _scores(subject: Subject) -> str:
    rows = [
        (
            score.split if score.group is None else f"{score.split}, {plain(score.group)}",
            f"{score.value:.4f}",
            "" if score.interval is None else "{:.4f} to {:.4f}".format(*score.interval),
            "" if score.datapoints is None else f"{score.datapoints:,}",
        )
        for score in subject.scores
    ]
    of = plain(label(subject.call.get("fitness")))
    how = f"Mean scores, from 0 to 1{f', of {of}' if of else ''}. The interval is over datapoints, for this one member: it does not count "
    how += "that the member was chosen by its score on the training split, or on the validation split where there is one.\n"
    return (
        f"{table(('split', 'mean score', '95 % interval', 'datapoints'), rows)}\n{how}"
        if rows
        else ""
    )


def _seeds(subject: Subject) -> str:
    """A table of the seeds: licence, the mean of each one's coefficients over all parameters, what it scored alone."""
    seeds, means, alone = subject.seeds, None, None
    if isinstance(subject.genome, Recipe) and subject.genome.coefficients.shape[1] == len(seeds):
        means = np.average(
            subject.genome.coefficients, axis=0, weights=np.diff(subject.genome.bounds)
        )
        if [entry.get("founder") for entry in subject.founders] == list(range(len(seeds))):
            alone = subject.founders
    splits = [
        split for split in SPLITS if alone is not None and all(split in entry for entry in alone)
    ]
    head = [
        "seed",
        "licence",
        *(["mean coefficient"] if means is not None else []),
        *(f"{split}, alone" for split in splits),
    ]
    rows = []
    for k, seed in enumerate(seeds):
        scores = [f"{alone[k][split]:.4f}" for split in splits] if alone is not None else []
        rows.append(
            [
                _model(seed),
                model_name(seed),
                *([f"{means[k]:.4f}"] if means is not None else []),
                *scores,
            ]
        )
    others = "".join(
        f"\nThere is also something of {_model(other)} in it ({model_name(other)}).\n"
        for other in subject.facts.get("others", ())
    )
    return table(head, rows) + others if rows else ""


def _model(model: Mapping[str, Any]) -> str:
    """A model by its name: a link to the very revision on the hub, or a folder and what it says it was tuned from."""
    if "repository" in model:
        at = f"/tree/{model['revision']}" if "revision" in model else ""
        return link(plain(model["name"]), f"https://huggingface.co/{model['repository']}{at}")
    tuned = ", ".join(
        link(plain(base), f"https://huggingface.co/{base}") for base in model.get("base_model", ())
    )
    return f"{plain(model['name'])} (a folder{f', from {tuned}' if tuned else ''})"


def _recipe(subject: Subject, folder: Path) -> str:
    """How somebody else makes the same weights."""
    genome, path = subject.genome, folder / recipe_file.NAME
    if not isinstance(genome, Recipe) or not path.is_file():
        return ""
    count = len(genome.coefficients)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    text = f"It has a coefficient for each seed on each of {count:,} stretch{'es' * (count != 1)} of the parameters. All are in "
    text += f"`{recipe_file.NAME}` (SHA-256 `{sha256}`), which names the seeds by their SHA-256, too:\n\n"
    text += fenced(f"evomerge rebuild {recipe_file.NAME} OUT", "sh")
    if (folder / MERGEKIT).is_file():
        command = (
            (folder / MERGEKIT).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        )
        text += f"\nWithout evomerge, as far as `{MERGEKIT}` finds the seeds where it says they are:\n\n{fenced(command, 'sh')}"
    if count <= STRETCHES:
        columns = [plain(seed["name"]) for seed in subject.seeds] or [
            str(k) for k in range(genome.coefficients.shape[1])
        ]
        rows = [
            [f"{start:,} to {stop:,}", *(f"{c:.6f}" for c in row)]
            for start, stop, row in zip(
                genome.bounds, genome.bounds[1:], genome.coefficients, strict=False
            )
        ]
        text += f"\n{table(['parameters', *columns], rows)}"
    return text


def _bred(subject: Subject) -> str:
    config = details(
        "config.yaml, the call that made the run",
        fenced(published(subject.config, subject.call), "yaml"),
    )
    told = "`evomerge run config.yaml` begins the run again. Of paths only the last part is shown here; trackers, workers, and what is called "
    return f"{told}like a secret are left out. Look before you publish it.\n\n{config}"


def _index(subject: Subject) -> list[dict[str, Any]]:
    """The scores in the hub's words."""
    of = line(label(subject.call.get("fitness"))) or "fitness"
    kind = re.sub(r"[^a-z0-9]+", "-", of.lower()).strip("-") or "fitness"
    results = [
        {
            "task": {"type": subject.facts.get("pipeline_tag", "other")},
            "dataset": {"name": of, "type": kind}
            | ({} if s.group is None else {"config": line(s.group)})
            | {"split": s.split},
            "metrics": [
                {
                    "type": "score",
                    "value": round(float(s.value), 6),
                    "name": f"mean score, {s.split}",
                }
            ],
        }
        for s in subject.scores
    ]
    return (
        [{"name": f"{line(subject.run)}, member {subject.id}", "results": results}]
        if results
        else []
    )


def _bases(model: Mapping[str, Any]) -> list[str]:
    """A repository of the hub; what a folder was tuned from, as it says itself. A folder's own name may be somebody else's on the hub."""
    return [model["repository"]] if "repository" in model else list(model.get("base_model", ()))


def _distinct(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))
