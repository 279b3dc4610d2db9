"""Language models: fine-tunes of one base, bred as recipes over them, expressed in the one resident model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from evomerge.genome.axis import FlatCut
from evomerge.genome.recipe import Recipe
from populations import mergekit_config
from populations.express.resident import line, moved, quiet, ready, slots_of
from populations.merged import Dtype, Merged, Order, as_setting_error, check_choice
from populations.mergekit_config import config_text
from populations.methods import Method
from populations.seeds.adapters import Adapted
from populations.seeds.chat_templates import chat_of, template_of
from populations.seeds.checkpoints import Checkpoint
from populations.seeds.differences import place_of
from populations.seeds.generation_configs import generation_config_of
from populations.seeds.language_configs import Vocabulary, config_of
from populations.seeds.language_seeds import LanguageSeed, find
from populations.seeds.language_slots import Described, described
from populations.seeds.language_tokenizers import tokenizer_of
from populations.seeds.model_cards import Model
from populations.seeds.seed_devices import Place
from populations.seeds.seeds import Seeds
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
        like: str | int | None = None,
        config: Mapping[str, Any] | None = None,
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
            like: the seed whose settings the members have where the seeds differ in what stands beside their weights (rope, start
                token, chat template, ...): one of `seeds`, or its place there, from 0. End tokens are those of all seeds in any case.
            config: values by the names of config.json, such as {rope_theta: 1000000.0}, in the place of every seed's.
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
        place_of(like, [str(seed) for seed in seeds])
        self.adapter_base = adapter_base
        self.vocabulary, self.device_map, self.attention = vocabulary, device_map, attention
        self.like, self.config = like, config
        self.chat_template, self.trust_remote_code = chat_template, trust_remote_code

    def save(self, genome: Recipe, directory: Path) -> None:
        """As `Population.save`: what `AutoModelForCausalLM.from_pretrained` loads, and mergekit's config where there is one."""
        expressed = self.express(genome)
        with quiet("transformers"):
            expressed.model.save_pretrained(directory)
        self._tokenizer.save_pretrained(directory)
        config = (
            None
            if self.method
            else config_text(genome, self.axis, self._seeds, expressed.model.dtype)
        )
        if config is not None:
            (directory / mergekit_config.NAME).write_text(config)

    def card(self) -> dict[str, Any]:
        """As `Merged.card`."""
        tags = ["merge"] if self.method is None else ["merge", "mergekit"]
        return super().card() | {
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "tags": tags,
        }

    def _models(self) -> tuple[list[Model], list[Model]]:
        others = [model for seed in self._found for model in seed.models[1:]]
        if self.method is not None and self.method.needs_base:
            others += self._found_base.models
        return [seed.models[0] for seed in self._found], others

    @cached_property
    def _found(self) -> list[LanguageSeed]:
        """Where everything of each seed is."""
        found = [
            as_setting_error("seeds", lambda: find(seed, self.adapter_base)) for seed in self.seeds
        ]  # noqa: B023
        adapters = [seed for seed in found if isinstance(seed.source, Adapted)]
        if self.adapter_base is not None and not adapters:
            raise ValueError("adapter_base: expected a LoRA adapter among the seeds, there is none")
        if self.base is not None and self.method is None and adapters:
            log.warning(
                "base: without a method nothing takes it; what adapters stand on is adapter_base"
            )
        return found

    @property
    def _like(self) -> int | None:
        """Which seed's settings count, if the user has said so."""
        return place_of(self.like, [str(seed) for seed in self.seeds])

    @cached_property
    def _config(self) -> tuple[Any, LanguageSeed, list[Any]]:
        """The config of the resident model, the seed whose files it is made from, and each seed's own config."""
        return config_of(
            self._found, self.vocabulary, self.trust_remote_code, self._like, self.config
        )

    @cached_property
    def _tokenizers(self) -> tuple[Any, list[Any]]:
        """The members' tokenizer, and each seed's own."""
        return tokenizer_of(self._found, self.vocabulary, self.trust_remote_code, self._like)

    @cached_property
    def _tokenizer(self) -> Any:
        """The members' tokenizer, as it is saved."""
        tokenizer = deepcopy(self._tokenizers[0])
        tokenizer.chat_template = self._chat[0]
        return tokenizer

    @cached_property
    def _reader(self) -> Any:
        """The tokenizer that a fitness gets: where nobody decided on a chat template, it refuses to be used."""
        refusing = self._chat[1]
        if refusing is None:
            return self._tokenizer
        reader = deepcopy(self._tokenizer)
        reader.chat_template = refusing
        return reader

    @cached_property
    def _chat(self) -> tuple[Any, str | None]:
        """The members' chat template, and one that refuses, where the seeds' differ and nobody decided."""
        if self.chat_template is not None:
            return template_of(self.chat_template), None
        tokenizer, own = self._tokenizers
        if self._like is not None:
            return own[self._like].chat_template, None
        return chat_of([seed.name for seed in self._found], own, tokenizer)

    @cached_property
    def _seeds(self) -> Seeds:
        """The seeds' headers, checked against the model that their config describes; no weight is read for it."""
        # The generation config is read here, too, so that what is wrong with it is known before a weight is read.
        model, tokenizer, _ = self._described, self._tokenizer, self._generation
        needed = max(tokenizer.get_vocab().values(), default=-1) + 1
        if needed > (rows := model.slots[model.embeddings[0]].shape[0]):
            raise ValueError(
                f"seeds: the tokenizer has {needed:,} tokens, the embedding only {rows:,} rows"
            )
        trailing = model.embeddings if self.vocabulary == "trailing" else ()
        tokens = [set(own.get_vocab().values()) for own in self._tokenizers[1]] if trailing else ()
        sources = [as_setting_error("seeds", lambda: self._fitted(seed)) for seed in self._found]  # noqa: B023
        return Seeds(sources, model.slots, trailing, tokens, model.spare)

    @cached_property
    def _described(self) -> Described:
        """The model that the seeds' config describes."""
        return described(self._config[0], self.attention, self.trust_remote_code)

    def _fitted(self, seed: LanguageSeed) -> Checkpoint | Adapted:
        """A seed's tensors; an adapter is held against the model."""
        if isinstance(seed.source, Adapted):
            seed.source.fit(self._described.slots, self._described.transposed)
        return seed.source

    @cached_property
    def _base(self) -> Seeds:
        """The base, and the seeds behind it, which lend it the rows that it lacks."""
        sources = [
            as_setting_error("base", lambda: self._fitted(self._found_base)),
            *self._seeds.sources,
        ]
        tokens: list[set[int]] = []
        if self._seeds.trailing:
            _, [own] = tokenizer_of([self._found_base], self.vocabulary, self.trust_remote_code)
            tokens = [
                set(tokenizer.get_vocab().values()) for tokenizer in (own, *self._tokenizers[1])
            ]
        return as_setting_error(
            "base",
            lambda: Seeds(
                sources, self._seeds.slots, self._seeds.trailing, tokens, self._described.spare
            ),
        )

    @cached_property
    def _found_base(self) -> LanguageSeed:
        """Where everything of a method's base is."""
        return as_setting_error("base", lambda: find(self.base or "", self.adapter_base))

    @cached_property
    def _resident(self) -> LanguageModel:
        """The one resident model."""
        from transformers import AutoModelForCausalLM

        config, seed, _ = self._config
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
                    seed.model_folder, config=deepcopy(config), generation_config=self._generation,
                    trust_remote_code=self.trust_remote_code, **settings,
                )  # fmt: skip
        except (ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
            raise ValueError(
                f"seeds: {seed.model_folder}: transformers cannot load it: {line(error)}"
            ) from None
        if self.device_map is None:
            moved(model, self._device)
        if slots_of(model).keys() != self._seeds.slots.keys():
            raise ValueError(
                f"seeds: {seed.name}: its config says that embedding and head are tied, its weights say they are not; "
                "load it with transformers and save it again"
            )
        model.config.get_text_config().eos_token_id = model.generation_config.eos_token_id
        return LanguageModel(ready(model), self._reader)

    @cached_property
    def _generation(self) -> Any:
        """The members' generation config: end tokens of all seeds, the rest of one."""
        _, seed, configs = self._config
        chosen = self._found.index(seed) if self._like is None else self._like
        return generation_config_of(
            self._found, configs, self._tokenizers[1], chosen, self._like is not None
        )

    @property
    def _units(self) -> Sequence[Units]:
        return LLAMA if self.units is None else self.units

    def _number(self, name: str, tensor: str) -> Any:  # noqa: ARG002
        return getattr(self._config[0], name, None)

    @cached_property
    def _slots(self) -> dict[str, torch.Tensor]:
        """What a recipe fills."""
        return slots_of(self._resident.model)
