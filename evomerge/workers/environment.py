"""Ray's runtime environment of the workers: their threads, and where they find modules."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables from which libraries of linear algebra read their number of threads."""

INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")
"""Folders of Python itself and of installed packages, in the words of `sysconfig`."""


def check_variables(runtime_env: Mapping[str, Any]) -> None:
    """Checks the variables of a runtime environment.

    Raises:
        ValueError: if they are not texts under names.
    """
    # Ray would say this only where the first worker starts, when the run has long begun.
    variables = dict(runtime_env).get("env_vars", {})
    if isinstance(variables, Mapping):
        texts = [*variables, *variables.values()]
        if all(isinstance(text, str) for text in texts):
            return
    raise ValueError(f"runtime_env.env_vars: expected names and texts, got {variables!r}")


def runtime_environment(runtime_env: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """The runtime environment of workers.

    Args:
        runtime_env: what the user has set, which goes before anything else.
        threads: threads of linear algebra.
    """
    variables = dict.fromkeys(THREADS, str(threads))
    variables["PYTHONPATH"] = os.pathsep.join(_local_entries())
    environment = dict(runtime_env)
    # The user may know better, and so has the last word on every variable.
    environment["env_vars"] = variables | dict(environment.get("env_vars", {}))
    return environment


def _local_entries() -> list[str]:
    """Where modules are imported from here, but for what another machine has of its own.

    A worker on this machine, or on one with the same folders, finds a user's own modules there.
    """
    # Another machine has its own Python, perhaps of another version or for another processor.
    installed = [Path(sysconfig.get_path(name)) for name in INSTALLED]
    entries = []
    for entry in sys.path:
        path = os.path.abspath(entry)
        if not any(Path(path).is_relative_to(folder) for folder in installed):
            entries.append(path)
    return entries
