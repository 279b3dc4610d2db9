"""Language models: fine-tunes of one base, bred as recipes over them, expressed in the one resident model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from evomerge.axis import Axis, FlatCut
from evomerge.genome import Recipe
from evomerge.grams import Grams
from populations import mergekit_config
from populations.adapters import Adapted
from populations.express import express
from populations.hub import Found, find
from populations.kin import Vocabulary, config_of, described, line, template_of, tokenizer_of
from populations.mergekit_config import config_text
from populations.methods import Method
from populations.resident import OnFirstUse, check_device, slots_of
from populations.seeds import Place, Seeds, digest
from populations.units import LLAMA, Units, unit_axis

log = logging.getLogger(__name__)

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Order = Literal["flat", "unit"]


@dataclass(frozen=True)
class LanguageModel:
    """What a fitness for text gets.

    Attributes:
        model: the resident transformers model, with this member's weights until the next one is expressed.
        tokenizer: its tokenizer.
    """

    model: Any
    tokenizer: Any


class LanguageModels(OnFirstUse):
    """Causal language models of transformers, of one architecture; genomes are recipes over the seeds."""

    def __init__(
        self,
        seeds: Sequence[str | Path],
        *,
        base: str | Path | None = None,
        method: Method | None = None,
        order: Order = "flat",
        cut: FlatCut = "tensor",
        chromosomes: Mapping[str, str] | None = None,
        units: Sequence[Units] = LLAMA,
        vocabulary: Vocabulary = "strict",
        dtype: Dtype = "auto",
        device: str = "auto",
        device_map: str | Mapping[str, int | str] | None = None,
        seed_device: Place = "auto",
        attention: str | None = None,
        chat_template: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Settings only; headers are read on first use of `axis`, weights by `founders`.

        Args:
            seeds: two or more models in safetensors: folders, or owner/name[@revision] of the hub; LoRA adapters, too.
            base: the model that the seeds were tuned from: what an adapter stands on, if not what it says itself; what methods such
                as TIES take differences to.
            method: one of mergekit's merge methods, its weights the recipe's coefficients; None: the sum of the weighted seeds.
            order: the axis: "flat", the order of the model's tensors, or "unit", attention head by head and MLP unit by unit.
            cut: on the flat axis, before what splits may fall (`Axis.flat`). Between tensors every member is a recipe of mergekit.
            chromosomes: on the flat axis, name to regular expression over tensor names.
            units: on the unit axis, which tensors of a layer belong to the same units.
            vocabulary: "strict", or "trailing": seeds may lack the last rows of the embedding, and take them from the others.
            dtype: the resident model's type; "auto": the first seed's.
            device: where it runs; "auto": a GPU, if there is one.
            device_map: as in transformers, for a model over several devices; instead of `device`.
            seed_device: where the seeds are kept (`Seeds.keep`).
            attention: transformers' name of an attention implementation, such as "sdpa" or "flash_attention_2".
            chat_template: a chat template, or a file with one; None: the tokenizer's.
            trust_remote_code: whether code that comes with a seed may run.

        Raises:
            ValueError: if a setting is out of its range, or belongs to the other axis.
        """
        if isinstance(seeds, str) or len(seeds) < 2:
            raise ValueError(f"seeds: expected at least 2 models, got {seeds!r}")
        choices = (
            ("order", order, Order),
            ("vocabulary", vocabulary, Vocabulary),
            ("dtype", dtype, Dtype),
            ("seed_device", seed_device, Place),
        )
        for name, value, allowed in choices:
            if value not in get_args(allowed):
                raise ValueError(f"{name}: expected {' or '.join(map(repr, get_args(allowed)))}, got {value!r}")
        if order == "unit" and (cut != "tensor" or chromosomes):
            raise ValueError("order: cut and chromosomes are settings of the flat axis; the unit axis has its own")
        if method is not None:
            if order == "unit" or cut not in ("tensor", "layer"):
                raise ValueError(f"method: {method.name} merges whole tensors; choose order: flat and cut: tensor or layer")
            try:
                method.check(len(seeds), base is not None)
            except ValueError as error:
                raise ValueError(f"method: {error}") from None
        if device_map is not None and device != "auto":
            raise ValueError(f"device: expected 'auto' beside a device_map, got {device!r}")
        if device != "auto":
            check_device(device)
        if chat_template is not None:
            template_of(chat_template)
        self.seeds, self.base, self.method = seeds, base, method
        self.order, self.cut, self.chromosomes, self.units = order, cut, chromosomes, units
        self.vocabulary, self.dtype, self.device, self.device_map = vocabulary, dtype, device, device_map
        self.seed_device, self.attention, self.chat_template = seed_device, attention, chat_template
        self.trust_remote_code = trust_remote_code

    @property
    def linear(self) -> bool:
        """Whether genomes may be crossed linearly only: where coefficients are the weights of a method."""
        return self.method is not None

    @cached_property
    def axis(self) -> Axis:
        """As `Population.axis`. Everything that headers and configs can tell is checked here.

        Raises:
            FileNotFoundError: if a seed, or a file of it, is missing.
            ImportError: if transformers is not installed.
            ValueError: if the seeds are not of one architecture, shape, vocabulary and tokenizer, or the axis does not fit them.
        """
        shapes = {name: slot.shape for name, slot in self._seeds.slots.items()}
        if self.method is not None and self.method.needs_base:
            _ = self._base  # whatever is wrong with it is told now
        if self.order == "flat":
            return Axis.flat(shapes, chromosomes=self.chromosomes, cut=self.cut)
        return unit_axis(shapes, self.units, self._config[0])

    @cached_property
    def grams(self) -> Grams:
        """The seeds' Gram matrices along the axis, taken once.

        Raises:
            ValueError: if a seed has numbers that are not finite.
        """
        return self._kept.grams(self.axis)

    def restore_grams(self, units: np.ndarray) -> None:
        """Takes Gram matrices (U, K, K), float64, as `grams.units` gave them, instead of reading every seed.

        Raises:
            ValueError: if they are not of this axis and so many seeds.
        """
        expected = (sum(len(bounds) - 1 for bounds in self.axis.unit_bounds), len(self.seeds), len(self.seeds))
        if units.shape != expected:
            raise ValueError(f"grams: expected shape {expected}, got {units.shape}")
        self.grams = Grams(self.axis, units, lambda name, entries: self._kept.front(name, entries))

    def founders(self, rng: np.random.Generator) -> list[Recipe]:  # noqa: ARG002
        """As `Population.founders`: each seed by itself.

        Raises:
            ValueError: as `grams`.
        """
        _ = self.grams  # reads every number of every seed
        return [Recipe.seed(index, len(self.seeds), self.axis.size) for index in range(len(self.seeds))]

    def express(self, genome: Recipe) -> LanguageModel:
        """As `Population.express`: in place, in the one resident model."""
        if self.method is None:
            express(self._slots, self._kept.tensors, genome, self.axis)
        else:
            self._merge(genome, self.method)
        return self._resident

    def save(self, genome: Recipe, directory: Path) -> None:
        """As `Population.save`: what `AutoModelForCausalLM.from_pretrained` loads, and mergekit's config where there is one."""
        expressed = self.express(genome)
        with _quiet():
            expressed.model.save_pretrained(directory)
        expressed.tokenizer.save_pretrained(directory)
        config = None if self.method else config_text(genome, self.axis, self._seeds, expressed.model.dtype)
        if config is not None:
            (directory / mergekit_config.NAME).write_text(config)

    def sources(self) -> list[dict[str, Any]]:
        """Name and SHA-256 of each seed, and of the base if a method has one; files are read once for it."""
        return self._sources

    @cached_property
    def _sources(self) -> list[dict[str, Any]]:
        named = [{"name": source.name, "sha256": digest(source)} for source in self._seeds.sources]
        if self.method is None or not self.method.needs_base:
            return named
        base = self._base.sources[0]
        return [*named, {"name": base.name, "sha256": digest(base), "base": True}]

    def card(self) -> dict[str, Any]:
        """What the head of a member's model card says, in the hub's words."""
        facts = {"base_model": [seed.name for seed in self._found], "library_name": "transformers"}
        return facts | {"pipeline_tag": "text-generation", "tags": ["merge", "mergekit", "evomerge"]}

    def _merge(self, genome: Recipe, method: Method) -> None:
        """Fills the resident model by one of mergekit's methods, tensor by tensor, in the resident model's type."""
        for lie in self.axis.lie(genome.bounds):
            slot = self._slots[lie.tensor]
            seeds = [tensor.to(slot.device, slot.dtype) for tensor in self._kept.tensors(lie.tensor)]
            base = self._base.tensors(lie.tensor)[0].to(slot.device, slot.dtype) if method.needs_base else None
            slot.copy_(method.merge(lie.tensor, seeds, genome.coefficients[lie.stretches[0]], base))

    @cached_property
    def _found(self) -> list[Found]:
        """Where everything of each seed is."""
        return [_named("seeds", lambda: find(seed, self.base)) for seed in self.seeds]  # noqa: B023

    @cached_property
    def _config(self) -> tuple[Any, Found]:
        """The config of the resident model, and whose it is."""
        return config_of(self._found, self.vocabulary, self.trust_remote_code)

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = tokenizer_of(self._found, self.vocabulary, self.trust_remote_code)
        if self.chat_template is not None:
            tokenizer.chat_template = template_of(self.chat_template)
        return tokenizer

    @cached_property
    def _seeds(self) -> Seeds:
        """The seeds' headers, checked against the model that their config describes; no weight is read for it."""
        (config, _), tokenizer = self._config, self._tokenizer
        slots, embeddings = described(config, self.attention, self.trust_remote_code)
        if len(tokenizer) > (rows := slots[embeddings[0]].shape[0]):
            raise ValueError(f"seeds: the tokenizer has {len(tokenizer):,} tokens, the embedding only {rows:,} rows")
        return Seeds([seed.source for seed in self._found], slots, embeddings if self.vocabulary == "trailing" else ())

    @cached_property
    def _base(self) -> Seeds:
        """The base, and the seeds behind it, which lend it the rows that it lacks."""
        found = _named("base", lambda: find(self.base or ""))
        return _named("base", lambda: Seeds([found.source, *self._seeds.sources], self._seeds.slots, self._seeds.trailing))

    @cached_property
    def _resident(self) -> LanguageModel:
        """The one resident model."""
        from transformers import AutoModelForCausalLM

        _, seed = self._config
        whole = seed.source.base if isinstance(seed.source, Adapted) else seed.source
        whole.tensor(next(iter(whole.entries)))  # a repository of the hub is fetched by this
        settings: dict[str, Any] = {"dtype": self._seeds.dtype if self.dtype == "auto" else getattr(torch, self.dtype)}
        if self.device_map is not None:
            settings["device_map"] = self.device_map
        if self.attention is not None:
            settings["attn_implementation"] = self.attention
        try:
            with _quiet():
                model = AutoModelForCausalLM.from_pretrained(
                    seed.model_folder, trust_remote_code=self.trust_remote_code, **settings
                )
        except (ValueError, OSError) as error:
            raise ValueError(f"seeds: {seed.model_folder}: transformers cannot load it: {line(error)}") from None
        if self.device_map is None:
            device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
            try:
                model.to(device)
            except (RuntimeError, AssertionError) as error:
                raise ValueError(f"device: {device!r} cannot be used: {line(error)}") from None
        if slots_of(model).keys() != self._seeds.slots.keys():
            raise ValueError(
                f"seeds: {seed.name}: its config says that embedding and head are tied, its weights say they are not; "
                "load it with transformers and save it again"
            )
        _settle(model, seed.name)
        return LanguageModel(model.eval().requires_grad_(False), self._tokenizer)

    @cached_property
    def _slots(self) -> dict[str, torch.Tensor]:
        """What a recipe fills."""
        return slots_of(self._resident.model)

    @cached_property
    def _kept(self) -> Seeds:
        """The seeds, where they are kept from now on."""
        place = self._seeds.keep(self._slots, self.seed_device)
        log.info("%d seeds of %d parameters are kept on: %s", len(self.seeds), self.axis.size, place)
        return self._seeds


def _named(setting: str, call: Callable[[], Any]) -> Any:
    """What a call gives; its errors name the setting that they come from."""
    try:
        return call()
    except (ValueError, OSError) as error:
        raise type(error)(f"{setting}: {str(error).removeprefix('seeds: ')}") from None


def _settle(model: Any, name: str) -> None:
    """Makes sure that the model's generation config can be saved again: transformers refuses some that it loads."""
    from transformers import GenerationConfig

    try:
        model.generation_config.validate(strict=True)
    except ValueError as error:
        log.warning("%s: its generation config cannot be saved, and is left out: %s", name, line(error))
        model.generation_config = GenerationConfig.from_model_config(model.config)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of transformers, which would tear ours."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
