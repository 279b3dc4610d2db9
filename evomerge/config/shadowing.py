"""Files of a user that shadow our packages: they bear a name of ours, and Python finds them first.

A config's `_target_` is found on the import path, where the working directory, or the folder of a
script, comes before the place in which evomerge is installed.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path

from evomerge.errors import UserError

HOME = Path(__file__).absolute().parents[2]
"""The folder in which our packages lie side by side."""

PACKAGES = ("evomerge", "fitness", "populations")


def load_fitness() -> None:
    """Loads our package `fitness` from beside evomerge, whatever comes before it on the path.

    evomerge imports it from the start, so a file that shadows it would end in an error of Python's
    before `check` could say what is wrong. Nothing that is not ours is run.

    Raises:
        ImportError: if another module of that name was imported before.
    """
    module = sys.modules.get("fitness")
    if module is not None:
        spec = module.__spec__
        if spec is not None and _is_shadow(spec):
            raise ImportError(_sentence("fitness", _place(spec)))
        return
    # Nothing of that name was imported, and this is found without looking anywhere else.
    spec = PathFinder.find_spec("fitness", [str(HOME)])
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["fitness"] = module
    spec.loader.exec_module(module)


def check() -> None:
    """Checks that nothing on the import path shadows a package of ours.

    Raises:
        UserError: if something does; a line for each file or folder.
    """
    # The file itself is never run: who knows what is in it.
    lines = []
    for name in PACKAGES:
        spec = PathFinder.find_spec(name, sys.path)
        if spec is not None and _is_shadow(spec):
            lines.append(_sentence(name, _place(spec)))
    if lines:
        raise UserError("\n".join(lines))


def _is_shadow(spec: ModuleSpec) -> bool:
    """Whether a module that bears the name of a package of ours is somebody else's."""
    # A folder without __init__.py counts only where there is no package of that name.
    if spec.origin is None:
        return False
    folder = _place(spec).parent
    # Who works in a copy of our repository has renamed nothing.
    return not all((folder / name / "__init__.py").is_file() for name in PACKAGES)


def _place(spec: ModuleSpec) -> Path:
    """The file of a module, or the folder of a package."""
    assert spec.origin is not None
    file = Path(spec.origin)
    return file.parent if file.name.startswith("__init__.") else file


def _sentence(name: str, place: Path) -> str:
    """What is wrong, and what to do about it."""
    return f"{place}: it hides evomerge's own package {name}; rename it, such as my_{place.name}"
