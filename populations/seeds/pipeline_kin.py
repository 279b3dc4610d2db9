"""Are pipelines of one kind? Their indices and their components' configs tell, before a weight is read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from populations.express.resident import line
from populations.seeds.libraries import silenced
from populations.seeds.pipelines import DENOISERS, INDEX, SCHEDULER, Pipeline

CLASS = "class"

HARMLESS = re.compile(
    r"(torch_)?dtype|architectures|transformers_version|model_type|tokenizer_class"  # what it is, or is read as
    r"|.*dropout.*|initializer_.*|gradient_checkpointing"  # of training alone
    r"|upcast_attention|upcast_softmax|force_upcast"  # the type that is computed in, not what
    r"|use_cache|output_(attentions|hidden_states|scores)|return_dict|.*token_id"  # of generating, or of what is returned beside
    r"|id2label|label2id|num_labels|problem_type|finetuning_task|task_specific_params|prefix|n_positions"  # of other tasks
)
"""Settings that a component's class takes and that change nothing of what it computes from the same weights."""

SIZED = re.compile(r"UNet2D(Condition)?Model|Autoencoder.*|VQModel")
"""Classes whose `sample_size` is a default alone; transformers' tables of positions hang on theirs."""

REMAPPED = {"ada_norm_zero": "DiTTransformer2DModel", "ada_norm_single": "PixArtTransformer2DModel"}
"""The classes that diffusers makes of an old Transformer2DModel, by its `norm_type`."""

NOISE = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("rescale_betas_zero_snr", "sigma_data"),
)
"""Settings of a scheduler that say on what noise a denoiser was trained; the others are how it is sampled."""

FLOW = "FlowMatch"
"""How schedulers for denoisers begin that predict a flow."""


def whole(seeds: Sequence[Pipeline]) -> Pipeline:
    """The first seed that is a whole pipeline; the others are held against it.

    Raises:
        ValueError: if none is, they are of different classes, or they draw from pictures.
    """
    pipelines = [seed for seed in seeds if seed.kind]
    if not pipelines:
        raise ValueError(f"seeds: expected a pipeline of diffusers among them, none has a {INDEX}")
    for seed in pipelines:
        if (task := _task(str(seed.kind))) is not None:
            raise ValueError(
                f"seeds: expected text-to-image pipelines; {seed.name} is a {seed.kind}, which {task}; if its denoiser draws from text, "
                "load it with DiffusionPipeline's class for text, and save_pretrained"
            )
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
        ValueError: if its class or its settings differ, or it wants a picture beside the prompt.
    """
    first, *others = ((seed, settings(seed.config(component))) for seed in seeds)
    for seed, taken in (first, *others):
        _check_channels(seed, component, taken)
    for seed, taken in others:
        unlike = differing(first[1], taken)
        if unlike:
            key = min(unlike, key=lambda key: (key != CLASS, key))
            word = "its class" if key == CLASS else key
            rest = (
                f"; also {', '.join(sorted(unlike - {key}))}"
                if len(unlike) > 1 and key != CLASS
                else ""
            )
            raise ValueError(
                f"seeds: expected one architecture; {component}: {word} is {first[1].get(key)} in {first[0].name} and "
                f"{taken.get(key)} in {seed.name}{rest}"
            )


def _check_channels(seed: Pipeline, component: str, taken: Mapping[str, Any]) -> None:
    """Refuses denoisers that are given a picture beside the noise."""
    takes, gives = taken.get("in_channels"), taken.get("out_channels")
    if (
        component in DENOISERS
        and isinstance(takes, int)
        and isinstance(gives, int)
        and takes > gives
    ):
        kind = (
            "an inpainting model" if takes == 2 * gives + 1 else "a model that is given a picture"
        )
        raise ValueError(
            f"seeds: expected text-to-image pipelines; {seed.name} is {kind}: its {component} takes {takes} channels and gives {gives}"
        )


def check_predictions(seeds: Sequence[Pipeline], chosen: Collection[str] = ()) -> None:
    """Checks that all denoisers predict the same thing, from the same noise, as far as there are schedulers to say so.

    Args:
        seeds: the pipelines.
        chosen: the components of which the user said whose they are: a scheduler among them settles the noise.

    Raises:
        ValueError: if they do not.
    """
    stored = [(seed, schedule(seed)) for seed in seeds]
    known = [(seed, config) for seed, config in stored if config is not None]
    said: dict[str, str] = {}
    for seed, config in known:
        said.setdefault(prediction(config), seed.name)
    if len(said) > 1:
        told = " and ".join(f"{kind} ({name})" for kind, name in said.items())
        raise ValueError(
            f"seeds: expected denoisers that predict the same, their schedulers say {told}"
        )
    for seed, config in known[1:]:
        for key in NOISE:
            one, other = known[0][1].get(key), config.get(key)
            if not same(one, other) and SCHEDULER not in chosen:
                raise ValueError(
                    f"seeds: expected denoisers of one noise; scheduler: {key} is {one} in {known[0][0].name} and {other} in {seed.name}; "
                    f"say whose counts with components: {{scheduler: {seeds.index(known[0][0])}}} or {{scheduler: {seeds.index(seed)}}}"
                )


def schedule(seed: Pipeline) -> dict[str, Any] | None:
    """The settings of a seed's scheduler, its class's defaults where it is silent; None if it has none."""
    if not (seed.folder / SCHEDULER / f"{SCHEDULER}_config.json").is_file():
        return None
    return settings(seed.config(SCHEDULER, f"{SCHEDULER}_config.json"))


def prediction(config: Mapping[str, Any]) -> str:
    """What a denoiser predicts, by its scheduler's settings."""
    kind, told = str(config.get(CLASS)), str(config.get("prediction_type", "nothing"))
    flows = kind.startswith(FLOW) or config.get("use_flow_sigmas") or told == "flow_prediction"
    return "a flow" if flows else f"what a {kind} takes" if told == "nothing" else told


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a component's config says of what is computed: all that its class takes, with its defaults where the config is silent."""
    import diffusers

    kind = config.get("_class_name") or next(iter(config.get("architectures") or []), None)
    if kind == "Transformer2DModel":
        kind = REMAPPED.get(str(config.get("norm_type")), kind)
    made = getattr(diffusers, kind, None) if isinstance(kind, str) else None
    if made is not None:
        taken = _taken(made, config)
    elif isinstance(config.get("model_type"), str):
        taken = _transformers(config)
    else:  # code of its own, which may take anything
        taken = {key: value for key, value in config.items() if not key.startswith("_")}
    sized = SIZED.fullmatch(str(kind)) is not None
    decisive = {key: value for key, value in taken.items() if not HARMLESS.fullmatch(key)}
    if sized:
        decisive.pop("sample_size", None)
    if kind == "CLIPTextModel":
        decisive.pop("projection_dim", None)  # it projects nothing
    return {CLASS: kind} | decisive


def _taken(made: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a class of diffusers; what else a config has, such as EMAModel's settings, the class ignores."""
    taken = {}
    for name, parameter in list(inspect.signature(made.__init__).parameters.items())[1:]:
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            default = None if parameter.default is parameter.empty else parameter.default
            taken[name] = config.get(name, default)
    return taken


def _transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a model of transformers that its config's class knows."""
    from transformers import CONFIG_MAPPING

    kind = config["model_type"]
    if kind not in CONFIG_MAPPING:
        return {key: value for key, value in config.items() if not key.startswith("_")}
    made = CONFIG_MAPPING[kind]
    known, taken = made().to_dict(), made.from_dict(dict(config)).to_dict()
    decisive = {key: taken.get(key) for key in known if not key.startswith("_")}
    if kind == "clip_text_model":
        # 2 stands for the last token of the vocabulary, in configs of old
        end, size = decisive.get("eos_token_id"), decisive.get("vocab_size")
        decisive["end"] = size - 1 if end == 2 and isinstance(size, int) else end
    return decisive


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """The settings in which two configs differ."""
    return {key for key in one.keys() | other.keys() if not same(one.get(key), other.get(key))}


def same(one: Any, other: Any) -> bool:
    """Whether two settings are one in two spellings: off is None, false or empty, and what is the same for every level is said once."""
    lists = [isinstance(value, list | tuple) for value in (one, other)]
    if all(lists):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if any(lists):
        many, alone = (one, other) if lists[0] else (other, one)
        if alone is None:
            return not many
        return bool(many) and all(same(item, alone) for item in many)
    off = [value is None or value is False for value in (one, other)]
    return all(off) if any(off) else bool(one == other)


def blank(seed: Pipeline, component: str) -> torch.nn.Module:
    """A component as its config describes it, without weights.

    Raises:
        ValueError: if its class is neither of diffusers nor of transformers, or does not take the config.
    """
    import diffusers
    import transformers

    config = seed.config(component)
    try:
        with torch.device("meta"), silenced():
            if kind := getattr(diffusers, str(config.get("_class_name")), None):
                return kind.from_config(config)
            kind = getattr(
                transformers, next(iter(config.get("architectures") or ["nothing"])), None
            )
            if kind is None:
                raise ValueError(
                    f"neither diffusers nor transformers has its class {config.get('_class_name')}"
                )
            return kind(transformers.AutoConfig.from_pretrained(seed.folder / component))
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        raise ValueError(f"seeds: {seed.name}: {component} cannot be made: {line(error)}") from None


def _task(kind: str) -> str | None:
    """What a class of pipelines is for, by its name, if not for drawing from text alone."""
    if re.search(r"Inpaint|Fill", kind):
        return "fills in a part of a picture that it is given"
    if re.search(r"Img2Img|Pix2Pix|Upscal|Depth2Img|ImageVariation|Edit|Layered|Redux", kind):
        return "changes a picture that it is given"
    return None
