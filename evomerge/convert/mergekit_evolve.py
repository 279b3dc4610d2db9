"""A config of mergekit-evolve, read and checked with mergekit's own classes."""

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

NORMALIZED = ("ties", "dare_ties", "linear")
"""Its methods that divide weights by their sum where a genome does not say."""

LEAST = {
    "births": 0,
    "batch_size": 1,
    "sigma0": 1e-300,
    "force_population_size": 2,
    "timeout": 1e-300,
}
"""The least that options may be; a fraction stands for a number above 0."""


@dataclass(frozen=True)
class Options:
    """What a config of mergekit-evolve leaves to its command line.

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
        searches = get_args(Searching)
        if self.search not in searches:
            raise UserError(f"--search: expected one of {', '.join(searches)}, got {self.search!r}")
        # NaN and infinity are no numbers to count or wait by.
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is None or least <= value < math.inf:
                continue
            expected = "above 0"
            if isinstance(least, int):
                expected = f"of at least {least}"
            option = name.replace("_", "-")
            raise UserError(f"--{option}: expected a number {expected}, got {value}")


def read(path: Path) -> tuple[Any, dict[str, str]]:
    """Reads a config as mergekit-evolve does.

    Args:
        path: the YAML file.

    Returns:
        mergekit's `EvolMergeConfiguration`; and what the file has that mergekit-evolve does not
        know and passes over: a reason by place, such as `genome.smoth`.

    Raises:
        UserError: if the file is missing, mergekit would refuse it, or mergekit is not installed;
            a line for each mistake, with its place.
    """
    given = _read_yaml(path)
    try:
        from mergekit.evo.config import EvolMergeConfiguration
    except ImportError as error:
        raise UserError(
            "a config of mergekit-evolve is read by mergekit 0.1.5: "
            f"pip install 'evomerge[llm]' ({error})"
        ) from None
    # Names of models that mergekit cannot read end it in a RuntimeError, without a place.
    config = None
    problems = _problems_of_genome(given.get("genome"))
    # mergekit would say nothing but that, and less clearly.
    if not problems:
        try:
            config = EvolMergeConfiguration.model_validate(given)
        except ValueError as error:
            problems = _problems_of_pydantic(error)
        else:
            problems = _problems_beyond_mergekit(config)
    # All mistakes are told at once, each with its place in the file.
    if problems:
        lines = [f"{path}: {place}: {problem}" for place, problem in problems.items()]
        raise UserError("\n".join(lines))
    return config, _unknown(given)


def normalized(genome: Any) -> bool:
    """Whether weights are divided by their sum."""
    if genome.normalize is None:
        return genome.merge_method in NORMALIZED
    return bool(genome.normalize)


def searched_besides_weights(method: str) -> list[str]:
    """The parameters of one of its methods that mergekit-evolve searches, without the weight."""
    from mergekit.evo.genome import METHOD_PARAM_MAPS

    # The first is the weight.
    return list(METHOD_PARAM_MAPS[method][1:])


def _read_yaml(path: Path) -> Mapping[str, Any]:
    """The keys and values of a file.

    Raises:
        UserError: if it is missing, is no YAML, or has something else in it.
    """
    if path.is_dir():
        raise UserError(f"{path}: expected a YAML file, this is a folder")
    if not path.is_file():
        raise UserError(f"{path}: expected a YAML file, there is no such file")
    with parsing(path):
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise UserError(f"{path}: expected keys and values, with genome and tasks, got a {kind}")
    return given


def _unknown(given: Mapping[str, Any]) -> dict[str, str]:
    """By place, the keys of a file that mergekit-evolve does not know."""
    from mergekit.evo.config import EvolMergeConfiguration, TaskConfiguration
    from mergekit.evo.genome import ModelGenomeDefinition

    parts = [
        ("", given, EvolMergeConfiguration),
        ("genome.", given["genome"], ModelGenomeDefinition),
    ]
    # What pydantic passes over was meant by somebody, and is likely a slip.
    for number, task in enumerate(given["tasks"]):
        # A task may be its name alone.
        if isinstance(task, Mapping):
            parts.append((f"tasks[{number}].", task, TaskConfiguration))
    unknown = {}
    for place, part, kind in parts:
        for key in part:
            if key not in kind.model_fields:
                hint = nearest(key, kind.model_fields)
                unknown[f"{place}{key}"] = (
                    f"mergekit-evolve knows no such key and passes over it{hint}"
                )
    return unknown


def _problems_of_genome(genome: Any) -> dict[str, str]:
    """By place, what is wrong with the names of models and of the method.

    For these mergekit raises something else than it does for all other mistakes.
    """
    from mergekit.common import ModelReference
    from mergekit.evo.genome import METHOD_PARAM_MAPS

    if not isinstance(genome, Mapping):
        return {}
    named = {}
    models = genome.get("models")
    if isinstance(models, list):
        for number, model in enumerate(models):
            named[f"genome.models[{number}]"] = model
    named["genome.base_model"] = genome.get("base_model")
    problems = {}
    for place, model in named.items():
        try:
            ModelReference.model_validate(model)
        except RuntimeError as error:
            problems[place] = str(error)
        except ValueError:
            # mergekit says it with all other mistakes.
            continue
    method = genome.get("merge_method")
    if isinstance(method, str) and method not in METHOD_PARAM_MAPS:
        expected = ", ".join(METHOD_PARAM_MAPS)
        hint = nearest(method, METHOD_PARAM_MAPS)
        problems["genome.merge_method"] = f"expected one of {expected}, got {method!r}{hint}"
    return problems


def _problems_of_pydantic(error: ValueError) -> dict[str, str]:
    """Pydantic's mistakes by place."""
    # A check of mergekit's may raise a plain ValueError.
    if not hasattr(error, "errors"):
        return {"genome": reason(error)}
    problems = {}
    for mistake in error.errors():
        place = ""
        for part in mistake["loc"]:
            if isinstance(part, int):
                place += f"[{part}]"
            elif place:
                place += f".{part}"
            else:
                place = str(part)
        # mergekit's own checks come behind these words.
        message = mistake["msg"].removeprefix("Assertion failed, ").removeprefix("Value error, ")
        if mistake["type"] not in ("missing", "assertion_error"):
            message += f", got {mistake['input']!r}"
        problems[place] = message
    return problems


def _problems_beyond_mergekit(config: Any) -> dict[str, str]:
    """By place, what mergekit takes, and nothing could be made of."""
    problems = {}
    genome = config.genome
    count = len(genome.models)
    # A method with a base merges one model with it.
    fewest = 2 if genome.merge_method in BASELESS else 1
    if count < fewest:
        problems["genome.models"] = (
            f"expected at least 2 models, or one where the method has a base, got {count}"
        )
    if not any(task.weight > 0 for task in config.tasks):
        problems["tasks"] = "expected at least one task with a weight above 0"
    if config.limit is not None and config.limit < 1:
        problems["limit"] = f"expected at least 1 document, got {config.limit}"
    return problems
