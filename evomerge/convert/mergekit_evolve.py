"""A config of mergekit-evolve, read and checked with mergekit's own classes, and what its command line says besides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from evomerge.config.config import parsing
from evomerge.config.targets import nearest
from evomerge.errors import UserError, reason

Searching = Literal["m2n2", "cma-es"]

BASELESS = ("linear", "slerp")
"""Its methods that merge no differences from a base."""


@dataclass(frozen=True)
class Options:
    """What a config of mergekit-evolve leaves to its command line, by what it is called there where it has a name.

    Attributes:
        search: which search: "m2n2" or "cma-es".
        births: --max-fevals.
        batch_size: --batch-size.
        sigma0: --sigma0, for CMA-ES.
        force_population_size: --force-population-size, for CMA-ES.
        timeout: --timeout, in seconds.
        task_search_path: --task-search-path.
    """

    search: Searching = "m2n2"
    births: int = 100
    batch_size: int | None = None
    sigma0: float | None = None
    force_population_size: int | None = None
    timeout: float | None = None
    task_search_path: str | None = None

    def __post_init__(self) -> None:
        if self.search not in get_args(Searching):
            raise UserError(
                f"--search: expected one of {', '.join(get_args(Searching))}, got {self.search!r}"
            )
        least = {
            "births": 0,
            "batch_size": 1,
            "sigma0": 1e-300,
            "force_population_size": 2,
            "timeout": 1e-300,
        }
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and not low <= value < math.inf:
                expected = f"of at least {low}" if isinstance(low, int) else "above 0"
                raise UserError(
                    f"--{name.replace('_', '-')}: expected a number {expected}, got {value}"
                )


def read(path: Path) -> tuple[Any, dict[str, str]]:
    """Reads a config as mergekit-evolve does.

    Args:
        path: the YAML file.

    Returns:
        mergekit's `EvolMergeConfiguration`, and what the file has that mergekit-evolve does not know and passes over: a reason by place,
        such as `genome.smoth`.

    Raises:
        UserError: if the file is missing, mergekit would refuse it, or mergekit is not installed; a line for each mistake, with its place.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: expected a YAML file, {'this is a folder' if path.is_dir() else 'there is no such file'}"
        )
    with parsing(path):
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(given, Mapping):
        raise UserError(
            f"{path}: expected keys and values, with genome and tasks, got a {type(given).__name__}"
        )
    try:
        from mergekit.evo.config import EvolMergeConfiguration, TaskConfiguration
        from mergekit.evo.genome import METHOD_PARAM_MAPS, ModelGenomeDefinition
    except ImportError as error:
        raise UserError(
            f"a config of mergekit-evolve is read by mergekit 0.1.5: pip install 'evomerge[llm]' ({error})"
        ) from None
    problems = _references(given.get("genome"))
    method = _at(given.get("genome"), "merge_method")
    if isinstance(method, str) and method not in METHOD_PARAM_MAPS:
        expected = ", ".join(METHOD_PARAM_MAPS)
        problems["genome.merge_method"] = (
            f"expected one of {expected}, got {method!r}{nearest(method, METHOD_PARAM_MAPS)}"
        )
    found = None
    if not problems:
        try:
            found = EvolMergeConfiguration.model_validate(given)
        except ValueError as error:
            problems = _told(error)
    if found is not None:
        problems = _beyond(found)
    if problems:
        raise UserError(
            "\n".join(f"{path}: {place}: {problem}" for place, problem in problems.items())
        )
    parts = [
        ("", given, EvolMergeConfiguration),
        ("genome.", given["genome"], ModelGenomeDefinition),
    ]
    parts += [
        (f"tasks[{i}].", task, TaskConfiguration)
        for i, task in enumerate(given["tasks"])
        if isinstance(task, Mapping)
    ]
    unknown = {
        f"{where}{key}": f"mergekit-evolve knows no such key and passes over it{nearest(key, kind.model_fields)}"
        for where, part, kind in parts
        for key in part
        if key not in kind.model_fields
    }
    return found, unknown


def normalized(genome: Any) -> bool:
    """Whether weights are divided by their sum, which depends on the method where a genome does not say."""
    return bool(
        genome.merge_method in ("ties", "dare_ties", "linear")
        if genome.normalize is None
        else genome.normalize
    )


def searched_besides_weights(method: str) -> list[str]:
    """The parameters of one of its methods that mergekit-evolve searches, but the first, which is the weight."""
    from mergekit.evo.genome import METHOD_PARAM_MAPS

    return list(METHOD_PARAM_MAPS[method][1:])


def _at(part: Any, key: str) -> Any:
    return part.get(key) if isinstance(part, Mapping) else None


def _references(genome: Any) -> dict[str, str]:
    """What is wrong with the names of models: mergekit raises something else than it does for all other mistakes."""
    from mergekit.common import ModelReference

    models = _at(genome, "models")
    named = {
        f"genome.models[{i}]": model
        for i, model in enumerate(models if isinstance(models, list) else [])
    }
    problems = {}
    for place, model in {**named, "genome.base_model": _at(genome, "base_model")}.items():
        try:
            ModelReference.model_validate(model)
        except RuntimeError as error:
            problems[place] = str(error)
        except ValueError:
            continue  # told with all the rest
    return problems


def _told(error: ValueError) -> dict[str, str]:
    """Pydantic's mistakes by place; those of mergekit's own checks without the words that pydantic puts before them."""
    if not hasattr(error, "errors"):
        return {"genome": reason(error)}
    problems = {}
    for one in error.errors():
        place = ""
        for part in one["loc"]:
            place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
        got = "" if one["type"] in ("missing", "assertion_error") else f", got {one['input']!r}"
        problems[place] = (
            one["msg"].removeprefix("Assertion failed, ").removeprefix("Value error, ") + got
        )
    return problems


def _beyond(found: Any) -> dict[str, str]:
    """What mergekit takes, and nothing could be made of."""
    problems = {}
    genome = found.genome
    if len(genome.models) < 2 and (not genome.models or genome.merge_method in BASELESS):
        problems["genome.models"] = (
            f"expected at least 2 models, or one where the method has a base, got {len(genome.models)}"
        )
    if not any(task.weight > 0 for task in found.tasks):
        problems["tasks"] = "expected at least one task with a weight above 0"
    if found.limit is not None and found.limit < 1:
        problems["limit"] = f"expected at least 1 document, got {found.limit}"
    return problems
