"""The head of a model card: data in the words of the Hugging Face hub, which its search reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evomerge.config.labels import has_parts, label
from evomerge.export.licences import inherited
from evomerge.export.markdown import line
from evomerge.export.measured import Score
from evomerge.export.subject import Subject

NOT_OF_THE_HEAD = ("seeds", "others", "tags")
"""What a population says for its card that is not copied as it is."""


def head_of(subject: Subject, *, has_mergekit: bool = False) -> dict[str, Any]:
    """The head, such as `huggingface_hub.ModelCardData` reads and writes without a loss.

    Args:
        subject: what the card is about.
        has_mergekit: whether mergekit can build the same weights.
    """
    models = subject.models
    bases: list[str] = []
    for model in models:
        bases += _bases(model)
    # People search the hub by these.
    tags = list(subject.facts.get("tags", ()))
    if has_mergekit:
        tags.append("mergekit")
    tags.append("evomerge")
    # Without the relation, the hub guesses one from the files.
    head: dict[str, Any] = {"base_model": _distinct(bases)}
    if bases:
        head["base_model_relation"] = "merge"
    head |= inherited(models)[0]
    for key in ("language", "datasets"):
        texts: list[str] = []
        for model in models:
            texts += model.get(key, ())
        head[key] = _distinct(texts)
    # The population knows its ecosystem's words: library_name, pipeline_tag.
    for key, value in subject.facts.items():
        if key not in NOT_OF_THE_HEAD:
            head[key] = value
    head |= {"tags": _distinct(tags), "model-index": _index(subject)}
    # An empty list says no more than no list.
    return {key: value for key, value in head.items() if value}


def _index(subject: Subject) -> list[dict[str, Any]]:
    """The scores in the hub's words."""
    if not subject.scores:
        return []
    name = f"{line(subject.run)}, member {subject.id}"
    return [{"name": name, "results": [_result(subject, score) for score in subject.scores]}]


def _result(subject: Subject, score: Score) -> dict[str, Any]:
    fitness = line(label(subject.call.get("fitness"))) or "fitness"
    # The hub wants an identifier there, which a path or brackets are not.
    kind = re.sub(r"[^a-z0-9]+", "-", fitness.lower()).strip("-") or "fitness"
    dataset = {"name": fitness, "type": kind}
    if score.group is not None:
        dataset["config"] = line(score.group)
        # A part of a combined fitness is a data set of its own, and people know it by its name.
        if has_parts(subject.call.get("fitness")):
            dataset["name"] = line(score.group)
    dataset["split"] = score.split
    metric = {
        "type": "score",
        "value": round(float(score.value), 6),
        "name": f"mean score, {score.split}",
    }
    return {
        "task": {"type": subject.facts.get("pipeline_tag", "other")},
        "dataset": dataset,
        "metrics": [metric],
    }


def _bases(model: Mapping[str, Any]) -> list[str]:
    """The repositories that a seed comes from: its own, or those that its folder names.

    A folder's own name is none of these: on the hub, it may be somebody else's.
    """
    if "repository" in model:
        return [model["repository"]]
    return list(model.get("base_model", ()))


def _distinct(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))
