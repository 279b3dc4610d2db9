"""What models say of themselves in their README.md: licence, language, data sets, ancestors.

The cards of what they become repeat it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from populations.settings.errors import first_line

log = logging.getLogger(__name__)

README = "README.md"
HEAD = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", re.DOTALL)
"""The YAML with which a card begins, between two lines of three dashes."""

IDENTIFIER = re.compile(
    r"(?!.*(--|\.\.))[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII
)
"""A model or data set of the hub; no absolute path is one."""

LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*|code|multilingual")

CACHED = re.compile(r"models--([\w.-]+)--([\w.-]+)/snapshots/([0-9a-f]+)")
"""How the hub's cache calls a repository's folder."""

TITLES = {
    r"apache license\s+version 2\.0": "apache-2.0",
    r"\bmit license": "mit",
    r"llama 2 community license": "llama2",
    r"llama 3 community license": "llama3",
    r"llama 3\.1 community license": "llama3.1",
    r"llama 3\.2 community license": "llama3.2",
    r"llama 3\.3 community license": "llama3.3",
    r"llama 4 community license": "llama4",
    r"creativeml open rail-?m": "creativeml-openrail-m",
    r"creativeml open rail\+\+-m": "openrail++",
    r"gnu affero general public license\s+version 3": "agpl-3.0",
    r"gnu lesser general public license\s+version 3": "lgpl-3.0",
    r"gnu general public license\s+version 3": "gpl-3.0",
    r"gnu general public license\s+version 2": "gpl-2.0",
    r"mozilla public license,? version 2\.0": "mpl-2.0",
}
"""How the text of a licence begins, and what the hub calls it."""

BEGINNING = 600
"""Letters of such a text that are looked at."""

Model = tuple[Path, str | None]
"""A model's folder, and its repository on the hub if it is from there."""


def origins(models: Sequence[Model]) -> list[dict[str, Any]]:
    """Collects what is known of each model, in the hub's words.

    Each entry has a `name`. A model of a repository also has `repository` and `revision`. Both
    kinds have, as far as they are known, `license` (a list; lower case), `license_name`,
    `license_link`, `base_model`, `language` and `datasets` (lists).

    A folder is called by its last part. Where another folder has the same last part, more of the
    path is added, but never all of it: no path of this machine is published. Neither is anything
    that is no text.
    """
    folders = [Path(os.path.abspath(folder)) for folder, _ in models]
    known: list[dict[str, Any]] = []
    for (_, repository), folder in zip(models, folders, strict=True):
        # A user may name a folder of the hub's cache, whose path tells the repository.
        cached = CACHED.search(folder.as_posix())
        if repository is None and cached is not None:
            repository = f"{cached[1]}/{cached[2]}"
        facts = _stated_facts(folder, repository)
        if repository is None:
            known.append({"name": _short_name(folder, folders), **facts})
        else:
            # A snapshot's folder is named by its commit.
            place = {"repository": repository, "revision": folder.name}
            known.append({"name": repository, **place, **facts})
    return known


def head(folder: Path) -> dict[str, Any]:
    """Reads the YAML with which a folder's README.md begins.

    Returns:
        Its keys and values; an empty dict where there is no such file, or no YAML in it. Where
        the YAML cannot be read, a warning says so, and the dict is empty, too.
    """
    try:
        match = HEAD.match((folder / README).read_text(encoding="utf-8-sig"))
        if match is None:
            return {}
        content = yaml.safe_load(match[1])
        if content is None or isinstance(content, dict):
            return content or {}
        raise ValueError(f"expected keys and values, got a {type(content).__name__}")
    except FileNotFoundError:
        return {}
    except Exception as error:
        # What a tag such as !!bool makes of a text may end in any exception.
        log.warning(
            "%s: what it says of its licence cannot be read, and is left out: %s",
            folder / README,
            first_line(error),
        )
        return {}


def _stated_facts(folder: Path, repository: str | None) -> dict[str, Any]:
    """What a folder's README.md and licence say, as far as it can be put into a card again."""
    card = head(folder)
    facts = _licence_facts(card, folder, repository)
    languages = []
    for language in _as_list(card.get("language")):
        # The code of Norwegian, no, is false in YAML.
        languages.append("no" if language is False else language)
    facts["language"] = [text for text in _texts(languages) if LANGUAGE.fullmatch(text)]
    for key in ("base_model", "datasets"):
        facts[key] = [text for text in _texts(card.get(key)) if IDENTIFIER.fullmatch(text)]
    return {key: value for key, value in facts.items() if value}


def _licence_facts(card: dict[str, Any], folder: Path, repository: str | None) -> dict[str, Any]:
    """A model's licence, with its name and link where the card itself names the licence."""
    licences = []
    for text in _texts(card.get("license")):
        # The hub lists `unknown` among its licences.
        if text.lower() != "unknown":
            licences.append(text.lower())
    # A name and a link without a licence would belong to none.
    if not licences:
        return {"license": _recognised(folder)}
    facts: dict[str, Any] = {"license": licences}
    for key in ("license_name", "license_link"):
        values = _texts(card.get(key))
        if values:
            facts[key] = values[0]
    address = facts.get("license_link", "https://")
    if not address.startswith(("https://", "http://")):
        # The link is a file beside the model, which a card elsewhere does not have.
        facts["license_link"] = ""
        if repository:
            facts["license_link"] = f"https://huggingface.co/{repository}/blob/main/{address}"
    return facts


def _recognised(folder: Path) -> list[str]:
    """The licence whose text is in a folder; `other` where it is none of the usual ones."""
    for path in sorted(folder.glob("LICEN[CS]E*")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        beginning = " ".join(text[:BEGINNING].lower().split())
        for title, licence in TITLES.items():
            if re.search(title, beginning):
                return [licence]
        return ["other"]
    return []


def _short_name(folder: Path, folders: Sequence[Path]) -> str:
    """The last parts of a folder's path, as many as tell it from the others."""
    parts = folder.parts[1:]
    others = [other.parts[1:] for other in folders if other != folder]
    for count in range(1, len(parts)):
        endings = [other[-count:] for other in others]
        if parts[-count:] not in endings:
            return "/".join(parts[-count:])
    # All of the path would be needed, and all of it is never published.
    return parts[-1] if parts else ""


def _texts(value: Any) -> list[str]:
    """The texts in a value of a card, without what is empty or no text."""
    texts = []
    for item in _as_list(value):
        if isinstance(item, str) and item.strip():
            texts.append(item.strip())
    return texts


def _as_list(value: Any) -> list[Any]:
    """A value of a card as a list: where there is one, its author may leave the brackets out."""
    return value if isinstance(value, list) else [value]
