"""Any torch module as a species.

Its genome is all of its floating-point parameters and buffers as one vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from evomerge.genome.axis import Axis, FlatCut, Layout
from evomerge.genome.weights import Weights
from populations.express.resident import ready, slots_of
from populations.linear_chains import hidden_layers
from populations.settings.errors import check_device
from populations.settings.on_first_use import OnFirstUse
from populations.stacks import Stack
from populations.state_files import read_state


class Modules(OnFirstUse):
    """A population of one torch module with different weights."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        seeds: Literal["random"] | Sequence[Path] = "random",
        *,
        count: int = 2,
        sd: float | None = None,
        order: Literal["flat", "unit"] = "flat",
        layout: Layout = "stored",
        cut: FlatCut = "element",
        chromosomes: Mapping[str, str] | None = None,
        layers: Sequence[tuple[Sequence[str], Sequence[str]]] | None = None,
        device: str = "cpu",
    ) -> None:
        """Settings only; the module is built on first use.

        Args:
            build: makes the module.
            seeds: the founders: two or more safetensors files, each a state dict of the module; or
                "random".
            count: random founders, at least 2.
            sd: random founders draw every number from a normal distribution of this standard
                deviation; None keeps the initialisation of `build`.
            order: the axis: "flat", the order of the state dict, or "unit", hidden unit by hidden
                unit.
            layout: on the flat axis, how matrices lie: as "stored" or "by_input".
            cut: on the flat axis, before what splits may fall: any "element", a "row", a "tensor"
                or a "layer" (`Axis.flat`).
            chromosomes: on the flat axis, name to regular expression over tensor names.
            layers: on the unit axis, for each hidden layer the tensors whose rows and the tensors
                whose columns belong to its units (`Axis.unit`). None reads them off an
                nn.Sequential of linear and elementwise layers.
            device: where models run.

        Raises:
            ValueError: if a setting is out of its range, or belongs to the other axis.
        """
        if count < 2:
            raise ValueError(f"count: expected at least 2 founders, got {count}")
        if order not in ("flat", "unit"):
            raise ValueError(f"order: expected 'flat' or 'unit', got {order!r}")
        if isinstance(seeds, str) and seeds != "random":
            raise ValueError(f"seeds: expected 'random' or files, got {seeds!r}")
        if not isinstance(seeds, str) and len(seeds) < 2:
            raise ValueError(f"seeds: expected at least 2 files, got {len(seeds)}")
        if sd is not None and not (np.isfinite(sd) and sd >= 0):
            raise ValueError(f"sd: expected a finite number of at least 0, got {sd}")
        check_device(device)
        # A setting that nothing reads would be taken for one that works.
        if order == "unit" and (layout != "stored" or cut != "element" or chromosomes):
            raise ValueError(
                "order: layout, cut and chromosomes are settings of the flat axis; "
                "the unit axis has its own"
            )
        if order == "flat" and layers is not None:
            raise ValueError("layers: belongs to order: unit")
        self.build = build
        self.seeds: str | Sequence[Path] = seeds
        self.count = count
        self.sd = sd
        self.order = order
        self.layout = layout
        self.cut = cut
        self.chromosomes = chromosomes
        self.layers = layers
        self.device = device

    @cached_property
    def _module(self) -> nn.Module:
        """The one resident module."""
        # Its initial weights are overwritten, but drawing them may not disturb the caller's
        # random state. With a seed the module is the same in every process.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = ready(self.build().float())
        # Integers, such as the count of a batch normalisation, cannot be bred: the first seed's
        # are everybody's.
        integers = {}
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                integers[name] = tensor
        if integers and not isinstance(self.seeds, str):
            for name, tensor in read_state(Path(self.seeds[0]).expanduser(), integers).items():
                integers[name].copy_(tensor)
        return module.to(self.device)

    @cached_property
    def _stacks(self) -> dict[int, Stack]:
        """The resident stacks by width."""
        return {}

    @cached_property
    def _slots(self) -> dict[str, torch.Tensor]:
        return slots_of(self._module)

    @cached_property
    def _sizes(self) -> list[int]:
        """How many numbers each tensor has, in the order of the state dict."""
        return [slot.numel() for slot in self._slots.values()]

    @cached_property
    def _flat(self) -> torch.Tensor:
        """(P,) the resident module's numbers, in the order of the state dict.

        The module's tensors are views of it, so that one copy fills them all.
        """
        flat = torch.cat([slot.detach().reshape(-1) for slot in self._slots.values()])
        for slot, part in zip(self._slots.values(), flat.split(self._sizes), strict=True):
            slot.data = part.view(slot.shape)
        return flat

    @cached_property
    def axis(self) -> Axis:
        """As `Population.axis`.

        Raises:
            ValueError: as `Axis.flat` and `Axis.unit`.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in self._slots.items()}
        if self.order == "flat":
            return Axis.flat(shapes, chromosomes=self.chromosomes, layout=self.layout, cut=self.cut)
        if self.layers is not None:
            return Axis.unit(shapes, self.layers)
        return Axis.unit(shapes, hidden_layers(self._module))

    @cached_property
    def _inverse(self) -> np.ndarray | None:
        """(P,) where on the axis each number of the state dict is; None if in the same place."""
        if self.axis.order is None:
            return None
        return np.argsort(self.axis.order)

    def founders(self, rng: np.random.Generator) -> list[Weights]:
        """As `Population.founders`.

        Raises:
            FileNotFoundError: if a seed is missing.
            ValueError: if a seed is not safetensors, or is the state dict of another module.
        """
        if isinstance(self.seeds, str):
            return [self._random(child) for child in rng.spawn(self.count)]
        founders = []
        for path in self.seeds:
            founders.append(self.genome(read_state(Path(path).expanduser(), self._slots)))
        return founders

    def immigrant(self, rng: np.random.Generator) -> Weights:
        """A new random founder, for a run that is under way.

        Raises:
            ValueError: if founders are not random.
        """
        if self.seeds != "random":
            raise ValueError(
                f"expected a population of random founders, its seeds are {self.seeds}"
            )
        return self._random(rng)

    def genome(self, state: Mapping[str, torch.Tensor]) -> Weights:
        """A state dict of the module as a genome."""
        parts = []
        for name in self._slots:
            parts.append(state[name].detach().to("cpu", torch.float32).reshape(-1))
        flat = torch.cat(parts).numpy()  # (P,)
        if self.axis.order is None:
            return Weights(flat)
        return Weights(flat[self.axis.order])

    def state(self, genome: Weights) -> dict[str, torch.Tensor]:
        """A genome as a state dict of the module, without its integer buffers."""
        # A copy: who changes the state dict must not change the genome.
        parts = torch.from_numpy(self._stored(genome)).clone().split(self._sizes)
        state = {}
        for (name, slot), part in zip(self._slots.items(), parts, strict=True):
            state[name] = part.view(slot.shape)
        return state

    def express(self, genome: Weights) -> nn.Module:
        """As `Population.express`: in place, in the one resident module."""
        self._flat.copy_(torch.from_numpy(self._stored(genome)))
        return self._module

    def express_many(self, genomes: Sequence[Weights]) -> Stack:
        """W genomes as one stack, in place: it takes inputs (B, ...) to outputs (W, B, ...)."""
        width = len(genomes)
        if width not in self._stacks:
            self._stacks[width] = Stack(self._module, self._slots, width)
        stack = self._stacks[width]
        # The call before may have left it narrowed.
        stack.only(range(width))
        for place, genome in enumerate(genomes):
            stack.load(place, self._stored(genome))
        return stack

    def save(self, genome: Weights, directory: Path) -> None:
        """As `Population.save`: model.safetensors, which `nn.Module.load_state_dict` takes."""
        from safetensors.torch import save_file

        # Tied tensors share memory, as the views of `_flat` do, which safetensors refuses.
        state = {}
        for name, tensor in self.express(genome).state_dict().items():
            state[name] = tensor.clone().contiguous()
        save_file(state, str(directory / "model.safetensors"))

    def _stored(self, genome: Weights) -> np.ndarray:
        """(P,) a genome's numbers in the order of the state dict."""
        if self._inverse is None:
            return genome.vector
        return genome.vector.take(self._inverse)

    def _random(self, rng: np.random.Generator) -> Weights:
        """A founder with random weights."""
        if self.sd is not None:
            draws = rng.standard_normal(self.axis.size, dtype=np.float32)
            return Weights(draws * np.float32(self.sd))
        # The initialisation of `build` draws from torch's global state.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            return self.genome(self.build().state_dict())
