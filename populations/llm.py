"""Language models: fine-tunes of one base, bred as recipes over them, expressed in the one resident model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from evomerge.axis import FlatCut
from evomerge.genome import Recipe
from populations import mergekit_config
from populations.adapters import Adapted
from populations.checkpoints import Checkpoint
from populations.hub import Found, find
from populations.kin import Described, Vocabulary, config_of, described, template_of, tokenizer_of, tokens_of
from populations.merged import Dtype, Merged, Order, check_choice, named
from populations.mergekit_config import config_text
from populations.methods import Method
from populations.origins import Model
from populations.resident import line, moved, quiet, slots_of
from populations.seeds import Place, Seeds
from populations.units import LLAMA, Units

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LanguageModel:
    """What a fitness for text gets.

    Attributes:
        model: the resident transformers model, with this member's weights until the next one is expressed.
        tokenizer: its tokenizer.
    """

    model: Any
    tokenizer: Any


class LanguageModels(Merged):
    """Causal language models of transformers, of one architecture; genomes are recipes over the seeds."""

    def __init__(
        self,
        seeds: Sequence[str | Path],
        *,
        base: str | Path | None = None,
        adapter_base: str | Path | None = None,
        method: Method | None = None,
        order: Order = "flat",
        cut: FlatCut = "tensor",
        chromosomes: Mapping[str, str] | None = None,
        units: Sequence[Units] | None = None,
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
            base: the model that the seeds were tuned from: what methods such as TIES take differences to.
            adapter_base: what the LoRA adapters among the seeds stand on, instead of what each says itself.
            method: one of mergekit's merge methods, its weights the recipe's coefficients; None: the sum of the weighted seeds.
            order: the axis: "flat", the order of the model's tensors, or "unit", attention head by head and MLP unit by unit.
            cut: on the flat axis, before what splits may fall (`Axis.flat`). Between tensors every member is a recipe of mergekit.
            chromosomes: on the flat axis, name to regular expression over tensor names.
            units: on the unit axis, which tensors of a layer belong to the same units; None: as in decoders such as Llama.
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
        super().__init__(
            seeds, base=base, method=method, order=order, cut=cut, chromosomes=chromosomes, units=units, dtype=dtype,
            device=device, seed_device=seed_device,
        )  # fmt: skip
        check_choice("vocabulary", vocabulary, Vocabulary)
        if device_map is not None and device != "auto":
            raise ValueError(f"device: expected 'auto' beside a device_map, got {device!r}")
        if chat_template is not None:
            template_of(chat_template)
        self.adapter_base = adapter_base
        self.vocabulary, self.device_map, self.attention = vocabulary, device_map, attention
        self.chat_template, self.trust_remote_code = chat_template, trust_remote_code

    def save(self, genome: Recipe, directory: Path) -> None:
        """As `Population.save`: what `AutoModelForCausalLM.from_pretrained` loads, and mergekit's config where there is one."""
        expressed = self.express(genome)
        with quiet("transformers"):
            expressed.model.save_pretrained(directory)
        expressed.tokenizer.save_pretrained(directory)
        config = None if self.method else config_text(genome, self.axis, self._seeds, expressed.model.dtype)
        if config is not None:
            (directory / mergekit_config.NAME).write_text(config)

    def card(self) -> dict[str, Any]:
        """As `Merged.card`."""
        tags = ["merge"] if self.method is None else ["merge", "mergekit"]
        return super().card() | {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": tags}

    def _models(self) -> tuple[list[Model], list[Model]]:
        others = [model for seed in self._found for model in seed.models[1:]]
        if self.method is not None and self.method.needs_base:
            others += self._found_base.models
        return [seed.models[0] for seed in self._found], others

    @cached_property
    def _found(self) -> list[Found]:
        """Where everything of each seed is."""
        found = [named("seeds", lambda: find(seed, self.adapter_base)) for seed in self.seeds]  # noqa: B023
        adapters = [seed for seed in found if isinstance(seed.source, Adapted)]
        if self.adapter_base is not None and not adapters:
            raise ValueError("adapter_base: expected a LoRA adapter among the seeds, there is none")
        if self.base is not None and self.method is None and adapters:
            log.warning("base: without a method nothing takes it; what adapters stand on is adapter_base")
        return found

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
        model, tokenizer = self._described, self._tokenizer
        needed = max(tokenizer.get_vocab().values(), default=-1) + 1
        if needed > (rows := model.slots[model.embeddings[0]].shape[0]):
            raise ValueError(f"seeds: the tokenizer has {needed:,} tokens, the embedding only {rows:,} rows")
        trailing = model.embeddings if self.vocabulary == "trailing" else ()
        tokens = [tokens_of(seed, self.trust_remote_code) for seed in self._found] if trailing else ()
        sources = [named("seeds", lambda: self._fitted(seed)) for seed in self._found]  # noqa: B023
        return Seeds(sources, model.slots, trailing, tokens, model.spare)

    @cached_property
    def _described(self) -> Described:
        """The model that the seeds' config describes."""
        return described(self._config[0], self.attention, self.trust_remote_code)

    def _fitted(self, seed: Found) -> Checkpoint | Adapted:
        """A seed's tensors; an adapter is held against the model."""
        if isinstance(seed.source, Adapted):
            seed.source.fit(self._described.slots, self._described.transposed)
        return seed.source

    @cached_property
    def _base(self) -> Seeds:
        """The base, and the seeds behind it, which lend it the rows that it lacks."""
        sources = [named("base", lambda: self._fitted(self._found_base)), *self._seeds.sources]
        found = [self._found_base, *self._found] if self._seeds.trailing else []
        tokens = [tokens_of(seed, self.trust_remote_code) for seed in found]
        return named("base", lambda: Seeds(sources, self._seeds.slots, self._seeds.trailing, tokens, self._described.spare))

    @cached_property
    def _found_base(self) -> Found:
        """Where everything of a method's base is."""
        return named("base", lambda: find(self.base or "", self.adapter_base))

    @cached_property
    def _resident(self) -> LanguageModel:
        """The one resident model."""
        from transformers import AutoModelForCausalLM

        _, seed = self._config
        whole = seed.source.base if isinstance(seed.source, Adapted) else seed.source
        whole.tensor(next(iter(whole.entries)))  # a repository of the hub is fetched by this
        settings: dict[str, Any] = {"dtype": self._dtype}
        if self.device_map is not None:
            settings["device_map"] = self.device_map
        if self.attention is not None:
            settings["attn_implementation"] = self.attention
        try:
            with quiet("transformers"):
                model = AutoModelForCausalLM.from_pretrained(
                    seed.model_folder, trust_remote_code=self.trust_remote_code, **settings
                )
        except (ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
            raise ValueError(f"seeds: {seed.model_folder}: transformers cannot load it: {line(error)}") from None
        if self.device_map is None:
            moved(model, self._device)
        if slots_of(model).keys() != self._seeds.slots.keys():
            raise ValueError(
                f"seeds: {seed.name}: its config says that embedding and head are tied, its weights say they are not; "
                "load it with transformers and save it again"
            )
        _settle(model, seed.name)
        return LanguageModel(model.eval().requires_grad_(False), self._tokenizer)

    @property
    def _units(self) -> Sequence[Units]:
        return LLAMA if self.units is None else self.units

    def _number(self, name: str, tensor: str) -> Any:  # noqa: ARG002
        return getattr(self._config[0], name, None)

    @cached_property
    def _slots(self) -> dict[str, torch.Tensor]:
        """What a recipe fills."""
        return slots_of(self._resident.model)


def _settle(model: Any, name: str) -> None:
    """Makes sure that the model's generation config can be saved again: transformers refuses some that it loads."""
    from transformers import GenerationConfig

    try:
        model.generation_config.validate(strict=True)
    except ValueError as error:
        log.warning("%s: its generation config cannot be saved, and is left out: %s", name, line(error))
        model.generation_config = GenerationConfig.from_model_config(model.config)
