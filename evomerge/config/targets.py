"""Import paths: what one names, and which one names a class or function.

A config's `_target_` is such a path.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

TARGET = "_target_"
"""The key of a config that names a class."""


def import_path(path: str) -> Any:
    """What an import path such as `fitness.classification.right` names.

    Raises:
        ValueError: if there is no such module or name; the message has the nearest known one.
    """
    parts = path.split(".")
    # A script is there already, under another name, and must not run a second time.
    if parts[0] == _script() and parts[0] not in sys.modules:
        return _inside(sys.modules["__main__"], parts[1:])
    # The longest part that is a module is imported; what is behind it is in that module.
    for cut in range(len(parts), 0, -1):
        module = _module(path, ".".join(parts[:cut]))
        if module is not None:
            return _inside(module, parts[cut:])
    known = [*sys.modules, *_module_names(None)]
    raise ValueError(
        f"there is no module {parts[0]!r} on the import path{nearest(parts[0], known, 0.8)}"
    )


def _script() -> str | None:
    """The name of the module that the running script is; None where there is no script."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None:
        return None
    return Path(file).stem


def _module(path: str, name: str) -> ModuleType | None:
    """A module; None if there is none of that name.

    Raises:
        ValueError: if it cannot be imported; the message has the whole path.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # It may be there, and import another one that is not.
        missing = error.name
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            return None
        raise ValueError(f"{path!r} cannot be imported: {error}") from None
    # A user's module does whatever it does while it is imported.
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path!r} cannot be imported: {type(error).__name__}: {error}") from None


def _inside(module: ModuleType, names: list[str]) -> Any:
    """What is in a module under names of which each is in the one before.

    Raises:
        ValueError: if there is no such name.
    """
    named: Any = module
    # Not all that a class has knows its own name.
    last_name = module.__name__
    for name in names:
        if not hasattr(named, name):
            known = [*dir(named), *_module_names(getattr(named, "__path__", ()))]
            holder = getattr(named, "__name__", last_name)
            raise ValueError(f"{holder} has no {name!r}{nearest(name, known)}")
        named = getattr(named, name)
    return named


def _module_names(folders: Iterable[str] | None) -> list[str]:
    """The names of the modules in some folders; in those of the import path, if None."""
    return [module.name for module in pkgutil.iter_modules(folders)]


def path_of(named: Any) -> str:
    """The shortest import path of a class or function, such as `evomerge.Search`.

    It is what a run directory says of it. A package that exports the very same object names it
    better than the module that defines it, which may move one day. What a script defines is found
    in the module that its file is.
    """
    module = named.__module__
    name = named.__qualname__
    script = _script()
    if module == "__main__" and script is not None:
        return f"{script}.{name}"
    # Only what is loaded counts: a look must not import a package that nobody asked for.
    folders = module.split(".")
    for cut in range(1, len(folders)):
        public = ".".join([*folders[:cut], name])
        if _loaded(public) is named:
            return public
    return f"{module}.{name}"


def names_the_same(one: Any, other: Any) -> bool:
    """Whether two import paths name the same class or function, as where a module has moved.

    Args:
        one: a path, which may be an old one; it is imported if need be.
        other: the path of something that is loaded.
    """
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    meant = _loaded(other)
    # Most texts of a config are no paths, and importing what they seem to name would run code.
    if not callable(meant) or not all(part.isidentifier() for part in one.split(".")):
        return False
    try:
        return import_path(one) is meant
    except ValueError:
        return False


def _loaded(path: str) -> Any:
    """What an import path names, of what is loaded; None if that is nothing."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:cut]))
        if module is not None:
            return _attribute(module, parts[cut:])
    return None


def _attribute(module: ModuleType, names: list[str]) -> Any:
    """What is in a module under names of which each is in the one before; None if nothing is."""
    named: Any = module
    for name in names:
        try:
            named = getattr(named, name, None)
        # A package may load its parts when they are asked for, and lack what they need.
        except Exception:
            return None
    return named


def nearest(name: str, known: Iterable[str], alike: float = 0.6) -> str:
    """The question whether the nearest known name was meant; nothing if none is near.

    Args:
        name: what the user wrote.
        known: what there is.
        alike: how alike they have to be, from 0 to 1.
    """
    near = difflib.get_close_matches(str(name), list(known), 1, alike)
    if not near:
        return ""
    return f"; did you mean {near[0]!r}?"
