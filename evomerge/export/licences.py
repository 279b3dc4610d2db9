"""Which licence a model may name that was made of others: theirs, where it is one; otherwise who made it has to decide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evomerge.export.markdown import line, link, plain, table

IDENTIFIERS = """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m bsd
    bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0
    cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0
    cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0
    etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
    intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa
    odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl postgresql unlicense wtfpl zlib
"""
HUB = frozenset(IDENTIFIERS.split())
"""What the hub takes as `license`; any other is `other`, with a name."""


def inherited(models: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], str]:
    """The licence of what is made of these models.

    Args:
        models: all whose weights are in it, each with `name` and, if they are known, `license` (a list), `license_name`, `license_link`.

    Returns:
        The keys of a card's head, and sentences in Markdown that say why.
    """
    if not models:
        return {}, ""
    known = {_key(model) for model in models if model.get("license")}
    unknown = [plain(model["name"]) for model in models if not model.get("license")]
    if not known:
        return (
            {},
            "No model that it was made of names a licence that could be read. Find out before you publish it.\n",
        )
    first = next(model for model in models if model.get("license"))
    if len(known) == 1 and not unknown:
        return (
            _head(first),
            f"All models that it was made of have the licence {model_name(first)}, which is why it names that one.\n",
        )
    each = table(
        ("model", "licence"), [(plain(model["name"]), model_name(model)) for model in models]
    )
    decide = "Which licence it may have, and whether it may be published, is yours to decide.\n"
    if len(known) == 1:
        return (
            {},
            f"Some models that it was made of name no licence that could be read:\n\n{each}\n{decide}",
        )
    ids = dict.fromkeys(_slug(of) for model in models for of in _ids(model))
    head = {"license": "other", "license_name": "-".join(["several", *ids])}
    return head, f"The models that it was made of have several licences:\n\n{each}\n{decide}"


def model_name(model: Mapping[str, Any]) -> str:
    """The licence of a model as Markdown."""
    return link(plain(", ".join(_ids(model))) or "not known", model.get("license_link"))


def _ids(model: Mapping[str, Any]) -> list[str]:
    """What its licences are called; `other` by its name, if it has one."""
    return [
        model.get("license_name", of) if of == "other" else of for of in model.get("license", ())
    ]


def _key(model: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two models of one licence have in common; two that say no more than `other` may have two."""
    nameless = model["license"] == ["other"] and "license_name" not in model
    return (
        *sorted(model["license"]),
        model.get("license_name"),
        model["name"] if nameless else None,
    )


def _head(model: Mapping[str, Any]) -> dict[str, Any]:
    ids = list(model["license"])
    if len(ids) == 1 and ids[0] not in HUB:
        return {"license": "other", "license_name": _slug(ids[0])}
    ids = [of if of in HUB else "other" for of in ids]
    more = {key: line(model[key]) for key in ("license_name", "license_link") if key in model}
    return {"license": ids[0] if len(ids) == 1 else ids} | more


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.+]+", "-", text.lower()).strip("-")
