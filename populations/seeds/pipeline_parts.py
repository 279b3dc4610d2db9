"""The components of a pipeline: whether they are there and fit together, by their headers and configs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch

from populations.seeds.libraries import silenced
from populations.seeds.pipeline_kin import blank, differing, settings
from populations.seeds.pipelines import CONFIG, SCHEDULER, Bred, Pipeline
from populations.seeds.seeds import described_slots

LATENTS = ("latent_channels", "scaling_factor", "shift_factor", "latents_mean", "latents_std")
"""Settings of an autoencoder that say what a denoiser was trained on."""

PACKED = {"FluxTransformer2DModel": 4, "QwenImageTransformer2DModel": 4}
"""Denoisers that are given several places of a picture as one, and how many."""

PLAIN = (
    "UNet2DConditionModel",
    "SD3Transformer2DModel",
    "PixArtTransformer2DModel",
    "DiTTransformer2DModel",
)
"""Denoisers that are given the autoencoder's channels as they are."""


def check_index(seed: Pipeline, unused: Sequence[str]) -> None:
    """Checks that a pipeline has what its class needs, and that its classes are there.

    Args:
        seed: the whole pipeline.
        unused: components that are left out.

    Raises:
        ValueError: if diffusers lacks a class, or the pipeline a component.
    """
    import diffusers

    kind = seed.index.get("_class_name")
    if isinstance(kind, list):
        return  # code of its own
    made = getattr(diffusers, str(kind), None)
    if made is None:
        raise ValueError(
            f"seeds: {seed.name} is a {kind}, which diffusers {diffusers.__version__} does not have"
        )
    # Stable Diffusion 3 draws without its third encoder, which diffusers does not call optional
    optional = {*made._optional_components, "text_encoder_3", "tokenizer_3"}
    needed = [name for name in made._get_signature_keys(made)[0] if name not in optional]
    for name in sorted(needed):
        if name not in seed.components:
            word = "has null for its" if name in seed.index else "lists no"
            raise ValueError(
                f"seeds: {seed.name}: model_index.json {word} {name}, which a {kind} needs"
            )
    for name, (library, of) in seed.components.items():
        if name not in unused and not _there(library, of):
            version = getattr(import_module(library), "__version__", "")
            raise ValueError(
                f"seeds: {seed.name}: its {name} is a {of}, which {library} {version} does not have"
            )


def _there(library: str, kind: str) -> bool:
    """Whether a library has a class, as far as we know the library."""
    if library not in ("diffusers", "transformers"):
        return True
    # diffusers knows what transformers has renamed
    return hasattr(import_module(library), kind) or kind == "CLIPFeatureExtractor"


def check_files(seed: Pipeline, component: str, variant: str | None) -> None:
    """Checks that a component that is not bred is there, and its weights have the shapes that its config says.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if its weights are pickled, or have other shapes.
    """
    seed.check_weights(component, variant)
    if component == SCHEDULER and f"{SCHEDULER}/{SCHEDULER}_config.json" not in seed.files:
        raise FileNotFoundError(
            f"{seed.name}: its scheduler is missing: there is no {SCHEDULER}/{SCHEDULER}_config.json"
        )
    library, kind = seed.components.get(component, ("", ""))
    made = (
        getattr(import_module(library), kind, None)
        if library in ("diffusers", "transformers")
        else None
    )
    if not (isinstance(made, type) and issubclass(made, torch.nn.Module)):
        return
    seed.config(component)  # without one it is missing
    model = _described(seed, component, made)
    slots = {} if model is None else described_slots(model)
    entries = seed.weights(component, variant).entries
    for name, slot in slots.items():
        if name in entries and entries[name].shape != slot.shape:
            raise ValueError(
                f"{seed.name}: {component}: its config describes {name!r} of shape {slot.shape}, its weights have {entries[name].shape}"
            )


def _described(seed: Pipeline, component: str, made: Any) -> torch.nn.Module | None:
    """A component that is not bred, without weights, of the class that the index names; None where a config has to be read otherwise."""
    if "_class_name" in seed.config(component):
        return blank(seed, component)
    try:
        with torch.device("meta"), silenced():
            model: torch.nn.Module = made(
                made.config_class.from_pretrained(seed.folder / component)
            )
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError):
        return None
    return model


def check_fits(place: Callable[[str], Pipeline], names: Sequence[str], denoiser: str) -> None:
    """Checks that autoencoder, text encoders and tokenizers fit a denoiser, and each other, as far as we know their kinds.

    Args:
        place: where each component comes from.
        names: of all components.
        denoiser: which of them draws.

    Raises:
        ValueError: if two do not fit; it says which, and whose they are.
    """
    drawn, seed = settings(place(denoiser).config(denoiser)), place(denoiser)
    kind = str(drawn["class"])
    if "vae" in names and kind in (*PLAIN, *PACKED):
        _check_latents(place("vae"), seed, denoiser, drawn)
    encoders = {
        name: encoder(place(name), name) for name in names if name.startswith("text_encoder")
    }
    clips = {
        name: config
        for name, config in encoders.items()
        if config is not None and config.model_type == "clip_text_model"
    }
    for what, given, taken in _widths(kind, drawn, encoders, clips):
        if given != taken:
            whose = " and ".join(f"{name} of {place(name).name}" for name in encoders)
            raise ValueError(
                f"components: text encoders do not fit the {denoiser} of {seed.name}: {what} is {taken}, {whose} give {given}"
            )
    for name, config in encoders.items():
        words = name.replace("text_encoder", "tokenizer")
        if (
            config is not None
            and words in names
            and place(words).components[words][0] == "transformers"
        ):
            _check_vocabulary(place(words), words, place(name), name, config)


def _check_latents(
    other: Pipeline, seed: Pipeline, denoiser: str, drawn: Mapping[str, Any]
) -> None:
    """Refuses an autoencoder of other channels than the denoiser's."""
    channels, takes = settings(other.config("vae")).get("latent_channels"), drawn.get("in_channels")
    if channels is None or takes is None:
        return
    expected = channels * PACKED.get(str(drawn["class"]), 1)
    if takes != expected:
        raise ValueError(
            f"components: vae of {other.name} gives {channels} channels, for which a {denoiser} takes {expected}; "
            f"the {denoiser} of {seed.name} takes {takes}"
        )


def _widths(
    kind: str, drawn: Mapping[str, Any], encoders: Mapping[str, Any], clips: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """(setting of the denoiser, what the encoders give, what it takes) of the kinds of pipelines that we know."""
    pooled = sum(config.projection_dim for config in clips.values())
    wide = sum(config.hidden_size for config in clips.values())
    others = [
        config
        for name, config in encoders.items()
        if name not in clips and hasattr(config, "hidden_size")
    ]
    if len(clips) + len(others) < len(encoders):  # of a kind that we do not know
        return []
    if (
        kind == "UNet2DConditionModel"
        and clips
        and not others
        and drawn.get("encoder_hid_dim_type") is None
    ):
        taken = drawn.get("cross_attention_dim")
        taken = taken[0] if isinstance(taken, list | tuple) else taken
        found = [("cross_attention_dim", wide, taken)]
        if drawn.get("addition_embed_type") == "text_time":
            last, step = clips[max(clips)].projection_dim, drawn["addition_time_embed_dim"]
            size = drawn["projection_class_embeddings_input_dim"]
            # a refiner is given five numbers, others six
            given = last + 5 * step if size == last + 5 * step else last + 6 * step
            found.append(("projection_class_embeddings_input_dim", given, size))
        return found
    if kind == "SD3Transformer2DModel" and len(clips) == 2:
        joint, wider = (
            drawn.get("joint_attention_dim"),
            max([wide, *(config.hidden_size for config in others)]),
        )
        # what CLIP gives is padded to the width
        found = [("joint_attention_dim", wider if others or wider > joint else joint, joint)]
        return [*found, ("pooled_projection_dim", pooled, drawn.get("pooled_projection_dim"))]
    if kind == "FluxTransformer2DModel" and len(clips) == 1 and len(others) == 1:
        found = [("pooled_projection_dim", wide, drawn.get("pooled_projection_dim"))]
        return [
            *found,
            ("joint_attention_dim", others[0].hidden_size, drawn.get("joint_attention_dim")),
        ]
    if (
        kind in ("PixArtTransformer2DModel", "SanaTransformer2DModel")
        and len(others) == 1
        and not clips
    ):
        return [("caption_channels", others[0].hidden_size, drawn.get("caption_channels"))]
    return []


def encoder(seed: Pipeline, name: str) -> Any:
    """The config of a text encoder, with its defaults; None if it is of no kind that transformers knows by itself."""
    from transformers import CONFIG_MAPPING

    config = seed.config(name)
    kind = config.get("model_type")
    return CONFIG_MAPPING[kind].from_dict(config) if kind in CONFIG_MAPPING else None


def _check_vocabulary(
    words_of: Pipeline, words: str, encoder_of: Pipeline, name: str, config: Any
) -> None:
    """Refuses a tokenizer that gives tokens, or so many of them, as its encoder has not."""
    tokenizer, size = words_of.load(words, torch.float32, None), getattr(config, "vocab_size", None)
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if size is not None and highest >= size:
        raise ValueError(
            f"components: {words} of {words_of.name} has tokens up to number {highest:,}, "
            f"{name} of {encoder_of.name} has {size:,}, from 0 on"
        )
    positions, length = getattr(config, "max_position_embeddings", None), tokenizer.model_max_length
    if config.model_type == "clip_text_model" and positions is not None and length > positions:
        given = f"{length:,}" if length < 1 << 32 else "any number of"
        raise ValueError(
            f"components: {words} of {words_of.name} gives {given} tokens a prompt (model_max_length), "
            f"{name} of {encoder_of.name} has {positions:,} positions"
        )


def check_latents_alike(seeds: Sequence[Pipeline], chosen: Mapping[str, int]) -> None:
    """Checks that all denoisers were trained on the same latents, as far as there are autoencoders to say so.

    Raises:
        ValueError: if autoencoders differ in what denoisers are given, and the user did not say whose counts.
    """
    known = [
        (place, seed, settings(seed.config("vae")))
        for place, seed in enumerate(seeds)
        if (seed.folder / "vae" / CONFIG).is_file()
    ]
    for place, seed, config in known[1:]:
        first, mine, unlike = *known[0][:2], differing(known[0][2], config)
        if "vae" not in chosen and (keys := [key for key in LATENTS if key in unlike]):
            raise ValueError(
                f"seeds: expected denoisers of one kind of latents; vae: {keys[0]} is {known[0][2].get(keys[0])} in {mine.name} and "
                f"{config.get(keys[0])} in {seed.name}; say whose counts with components: {{vae: {first}}} or {{vae: {place}}}"
            )


def check_constants(sources: Sequence[Bred], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Checks by headers that constants, such as tables of positions, are of the shapes that the denoiser has.

    Raises:
        ValueError: if a seed has one of another shape.
    """
    for source in sources:
        for name in shapes.keys() & source.entries.keys():
            if source.entries[name].shape != shapes[name]:
                raise ValueError(
                    f"{source.name}: expected the constant {name!r} of shape {shapes[name]}, got {source.entries[name].shape}"
                )


def check_constants_equal(sources: Sequence[Bred], names: Sequence[str]) -> None:
    """Checks that constants, such as tables of positions, are the same in all seeds that store them: they are not bred.

    Raises:
        ValueError: if two seeds have different ones.
    """
    for name in names:
        storing = [source for source in sources if name in source.entries]
        for other in storing[1:]:
            first = storing[0]
            one, two = first.tensor(name), other.tensor(name)
            # tables of one seed may be rounded to a type of fewer bits
            coarse = max(
                (torch.finfo(t.dtype).eps for t in (one, two) if t.is_floating_point()), default=0.0
            )
            room = coarse * float(one.abs().max()) if coarse and one.numel() else 0.0
            if not torch.allclose(one.double(), two.double(), rtol=0, atol=room):
                raise ValueError(
                    f"seeds: {name!r} is a constant, which is not bred, and differs between {first.name} and {other.name}"
                )
