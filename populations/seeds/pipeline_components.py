"""The components of one pipeline: whether they are there, and as their configs describe them."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

import torch

from populations.seeds.library_logging import silenced
from populations.seeds.pipeline_folders import INDEX, SCHEDULER, SCHEDULER_CONFIG
from populations.seeds.pipeline_settings import architecture_of
from populations.seeds.pipelines import LIBRARIES, Pipeline
from populations.seeds.slots import described_slots
from populations.settings.errors import first_line

OPTIONAL = {"text_encoder_3", "tokenizer_3"}
"""Components that Stable Diffusion 3 can do without, whatever diffusers says."""

RENAMED = "CLIPFeatureExtractor"
"""A class that transformers has renamed, which diffusers still loads."""


def check_index(seed: Pipeline, unused: Collection[str]) -> None:
    """Checks that a pipeline has what its class needs, and that its classes are there.

    Args:
        seed: the whole pipeline.
        unused: components that are left out.

    Raises:
        ValueError: if diffusers lacks a class, or the pipeline a component.
    """
    import diffusers

    kind = seed.index.get("_class_name")
    # What a class of the pipeline's own code needs, nobody knows here.
    if isinstance(kind, list):
        return
    made = getattr(diffusers, str(kind), None)
    if made is None:
        raise ValueError(
            f"seeds: {seed.name} is a {kind}, which diffusers {diffusers.__version__} does not have"
        )
    # diffusers would find this out as well, after all weights are loaded.
    needed = set(made._get_signature_keys(made)[0])
    for name in sorted(needed - {*made._optional_components} - OPTIONAL):
        if name not in seed.components:
            word = "has null for its" if name in seed.index else "lists no"
            raise ValueError(f"seeds: {seed.name}: {INDEX} {word} {name}, which a {kind} needs")
    # An older library lacks newer classes, so the message has its version.
    for name, (library, component_kind) in seed.components.items():
        if name not in unused and not _is_there(library, component_kind):
            version = getattr(import_module(library), "__version__", "")
            raise ValueError(
                f"seeds: {seed.name}: its {name} is a {component_kind}, "
                f"which {library} {version} does not have"
            )


def check_files(seed: Pipeline, component: str, variant: str | None) -> None:
    """Checks that a component that is not bred is there, with weights of its config's shapes.

    Args:
        seed: the pipeline that it is from.
        component: its name.
        variant: which of several sets of files, such as "fp16", if it has that.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if its weights are pickled, or have other shapes.
    """
    seed.check_weights(component, variant)
    if component == SCHEDULER and f"{SCHEDULER}/{SCHEDULER_CONFIG}" not in seed.files:
        raise FileNotFoundError(
            f"{seed.name}: its scheduler is missing: there is no {SCHEDULER}/{SCHEDULER_CONFIG}"
        )
    library, kind = seed.components.get(component, ("", ""))
    made = None
    if library in LIBRARIES:
        made = getattr(import_module(library), kind, None)
    # Tokenizers and schedulers have no weights.
    if not (isinstance(made, type) and issubclass(made, torch.nn.Module)):
        return
    model = _described(seed, component, made)
    # The headers are read in any case, so that a missing file is known before the run begins.
    entries = seed.weights(component, variant).entries
    if model is None:
        return
    for name, slot in described_slots(model).items():
        if name in entries and entries[name].shape != slot.shape:
            raise ValueError(
                f"{seed.name}: {component}: its config describes {name!r} of shape {slot.shape}, "
                f"its weights have {entries[name].shape}"
            )


def blank_component(seed: Pipeline, component: str) -> torch.nn.Module:
    """A component as its config describes it, without weights.

    Raises:
        ValueError: if its class is neither of diffusers nor of transformers, or does not take the
            config.
    """
    import diffusers
    import transformers

    config = seed.config(component)
    try:
        # On the device `meta` nothing is allocated.
        with torch.device("meta"), silenced():
            made = getattr(diffusers, str(config.get("_class_name")), None)
            if made is not None:
                return made.from_config(config)
            # A user may breed a text encoder, which is of transformers.
            made = getattr(transformers, architecture_of(config) or "nothing", None)
            if made is None:
                raise ValueError(
                    f"neither diffusers nor transformers has its class {config.get('_class_name')}"
                )
            return made(transformers.AutoConfig.from_pretrained(seed.folder / component))
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        raise ValueError(
            f"seeds: {seed.name}: {component} cannot be made: {first_line(error)}"
        ) from None


def _is_there(library: str, kind: str) -> bool:
    """Whether a library has a class, as far as we know the library."""
    if library not in LIBRARIES:
        return True
    return hasattr(import_module(library), kind) or kind == RENAMED


def _described(seed: Pipeline, component: str, made: Any) -> torch.nn.Module | None:
    """A component that is not bred, without weights, of the class that the index names.

    Returns:
        None where its config has to be read otherwise.

    Raises:
        FileNotFoundError: if it has no config.
        ValueError: if a class of diffusers does not take the config.
    """
    if "_class_name" in seed.config(component):
        return blank_component(seed, component)
    try:
        with torch.device("meta"), silenced():
            config = made.config_class.from_pretrained(seed.folder / component)
            model: torch.nn.Module = made(config)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError):
        return None
    return model
