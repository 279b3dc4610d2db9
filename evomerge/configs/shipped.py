"""The configs that come with evomerge: what each is, and copies of them that work elsewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from evomerge.config.given import CONFIGS
from evomerge.config.targets import nearest
from evomerge.errors import UserError

SUFFIX = ".yaml"
"""What the files of configs end in."""

BASE_LINE = re.compile(r"^_base_: (\S+)$", re.MULTILINE)
"""The line of a config that names the one below it."""


def names(folder: Path) -> list[str]:
    """The names of the configs in a folder, without suffix; those in a subfolder come last."""
    listed = []
    for path in folder.rglob(f"*{SUFFIX}"):
        listed.append(path.relative_to(folder).with_suffix("").as_posix())
    return sorted(listed, key=lambda name: (name.count("/"), name))


def about(folder: Path, name: str) -> str:
    """The first line of a config's comment, which says what it is; nothing without one."""
    first, _, _ = (folder / f"{name}{SUFFIX}").read_text(encoding="utf-8").partition("\n")
    if not first.startswith("#"):
        return ""
    return first.lstrip("# ")


def chosen(folder: Path, name: str) -> str:
    """The name of a config as `names` has it.

    Args:
        folder: of the configs.
        name: as a user gives it: skills, skills.yaml or configs/skills.yaml.

    Raises:
        UserError: if there is none of that name; the message has the nearest one.
    """
    known = names(folder)
    plain = name.removesuffix(SUFFIX).removeprefix(f"{CONFIGS}/")
    if plain not in known:
        hint = nearest(plain, known)
        raise UserError(f"{name}: no such config comes with evomerge{hint}")
    return plain


def copies(folder: Path, name: str, to: Path) -> dict[Path, str]:
    """The texts of a copy of a config, and of what it is based on, by the file that each gets.

    Args:
        folder: of the configs.
        name: of the config, as `names` has it.
        to: the file of its copy; what it is based on is put beside that.

    Raises:
        UserError: if two of them would be one file.
    """
    # Each config stands beside its base then, wherever it was before.
    chain: list[tuple[str, Path, str]] = []
    path = folder / f"{name}{SUFFIX}"
    place = to
    while True:
        if place in [other for _, other, _ in chain]:
            raise UserError(f"{to}: what {name} is based on has that name; choose another one")
        text = path.read_text(encoding="utf-8")
        base = BASE_LINE.search(text)
        if base is not None:
            text = BASE_LINE.sub(f"_base_: {Path(base[1]).name}", text)
        chain.append((path.resolve().relative_to(folder.resolve()).as_posix(), place, text))
        if base is None:
            break
        path = path.parent / base[1]
        place = to.with_name(path.name)
    texts = {}
    for number, (_, place, text) in enumerate(chain):
        # A base knows nothing of what is based on it, so it is the same file beside any of them.
        places = {key: below for key, below, _ in chain[number:]}
        texts[place] = _renamed(text, places)
    return texts


def _renamed(text: str, places: Mapping[str, Path]) -> str:
    """A config whose comment names the copies, so that its commands run them."""
    for key, place in places.items():
        text = text.replace(f"{CONFIGS}/{key}", shlex.quote(str(place)))
    return text
