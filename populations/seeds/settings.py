"""What stands beside the seeds' weights: settings that are alike, are combined, or differ; then the user says whose they are.

Two seeds may have the same shapes and still be read differently: another rope theta, another start
token, another chat template. A member is one model, so each of these has to have one value.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

Settings = dict[str, Any]
"""Settings by name; one inside another has the outer one's name before its own, with a dot between."""

IDLE = re.compile(
    r"_.*|architectures|model_type|(torch_)?dtype|transformers_version|.*vocab_size|use_cache|return_dict"
    r"|output_(attentions|hidden_states|router_logits)|is_decoder|torchscript|tokenizer_class|auto_map"
    r"|.*dropout.*|.*drop_path.*|.*pdrop|.*layerdrop|.*jitter_noise|initializer_.*|.*init_(std|scheme|device|range)"
    r"|.*aux_loss_coef|.*loss_coefficient|.*loss_scaling_factor|id2label.*|label2id.*|num_labels|problem_type"
    r"|chunk_size_feed_forward|pretraining_tp|gradient_checkpointing|.*attn_implementation.*"
    r"|num_logits_to_keep|use_mamba_kernels|use_mambapy|use_mem_eff_path|use_associative_scan"
    r"|summary_.*|classifier_.*|finetuning_task|task_specific_params|max_window_layers|use_sliding_window"
)
"""Settings by which nothing is computed of what we ask for. The last two say what `layer_types` and `sliding_window` are made of."""

STRUCTURE = re.compile(
    r"num_.*|n_(layer|head|inner|group|routed_experts|shared_experts)s?|head_dim|hidden_act.*|activation.*|.*_function"
    r"|tie_word_embeddings|.*_size|.*_dim|d_(model|inner|head)"
)
"""Settings that say which architecture it is; models in which they differ are of two kinds."""

TOKENS = re.compile(r"(bos|pad|sep|cls|mask|unk|eos|decoder_start|forced_bos|forced_eos)_token_id")
"""Numbers of tokens that the model itself does not look at."""

POSITIONS = "max_position_embeddings"

ROPE = ("rope_parameters", "rope_theta", "rope_scaling")
"""Where a config says how positions turn, in transformers 5 and before."""

PLAIN_ROPE = ("default", "linear", "llama3", "proportional")
"""Kinds of rope that compute the same however many positions a config allows."""

MOST = 6
"""Differences that a message shows."""

LONGEST = 60
"""Characters of a value that a message shows."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """A setting in which seeds differ.

    Attributes:
        setting: its name.
        names: of the K seeds.
        values: (K,) what each has.
    """

    setting: str
    names: Sequence[str]
    values: Sequence[Any]

    def __str__(self) -> str:
        """The setting, and which seeds have what."""
        having: dict[str, list[str]] = {}
        for name, value in zip(self.names, self.values, strict=True):
            having.setdefault("not set" if value is None else str(value), []).append(name)
        texts = [f"{_short(value)} in {' and '.join(seeds)}" for value, seeds in having.items()]
        return f"{self.setting} is {', '.join(texts)}"


def differences(names: Sequence[str], settings: Sequence[Settings]) -> list[Difference]:
    """In what K seeds differ, setting by setting, in alphabetical order."""
    every = sorted(set().union(*settings))
    differing = []
    for setting in every:
        values = [own.get(setting) for own in settings]
        if any(value != values[0] for value in values):
            differing.append(Difference(setting, names, values))
    return differing


def in_words(differing: Sequence[Difference]) -> str:
    """Differences in one line, the first ones in full."""
    texts = list(map(str, differing[:MOST]))
    if len(differing) > MOST:
        texts.append(f"and {len(differing) - MOST} more")
    return "; ".join(texts)


def place_of(like: str | int | None, seeds: Sequence[str]) -> int | None:
    """Which seed `like` names.

    Args:
        like: one of the seeds, or its place among them, from 0; None: nobody said.
        seeds: what the user calls them.

    Raises:
        ValueError: if it names none of them.
    """
    if like is None:
        return None
    if isinstance(like, int) and not isinstance(like, bool) and 0 <= like < len(seeds):
        return like
    paths = [Path(seed) for seed in seeds]
    if isinstance(like, str | Path) and Path(like) in paths:  # with a slash at its end or without
        return paths.index(Path(like))
    raise ValueError(
        f"like: expected one of the seeds, {', '.join(seeds)}, or its place from 0 to {len(seeds) - 1}, got {like!r}"
    )


def refuse(differing: Sequence[Difference], what: str, ways: str) -> None:
    """Refuses differences by which a seed would not be read as it is alone.

    Args:
        differing: the differences.
        what: what they change, for the message.
        ways: what the user can do besides naming a seed, for the message.

    Raises:
        ValueError: if there are any.
    """
    if differing:
        raise ValueError(
            f"seeds: they differ in {what}: {in_words(differing)}; say whose the members have with "
            f"like: {differing[0].names[0]} (or another seed){ways}"
        )


def of_config(config: Any) -> Settings:
    """The settings that a model's config class takes, the configs inside it as well.

    What the class does not take, such as what a training tool has left in the file, no model reads.
    """
    # A config that comes with a seed's own code takes what its code says, which nobody knows here.
    ours = type(config).__module__.startswith("transformers.") and dataclasses.is_dataclass(config)
    taken = {field.name for field in dataclasses.fields(config)} | set(ROPE) if ours else None
    settings: Settings = {}
    for name, value in config.to_dict().items():
        inner = vars(config).get(name)
        if hasattr(inner, "to_dict"):
            settings |= {f"{name}.{key}": own for key, own in of_config(inner).items()}
        elif taken is None or name in taken:
            settings |= flat({name: value})
    # Some files have the old name of a rope's kind beside the new one; no layer looks at a window that none slides.
    idle = {setting for setting in settings if last(setting) == "type" and "rope" in setting}
    if settings.get("layer_types") and "sliding_attention" not in settings["layer_types"]:
        idle.add("sliding_window")
    return {setting: value for setting, value in settings.items() if setting not in idle}


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
    values, file = deepcopy(dict(given)), deepcopy(dict(raw))
    if getattr(built, "rope_parameters", None):
        _put_rope(values, file, built.rope_parameters)
    try:
        made = type(built).from_dict(_merged(file, values))
    except Exception as error:  # a class checks its values in its own ways
        raise ValueError(
            f"config: the model's class refuses these values: {' '.join(str(error).split())}"
        ) from None
    settings = flat(made.to_dict())
    for setting, value in flat(values).items():
        if settings.get(setting) != value:
            raise ValueError(
                f"config: expected {setting} to become {value!r}, but the model's class makes it {settings.get(setting)!r}"
            )
    return made


def flat(settings: Mapping[str, Any], before: str = "") -> Settings:
    """Settings inside settings as one level."""
    level: Settings = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            level |= flat(value, f"{before}{name}.")
        else:
            level[f"{before}{name}"] = value
    return level


def last(setting: str) -> str:
    """A setting's own name, without those around it."""
    return setting.rpartition(".")[2]


def positions_only_limit(settings: Settings) -> bool:
    """Whether the number of positions says how much is read, and nothing is computed by it."""
    kinds = [value for setting, value in settings.items() if last(setting) == "rope_type"]
    return all(kind in PLAIN_ROPE for kind in kinds)


def of_tokenizer(tokenizer: Any) -> Settings:
    """What decides which tokens a tokenizer makes of a text, and which text of tokens, but for its vocabulary."""
    settings: Settings = {}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        parts = json.loads(backend.to_str())
        for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
            settings |= flat({name: parts.get(name)})
        # The numbers of tokens are compared elsewhere; a list has scores beside them, which decide how a text is cut.
        left_out = "vocab" if isinstance(parts["model"].get("vocab"), dict) else ""
        settings |= flat(
            {"model": {name: value for name, value in parts["model"].items() if name != left_out}}
        )
    else:
        plain = (str, int, float, bool, type(None))
        own = {
            name: value for name, value in tokenizer.init_kwargs.items() if isinstance(value, plain)
        }
        settings |= {name: value for name, value in own.items() if name not in BESIDE}
    settings["split_special_tokens"] = getattr(tokenizer, "split_special_tokens", False)
    return settings


BESIDE = (
    *("name_or_path", "tokenizer_file", "vocab_file", "is_local", "local_files_only", "backend"),
    *(
        "tokenizer_type",
        "use_fast",
        "model_max_length",
        "padding_side",
        "clean_up_tokenization_spaces",
    ),
    *("bos_token", "eos_token", "pad_token", "unk_token", "chat_template"),
)
"""Settings of a tokenizer that are a path, are combined, or change no token of a prompt."""


def special_tokens(tokenizer: Any) -> dict[str, Settings]:
    """How each added token is found in a text, and whether an answer is cleaned of it, by its text."""
    fields = ["special", "lstrip", "rstrip", "single_word"]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.normalizer is not None:
        fields.append("normalized")
    found: dict[str, Settings] = {}
    for token in tokenizer.added_tokens_decoder.values():
        found[token.content] = {field: getattr(token, field) for field in fields}
    return found


def _put_rope(values: dict[str, Any], file: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Brings what is said of rope, under its old names or its new one, into the one setting in which transformers 5 has it."""
    rope: dict[str, Any] = {}
    for name in ("rope_scaling", "rope_parameters"):
        if name in values:
            rope |= values.pop(name) or {"rope_type": "default"}
    if "rope_theta" in values:
        rope["rope_theta"] = values.pop("rope_theta")
    if not rope:
        return
    if "type" in rope:
        kind = rope.pop("type")
        rope.setdefault("rope_type", kind)
    # Another kind of rope takes nothing of the numbers of the one before.
    kept = ("rope_theta", "partial_rotary_factor") if "rope_type" in rope else tuple(before)
    file["rope_parameters"] = {name: before[name] for name in kept if name in before}
    values["rope_parameters"] = rope
    for old_name in ("rope_theta", "rope_scaling"):
        file.pop(old_name, None)


def _check_known(names: Collection[str], built: Any, given: Mapping[str, Any]) -> None:
    known = {*names, *built.to_dict(), *getattr(built, "attribute_map", {}), *ROPE}
    for name in given:
        if name not in known:
            raise ValueError(
                f"config: {type(built).__name__} has no setting {name!r}; it has {', '.join(sorted(known))}"
            )


def _merged(raw: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others in their place, level by level."""
    both = dict(raw)
    for name, value in given.items():
        inner = both.get(name)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            both[name] = _merged(inner, value)
        else:
            both[name] = value
    return both


def _short(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
