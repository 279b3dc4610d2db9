"""YAML to plain data, and plain data to YAML. A config is a call (`evomerge.config.calls`)."""

from __future__ import annotations

import difflib
import re
import shlex
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import ConfigTypeError, OmegaConfBaseException

from evomerge.config.contradictions import drop_contradicted
from evomerge.config.targets import TARGET
from evomerge.errors import UserError, reason

BASE = "_base_"
"""The key of a config that names the one below it."""

VERSIONS = "# python "
"""How the comment of a config begins that says with which versions it was made."""

NAMED_VERSIONS = ("evomerge", "mergekit", "numpy", "torch")
"""The packages that are always in that comment."""

USED_VERSIONS = ("transformers", "peft", "diffusers", "lm_eval")
"""Those that are in it where they are used."""


class Dumper(yaml.SafeDumper):
    """Writes what `load` reads.

    A text that looks like a number to it, such as 1e5, is quoted; ${ is no interpolation.
    """


# To OmegaConf, which reads configs, 1e5 is a number; to PyYAML, which writes them, it is a text.
Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", _escaped(text))
)


def load(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A YAML file with `key=value` overrides, its interpolations resolved.

    Raises:
        UserError: if the file is missing or is not YAML, or an override is not `key=value`.
    """
    if not path.is_file():
        raise UserError(_no_file(path))
    config = _with_base(path)
    before = config.copy()
    for override in overrides:
        where, equals, value = override.partition("=")
        if not where or not equals:
            raise UserError(f"{override!r}: expected key=value")
        with parsing(where):
            _override(config, where, value, override)
    # Each of them could be read. A place in a list is none of those that a rule is about.
    named = [override for override in overrides if "[" not in override.partition("=")[0]]
    with parsing(" ".join(named)):
        drop_contradicted(config, OmegaConf.from_dotlist(named), before)
    with parsing(path):
        return typing.cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))


def settings(overrides: Sequence[str]) -> dict[str, Any]:
    """Overrides `key=value` alone, as the values that they stand for.

    Raises:
        UserError: if one is not `key=value`.
    """
    for override in overrides:
        if "=" not in override.lstrip("="):
            raise UserError(f"{override!r}: expected key=value")
    with parsing(" ".join(overrides)):
        config = OmegaConf.from_dotlist(list(overrides))
        return typing.cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))


@contextmanager
def parsing(where: object) -> Iterator[None]:
    """Makes a mistake of the user of whatever a parser of YAML raises.

    What a tag makes of a text may end in any exception.

    Args:
        where: the file, or the override; the message begins with it.

    Raises:
        UserError: instead of what was raised.
    """
    try:
        yield
    except UserError:
        raise
    except RecursionError:
        raise UserError(
            f"{where}: expected values, got a value that refers to itself, "
            "or too many brackets in brackets"
        ) from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, OSError) as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None
    except Exception as error:
        raise UserError(
            f"{where}: expected YAML, got what cannot be read: {reason(error)}"
        ) from None


def to_yaml(call: Mapping[str, Any]) -> str:
    """A described call as YAML; its head says with which command and which versions it was made.

    What is loaded on first use is in it once it was used.
    """
    # A line break in an argument would end the comment.
    command = " ".join(shlex.join(sys.argv).split())
    python = sys.version.split()[0]
    used = [name for name in USED_VERSIONS if name in sys.modules]
    versions = [f"{name} {_version(name)}" for name in (*NAMED_VERSIONS, *used)]
    head = f"# {command}\n{VERSIONS}{python}, {', '.join(versions)}\n"
    return head + dumped(call)


def versions_in(text: str) -> str:
    """The comment of a config that says with which versions it was made; nothing without one."""
    for line in text.splitlines():
        if line.startswith(VERSIONS):
            return line
    return ""


def dumped(call: Mapping[str, Any]) -> str:
    """Plain data as the YAML that `load` reads."""
    return yaml.dump(dict(call), Dumper=Dumper, sort_keys=False, allow_unicode=True)


def plain(call: Mapping[str, Any]) -> dict[str, Any]:
    """A described call as it is when it was written and is read again."""
    return typing.cast("dict[str, Any]", yaml.safe_load(yaml.safe_dump(dict(call))))


def _no_file(path: Path) -> str:
    """The message where a config is none, with the name of one beside it that is like it."""
    if path.is_dir():
        message = f"{path}: expected a YAML file, this is a folder"
    else:
        message = f"{path}: there is no such file"
    names = [other.name for other in path.parent.glob("*.yaml")]
    near = difflib.get_close_matches(path.name, names, 1)
    if near:
        message += f"; did you mean {path.parent / near[0]}?"
    return message


def _override(config: Any, key: str, value: str, override: str) -> None:
    """Sets a key of a config to what a text says; keys and values are laid over those there.

    Args:
        config: what is changed.
        key: where.
        value: what the text says, as YAML.
        override: the whole text, for messages.

    Raises:
        UserError: if there is no such place.
    """
    # The text is read as YAML in a config of its own, so that its interpolations stay.
    new = OmegaConf.from_dotlist([f"value={value}"])._get_node("value")
    try:
        old = OmegaConf.select(config, key, throw_on_missing=False)
        if OmegaConf.is_list(new) and OmegaConf.is_dict(old):
            raise UserError(f"{override!r}: a list cannot take the place of keys and values")
        # Settings of another class take the place of those there; of the same one they are added.
        both = OmegaConf.is_dict(new) and OmegaConf.is_dict(old)
        OmegaConf.update(config, key, new, merge=not both or _same_call(old, new), force_add=True)
    except (IndexError, ValueError, ConfigTypeError):
        place = f"{key.partition('[')[0]}[0]"
        raise UserError(
            f"{override!r}: expected a number such as {place}, the list has no such place"
        ) from None


def _with_base(path: Path) -> Any:
    """A YAML file, laid over the one that its `_base_` names, if it has one.

    Raises:
        UserError: if one of them is missing, or is no YAML with keys and values.
    """
    with parsing(path):
        config: Any = OmegaConf.load(path)
    if not OmegaConf.is_dict(config):
        kind = type(OmegaConf.to_container(config)).__name__
        raise UserError(f"{path}: expected keys and values, got a {kind}")
    # The key is evomerge's own, and no argument of the call.
    base = config.pop(BASE, None)
    if base is None:
        return config
    if not isinstance(base, str) or not (path.parent / base).is_file():
        raise UserError(
            f"{path}: {BASE}: expected the path of another config, got {base!r}; "
            f"there is no {path.parent / str(base)}"
        )
    below = _with_base(path.parent / base)
    with parsing(path):
        if not _same_call(below, config):
            return config
        drop_contradicted(below, config)
        return OmegaConf.merge(below, config)


def _same_call(below: Any, above: Any) -> bool:
    """Whether what is above has no other `_target_`, so that the settings below are its, too.

    The settings of one class are none of another's. Where a deeper `_target_` is another one, its
    settings below are dropped.
    """
    if TARGET in above and above[TARGET] != below.get(TARGET):
        return False
    # Nodes are asked for, since a value may be an interpolation that leads nowhere yet.
    for key in above:
        one = below._get_node(key)
        other = above._get_node(key)
        if OmegaConf.is_dict(one) and OmegaConf.is_dict(other) and not _same_call(one, other):
            del below[key]
    return True


def _escaped(text: str) -> str:
    """A text in which ${ is no interpolation, and a backslash before it stays one."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
