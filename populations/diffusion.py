"""Image generators: text-to-image pipelines of diffusers.

Their denoisers are bred as recipes over the seeds' denoisers.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evomerge.genome.axis import FlatCut
from evomerge.genome.recipe import Recipe
from populations.dtypes import Dtype
from populations.express.resident import moved, slots_of
from populations.merged import Merged, Order
from populations.methods import Method
from populations.pipeline_plan import PipelinePlan
from populations.seeds.library_logging import import_diffusers, without_progress_bars
from populations.seeds.model_cards import Model
from populations.seeds.pipeline_agreement import (
    check_alike,
    check_constants,
    check_constants_equal,
    check_latents_alike,
    check_predictions,
)
from populations.seeds.pipeline_components import blank_component, check_index
from populations.seeds.pipeline_folders import CHECKER
from populations.seeds.pipeline_sources import Bred
from populations.seeds.pipelines import Pipeline
from populations.seeds.seed_devices import Place
from populations.seeds.seeds import Seeds
from populations.seeds.slots import described_slots, spare_of
from populations.settings.errors import as_setting_error, each_of
from populations.units import DENOISER, Units

log = logging.getLogger(__name__)

ATTENTION = {"attention": r"attn|attentions"}
"""Attention layers are one chromosome, as in M2N2's third experiment; the rest is another."""


class DiffusionModels(Merged):
    """Pipelines of diffusers whose denoisers have one architecture.

    Genomes are recipes over the seeds' denoisers. A fitness gets the `DiffusionPipeline`, with
    this member's weights until the next one is expressed. Everything that is not bred is there
    once.
    """

    def __init__(
        self,
        seeds: Sequence[str | Path],
        *,
        bred: Sequence[str] | None = None,
        components: Mapping[str, int] | None = None,
        scheduler: str | None = None,
        safety_checker: bool = False,
        base: str | Path | None = None,
        method: Method | None = None,
        order: Order = "flat",
        cut: FlatCut = "tensor",
        chromosomes: Mapping[str, str] | None = None,
        units: Sequence[Units] | None = None,
        variant: str | None = None,
        dtype: Dtype = "auto",
        device: str = "auto",
        seed_device: Place = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        """Settings only.

        Configs and headers are read on first use of `axis`, weights by `founders`.

        Args:
            seeds: two or more pipelines in safetensors: folders, or owner/name[@revision] of the
                hub. One at least is a whole pipeline; others may be folders with what is bred
                alone.
            bred: the components that are bred; None: the denoiser, which is called unet or
                transformer.
            components: for other components the place of the seed that each comes from, counted
                from 0; what is not named comes from the first whole pipeline.
            scheduler: a scheduler of diffusers by its class's name, with the settings of the
                pipeline's own; None: its own.
            safety_checker: whether a safety checker stays, which blackens pictures.
            base: what methods such as TIES take differences to.
            method: one of mergekit's merge methods, its weights the recipe's coefficients; None:
                the sum of the weighted seeds.
            order: the axis: "flat", the order of the tensors, or "unit", by attention heads, MLP
                units and convolution channels.
            cut: on the flat axis, before what splits may fall (`Axis.flat`).
            chromosomes: on the flat axis, name to regular expression over tensor names, which
                begin with their component's; None: attention layers, and the rest.
            units: on the unit axis, which tensors of a layer belong to the same units; None:
                those of diffusers' denoisers.
            variant: which set of weights to read, such as "fp16", where a seed has several.
            dtype: the resident pipeline's type; "auto": that of the first seed's denoiser.
            device: where it runs; "auto": a GPU, if there is one.
            seed_device: where the seeds are kept (`Seeds.keep`).
            trust_remote_code: whether code that comes with a seed may run.

        Raises:
            ValueError: if a setting is out of its range, or belongs to the other axis.
        """
        super().__init__(
            seeds, base=base, method=method, order=order, cut=cut, chromosomes=chromosomes,
            units=units, dtype=dtype, device=device, seed_device=seed_device,
        )  # fmt: skip
        if bred is not None and (isinstance(bred, str) or not bred):
            raise ValueError(f"bred: expected a list of components such as [unet], got {bred!r}")
        for name, place in (components or {}).items():
            if not 0 <= place < len(seeds):
                raise ValueError(
                    f"components: {name}: expected the place of a seed from 0 to "
                    f"{len(seeds) - 1}, got {place}"
                )
        self.bred = bred
        self.components = components
        self.scheduler = scheduler
        self.safety_checker = safety_checker
        self.variant = variant
        self.trust_remote_code = trust_remote_code

    def founders(self, rng: np.random.Generator) -> list[Recipe]:
        """As `Merged.founders`; in what the seeds differ beside what is bred is logged once.

        Raises:
            ValueError: as `Merged.founders`, or if constants of what is bred, such as tables of
                positions, differ.
        """
        # Pipelines may differ in what is not bred. The user should know whose is used, once.
        _ = self._logged_differences
        # Constants are read here and not with the headers, since they are weights.
        sources = [self._source(seed) for seed in self._pipelines]
        check_constants_equal(sources, list(self._constants))
        return super().founders(rng)

    @cached_property
    def _logged_differences(self) -> list[str]:
        """In what the seeds differ beside what is bred; reading it for the first time logs it."""
        lines = self._plan.difference_lines()
        for text in lines:
            log.warning("%s", text)
        return lines

    def save(self, genome: Recipe, directory: Path) -> None:
        """As `Population.save`: what `DiffusionPipeline.from_pretrained` loads."""
        expressed = self.express(genome)
        with without_progress_bars("diffusers", "transformers"):
            expressed.save_pretrained(directory)

    def footprint(self) -> dict[str, Any]:
        """As `Merged.footprint`, the model with the components that are not bred."""
        # An autoencoder or a text encoder may be larger than the denoiser.
        numbers = 0
        for name in self._plan.unbred:
            if self._plan.has_weights(name):
                checkpoint = self._plan.source_of(name).weights(name, self.variant)
                for entry in checkpoint.entries.values():
                    numbers += math.prod(entry.shape)
        bred = super().footprint()
        return bred | {"model": bred["model"] + numbers * self._dtype.itemsize}

    def sources(self) -> list[dict[str, Any]]:
        """As `Merged.sources`, and whose each component is that is not bred.

        Each has the SHA-256 of its files.
        """
        return super().sources() + self._unbred_sources

    @cached_property
    def _unbred_sources(self) -> list[dict[str, Any]]:
        """Name and SHA-256 of each component that is not bred."""
        sources = []
        for name in self._plan.unbred:
            seed = self._plan.source_of(name)
            # Only whole files have a digest, and of a repository some may not be here yet.
            seed.fetch([name], self.variant)
            sources.append({"name": seed.pinned, "part": name, "sha256": seed.digest(name)})
        return sources

    def card(self) -> dict[str, Any]:
        """As `Merged.card`."""
        return super().card() | {"library_name": "diffusers", "pipeline_tag": "text-to-image"}

    def _models(self) -> tuple[list[Model], list[Model]]:
        seeds: list[Model] = [(seed.folder, seed.repository) for seed in self._pipelines]
        bases: list[Model] = []
        if self._takes_base:
            bases = [(self._base_pipeline.folder, self._base_pipeline.repository)]
        return seeds, bases

    @property
    def _chromosomes(self) -> Mapping[str, str] | None:
        """The user's; attention layers and the rest, if there are any; or all in one."""
        if self.chromosomes is not None:
            return self.chromosomes
        # The axis refuses a chromosome without tensors, as one that the user has misspelt.
        for name in self._seeds.slots:
            if re.search(ATTENTION["attention"], name):
                return ATTENTION
        return None

    @property
    def _units(self) -> Sequence[Units]:
        """The user's, or those of the usual ones that this denoiser has."""
        if self.units is not None:
            return self.units
        return [units for units in DENOISER if units.match_any(self._seeds.slots)]

    def _number(self, name: str, tensor: str) -> Any:
        """The attribute of this name of the module that a tensor belongs to."""
        component, _, rest = tensor.partition(".")
        module = self._blank[component]
        # The number of heads is an attribute of the attention module, of which the tensor's own
        # module, a linear layer, is a part. The innermost module that has the name counts.
        number = None
        for part in rest.split(".")[:-1]:
            module = module.get_submodule(part)
            number = getattr(module, name, number)
        return number

    @cached_property
    def _pipelines(self) -> list[Pipeline]:
        """Each seed, with the places of all that belongs to it."""
        return each_of("seeds", self.seeds, Pipeline.find)

    @cached_property
    def _plan(self) -> PipelinePlan:
        """Which component of the resident pipeline comes from which seed."""
        return PipelinePlan(
            self._pipelines,
            bred=self.bred,
            components=self.components,
            scheduler=self.scheduler,
            safety_checker=self.safety_checker,
            variant=self.variant,
        )

    @cached_property
    def _blank(self) -> dict[str, torch.nn.Module]:
        """What is bred, as its config describes it, without weights."""
        plan = self._plan
        return {component: blank_component(plan.whole, component) for component in plan.bred}

    @cached_property
    def _seeds(self) -> Seeds:
        import_diffusers()
        plan = self._plan
        chosen = self.components or {}
        unused = [] if self.safety_checker else [CHECKER]
        # What is bred is compared first: who mixes two architectures should read that, and not
        # that some setting differs.
        for component in plan.bred:
            with as_setting_error("seeds"):
                check_alike(self._pipelines, component)
        check_predictions(self._pipelines, chosen)
        check_index(plan.whole, unused)
        check_latents_alike(self._pipelines, chosen)
        with as_setting_error("seeds"):
            sources = [self._source(seed) for seed in self._pipelines]
        # What is wrong with the rest of the pipeline is known before a weight is read.
        _ = plan.others
        _ = plan.scheduler
        described = {}
        for component, model in self._blank.items():
            described.update(described_slots(model, f"{component}."))
        check_constants(sources, self._constants)
        # Constants are stored as weights are, but a mean of two tables of positions is no table.
        slots = {}
        for name, slot in described.items():
            if name not in self._constants:
                slots[name] = slot
        return Seeds(sources, slots, spare=self._spare)

    @cached_property
    def _constants(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what is no parameter, such as the sines of positions, by name."""
        shapes = {}
        for component, model in self._blank.items():
            for name, tensor in model.named_buffers():
                shapes[f"{component}.{name}"] = tuple(tensor.shape)
        return shapes

    @property
    def _spare(self) -> dict[str, tuple[str, ...]]:
        """What the files of each component may have beside its weights."""
        return {f"{component}.": spare_of(model) for component, model in self._blank.items()}

    @cached_property
    def _base(self) -> Seeds:
        # A base is held against the seeds as they are held against each other.
        base = self._base_pipeline
        for component in self._plan.bred:
            with as_setting_error("base"):
                check_alike([self._plan.whole, base], component)
        with as_setting_error("base"):
            check_predictions([*self._pipelines, base], self.components or {})
        with as_setting_error("base"):
            sources = [self._source(base), *self._seeds.sources]
            return Seeds(sources, self._seeds.slots, spare=self._spare)

    @cached_property
    def _base_pipeline(self) -> Pipeline:
        """A method's base, with the places of all that belongs to it."""
        with as_setting_error("base"):
            return Pipeline.find(self.base or "")

    def _source(self, seed: Pipeline) -> Bred:
        """What is bred of a seed, by its headers."""
        components = {name: seed.weights(name, self.variant) for name in self._plan.bred}
        return Bred(seed.pinned, components)

    @cached_property
    def _resident(self) -> Any:
        # Parameters keep their requires_grad, as `from_pretrained` gives them: torch's choice of a
        # kernel, and so a last bit, can depend on it.
        pipeline = self._plan.load(self._dtype, self.trust_remote_code)
        moved(pipeline, self._device)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @cached_property
    def _slots(self) -> dict[str, torch.Tensor]:
        """What a recipe fills; constants stay as they are."""
        # Constants are floating-point tensors of the model, too, but the seeds' slots have none.
        slots = {}
        for component in self._plan.bred:
            for name, tensor in slots_of(getattr(self._resident, component)).items():
                if f"{component}.{name}" in self._seeds.slots:
                    slots[f"{component}.{name}"] = tensor
        return slots
