"""Image generators: text-to-image pipelines of diffusers, whose denoisers are bred as recipes over the seeds'."""

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
from populations.express.resident import line, moved, quiet, slots_of
from populations.merged import Dtype, Merged, Order, as_setting_error
from populations.methods import Method
from populations.seeds.json_files import CONFIG
from populations.seeds.library_logging import import_diffusers, silenced
from populations.seeds.model_cards import Model
from populations.seeds.pipeline_agreement import (
    FLOW,
    check_alike,
    check_constants,
    check_constants_equal,
    check_latents_alike,
    check_predictions,
    first_pipeline,
)
from populations.seeds.pipeline_components import blank_component, check_files, check_index
from populations.seeds.pipeline_differences import can_take, difference_lines
from populations.seeds.pipeline_fit import check_fits
from populations.seeds.pipeline_folders import CHECKER, DENOISERS, SCHEDULER
from populations.seeds.pipeline_sources import Bred
from populations.seeds.pipelines import Pipeline
from populations.seeds.seed_devices import Place
from populations.seeds.seeds import Seeds
from populations.seeds.slots import described_slots, spare_of
from populations.units import DENOISER, Units

log = logging.getLogger(__name__)

ATTENTION = {"attention": r"attn|attentions"}
"""Attention layers are a chromosome of their own, as in M2N2's third experiment; the rest is another."""


class DiffusionModels(Merged):
    """Pipelines of diffusers whose denoisers have one architecture; genomes are recipes over the seeds' denoisers.

    A fitness gets the `DiffusionPipeline`, with this member's weights until the next one is expressed. Everything that is not bred is
    there once.
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
        """Settings only; configs and headers are read on first use of `axis`, weights by `founders`.

        Args:
            seeds: two or more pipelines in safetensors: folders, or owner/name[@revision] of the hub. One at least is a whole
                pipeline; others may be folders with what is bred alone.
            bred: the components that are bred; None: the denoiser, which is called unet or transformer.
            components: for other components the place of the seed that each comes from, counted from 0; what is not named comes
                from the first whole pipeline.
            scheduler: a scheduler of diffusers by its class's name, with the settings of the pipeline's own; None: its own.
            safety_checker: whether a safety checker stays, which blackens pictures.
            base: what methods such as TIES take differences to.
            method: one of mergekit's merge methods, its weights the recipe's coefficients; None: the sum of the weighted seeds.
            order: the axis: "flat", the order of the tensors, or "unit", by attention heads, MLP units and convolution channels.
            cut: on the flat axis, before what splits may fall (`Axis.flat`).
            chromosomes: on the flat axis, name to regular expression over tensor names, which begin with their component's; None:
                attention layers, and the rest.
            units: on the unit axis, which tensors of a layer belong to the same units; None: those of diffusers' denoisers.
            variant: which set of weights to read, such as "fp16", where a seed has several.
            dtype: the resident pipeline's type; "auto": that of the first seed's denoiser.
            device: where it runs; "auto": a GPU, if there is one.
            seed_device: where the seeds are kept (`Seeds.keep`).
            trust_remote_code: whether code that comes with a seed may run.

        Raises:
            ValueError: if a setting is out of its range, or belongs to the other axis.
        """
        super().__init__(
            seeds, base=base, method=method, order=order, cut=cut, chromosomes=chromosomes, units=units, dtype=dtype,
            device=device, seed_device=seed_device,
        )  # fmt: skip
        if bred is not None and (isinstance(bred, str) or not bred):
            raise ValueError(f"bred: expected a list of components such as [unet], got {bred!r}")
        for name, place in (components or {}).items():
            if not 0 <= place < len(seeds):
                raise ValueError(
                    f"components: {name}: expected the place of a seed from 0 to {len(seeds) - 1}, got {place}"
                )
        self.bred, self.components, self.scheduler, self.safety_checker = (
            bred,
            components,
            scheduler,
            safety_checker,
        )
        self.variant, self.trust_remote_code = variant, trust_remote_code

    def founders(self, rng: np.random.Generator) -> list[Recipe]:
        """As `Merged.founders`; in what the seeds differ beside what is bred is said once, with whose is used.

        Raises:
            ValueError: as `Merged.founders`, or if constants of what is bred, such as tables of positions, differ.
        """
        for words in self._news:
            log.warning("%s", words)
        self.__dict__["_news"] = []
        check_constants_equal([self._source(seed) for seed in self._found], list(self._constants))
        return super().founders(rng)

    @cached_property
    def _news(self) -> list[str]:
        """What is to be said of the seeds."""
        used = {name: self._others.get(name, self._whole) for name in self._unbred}
        if not self.safety_checker:
            used.pop("feature_extractor", None)
        return as_setting_error(
            "seeds",
            lambda: difference_lines(
                self._found, self._whole, used, self.components or (), self._bred, self.variant
            ),
        )

    def save(self, genome: Recipe, directory: Path) -> None:
        """As `Population.save`: what `DiffusionPipeline.from_pretrained` loads."""
        expressed = self.express(genome)
        with quiet("diffusers", "transformers"):
            expressed.save_pretrained(directory)

    def footprint(self) -> dict[str, Any]:
        """As `Merged.footprint`, the model with the components that are not bred."""
        others = [
            self._others.get(name, self._whole).weights(name, self.variant)
            for name in self._unbred
            if self._weighs(name)
        ]
        size = sum(
            math.prod(entry.shape) for checkpoint in others for entry in checkpoint.entries.values()
        )
        bred = super().footprint()
        return bred | {"model": bred["model"] + size * self._dtype.itemsize}

    def sources(self) -> list[dict[str, Any]]:
        """As `Merged.sources`, and of each component that is not bred whose it is, and the SHA-256 of its files."""
        return super().sources() + self._parts

    @cached_property
    def _parts(self) -> list[dict[str, Any]]:
        parts = []
        for name in self._unbred:
            seed = self._others.get(name, self._whole)
            seed.fetch([name], self.variant)
            parts.append({"name": seed.pinned, "part": name, "sha256": seed.digest(name)})
        return parts

    def card(self) -> dict[str, Any]:
        """As `Merged.card`."""
        return super().card() | {"library_name": "diffusers", "pipeline_tag": "text-to-image"}

    def _models(self) -> tuple[list[Model], list[Model]]:
        based = self.method is not None and self.method.needs_base
        bases = [self._found_base] if based else []
        return [(seed.folder, seed.repository) for seed in self._found], [
            (base.folder, base.repository) for base in bases
        ]

    @property
    def _chromosomes(self) -> Mapping[str, str] | None:
        if self.chromosomes is not None:
            return self.chromosomes
        return (
            ATTENTION
            if any(re.search(ATTENTION["attention"], name) for name in self._seeds.slots)
            else None
        )

    @property
    def _units(self) -> Sequence[Units]:
        """The user's, or those of the usual ones that this denoiser has."""
        if self.units is not None:
            return self.units
        return [units for units in DENOISER if units.found(self._seeds.slots)]

    def _number(self, name: str, tensor: str) -> Any:
        """The attribute of this name of the module that a tensor belongs to."""
        component, _, rest = tensor.partition(".")
        module, found = self._blank[component], None
        for part in rest.split(".")[:-1]:
            module = module.get_submodule(part)
            found = getattr(module, name, found)
        return found

    @cached_property
    def _found(self) -> list[Pipeline]:
        """Where everything of each seed is."""
        return [as_setting_error("seeds", lambda: Pipeline.find(seed)) for seed in self.seeds]  # noqa: B023

    @cached_property
    def _whole(self) -> Pipeline:
        """The pipeline that the resident one is made from."""
        return first_pipeline(self._found)

    @cached_property
    def _bred(self) -> list[str]:
        """The names of what is bred."""
        has = self._whole.components
        chosen = (
            list(self.bred)
            if self.bred is not None
            else [name for name in DENOISERS if name in has]
        )
        unknown = [name for name in chosen if name not in has]
        if unknown or not chosen:
            wrong = (
                f"no component {unknown[0]!r}"
                if unknown
                else f"no {' or '.join(DENOISERS)}; name what to breed"
            )
            raise ValueError(f"bred: {self._whole.name} has {wrong}; it has {', '.join(has)}")
        return chosen

    @cached_property
    def _others(self) -> dict[str, Pipeline]:
        """Where each of the other components comes from, if not from the whole pipeline; all are checked."""
        mine, others = self._whole.components, {}
        for name, place in (self.components or {}).items():
            if name not in mine or name in self._bred:
                rest = ", ".join(other for other in mine if other not in self._bred)
                raise ValueError(
                    f"components: {self._whole.name} has no other component {name!r}; it has {rest}"
                )
            seed = self._found[place]
            theirs = seed.components.get(name)
            if theirs is None:
                raise ValueError(
                    f"components: {name}: {seed.name} has none; it has {', '.join(seed.components) or 'no others'}"
                )
            if not can_take(self._whole, seed, name):
                raise ValueError(
                    f"components: {name}: expected a {mine[name][1]}, that of {seed.name} is a {theirs[1]}"
                )
            if seed is not self._whole:
                others[name] = seed
        for name in self._unbred:
            as_setting_error(
                "seeds", lambda: check_files(others.get(name, self._whole), name, self.variant)
            )  # noqa: B023
        denoisers = [name for name in DENOISERS if name in mine]
        if denoisers:
            check_fits(
                lambda name: others.get(name, self._whole),
                [*self._bred, *self._unbred],
                denoisers[0],
            )
        return others

    @property
    def _unbred(self) -> list[str]:
        """The names of what the resident pipeline has beside what is bred."""
        return [
            name
            for name in self._whole.components
            if name not in self._bred and (name != CHECKER or self.safety_checker)
        ]

    def _weighs(self, name: str) -> bool:
        """Whether a component has weights, as tokenizers and schedulers have none."""
        return f"{name}/{CONFIG}" in self._others.get(name, self._whole).files

    @cached_property
    def _blank(self) -> dict[str, torch.nn.Module]:
        """What is bred, as its config describes it, without weights."""
        return {component: blank_component(self._whole, component) for component in self._bred}

    @cached_property
    def _seeds(self) -> Seeds:
        import_diffusers()
        for component in self._bred:
            as_setting_error("seeds", lambda: check_alike(self._found, component))  # noqa: B023
        check_predictions(self._found, self.components or ())
        check_index(self._whole, [] if self.safety_checker else [CHECKER])
        check_latents_alike(self._found, self.components or {})
        sources = [as_setting_error("seeds", lambda: self._source(seed)) for seed in self._found]  # noqa: B023
        _ = self._others, self._scheduler
        parts = [
            described_slots(model, f"{component}.") for component, model in self._blank.items()
        ]
        check_constants(sources, self._constants)
        slots = {
            name: slot
            for part in parts
            for name, slot in part.items()
            if name not in self._constants
        }
        return Seeds(sources, slots, spare=self._spare)

    @property
    def _constants(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what is no parameter, such as the sines of places, by name."""
        buffers = [(of, model.named_buffers()) for of, model in self._blank.items()]
        return {
            f"{of}.{name}": tuple(tensor.shape)
            for of, tensors in buffers
            for name, tensor in tensors
        }

    @property
    def _spare(self) -> dict[str, tuple[str, ...]]:
        """What the files of each component may have beside its weights."""
        return {f"{component}.": spare_of(model) for component, model in self._blank.items()}

    @cached_property
    def _base(self) -> Seeds:
        base = self._found_base
        for component in self._bred:
            as_setting_error("base", lambda: check_alike([self._whole, base], component))  # noqa: B023
        as_setting_error(
            "base", lambda: check_predictions([*self._found, base], self.components or ())
        )
        return as_setting_error(
            "base",
            lambda: Seeds(
                [self._source(base), *self._seeds.sources], self._seeds.slots, spare=self._spare
            ),
        )

    @cached_property
    def _found_base(self) -> Pipeline:
        """Where everything of a method's base is."""
        return as_setting_error("base", lambda: Pipeline.find(self.base or ""))

    def _source(self, seed: Pipeline) -> Bred:
        return Bred(
            seed.pinned,
            {component: seed.weights(component, self.variant) for component in self._bred},
        )

    @cached_property
    def _scheduler(self) -> Any:
        """The scheduler that was asked for, if one was, with the settings of the pipeline's own."""
        if self.scheduler is None:
            return None
        import diffusers

        settings = self._others.get(SCHEDULER, self._whole).config(
            SCHEDULER, f"{SCHEDULER}_config.json"
        )
        own = getattr(diffusers, settings["_class_name"]).from_config(settings)
        fitting = {kind.__name__: kind for kind in (type(own), *own.compatibles)}
        if type(own).__name__.startswith(FLOW):  # these say nothing of each other
            fitting |= {
                name: getattr(diffusers, name) for name in dir(diffusers) if name.startswith(FLOW)
            }
        if self.scheduler not in fitting:
            raise ValueError(
                f"scheduler: expected one that takes the settings of a {type(own).__name__} ({', '.join(sorted(fitting))}), "
                f"got {self.scheduler!r}"
            )
        return fitting[self.scheduler].from_config(settings)

    @cached_property
    def _resident(self) -> Any:
        from diffusers import DiffusionPipeline

        seed = self._whole
        given: dict[str, Any] = dict.fromkeys(seed.lacks)
        for name, other in self._others.items():
            given[name] = as_setting_error(
                "components", lambda: other.load(name, self._dtype, self.variant)
            )  # noqa: B023
        if CHECKER in seed.index and not self.safety_checker:
            given |= {CHECKER: None, "requires_safety_checker": False}
        mine = [name for name in seed.components if given.get(name, ...) is ...]
        seed.fetch(mine, self.variant)
        try:
            with quiet("diffusers", "transformers"), silenced(), seed.loadable() as folder:
                pipeline = DiffusionPipeline.from_pretrained(
                    folder, dtype=self._dtype, variant=self.variant, use_safetensors=True,
                    trust_remote_code=self.trust_remote_code, **given,
                )  # fmt: skip
        except Exception as error:  # whatever it stumbles on, it is this pipeline
            raise ValueError(
                f"seeds: {seed.name}: diffusers cannot load it: {line(error)}"
            ) from None
        if self._scheduler is not None:
            pipeline.scheduler = self._scheduler
        moved(pipeline, self._device)
        # parameters keep their requires_grad, on which torch's choice of a kernel, and so a last bit, can depend
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @cached_property
    def _slots(self) -> dict[str, torch.Tensor]:
        return {
            f"{component}.{name}": tensor
            for component in self._bred
            for name, tensor in slots_of(getattr(self._resident, component)).items()
            if f"{component}.{name}" in self._seeds.slots
        }
