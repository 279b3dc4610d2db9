"""Which licence a model may name that was made of others.

It is theirs, where they have the same one. Otherwise who made the model has to decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evomerge.export.markdown import line, link, plain, table

IDENTIFIERS = """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0
    epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl
    gpl gpl-2.0 gpl-3.0 grok2-community h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0
    lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa
    odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl postgresql unlicense
    wtfpl zlib
"""
HUB = frozenset(IDENTIFIERS.split())
"""What the hub takes as `license`; any other is `other`, with a name."""

DECIDE = "Which licence it may have, and whether it may be published, is yours to decide.\n"


def inherited(models: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], str]:
    """The licence of what is made of these models.

    Args:
        models: all whose weights are in it, each with `name` and, if they are known, `license`
            (a list), `license_name`, `license_link`.

    Returns:
        The keys of a card's head, and sentences in Markdown that say why.
    """
    if not models:
        return {}, ""
    licensed = [model for model in models if model.get("license")]
    licences = {_key(model) for model in licensed}
    if not licences:
        return {}, (
            "No model that it was made of names a licence that could be read. Find out before you "
            "publish it.\n"
        )
    if len(licences) == 1 and len(licensed) == len(models):
        name = model_name(licensed[0])
        return _head(licensed[0]), (
            f"All models that it was made of have the licence {name}, which is why it names that "
            "one.\n"
        )
    # Nobody but the author can say what several licences, or an unknown one, allow.
    rows = [(plain(model["name"]), model_name(model)) for model in models]
    each = table(("model", "licence"), rows)
    if len(licences) == 1:
        sentence = "Some models that it was made of name no licence that could be read"
        return {}, f"{sentence}:\n\n{each}\n{DECIDE}"
    sentence = "The models that it was made of have several licences"
    return _head_of_several(models), f"{sentence}:\n\n{each}\n{DECIDE}"


def model_name(model: Mapping[str, Any]) -> str:
    """The licence of a model as Markdown."""
    return link(plain(", ".join(_ids(model))) or "not known", model.get("license_link"))


def _ids(model: Mapping[str, Any]) -> list[str]:
    """What its licences are called; `other` by its name, if it has one."""
    ids = []
    for id in model.get("license", ()):
        ids.append(model.get("license_name", id) if id == "other" else id)
    return ids


def _key(model: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two models of one licence have in common."""
    key = (*sorted(model["license"]), model.get("license_name"))
    # Two that say no more than `other` may have two licences.
    if model["license"] == ["other"] and "license_name" not in model:
        return (*key, model["name"])
    return (*key, None)


def _head(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's licence in the hub's words."""
    ids = list(model["license"])
    # A licence that the hub does not know keeps its own name there.
    if len(ids) == 1 and ids[0] not in HUB:
        return {"license": "other", "license_name": _slug(ids[0])}
    known = [id if id in HUB else "other" for id in ids]
    head: dict[str, Any] = {"license": known}
    # One is a text, several are a list.
    if len(known) == 1:
        head["license"] = known[0]
    for key in ("license_name", "license_link"):
        if key in model:
            head[key] = line(model[key])
    return head


def _head_of_several(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All licences in one name, since the hub takes one that it does not know."""
    slugs: dict[str, None] = {}
    for model in models:
        slugs.update(dict.fromkeys(map(_slug, _ids(model))))
    return {"license": "other", "license_name": "-".join(["several", *slugs])}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.+]+", "-", text.lower()).strip("-")
