"""Are pipelines of one kind? Their indices and their components' configs tell, before a weight is read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from populations.pipelines import INDEX, Pipeline
from populations.resident import line

HARMLESS = re.compile(r"_.*|sample_size|architectures|(torch_)?dtype|transformers_version|.*dropout.*")
"""Settings of a component in which mergeable ones may differ without a word."""

CLASS = "class"


def whole(seeds: Sequence[Pipeline]) -> Pipeline:
    """The first seed that is a whole pipeline; the others are held against it.

    Raises:
        ValueError: if none is, or they are of different classes.
    """
    pipelines = [seed for seed in seeds if seed.kind]
    if not pipelines:
        raise ValueError(f"seeds: expected a pipeline of diffusers among them, none has a {INDEX}")
    for seed in pipelines[1:]:
        if seed.kind != pipelines[0].kind:
            raise ValueError(
                f"seeds: expected pipelines of one class; {pipelines[0].name} is a {pipelines[0].kind}, {seed.name} a {seed.kind}"
            )
    return pipelines[0]


def check_alike(seeds: Sequence[Pipeline], component: str) -> None:
    """Checks that a component computes the same in all seeds, but for its weights.

    Raises:
        FileNotFoundError: if a seed lacks it.
        ValueError: if its class or its settings differ.
    """
    first, *others = ((seed, settings(seed.config(component))) for seed in seeds)
    for seed, found in others:
        unlike = [key for key in first[1].keys() | found.keys() if first[1].get(key) != found.get(key)]
        if unlike:
            key = min(unlike, key=lambda key: (key != CLASS, key))
            raise ValueError(
                f"seeds: expected one architecture; {component}: {'its class' if key == CLASS else key} is {first[1].get(key)} "
                f"in {first[0].name} and {found.get(key)} in {seed.name}"
            )


def check_predictions(seeds: Sequence[Pipeline]) -> None:
    """Checks that all denoisers predict the same thing, as far as there are schedulers to say so.

    Raises:
        ValueError: if they do not.
    """
    said: dict[str, str] = {}
    for seed in seeds:
        if (seed.folder / "scheduler" / "scheduler_config.json").is_file():
            config = seed.config("scheduler", "scheduler_config.json")
            said.setdefault(str(config.get("prediction_type", "epsilon")), seed.name)
    if len(said) > 1:
        told = " and ".join(f"{kind} ({name})" for kind, name in said.items())
        raise ValueError(f"seeds: expected denoisers that predict the same, their schedulers say {told}")


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a component's config says of what is computed, its class's defaults where it is silent."""
    kind = config.get("_class_name") or config.get("architectures")
    found = {key: value for key, value in config.items() if not HARMLESS.fullmatch(key)}
    import diffusers

    made = getattr(diffusers, kind, None) if isinstance(kind, str) else None
    if made is not None:
        parameters = inspect.signature(made.__init__).parameters.items()
        defaults = {key: parameter.default for key, parameter in parameters if parameter.default is not parameter.empty}
        found = {key: value for key, value in defaults.items() if not HARMLESS.fullmatch(key)} | found
    return {CLASS: kind} | {key: _plainly(value) for key, value in found.items()}


def _plainly(value: Any) -> Any:
    """A setting in one spelling: off is None, and the same for every level is said once."""
    if isinstance(value, list | tuple) and value and all(item == value[0] for item in value):
        value = value[0]
    return None if value is False else list(value) if isinstance(value, tuple) else value


def blank(seed: Pipeline, component: str) -> torch.nn.Module:
    """A component as its config describes it, without weights.

    Raises:
        ValueError: if its class is neither of diffusers nor of transformers, or does not take the config.
    """
    import diffusers
    import transformers

    config = seed.config(component)
    try:
        with torch.device("meta"):
            if kind := getattr(diffusers, str(config.get("_class_name")), None):
                return kind.from_config(config)
            kind = getattr(transformers, next(iter(config.get("architectures") or ["nothing"])), None)
            if kind is None:
                raise ValueError(f"neither diffusers nor transformers has its class {config.get('_class_name')}")
            return kind(transformers.AutoConfig.from_pretrained(seed.folder / component))
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        raise ValueError(f"seeds: {seed.name}: {component} cannot be made: {line(error)}") from None
