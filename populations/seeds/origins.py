"""What models say of themselves in their README.md: licence, language, data sets, what they were tuned from. For cards of what they become."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from populations.express.resident import line

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
    """What is known of each model, in the hub's words: `name`, and as far as it is known the rest.

    Of a repository `repository` and `revision`; of both kinds `license` (a list; lower case), `license_name`, `license_link`, `base_model`,
    `language`, `datasets` (lists). A folder is called by its last part, by more of its path where another is called the same, and never by all
    of it. No path of this machine is told, and nothing that is no text.
    """
    folders = [Path(os.path.abspath(folder)) for folder, _ in models]
    cached = [CACHED.search(folder.as_posix()) for folder in folders]
    known: list[dict[str, Any]] = []
    for (_, repository), folder, match in zip(models, folders, cached, strict=True):
        if repository is None and match is not None:
            repository = f"{match[1]}/{match[2]}"
        if repository is None:
            known.append({"name": _short(folder, folders), **_says(folder, None)})
        else:
            known.append(
                {
                    "name": repository,
                    "repository": repository,
                    "revision": folder.name,
                    **_says(folder, repository),
                }
            )
    return known


def head(folder: Path) -> dict[str, Any]:
    """The YAML with which a folder's README.md begins; empty where there is none, and with a warning where it cannot be read."""
    try:
        match = HEAD.match((folder / README).read_text(encoding="utf-8-sig"))
        found = {} if match is None else yaml.safe_load(match[1])
        if found is None or isinstance(found, dict):
            return found or {}
        raise ValueError(f"expected keys and values, got a {type(found).__name__}")
    except FileNotFoundError:
        return {}
    except Exception as error:  # what a tag such as !!bool makes of a text may end in any exception
        log.warning(
            "%s: what it says of its licence cannot be read, and is left out: %s",
            folder / README,
            line(error),
        )
        return {}


def _says(folder: Path, repository: str | None) -> dict[str, Any]:
    says = head(folder)
    licences = [text.lower() for text in _texts(says.get("license")) if text.lower() != "unknown"]
    facts: dict[str, Any] = {"license": licences or _recognised(folder)}
    for key in ("license_name", "license_link") if licences else ():
        if value := _texts(says.get(key)):
            facts[key] = value[0]
    address = facts.get("license_link", "https://")
    if not address.startswith(("https://", "http://")):  # a file beside the model
        facts["license_link"] = (
            f"https://huggingface.co/{repository}/blob/main/{address}" if repository else ""
        )
    spoken = [
        "no" if language is False else language for language in _list(says.get("language"))
    ]  # Norwegian is false in YAML
    facts["language"] = [text for text in _texts(spoken) if LANGUAGE.fullmatch(text)]
    for key in ("base_model", "datasets"):
        facts[key] = [text for text in _texts(says.get(key)) if IDENTIFIER.fullmatch(text)]
    return {key: value for key, value in facts.items() if value}


def _recognised(folder: Path) -> list[str]:
    """The licence whose text lies in a folder; `other` where it is none of the usual ones."""
    for path in sorted(folder.glob("LICEN[CS]E*")):
        try:
            text = " ".join(
                path.read_text(encoding="utf-8", errors="replace")[:BEGINNING].lower().split()
            )
        except OSError:
            continue
        return [next((name for title, name in TITLES.items() if re.search(title, text)), "other")]
    return []


def _short(folder: Path, folders: Sequence[Path]) -> str:
    """The last parts of a folder's path, as many as tell it from the others."""
    others = [other.parts[1:] for other in folders if other != folder]
    parts = folder.parts[1:]
    count = next(
        (n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others)), 1
    )
    return "/".join(parts[-count:])


def _texts(value: Any) -> list[str]:
    return [text.strip() for text in _list(value) if isinstance(text, str) and text.strip()]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
