"""What populations of merged checkpoints share.

Genomes are recipes over the seeds, and are expressed in the one resident model.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from evomerge.genome.axis import Axis, FlatCut
from evomerge.genome.grams import Grams
from evomerge.genome.recipe import Recipe
from populations.dtypes import Dtype, warn_if_emulated
from populations.express.combine import express
from populations.method_merging import Inputs, Merging, copies_kept, merging
from populations.method_ranges import spread
from populations.methods import Method
from populations.seeds.digests import digests
from populations.seeds.model_cards import Model, origins
from populations.seeds.seed_devices import Place
from populations.seeds.seeds import Seeds
from populations.settings.errors import check_choice, check_device
from populations.settings.on_first_use import OnFirstUse
from populations.units import Units, unit_axis

log = logging.getLogger(__name__)

Order = Literal["flat", "unit"]


class Merged(OnFirstUse, ABC):
    """Checkpoints of one architecture, whose children are recipes over them.

    A species says where its seeds are, and what is resident; the rest is here.
    """

    def __init__(
        self,
        seeds: Sequence[str | Path],
        *,
        base: str | Path | None,
        method: Method | None,
        order: Order,
        cut: FlatCut,
        chromosomes: Mapping[str, str] | None,
        units: Sequence[Units] | None,
        dtype: Dtype,
        device: str,
        seed_device: Place,
    ) -> None:
        """Settings only, as the species explains them.

        Raises:
            ValueError: if a setting is out of its range, or belongs to the other axis.
        """
        if isinstance(seeds, str) or len(seeds) < 2:
            raise ValueError(f"seeds: expected at least 2 models, got {seeds!r}")
        check_choice("order", order, Order)
        check_choice("dtype", dtype, Dtype)
        check_choice("seed_device", seed_device, Place)
        # A setting that nothing reads would be taken for one that works.
        if order == "unit" and (cut != "tensor" or chromosomes):
            raise ValueError(
                "order: cut and chromosomes are settings of the flat axis; "
                "the unit axis has its own"
            )
        if method is not None:
            # A method sees whole tensors, so no stretch may begin inside one.
            if order == "unit" or cut not in ("tensor", "layer"):
                raise ValueError(
                    f"method: {method.name} merges whole tensors; "
                    "choose order: flat and cut: tensor or layer"
                )
            try:
                method.check(len(seeds), base is not None)
            except ValueError as error:
                raise ValueError(f"method: {error}") from None
        if device != "auto":
            check_device(device)
        self.seeds = seeds
        self.base = base
        self.method = method
        self.order = order
        self.cut = cut
        self.chromosomes = chromosomes
        self.units = units
        self.dtype = dtype
        self.device = device
        self.seed_device = seed_device

    @cached_property
    @abstractmethod
    def _seeds(self) -> Seeds:
        """The seeds' headers, checked against the model that their config describes.

        No weight is read for it.
        """

    @cached_property
    @abstractmethod
    def _base(self) -> Seeds:
        """The base, and the seeds behind it, which lend it the rows that it lacks."""

    @cached_property
    @abstractmethod
    def _resident(self) -> Any:
        """What a fitness gets: the one resident model."""

    @cached_property
    @abstractmethod
    def _slots(self) -> Mapping[str, torch.Tensor]:
        """What a recipe fills of it, by name."""

    @abstractmethod
    def _number(self, name: str, tensor: str) -> Any:
        """A number of this name that the architecture has for the layer of a tensor, or None."""

    @property
    def _chromosomes(self) -> Mapping[str, str] | None:
        """The chromosomes of the flat axis."""
        return self.chromosomes

    @property
    @abstractmethod
    def _units(self) -> Sequence[Units]:
        """The units of the unit axis."""

    @abstractmethod
    def _models(self) -> tuple[list[Model], list[Model]]:
        """Where each seed is, and what else is in the members' weights.

        Returns:
            The seeds; the bases of adapters, and of a method.
        """

    def card(self) -> dict[str, Any]:
        """What a member's model card says, in the hub's words.

        It has what is known (`origins`) of each seed, and of what else is in the weights.
        """
        seeds, others = self._models()
        # An adapter's base may be a seed, too, and several adapters may have the same one.
        beside = []
        for model in dict.fromkeys(others):
            if model not in seeds:
                beside.append(model)
        known = origins([*seeds, *beside])
        return {"tags": ["merge"], "seeds": known[: len(seeds)], "others": known[len(seeds) :]}

    @property
    def linear(self) -> bool:
        """Whether genomes may be crossed linearly only.

        SLERP has no meaning where coefficients are the weights of a method.
        """
        return self.method is not None

    @cached_property
    def axis(self) -> Axis:
        """As `Population.axis`. Everything that headers and configs can tell is checked here.

        Raises:
            FileNotFoundError: if a seed, or a file of it, is missing.
            ImportError: if a library that the species needs is not installed.
            ValueError: if the seeds are not of one architecture and shape, or the axis does not
                fit them.
        """
        shapes = {name: slot.shape for name, slot in self._seeds.slots.items()}
        # The base is not needed for the axis. What is wrong with it is said before a run begins.
        if self._takes_base:
            _ = self._base
        if self.order == "flat":
            return Axis.flat(shapes, chromosomes=self._chromosomes, cut=self.cut)
        return unit_axis(shapes, self._units, self._number)

    @cached_property
    def grams(self) -> Grams:
        """The seeds' Gram matrices along the axis, taken once.

        Raises:
            ValueError: if a seed has numbers that are not finite.
        """
        return self._kept.grams(self.axis)

    def restore_grams(self, units: np.ndarray) -> None:
        """Takes Gram matrices of an earlier run, instead of reading every seed.

        Args:
            units: (U, K, K) float64, as `grams.units` gave them.

        Raises:
            ValueError: if they are not of this axis and so many seeds.
        """
        count = 0
        for bounds in self.axis.unit_bounds:
            count += len(bounds) - 1
        expected = (count, len(self.seeds), len(self.seeds))
        if units.shape != expected:
            raise ValueError(f"grams: expected shape {expected}, got {units.shape}")
        # Only a split inside a tensor reads the seeds, so `_kept` waits until then.
        self.grams = Grams(self.axis, units, lambda name, entries: self._kept.front(name, entries))

    def founders(self, rng: np.random.Generator) -> list[Recipe]:
        """As `Population.founders`: each seed by itself.

        The numbers of a method that are searched are spread evenly over their ranges, and drawn
        which founder has which.

        Raises:
            ValueError: as `grams`.
        """
        # A run begins here, and what begins here may take days.
        warn_if_emulated(self._dtype, self._device)
        # Taking them reads every number of every seed, and so finds what is not finite.
        _ = self.grams
        count = len(self.seeds)
        founders = [Recipe.seed(index, count, self.axis.size) for index in range(count)]
        if self.method is None or not self.method.ranges:
            return founders
        rows = spread(len(self.method.ranges), count, rng)
        return [replace(one, settings=row) for one, row in zip(founders, rows, strict=True)]

    def settings_of(self, genome: Recipe) -> dict[str, float]:
        """The numbers of the method that a member has of its own, by name.

        Raises:
            ValueError: if the genome has not one for each that is searched.
        """
        if self.method is None:
            return {}
        return self.method.numbers(genome.settings.tolist())

    def express(self, genome: Recipe) -> Any:
        """As `Population.express`: in place, in the one resident model."""
        if self.method is None:
            express(self._slots, self._kept.factored, genome, self.axis)
        else:
            self._merge(genome, self.method.at(genome.settings.tolist()))
        return self._resident

    def footprint(self) -> dict[str, Any]:
        """Bytes of the seeds (`Seeds.nbytes`), of the resident model, and if it runs on a GPU.

        What a method keeps of the seeds counts among them. Headers alone are read for it.
        """
        size = sum(math.prod(slot.shape) for slot in self._seeds.slots.values())
        seeds = self._seeds.nbytes
        if self._takes_base:
            seeds += size * self._base.dtype.itemsize
        if self.method is not None and self.seed_device != "disk":
            width = self._dtype.itemsize
            seeds += round(copies_kept(self.method, len(self.seeds), width) * size * width)
        return {
            "seeds": seeds,
            "model": size * self._dtype.itemsize,
            "gpu": self._device.startswith("cuda"),
        }

    def sources(self) -> list[dict[str, Any]]:
        """Name and SHA-256 of each seed, and of the base if a method has one.

        Files are read once for it.
        """
        return self._sources

    @cached_property
    def _sources(self) -> list[dict[str, Any]]:
        sources = list(self._seeds.sources)
        # A base that nothing takes differences to is in no member's weights.
        if self._takes_base:
            sources.append(self._base.sources[0])
        named: list[dict[str, Any]] = []
        for source, sha256 in zip(sources, digests(sources), strict=True):
            named.append({"name": source.name, "sha256": sha256})
        for entry in named[len(self.seeds) :]:
            entry["base"] = True
        return named

    @torch.no_grad()
    def _merge(self, genome: Recipe, method: Method) -> None:
        """Fills the resident model by one of mergekit's methods, tensor by tensor, in its type."""
        for placement in self.axis.placements(genome.bounds):
            # The constructor lets a method have whole tensors only, each in a single stretch.
            weights = genome.coefficients[placement.stretches[0]]  # (K,)
            slot = self._slots[placement.tensor]
            self._merging.merge(method, placement.tensor, slot, weights)

    @cached_property
    def _merging(self) -> Merging:
        """How the method fills the resident model."""
        assert self.method is not None
        release = self._seeds.release
        return merging(
            self.method, self._slots, len(self.seeds), self.seed_device, self._inputs, release
        )

    def _inputs(self, name: str) -> Inputs:
        """What a method merges of one tensor."""
        base = None
        if self._takes_base:
            base = self._base.tensors(name)[0]
        return Inputs(base, self._kept.tensors(name))

    @cached_property
    def _kept(self) -> Seeds:
        """The seeds, where they are kept from now on."""
        # What a method keeps takes the seeds' place, so its room is sought before they have it.
        if self.method is not None:
            _ = self._merging
        # It depends on how much memory there is, and how fast a birth is on it, so the log has it.
        place = self._seeds.keep(self._slots, self.seed_device)
        line = "%d seeds of %d parameters are kept on: %s (%.0f MB)"
        log.info(line, len(self.seeds), self.axis.size, place, self._seeds.nbytes / 1e6)
        return self._seeds

    @property
    def _takes_base(self) -> bool:
        """Whether the base is in the members' weights: some methods need one, others may have one.

        Without a method nothing takes it.
        """
        return self.method is not None and self.base is not None and self.method.takes_base

    @property
    def _dtype(self) -> torch.dtype:
        """The resident model's type."""
        if self.dtype == "auto":
            return self._seeds.dtype
        return getattr(torch, self.dtype)

    @property
    def _device(self) -> str:
        """Where the resident model runs."""
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"
