"""The settings of a language model's config: which are computed with, and a user's values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

from populations.seeds.differences import Settings, flattened, last_part

IDLE = re.compile(
    r"_.*|architectures|model_type|(torch_)?dtype|transformers_version|.*vocab_size|use_cache"
    r"|return_dict|output_(attentions|hidden_states|router_logits)|is_decoder|torchscript"
    r"|tokenizer_class|auto_map"
    r"|.*dropout.*|.*drop_path.*|.*pdrop|.*layerdrop|.*jitter_noise|initializer_.*"
    r"|.*init_(std|scheme|device|range)"
    r"|.*aux_loss_coef|.*loss_coefficient|.*loss_scaling_factor|id2label.*|label2id.*|num_labels"
    r"|problem_type"
    r"|chunk_size_feed_forward|pretraining_tp|gradient_checkpointing|.*attn_implementation.*"
    r"|num_logits_to_keep|use_mamba_kernels|use_mambapy|use_mem_eff_path|use_associative_scan"
    r"|summary_.*|classifier_.*|finetuning_task|task_specific_params"
    r"|max_window_layers|use_sliding_window"
)
"""Settings by which nothing is computed of what we ask for.

The last two say what `layer_types` and `sliding_window` are made of.
"""

STRUCTURE = re.compile(
    r"num_.*|n_(layer|head|inner|group|routed_experts|shared_experts)s?|head_dim|hidden_act.*"
    r"|activation.*|.*_function"
    r"|tie_word_embeddings|.*_size|.*_dim|d_(model|inner|head)"
)
"""Settings that say which architecture it is; models in which they differ are of two kinds."""

TOKENS = re.compile(r"(bos|pad|sep|cls|mask|unk|eos|decoder_start|forced_bos|forced_eos)_token_id")
"""Numbers of tokens that the model itself does not look at."""

POSITIONS = "max_position_embeddings"

ROPE = ("rope_parameters", "rope_theta", "rope_scaling")
"""Settings that say how positions turn: first transformers 5's, then those before it."""

PLAIN_ROPE = ("default", "linear", "llama3", "proportional")
"""Kinds of rope that compute the same however many positions a config allows."""


def config_settings(config: Any) -> Settings:
    """The settings that a model's config class takes, those of the configs inside it as well.

    What the class does not take, no model reads; a training tool may have left it in the file.
    """
    taken = _taken_settings(config)
    settings: Settings = {}
    for name, value in config.to_dict().items():
        # A config inside is a plain dict by now, so the object is asked what its class takes.
        inner = vars(config).get(name)
        if hasattr(inner, "to_dict"):
            for key, inner_value in config_settings(inner).items():
                settings[f"{name}.{key}"] = inner_value
        elif taken is None or name in taken:
            settings |= flattened({name: value})
    # Some files have the old name of a rope's kind beside the new one.
    for setting in list(settings):
        if last_part(setting) == "type" and "rope" in setting:
            del settings[setting]
    # No layer looks at a window where none of them slides.
    if settings.get("layer_types") and "sliding_attention" not in settings["layer_types"]:
        settings.pop("sliding_window", None)
    return settings


def positions_only_limit(settings: Settings) -> bool:
    """Whether the number of positions says only how much is read, and nothing is computed by it."""
    for setting, value in settings.items():
        if last_part(setting) == "rope_type" and value not in PLAIN_ROPE:
            return False
    return True


def with_values(
    raw: Mapping[str, Any], built: Any, given: Mapping[str, Any], names: Collection[str] = ()
) -> Any:
    """A config with the user's values.

    Args:
        raw: what config.json says.
        built: the config that its class makes of that.
        given: values by the names that config.json has for them.
        names: more names that are known, those of the other seeds' files.

    Returns:
        A config of the same class.

    Raises:
        ValueError: if the class does not take a value as it is.
    """
    _check_known({*raw, *names}, built, given)
    # Both are changed below, and belong to the caller.
    values = deepcopy(dict(given))
    file = deepcopy(dict(raw))
    if getattr(built, "rope_parameters", None):
        _unify_rope(values, file, built.rope_parameters)
    try:
        made = type(built).from_dict(_merged(file, values))
    except Exception as error:
        # Each class checks its values in its own way.
        raise ValueError(
            f"config: the model's class refuses these values: {' '.join(str(error).split())}"
        ) from None
    # Some classes put another value in the place of one that they do not like.
    settings = flattened(made.to_dict())
    for setting, value in flattened(values).items():
        if settings.get(setting) != value:
            raise ValueError(
                f"config: expected {setting} to become {value!r}, "
                f"but the model's class makes it {settings.get(setting)!r}"
            )
    return made


def _taken_settings(config: Any) -> set[str] | None:
    """The names of the settings that a config's class takes; None where nobody knows them.

    A config that comes with a seed's own code takes what its code says.
    """
    by_transformers = type(config).__module__.startswith("transformers.")
    if not by_transformers or not dataclasses.is_dataclass(config):
        return None
    return {field.name for field in dataclasses.fields(config)} | set(ROPE)


def _unify_rope(values: dict[str, Any], file: dict[str, Any], built: Mapping[str, Any]) -> None:
    """Brings the settings of rope, old and new, into the one that transformers 5 has for them.

    Args:
        values: the user's; changed in place.
        file: of config.json; changed in place.
        built: what the config's class has made of the file's.
    """
    rope: dict[str, Any] = {}
    for name in ("rope_scaling", "rope_parameters"):
        if name in values:
            # A rope_scaling of null means none, which transformers 5 calls default.
            rope |= values.pop(name) or {"rope_type": "default"}
    if "rope_theta" in values:
        rope["rope_theta"] = values.pop("rope_theta")
    if not rope:
        return
    if "type" in rope:
        kind = rope.pop("type")
        rope.setdefault("rope_type", kind)
    # Another kind of rope takes nothing of the numbers of the one before, but for these two.
    kept: Collection[str] = built
    if "rope_type" in rope:
        kept = ("rope_theta", "partial_rotary_factor")
    file["rope_parameters"] = {name: built[name] for name in kept if name in built}
    values["rope_parameters"] = rope
    for old_name in ("rope_theta", "rope_scaling"):
        file.pop(old_name, None)


def _check_known(names: Collection[str], built: Any, given: Mapping[str, Any]) -> None:
    """Refuses names that neither a file nor the class has: they are misspelt.

    Raises:
        ValueError: if a name of `given` is one.
    """
    known = {*names, *built.to_dict(), *getattr(built, "attribute_map", {}), *ROPE}
    for name in given:
        if name not in known:
            raise ValueError(
                f"config: {type(built).__name__} has no setting {name!r}; "
                f"it has {', '.join(sorted(known))}"
            )


def _merged(raw: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others in their place, level by level."""
    both = dict(raw)
    for name, value in given.items():
        # A user who gives one number of a group keeps the others.
        inner = both.get(name)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            both[name] = _merged(inner, value)
        else:
            both[name] = value
    return both
