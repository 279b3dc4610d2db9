"""YAML to calls, and calls to YAML. A config is a call of a function: keys are its arguments, `_target_` names a class.

A whole config is held against the signatures of what it calls before any of it is loaded, and all mistakes are told at once.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import functools
import importlib
import inspect
import pkgutil
import re
import shlex
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from evomerge.errors import UserError

TARGET = "_target_"
BASE = "_base_"
CHANGEABLE = ("births", "workers", "hours", "patience", "save_every")
"""What a resume may change."""


class _Dumper(yaml.SafeDumper):
    """Writes what `load` reads: a text that looks like a number to it, such as 1e5, is quoted; ${ is no interpolation."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"), list("-+.0123456789")
)
_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", _escaped(text)))


def load(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A YAML file with `key=value` overrides, its interpolations resolved.

    Raises:
        UserError: if the file is missing or is not YAML, or an override is not `key=value`.
    """
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [other.name for other in path.parent.glob("*.yaml")], 1)
        what = "expected a YAML file, this is a folder" if path.is_dir() else "there is no such file"
        raise UserError(f"{path}: {what}" + (f"; did you mean {path.parent / near[0]}?" if near else ""))
    where = str(path)
    try:
        config = _with_base(path)
        for override in overrides:
            where, equals, _ = override.partition("=")
            if not where or not equals:
                raise UserError(f"{override!r}: expected key=value")
            try:
                config = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
            except TypeError:
                raise UserError(
                    f"{override!r}: a list cannot take the place of keys and values, nor they that of a list"
                ) from None
        where = str(path)
        return typing.cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))
    except RecursionError:
        raise UserError(f"{where}: expected values, got a value that refers to itself") from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, OSError) as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None


def build(
    config: Mapping[str, Any],
    function: Callable[..., Any],
    *,
    outside: Sequence[str] = (),
    check: Callable[..., object] | None = None,
) -> dict[str, Any]:
    """The arguments of a call of `function`, with every object in them made.

    Args:
        config: what `load` gave.
        function: what the config is a call of.
        outside: arguments that are not the config's to give.
        check: called with those of the arguments that it has a name for; its ValueError has a line for each mistake.

    Raises:
        UserError: if anything is wrong; the message has a line for each mistake.
    """
    problems: list[str] = []
    arguments = _arguments(dict(config), function, "", problems, outside)
    if check is not None:
        names = inspect.signature(check).parameters
        try:
            check(**{name: value for name, value in arguments.items() if name in names})
        except ValueError as error:
            problems += str(error).splitlines()
    if problems:
        raise UserError("\n".join(problems))
    return arguments


def describe(**arguments: Any) -> dict[str, Any]:
    """A call as plain data: each object as its import path and the arguments that it has kept."""
    return {name: _describe(value) for name, value in arguments.items()}


def to_yaml(call: Mapping[str, Any]) -> str:
    """A described call as YAML; its head says with which command and which versions it was made."""
    names = ("evomerge", "mergekit", "numpy", "torch")
    head = [
        f"# {' '.join(shlex.join(sys.argv).split())}",
        f"# python {sys.version.split()[0]}, " + ", ".join(f"{n} {_version(n)}" for n in names),
    ]
    return "\n".join(head) + "\n" + yaml.dump(dict(call), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def from_yaml(path: Path) -> dict[str, Any]:
    """The described call that made a run directory.

    Raises:
        UserError: if its config.yaml cannot be read.
    """
    return load(path / "config.yaml")


def check_same(path: Path, call: Mapping[str, Any]) -> bool:
    """Checks that a call may go on with the run in `path`.

    Returns:
        Whether it is the very call that made the run; otherwise births or workers were changed.

    Raises:
        UserError: if there is no such run, births went down, or anything else but the workers was changed.
    """
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path}: there is no run to go on with, it has no config.yaml")
    before, after = from_yaml(path), yaml.safe_load(yaml.safe_dump(dict(call)))
    problems = [
        f"{key}: the run in {path} has {old!r}, a resume cannot make it {new!r}; it may change only {', '.join(CHANGEABLE)}"
        for key, old, new in _differences(before, after)
        if key.split(".")[0] not in CHANGEABLE
    ]
    if after["births"] < before.get("births", 0):
        problems.append(f"births: the run in {path} has {before['births']}, a resume can only raise it, got {after['births']}")
    if problems:
        raise UserError("\n".join(problems))
    return bool(before == after)


def import_path(path: str) -> Any:
    """What an import path such as `fitness.classification.right` names.

    Raises:
        ValueError: if there is no such module or name; the message has the nearest known one.
    """
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        name = ".".join(parts[:cut])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                continue
            raise ValueError(f"{path!r} cannot be imported: {error}") from None
        except (Exception, SystemExit) as error:  # whatever a user's module does while it is imported
            raise ValueError(f"{path!r} cannot be imported: {type(error).__name__}: {error}") from None
        for part in parts[cut:]:
            if not hasattr(found, part):
                known = [*dir(found), *(module.name for module in pkgutil.iter_modules(getattr(found, "__path__", ())))]
                raise ValueError(f"{getattr(found, '__name__', name)} has no {part!r}{_nearest(part, known)}")
            found = getattr(found, part)
        return found
    known = [*sys.modules, *(module.name for module in pkgutil.iter_modules())]
    raise ValueError(f"there is no module {parts[0]!r} on the import path{_nearest(parts[0], known, 0.8)}")


def _with_base(path: Path) -> Any:
    """A YAML file, laid over the one that its `_base_` names, if it has one."""
    config: Any = OmegaConf.load(path)
    if not OmegaConf.is_dict(config):
        raise UserError(f"{path}: expected keys and values, got a {type(OmegaConf.to_container(config)).__name__}")
    base = config.pop(BASE, None)
    if base is None:
        return config
    if not isinstance(base, str) or not (path.parent / base).is_file():
        raise UserError(
            f"{path}: {BASE}: expected the path of another config, got {base!r}; there is no {path.parent / str(base)}"
        )
    return OmegaConf.merge(_with_base(path.parent / base), config)


def _arguments(
    given: dict[str, Any], function: Callable[..., Any], where: str, problems: list[str], outside: Sequence[str] = ()
) -> dict[str, Any]:
    """The arguments of one call, made; mistakes are added to `problems`."""
    constructor = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(constructor)
    except Exception:  # a user's annotation that cannot be resolved: take any value
        hints = {}
    named = _parameters(function)
    parameters = {
        name: parameter
        for name, parameter in named.items()
        if name not in outside and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    open_ended = any(p.kind is p.VAR_KEYWORD for p in named.values())
    arguments = {}
    for key, value in given.items():
        if key not in parameters and not open_ended:
            space = "; between a key and its value stands ': ', with a space" if value is None and ":" in str(key) else ""
            problems.append(f"{_join(where, key)}: unknown key{space or _nearest(key, parameters)}")
            continue
        before = len(problems)
        made = _value(value, hints.get(key, Any), _join(where, key), problems)
        if len(problems) == before:
            arguments[key] = made
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            problems.append(f"{_join(where, name)}: missing; expected {_say(hints.get(name, Any))}")
    return arguments


def _value(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    """One value as its type hint wants it; mistakes are added to `problems`."""
    if isinstance(value, dict) and TARGET in value:
        return _object(value, hint, where, problems)
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    tried: list[list[str]] = []
    for option in options:
        attempt: list[str] = []
        made = _plain(value, option, where, attempt)
        if not attempt:
            return made
        tried.append(attempt)
    deeper = [attempt for attempt in tried if not attempt[0].startswith(f"{where}: expected")]
    problems += deeper[0] if deeper else [f"{where}: expected {_say(hint)}, got {_show(value)}{_suggest(value, options)}"]
    return None


def _plain(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    """A value without `_target_` against a hint that is no union."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        if isinstance(value, dict):
            return {key: _value(item, Any, _join(where, key), problems) for key, item in value.items()}
        return (
            [_value(item, Any, f"{where}[{i}]", problems) for i, item in enumerate(value)] if isinstance(value, list) else value
        )
    if origin is typing.Literal and value in args and type(value) is type(args[args.index(value)]):
        return value
    if hint in (None, types.NoneType) and value is None:
        return None
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if (origin or hint) is collections.abc.Callable and isinstance(value, str):
        return _callable(value, where, problems)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _made(typing.cast("type", hint), value, where, problems)
    if isinstance(value, list) and origin is tuple and (Ellipsis not in args and len(args) == len(value)):
        return tuple(_value(item, args[i], f"{where}[{i}]", problems) for i, item in enumerate(value))
    if (
        isinstance(value, list)
        and origin in (list, tuple, collections.abc.Sequence)
        and (origin is not tuple or Ellipsis in args)
    ):
        items = [_value(item, args[0], f"{where}[{i}]", problems) for i, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if isinstance(value, dict) and origin in (dict, collections.abc.Mapping):
        return {key: _value(item, args[1], _join(where, str(key)), problems) for key, item in value.items()}
    problems.append(f"{where}: expected")
    return None


def _object(value: dict[str, Any], hint: Any, where: str, problems: list[str]) -> Any:
    """What a mapping with `_target_` makes, held against the hint's class or protocol."""
    target = value[TARGET]
    if not isinstance(target, str):
        problems.append(f"{where}.{TARGET}: expected an import path, got {_show(target)}")
        return None
    found = _callable(target, f"{where}.{TARGET}", problems)
    if found is None:
        return None
    before = len(problems)
    made = _made(found, {key: item for key, item in value.items() if key != TARGET}, where, problems)
    if len(problems) == before:
        options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
        if not any(_is_a(made, option) for option in options):
            what = "nothing" if made is None else _article(type(made).__name__)
            problems.append(f"{where}: expected {_say(hint)}, {target} makes {what}{_lacks(made, options)}")
    return made


def _made(function: Callable[..., Any], given: dict[str, Any], where: str, problems: list[str]) -> Any:
    """Calls `function` if nothing was wrong with what it is given."""
    before = len(problems)
    arguments = _arguments(given, function, where, problems)
    if len(problems) > before:
        return None
    try:
        return function(**arguments)
    except Exception as error:
        known = isinstance(error, ValueError | TypeError | OSError | ImportError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        named = text.partition(":")[0] in arguments or text.partition(":")[0] in _parameters(function)
        problems.append(f"{where}.{text}" if named else f"{where}: {text}")
        return None


def _callable(path: str, where: str, problems: list[str]) -> Any:
    try:
        found = import_path(path)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None
    if not callable(found):
        problems.append(f"{where}: expected a class or a function, {path} is {_article(type(found).__name__)}")
        return None
    return found


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a call; any, for what is written in C and does not say."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {"keywords": inspect.Parameter("keywords", inspect.Parameter.VAR_KEYWORD)}


def _is_a(made: Any, hint: Any) -> bool:
    hint = typing.get_origin(hint) or hint
    if hint is Any or not inspect.isclass(hint):
        return True
    return not _missing(made, hint) if getattr(hint, "_is_protocol", False) else isinstance(made, hint)


def _missing(made: Any, protocol: type) -> list[str]:
    """Members of a protocol that an object's class does not have; properties are not run for this."""
    members = [name for name in vars(protocol) if not name.startswith("_") or name == "__call__"]
    return [name for name in members if not hasattr(type(made), name) and name not in getattr(made, "__dict__", ())]


def _lacks(made: Any, options: Sequence[Any]) -> str:
    missing = [name for option in options if getattr(option, "_is_protocol", False) for name in _missing(made, option)]
    return f", which has no {', '.join(missing)}" if missing else ""


def _describe(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_describe(item) for item in value]
    if isinstance(value, functools.partial):
        return {
            TARGET: "functools.partial",
            "func": _describe(value.func),
            "args": _describe(value.args),
            **_describe(value.keywords),
        }
    if inspect.isclass(value) or inspect.isroutine(value):
        return _path_of(value)
    try:
        names = list(inspect.signature(type(value)).parameters)
    except ValueError:  # a class written in C
        return re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # an address would be another one in every process
    kept = {name: _describe(getattr(value, name)) for name in names if hasattr(value, name)}
    return {TARGET: _path_of(type(value)), **kept}


def _path_of(named: Any) -> str:
    """The import path of a class or function; what a script defines is found in the module that its file is."""
    module = named.__module__
    script = getattr(sys.modules["__main__"], "__file__", None)
    return f"{Path(script).stem if module == '__main__' and script else module}.{named.__qualname__}"


def _differences(before: Any, after: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """(key, old, new) of everything in which two described calls differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [d for key in keys for d in _differences(before.get(key), after.get(key), _join(where, key))]
    return [] if before == after else [(where, before, after)]


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else str(key)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


def _nearest(name: str, known: collections.abc.Iterable[str], alike: float = 0.6) -> str:
    near = difflib.get_close_matches(str(name), list(known), 1, alike)
    return f"; did you mean {near[0]!r}?" if near else ""


def _suggest(value: Any, options: Sequence[Any]) -> str:
    words = [str(word) for option in options if typing.get_origin(option) is typing.Literal for word in typing.get_args(option)]
    return _nearest(value, words, 0.5) if isinstance(value, str) else ""


def _show(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) < 80 else text[:77] + '...'} ({type(value).__name__})"


def _say(hint: Any) -> str:
    """A type hint in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    words = {
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        Path: "a path",
        types.NoneType: "null",
    }
    if hint in words:
        return words[hint]
    if hint is None:
        return "null"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_say(option) for option in args)
    if origin is typing.Literal:
        return " or ".join(repr(arg) for arg in args)
    if origin is tuple and Ellipsis not in args:
        return f"a list of {len(args)}: {', '.join(_say(arg) for arg in args)}"
    if origin in (list, tuple, collections.abc.Sequence):
        return f"a list, each {_say(args[0])}"
    if origin in (dict, collections.abc.Mapping):
        return f"keys with values, each {_say(args[1])}"
    if (origin or hint) is collections.abc.Callable:
        return "the import path of a function"
    name = getattr(hint, "__name__", str(hint))
    keys = "its settings" if dataclasses.is_dataclass(hint) else f"{TARGET} and its settings"
    return "anything" if hint is Any else f"{_article(name)} ({keys})"


def _escaped(text: str) -> str:
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _version(package: str) -> str:
    try:
        return version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
