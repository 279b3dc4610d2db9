"""The settings of a pipeline's components: which are computed with, and whether two are alike."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

CLASS = "class"
"""The name under which the class of a component stands among its settings."""

HARMLESS = re.compile(
    # These say what a component is, or is read as.
    r"(torch_)?dtype|architectures|transformers_version|model_type|tokenizer_class"
    # These are for training alone.
    r"|.*dropout.*|initializer_.*|gradient_checkpointing"
    # These say in which type is computed, and not what.
    r"|upcast_attention|upcast_softmax|force_upcast"
    # These are for generation, or say what is returned beside the result.
    r"|use_cache|output_(attentions|hidden_states|scores)|return_dict|.*token_id"
    # These are for other tasks.
    r"|id2label|label2id|num_labels|problem_type|finetuning_task|task_specific_params|prefix"
    r"|n_positions"
)
"""Settings that a component's class takes and that change nothing of what it computes."""

SIZED = re.compile(r"UNet2D(Condition)?Model|Autoencoder.*|VQModel")
"""Classes whose `sample_size` is a default alone.

In transformers' classes the tables of positions depend on theirs.
"""

REMAPPED = {"ada_norm_zero": "DiTTransformer2DModel", "ada_norm_single": "PixArtTransformer2DModel"}
"""The classes that diffusers makes of an old Transformer2DModel, by its `norm_type`."""


def component_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a component's config says of what is computed.

    Args:
        config: the component's.

    Returns:
        The class, and all that the class takes, with its defaults where the config is silent.
    """
    import diffusers

    kind = config.get("_class_name") or architecture_of(config)
    if kind == "Transformer2DModel":
        kind = REMAPPED.get(str(config.get("norm_type")), kind)
    made = None
    if isinstance(kind, str):
        made = getattr(diffusers, kind, None)
    if made is not None:
        taken = _taken_by_diffusers(made, config)
    elif isinstance(config.get("model_type"), str):
        taken = _taken_by_transformers(config)
    else:
        # The component comes with code of its own, which may take anything.
        taken = _public(config)
    settings = {CLASS: kind}
    for key, value in taken.items():
        if not HARMLESS.fullmatch(key):
            settings[key] = value
    if SIZED.fullmatch(str(kind)):
        settings.pop("sample_size", None)
    # This class has the setting and no projection.
    if kind == "CLIPTextModel":
        settings.pop("projection_dim", None)
    return settings


def architecture_of(config: Mapping[str, Any]) -> str | None:
    """The first class that a config of transformers names, None if it names none."""
    architectures = config.get("architectures") or [None]
    return next(iter(architectures))


def differing_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """The names of the settings in which two configs differ."""
    return {key for key in one.keys() | other.keys() if not same(one.get(key), other.get(key))}


def same(one: Any, other: Any) -> bool:
    """Whether two settings are one in two spellings.

    A setting that is off is None, false or an empty list. What is the same for every level may be
    written once, or once for each level.
    """
    one_is_list = isinstance(one, list | tuple)
    other_is_list = isinstance(other, list | tuple)
    if one_is_list and other_is_list:
        if len(one) != len(other):
            return False
        return all(same(*pair) for pair in zip(one, other, strict=True))
    if one_is_list:
        return _same_for_every_level(one, other)
    if other_is_list:
        return _same_for_every_level(other, one)
    one_is_off = one is None or one is False
    other_is_off = other is None or other is False
    if one_is_off or other_is_off:
        return one_is_off and other_is_off
    return bool(one == other)


def _same_for_every_level(levels: Sequence[Any], single: Any) -> bool:
    """Whether a list of settings says what a single one says."""
    if single is None:
        return not levels
    return bool(levels) and all(same(level, single) for level in levels)


def _taken_by_diffusers(made: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a class of diffusers.

    The class ignores what else a config has, such as EMAModel's settings.
    """
    taken = {}
    for name, parameter in list(inspect.signature(made.__init__).parameters.items())[1:]:
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            default = None if parameter.default is parameter.empty else parameter.default
            taken[name] = config.get(name, default)
    return taken


def _taken_by_transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a model of transformers that its config's class knows."""
    from transformers import CONFIG_MAPPING

    kind = config["model_type"]
    if kind not in CONFIG_MAPPING:
        return _public(config)
    made = CONFIG_MAPPING[kind]
    defaults = made().to_dict()
    values = made.from_dict(dict(config)).to_dict()
    taken = {key: values.get(key) for key in _public(defaults)}
    if kind == "clip_text_model":
        # In old configs, 2 stands for the last token of the vocabulary.
        end = taken.get("eos_token_id")
        size = taken.get("vocab_size")
        if end == 2 and isinstance(size, int):
            end = size - 1
        taken["end"] = end
    return taken


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without what its library notes for itself."""
    return {key: value for key, value in config.items() if not key.startswith("_")}
