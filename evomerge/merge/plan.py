"""The config of a merge: what is merged, what it is to be good at, and how it is bred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evomerge.config.targets import TARGET
from evomerge.convert.remarks import Place
from evomerge.convert.yaml_text import commented
from evomerge.merge.skills import Skill

RATIO = (-0.3, 1.3)
"""Mixing ratios of children, which may go beyond their parents."""

SIZE = 8
LARGE_SIZE = 15
MANY = 500
"""Members of the archive, and from how many births on there are more of them."""

HEAD = """\
# What `evomerge merge` breeds: one model of {models}, good at {skills}.
# Paths are as seen from the folder in which it is run. docs/language_models.md explains
# the settings.
#
#   evomerge check {path}
#   evomerge run {path} births={more}
"""
"""What stands above the config."""


def compose(
    population: Mapping[str, Any],
    skills: Sequence[Skill],
    watched: Sequence[Skill],
    *,
    births: int,
    seed: int,
    about_chat: str,
) -> tuple[dict[str, Any], dict[Place, str]]:
    """The arguments of `evolve` as plain data, and what stands above their keys.

    Args:
        population: the models, in plain data.
        skills: one or more.
        watched: what is only watched; may be empty.
        births: children to make and score.
        seed: of all randomness.
        about_chat: why there are conversations, or none.
    """
    comments: dict[Place, str] = {
        ("population", "seeds"): "Folders, owner/name of the hub, LoRA adapters; two or more.",
        ("population", "dtype"): (
            "auto is the first model's. chromosomes: {attention: self_attn, mlp: mlp} beside it "
            "would let each of these split by itself."
        ),
    }
    if "method" in population:
        comments["population", "method"] = "mergekit's, its weights searched: docs/methods.md."
    fitness: dict[str, Any] = skills[0].part
    places: list[Place] = [("fitness",)]
    asked = [*skills, *watched]
    if len(asked) > 1:
        parts = [skill.part for skill in skills]
        fitness = {TARGET: "fitness.combined.Combined", "parts": parts}
        places = [("fitness", "parts", number) for number in range(len(skills))]
    if len(skills) > 1:
        comments["fitness",] = "Skills pull equally, however many questions each has."
    if watched:
        fitness["watched"] = [skill.part for skill in watched]
        places += [("fitness", "watched", number) for number in range(len(watched))]
        comments["fitness", "watched"] = (
            "Scored before and after; it counts in no mean, and nobody is chosen by it."
        )
    # The report is to have the names that are printed.
    if len(asked) > 1 and any(skill.renamed for skill in asked):
        fitness["names"] = [skill.name for skill in asked]
    for place, skill in zip(places, asked, strict=True):
        for key, comment in skill.comments.items():
            comments[(*place, key)] = comment
    # It is the same for all files, and said once.
    for place, skill in zip(places, asked, strict=True):
        if "template" in skill.part:
            comments[(*place, "template")] = about_chat
            break
    size = LARGE_SIZE if births >= MANY else SIZE
    crossover: dict[str, Any] = {"ratio": list(RATIO)}
    # A method takes weights and no angle.
    if "method" in population:
        crossover["angle"] = "none"
    comments["strategy", "size"] = (
        "Members that live at once, and compete for the questions: some 8 for 100 births, "
        "15 for 1,000."
    )
    comments["strategy", "crossover", "ratio"] = (
        "Of the second parent in a child; beyond [0, 1], a child goes further than its parents."
    )
    comments["births",] = "Children to make and score; `evomerge resume` goes on with more."
    call = {
        "population": dict(population),
        "fitness": fitness,
        "strategy": {"size": size, "crossover": crossover},
        "births": births,
        "seed": seed,
    }
    return call, comments


def config_text(
    call: Mapping[str, Any],
    comments: Mapping[Place, str],
    *,
    models: Sequence[str],
    skills: Sequence[Skill],
    path: str,
) -> str:
    """The config as a file for people.

    Args:
        call: the arguments of `evolve`.
        comments: what stands above their keys.
        models: as the user names them.
        skills: what the merged model is to be good at.
        path: of the file, quoted for a shell.
    """
    births = call.get("births")
    more = 300
    if isinstance(births, int):
        more = max(births, 1) * 3
    head = HEAD.format(
        models=_listed(models),
        skills=_listed([skill.name for skill in skills]),
        path=path,
        more=more,
    )
    return head + commented(call, comments)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence, each on one line whatever is in it."""
    quoted = [" ".join(name.split()) for name in names]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"
