"""The text of a model card: what the member is, and how people can check it and make it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.config.labels import label, titled
from evomerge.datapoints import SPLITS, WATCHED
from evomerge.export import recipe_file
from evomerge.export.licences import inherited, model_name
from evomerge.export.markdown import details, fenced, link, plain, table
from evomerge.export.published import published
from evomerge.export.subject import Subject
from evomerge.genome.recipe import Recipe

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


def text_of(subject: Subject, folder: Path) -> str:
    """The text, in Markdown.

    Args:
        subject: what the card is about.
        folder: has the member's other files.
    """
    parts = {
        "Scores": _scores(subject),
        "What it was made of": _seeds(subject),
        "Licence": inherited(subject.models)[1],
        "How to make it again": _recipe(subject, folder),
        "How it was bred": _config(subject),
        "How to cite": _citation(),
    }
    # What a run does not know has no heading.
    sections = [f"# {plain(subject.run)}: member {subject.id}\n\n{_origin(subject)}"]
    for title, text in parts.items():
        if text:
            sections.append(f"## {title}\n\n{text}")
    return "\n".join(sections)


def _origin(subject: Subject) -> str:
    """Who it is: where it comes from, how it was bred, and with what."""
    me = subject.ancestors[subject.id]
    parents = ", ".join(map(str, me.get("parents", ())))
    if not parents:
        parents = f"none, it is {_without_parents(me)}"
    return (
        f"Bred with evomerge {version('evomerge')} by {_strategy(subject)}{_ancestors(subject)}. "
        f"Parents: {parents}. The run had {subject.births} births, with random seed "
        f"{plain(subject.call.get('seed', 0))}. Population: {plain(subject.population)}. Every "
        "ancestor, with its parents, mixing ratios and split points, is in `lineage.json`.\n"
    )


def _strategy(subject: Subject) -> str:
    name = label(subject.call.get("strategy")) or "NaturalNiches"
    if name.startswith("NaturalNiches"):
        return f"M2N2 ([arXiv 2508.16204]({PAPER}))"
    return plain(name)


def _ancestors(subject: Subject) -> str:
    """How many founders, immigrants and others it comes from; nothing where a search made all."""
    # What a search made has no parents, either, but it came from nobody outside.
    alone = []
    for entry in subject.ancestors.values():
        if not entry.get("parents") and "made" not in entry:
            alone.append(entry)
    if not alone:
        return ""
    founders = sum("founder" in entry for entry in alone)
    text = f" from {founders} founders"
    if founders == 1:
        text = " from 1 founder"
    if len(alone) > founders:
        text += f" and {len(alone) - founders} immigrants"
    between = len(subject.ancestors) - len(alone)
    # A child of somebody is no ancestor of its own.
    if subject.ancestors[subject.id].get("parents"):
        between -= 1
    return f"{text}, {between} ancestors between"


def _without_parents(entry: Mapping[str, Any]) -> str:
    """What one without parents is."""
    if "founder" in entry:
        return "a founder"
    if "made" in entry:
        return "what a search found"
    return "an immigrant"


def _scores(subject: Subject) -> str:
    """A table of the scores, with their intervals."""
    if not subject.scores:
        return ""
    # A mean of the log alone has no interval, and no number of datapoints.
    rows = []
    for score in subject.scores:
        split = score.split
        if score.group is not None:
            split += f", {plain(score.group)}"
        interval = ""
        if score.interval is not None:
            interval = "{:.4f} to {:.4f}".format(*score.interval)
        datapoints = ""
        if score.datapoints is not None:
            datapoints = f"{score.datapoints:,}"
        rows.append((split, f"{score.value:.4f}", interval, datapoints))
    scale = "from 0 to 1"
    fitness = plain(label(subject.call.get("fitness")))
    if fitness:
        scale += f", of {fitness}"
    scores = table(("split", "mean score", "95 % interval", "datapoints"), rows)
    text = (
        f"{scores}\nMean scores, {scale}. The interval is over datapoints, for this one member: it "
        "does not count that the member was chosen by its score on the training split, or on the "
        "validation split where there is one."
    )
    if any(score.split == WATCHED for score in subject.scores):
        text += (
            " What is watched counted in no mean, and nothing was chosen by it: it shows what the "
            "member has kept of what its seeds could do besides."
        )
    return f"{text}\n"


def _seeds(subject: Subject) -> str:
    """A table of the seeds, and a line for each other model that is in it.

    Beside each seed are its licence, the mean of its coefficients over all parameters, and what it
    scored alone, as far as these are known.
    """
    seeds = subject.seeds
    if not seeds:
        return ""
    head = ["seed", "licence"]
    rows = [[_model(seed), model_name(seed)] for seed in seeds]
    genome = subject.genome
    # With a model among the seeds that has no coefficients, it is not clear which are whose.
    if isinstance(genome, Recipe) and genome.coefficients.shape[1] == len(seeds):
        head.append("mean coefficient")
        means = np.average(genome.coefficients, axis=0, weights=np.diff(genome.bounds))  # (K,)
        for row, mean in zip(rows, means, strict=True):
            row.append(f"{mean:.4f}")
        _add_scores_alone(subject, head, rows)
    text = table(head, rows)
    for other in subject.facts.get("others", ()):
        text += f"\nThere is also something of {_model(other)} in it ({model_name(other)}).\n"
    return text


def _add_scores_alone(subject: Subject, head: list[str], rows: list[list[str]]) -> None:
    """Adds what each seed scored alone to the table, where the founders are the seeds."""
    # Founders may be mixtures of seeds, too, or in another order.
    places = [entry.get("founder") for entry in subject.founders]
    if places != list(range(len(rows))):
        return
    for split in SPLITS:
        if all(split in entry for entry in subject.founders):
            head.append(f"{split}, alone")
            for row, entry in zip(rows, subject.founders, strict=True):
                row.append(f"{entry[split]:.4f}")
    for name in subject.founders[0].get(WATCHED, {}):
        title = titled(name, subject.call.get("fitness"))
        head.append(f"watched, {plain(title)}, alone")
        for row, entry in zip(rows, subject.founders, strict=True):
            row.append(f"{entry[WATCHED][name]:.4f}")


def _model(model: Mapping[str, Any]) -> str:
    """A model by its name.

    That is a link to the very revision on the hub; of a folder, it is what that says it was tuned
    from.
    """
    # A branch on the hub may move on; a revision is what was merged.
    name = plain(model["name"])
    if "repository" in model:
        address = f"https://huggingface.co/{model['repository']}"
        if "revision" in model:
            address += f"/tree/{model['revision']}"
        return link(name, address)
    bases = []
    for base in model.get("base_model", ()):
        bases.append(link(plain(base), f"https://huggingface.co/{base}"))
    if not bases:
        return f"{name} (a folder)"
    return f"{name} (a folder, from {', '.join(bases)})"


def _recipe(subject: Subject, folder: Path) -> str:
    """How somebody else makes the same weights."""
    genome, path = subject.genome, folder / recipe_file.NAME
    if not isinstance(genome, Recipe) or not path.is_file():
        return ""
    count = len(genome.coefficients)
    stretches = "1 stretch"
    if count != 1:
        stretches = f"{count:,} stretches"
    # Who gets the recipe from elsewhere can see whether it is this one.
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    text = (
        f"It has a coefficient for each seed on each of {stretches} of the parameters. All are in "
        f"`{recipe_file.NAME}` (SHA-256 `{sha256}`), which names the seeds by their SHA-256, too:"
        f"\n\n{fenced(f'evomerge rebuild {recipe_file.NAME} OUT', 'sh')}"
    )
    recipe = json.loads(path.read_text(encoding="utf-8"))
    if recipe_file.NUMBERS in recipe:
        numbers = []
        for name, number in recipe[recipe_file.NUMBERS].items():
            numbers.append(f"{plain(name)} {number:.4f}")
        text += f"\nIts method's own numbers were searched, too: {', '.join(numbers)}.\n"
    if (folder / MERGEKIT).is_file():
        first_line = (folder / MERGEKIT).read_text(encoding="utf-8").partition("\n")[0]
        text += (
            f"\nWithout evomerge, as far as `{MERGEKIT}` finds the seeds where it says they are:"
            f"\n\n{fenced(first_line.removeprefix('# '), 'sh')}"
        )
    # A recipe of many stretches is for machines.
    if count <= STRETCHES:
        text += f"\n{_coefficients(subject, genome)}"
    return text


def _coefficients(subject: Subject, genome: Recipe) -> str:
    """A table of them: a row for each stretch of parameters, a column for each seed."""
    seeds = [plain(seed["name"]) for seed in subject.seeds]
    if not seeds:
        seeds = list(map(str, range(genome.coefficients.shape[1])))
    rows = []
    stops = genome.bounds[1:]
    for start, stop, row in zip(genome.bounds, stops, genome.coefficients, strict=False):
        rows.append([f"{start:,} to {stop:,}", *(f"{number:.6f}" for number in row)])
    return table(["parameters", *seeds], rows)


def _config(subject: Subject) -> str:
    """The call that made the run, as far as it may be published."""
    config = fenced(published(subject.config, subject.call), "yaml")
    text = (
        "`evomerge run config.yaml` begins the run again. Of paths only the last part is shown "
        "here; trackers, workers, and what is called like a secret are left out. Look before you "
        "publish it."
    )
    return f"{text}\n\n{details('config.yaml, the call that made the run', config)}"


def _citation() -> str:
    title = "Competition and Attraction Improve Model Fusion"
    citation = fenced(CITATION, "bibtex")
    return f"The algorithm, M2N2, is from [{title}]({PAPER}):\n\n{citation}"
