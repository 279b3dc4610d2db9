"""Import paths: what one names, and which one names a class or function. A config's `_target_` is one."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TARGET = "_target_"


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
        except (
            Exception,
            SystemExit,
        ) as error:  # whatever a user's module does while it is imported
            raise ValueError(
                f"{path!r} cannot be imported: {type(error).__name__}: {error}"
            ) from None
        for part in parts[cut:]:
            if not hasattr(found, part):
                known = [
                    *dir(found),
                    *(
                        module.name
                        for module in pkgutil.iter_modules(getattr(found, "__path__", ()))
                    ),
                ]
                raise ValueError(
                    f"{getattr(found, '__name__', name)} has no {part!r}{nearest(part, known)}"
                )
            found = getattr(found, part)
        return found
    known = [*sys.modules, *(module.name for module in pkgutil.iter_modules())]
    raise ValueError(
        f"there is no module {parts[0]!r} on the import path{nearest(parts[0], known, 0.8)}"
    )


def path_of(named: Any) -> str:
    """The shortest import path of a class or function, such as `evomerge.Search`: what a run directory says of it.

    A package that exports the very same object names it better than the module that defines it, which may move one day.
    What a script defines is found in the module that its file is.
    """
    module, name = named.__module__, named.__qualname__
    script = getattr(sys.modules["__main__"], "__file__", None)
    if module == "__main__" and script:
        return f"{Path(script).stem}.{name}"
    folders = module.split(".")
    for cut in range(1, len(folders)):
        package = ".".join(folders[:cut])
        if _loaded(f"{package}.{name}") is named:
            return f"{package}.{name}"
    return f"{module}.{name}"


def names_the_same(one: Any, other: Any) -> bool:
    """Whether two import paths name the same class or function, as they do where a module has moved.

    Args:
        one: a path, which may be an old one; it is imported if need be.
        other: the path of something that is loaded.
    """
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    meant = _loaded(other)
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
        found: Any = sys.modules.get(".".join(parts[:cut]))
        if found is None:
            continue
        for part in parts[cut:]:
            try:
                found = getattr(found, part, None)
            except (
                Exception
            ):  # a package that loads its parts when they are asked for, and lacks what they need
                return None
        return found
    return None


def nearest(name: str, known: Iterable[str], alike: float = 0.6) -> str:
    """The question whether the nearest known name was meant; nothing if none is near."""
    near = difflib.get_close_matches(str(name), list(known), 1, alike)
    return f"; did you mean {near[0]!r}?" if near else ""
