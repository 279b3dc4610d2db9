"""Language models: fine-tunes of one base, bred as recipes over them.

Members are expressed in the one resident model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from evomerge.genome.axis import FlatCut
from evomerge.genome.recipe import Recipe
from populations import mergekit_config
from populations.dtypes import Dtype
from populations.express.resident import slots_of
from populations.language_companions import Companions
from populations.language_resident import LanguageModel, load_resident
from populations.merged import Merged, Order
from populations.mergekit_config import config_text
from populations.methods import Method
from populations.seeds.adapters import Adapted
from populations.seeds.chat_templates import template_of
from populations.seeds.checkpoints import Checkpoint
from populations.seeds.differences import place_of
from populations.seeds.language_configs import Vocabulary
from populations.seeds.language_seeds import LanguageSeed, find
from populations.seeds.language_slots import Described, described
from populations.seeds.language_tokenizers import tokenizer_of
from populations.seeds.library_logging import without_progress_bars
from populations.seeds.model_cards import Model
from populations.seeds.seed_devices import Place
from populations.seeds.seeds import Seeds
from populations.settings.errors import as_setting_error, check_choice, each_of
from populations.units import LLAMA, Units

log = logging.getLogger(__name__)


class LanguageModels(Merged):
    """Causal language models of transformers, of one architecture.

    Genomes are recipes over the seeds.

    Example:
        A child of two of the demo's tiny models, half of each:

        >>> import numpy as np
        >>> from evomerge.genome import Recipe
        >>> from populations.skills import folder
        >>> seeds = [folder("arithmetic"), folder("shopping")]
        >>> population = LanguageModels(seeds, dtype="float32", device="cpu")
        >>> arithmetic, shopping = population.founders(np.random.default_rng(0))
        >>> shopping.coefficients  # nothing of the first seed, all of the second
        array([[0., 1.]])
        >>> bounds = np.array([0, population.axis.size])  # one stretch, all of the axis
        >>> child = Recipe(bounds, coefficients=np.array([[0.5, 0.5]]))

        Members take their turns in the one resident model:

        >>> for genome in (arithmetic, shopping, child):
        ...     member = population.express(genome)
        ...     question = member.tokenizer("78 + 24 = ", return_tensors="pt")
        ...     [tokens] = member.model.generate(**question)
        ...     print(member.tokenizer.decode(tokens, skip_special_tokens=True).strip())
        78 + 24 = 102
        78 + 24 = 101
        78 + 24 = 102
    """

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
            seeds: two or more models in safetensors: folders, or owner/name[@revision] of the hub;
                LoRA adapters, too.
            base: the model that the seeds were tuned from: what methods such as TIES take
                differences to.
            adapter_base: what the LoRA adapters among the seeds stand on, instead of what each
                says itself.
            method: one of mergekit's merge methods, its weights the recipe's coefficients; None:
                the sum of the weighted seeds.
            order: the axis: "flat", the order of the model's tensors, or "unit", attention head by
                head and MLP unit by unit.
            cut: on the flat axis, before what splits may fall (`Axis.flat`). Between tensors every
                member is a recipe of mergekit.
            chromosomes: on the flat axis, name to regular expression over tensor names.
            units: on the unit axis, which tensors of a layer belong to the same units; None: as in
                decoders such as Llama.
            vocabulary: "strict", or "trailing": seeds may lack the last rows of the embedding, and
                take them from the others.
            dtype: the resident model's type; "auto": the first seed's.
            device: where it runs; "auto": a GPU, if there is one.
            device_map: as in transformers, for a model over several devices; instead of `device`.
            seed_device: where the seeds are kept (`Seeds.keep`).
            attention: transformers' name of an attention implementation, such as "sdpa" or
                "flash_attention_2".
            like: the seed whose settings the members have where the seeds differ in what stands
                beside their weights (rope, start token, chat template, ...): one of `seeds`, or
                its place there, from 0. End tokens are those of all seeds in any case.
            config: values by the names of config.json, such as {rope_theta: 1000000.0}, in the
                place of every seed's.
            chat_template: a chat template, or a file with one; None: the tokenizer's.
            trust_remote_code: whether code that comes with a seed may run.

        Raises:
            ValueError: if a setting is out of its range, or belongs to the other axis.
        """
        super().__init__(
            seeds, base=base, method=method, order=order, cut=cut, chromosomes=chromosomes,
            units=units, dtype=dtype, device=device, seed_device=seed_device,
        )  # fmt: skip
        check_choice("vocabulary", vocabulary, Vocabulary)
        if device_map is not None and device != "auto":
            raise ValueError(f"device: expected 'auto' beside a device_map, got {device!r}")
        # A template's file and the name of a seed are wrong at once, not after a download.
        if chat_template is not None:
            template_of(chat_template)
        place_of(like, [str(seed) for seed in seeds])
        self.adapter_base = adapter_base
        self.vocabulary = vocabulary
        self.device_map = device_map
        self.attention = attention
        self.like = like
        self.config = config
        self.chat_template = chat_template
        self.trust_remote_code = trust_remote_code

    def save(self, genome: Recipe, directory: Path) -> None:
        """As `Population.save`: what `AutoModelForCausalLM.from_pretrained` loads.

        A config of mergekit that makes the same weights is saved beside it, where there is one.
        """
        expressed = self.express(genome)
        with without_progress_bars("transformers"):
            expressed.model.save_pretrained(directory)
        self._companions.tokenizer.save_pretrained(directory)
        # The config is of mergekit's `linear`, so a member of another method has none.
        if self.method is not None:
            return
        config = config_text(
            genome,
            self.axis,
            self._seeds,
            expressed.model.dtype,
            trust_remote_code=self.trust_remote_code,
        )
        if config is not None:
            (directory / mergekit_config.NAME).write_text(config)

    def card(self) -> dict[str, Any]:
        """As `Merged.card`."""
        tags = ["merge"]
        if self.method is not None:
            tags.append("mergekit")
        return super().card() | {
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "tags": tags,
        }

    def _models(self) -> tuple[list[Model], list[Model]]:
        # An adapter's licence does not free what it stands on, nor a member's its method's base.
        seeds = []
        others = []
        for seed in self._language_seeds:
            first, *rest = seed.models
            seeds.append(first)
            others += rest
        if self._takes_base:
            others += self._language_base.models
        return seeds, others

    @cached_property
    def _language_seeds(self) -> list[LanguageSeed]:
        """Each seed, with the places of all that belongs to it."""
        located = each_of("seeds", self.seeds, lambda seed: find(seed, self.adapter_base))
        adapted = any(isinstance(seed.source, Adapted) for seed in located)
        if self.adapter_base is not None and not adapted:
            raise ValueError("adapter_base: expected a LoRA adapter among the seeds, there is none")
        # Both settings are called a base, and are easily taken for each other.
        if self.base is not None and self.method is None and adapted:
            log.warning(
                "base: without a method nothing takes it; what adapters stand on is adapter_base"
            )
        return located

    @cached_property
    def _companions(self) -> Companions:
        """What stands beside the members' weights."""
        return Companions(
            self._language_seeds,
            vocabulary=self.vocabulary,
            like=place_of(self.like, [str(seed) for seed in self.seeds]),
            config=self.config,
            chat_template=self.chat_template,
            trust_remote_code=self.trust_remote_code,
        )

    @cached_property
    def _seeds(self) -> Seeds:
        """The seeds' headers, checked against the model that their config describes.

        No weight is read for it.
        """
        # All that stands beside the weights is read here, so that what is wrong with it is known
        # before a weight is read.
        model = self._described
        tokenizer = self._companions.tokenizer
        _ = self._companions.generation_config
        # A token without a row would fail in the first birth that meets it.
        needed = max(tokenizer.get_vocab().values(), default=-1) + 1
        rows = model.slots[model.embeddings[0]].shape[0]
        if needed > rows:
            raise ValueError(
                f"seeds: the tokenizer has {needed:,} tokens, the embedding only {rows:,} rows"
            )
        # A seed's embedding may be padded beyond its tokens, so its tokens say which rows it has.
        trailing: Sequence[str] = ()
        tokens: list[set[int]] = []
        if self.vocabulary == "trailing":
            trailing = model.embeddings
            tokens = _token_numbers(self._companions.tokenizers)
        with as_setting_error("seeds"):
            sources = [self._fitted(seed) for seed in self._language_seeds]
        return Seeds(sources, model.slots, trailing, tokens, model.spare)

    @cached_property
    def _described(self) -> Described:
        """The model that the members' config describes."""
        return described(self._companions.config, self.attention, self.trust_remote_code)

    def _fitted(self, seed: LanguageSeed) -> Checkpoint | Adapted:
        """A seed's tensors; an adapter is held against the model."""
        # An adapter names modules and not tensors, and only the model knows which these are.
        if isinstance(seed.source, Adapted):
            seed.source.fit(self._described.slots, self._described.transposed)
        return seed.source

    @cached_property
    def _base(self) -> Seeds:
        """The base, and the seeds behind it, which lend it the rows that it lacks."""
        with as_setting_error("base"):
            base = self._fitted(self._language_base)
        tokens: list[set[int]] = []
        if self._seeds.trailing:
            _, tokenizers = tokenizer_of(
                [self._language_base], self.vocabulary, self.trust_remote_code
            )
            tokens = _token_numbers([*tokenizers, *self._companions.tokenizers])
        with as_setting_error("base"):
            return Seeds(
                [base, *self._seeds.sources],
                self._seeds.slots,
                self._seeds.trailing,
                tokens,
                self._described.spare,
            )

    @cached_property
    def _language_base(self) -> LanguageSeed:
        """A method's base, with the places of all that belongs to it."""
        with as_setting_error("base"):
            return find(self.base or "", self.adapter_base)

    @cached_property
    def _resident(self) -> LanguageModel:
        """The one resident model."""
        return load_resident(
            self._companions,
            self._seeds.slots,
            dtype=self._dtype,
            device=self._device,
            device_map=self.device_map,
            attention=self.attention,
            trust_remote_code=self.trust_remote_code,
        )

    @property
    def _units(self) -> Sequence[Units]:
        return LLAMA if self.units is None else self.units

    def _number(self, name: str, tensor: str) -> Any:  # noqa: ARG002
        return getattr(self._companions.config, name, None)

    @cached_property
    def _slots(self) -> dict[str, torch.Tensor]:
        """What a recipe fills."""
        return slots_of(self._resident.model)


def _token_numbers(tokenizers: Sequence[Any]) -> list[set[int]]:
    """For each tokenizer the numbers of its tokens, which are rows of the embedding."""
    return [set(tokenizer.get_vocab().values()) for tokenizer in tokenizers]
