"""Any torch module as a species: its genome is all of its floating-point parameters and buffers as one vector."""

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
from populations.express.resident import OnFirstUse, check_device, ready, slots_of
from populations.seeds.checkpoints import Checkpoint
from populations.seeds.safetensors_headers import read_header

ELEMENTWISE = (
    nn.ReLU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.ELU,
    nn.LeakyReLU,
    nn.Identity,
    nn.Dropout,
)

NARROW = 32
"""Outputs below which a linear layer is faster with the batch as its last dimension."""

Chain = list[tuple[str, nn.Module]]


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
            seeds: the founders: two or more safetensors files, each a state dict of the module; or "random".
            count: random founders, at least 2.
            sd: random founders draw every number from a normal distribution of this standard deviation; None keeps the
                initialisation of `build`.
            order: the axis: "flat", the order of the state dict, or "unit", hidden unit by hidden unit.
            layout: on the flat axis, how matrices lie: as "stored" or "by_input".
            cut: on the flat axis, before what splits may fall: any "element", a "row", a "tensor" or a "layer" (`Axis.flat`).
            chromosomes: on the flat axis, name to regular expression over tensor names.
            layers: on the unit axis, for each hidden layer the tensors whose rows and the tensors whose columns belong to its
                units (`Axis.unit`). None reads them off an nn.Sequential of linear and elementwise layers.
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
        if order == "unit" and (layout != "stored" or cut != "element" or chromosomes):
            raise ValueError(
                "order: layout, cut and chromosomes are settings of the flat axis; the unit axis has its own"
            )
        if order == "flat" and layers is not None:
            raise ValueError("layers: belongs to order: unit")
        self.build, self.count, self.sd = build, count, sd
        self.seeds: str | Sequence[Path] = seeds
        self.order, self.layout, self.cut, self.chromosomes, self.layers = (
            order,
            layout,
            cut,
            chromosomes,
            layers,
        )
        self.device = device

    @cached_property
    def _module(self) -> nn.Module:
        """The one resident module."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(
                0
            )  # its initial weights are overwritten, but may not disturb the caller's random state
            module = ready(self.build().float())
        integers = {
            name: tensor
            for name, tensor in module.state_dict().items()
            if not tensor.is_floating_point()
        }
        if integers and not isinstance(self.seeds, str):  # the first seed's are everybody's
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
    def _flat(self) -> torch.Tensor:
        """(P,) the resident module's numbers, in the order of the state dict; its tensors are views of this one."""
        flat = torch.cat([slot.detach().reshape(-1) for slot in self._slots.values()])
        for slot, part in zip(
            self._slots.values(),
            flat.split([slot.numel() for slot in self._slots.values()]),
            strict=True,
        ):
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
        return Axis.unit(
            shapes, self.layers if self.layers is not None else hidden_layers(self._module)
        )

    @cached_property
    def _inverse(self) -> np.ndarray | None:
        """(P,) where on the axis each position of the state dict lies; None if in the same place."""
        return None if self.axis.order is None else np.argsort(self.axis.order)

    def founders(self, rng: np.random.Generator) -> list[Weights]:
        """As `Population.founders`.

        Raises:
            FileNotFoundError: if a seed is missing.
            ValueError: if a seed is not safetensors, or is the state dict of another module.
        """
        if not isinstance(self.seeds, str):
            return [
                self.genome(read_state(Path(path).expanduser(), self._slots)) for path in self.seeds
            ]
        return [self._random(child) for child in rng.spawn(self.count)]

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
        flat = torch.cat(
            [state[name].detach().to("cpu", torch.float32).reshape(-1) for name in self._slots]
        ).numpy()
        return Weights(flat if self.axis.order is None else flat[self.axis.order])

    def state(self, genome: Weights) -> dict[str, torch.Tensor]:
        """A genome as a state dict of the module, without its integer buffers."""
        parts = (
            torch.from_numpy(self._stored(genome))
            .clone()
            .split([slot.numel() for slot in self._slots.values()])
        )
        return {
            name: part.view(slot.shape)
            for (name, slot), part in zip(self._slots.items(), parts, strict=True)
        }

    def express(self, genome: Weights) -> nn.Module:
        """As `Population.express`: in place, in the one resident module."""
        self._flat.copy_(torch.from_numpy(self._stored(genome)))
        return self._module

    def express_many(self, genomes: Sequence[Weights]) -> Stack:
        """W genomes as one stack, in place: it takes inputs (B, ...) and gives outputs (W, B, ...)."""
        if len(genomes) not in self._stacks:
            self._stacks[len(genomes)] = Stack(self._module, self._slots, len(genomes))
        stack = self._stacks[len(genomes)]
        stack.only(range(len(genomes)))
        for place, genome in enumerate(genomes):
            stack.load(place, self._stored(genome))
        return stack

    def save(self, genome: Weights, directory: Path) -> None:
        """As `Population.save`: model.safetensors, which `nn.Module.load_state_dict` takes."""
        from safetensors.torch import save_file

        state = self.express(genome).state_dict()
        save_file(
            {name: tensor.clone().contiguous() for name, tensor in state.items()},
            str(directory / "model.safetensors"),
        )

    def _stored(self, genome: Weights) -> np.ndarray:
        """A genome's numbers in the order of the state dict."""
        return genome.vector if self._inverse is None else genome.vector.take(self._inverse)

    def _random(self, rng: np.random.Generator) -> Weights:
        if self.sd is not None:
            return Weights(
                rng.standard_normal(self.axis.size, dtype=np.float32) * np.float32(self.sd)
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            return self.genome(self.build().state_dict())


class Stack:
    """W modules of one kind with different weights, resident and run together: inputs (B, ...) to outputs (W, B, ...).

    Attributes:
        device: where they are.
    """

    def __init__(self, module: nn.Module, slots: Mapping[str, torch.Tensor], width: int) -> None:
        """Makes room for the weights of `width` modules such as `module`, whose tensors `slots` names."""
        self.device = next(iter(slots.values())).device
        self._width, self._places, self._module = width, list(range(width)), module
        self._tensors = {
            name: torch.empty((width, *slot.shape), device=self.device)
            for name, slot in slots.items()
        }
        rows = [tensor.view(width, -1) for tensor in self._tensors.values()]
        self._rows = [row.numpy() if row.device.type == "cpu" else row for row in rows]
        self._chain = linear_chain(module)
        if self._chain is not None and any(
            f"{n}.{p}" not in slots for n, layer in self._chain for p, _ in layer.named_parameters()
        ):
            self._chain = None  # tied

    def load(self, place: int, vector: np.ndarray) -> None:
        """Makes (P,) numbers, in the order of the state dict, the weights of one of the modules."""
        start = 0
        for rows in self._rows:
            numbers = vector[start : start + rows.shape[1]]
            if isinstance(rows, np.ndarray):
                rows[place] = numbers
            else:
                rows[place].copy_(torch.from_numpy(numbers))
            start += rows.shape[1]

    def only(self, places: Sequence[int]) -> None:
        """Narrows the stack to the modules at these of its places, or widens it again; what each computes stays the same."""
        self._places = list(places)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of every module for the same inputs."""
        chain = self._chain is not None and inputs.dim() == 2
        if chain and self.device.type == "cpu":
            return torch.stack([self._alone(place, inputs) for place in self._places])
        # always at full width, since in floating point company can change a number
        outputs = self._at_once(inputs) if chain else self._mapped(inputs)
        return outputs if len(self._places) == self._width else outputs[self._places]

    def _mapped(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of all modules, whatever they compute."""
        if self._width == 1:  # not every module can be vmapped
            alone = {name: tensor[0] for name, tensor in self._tensors.items()}
            return torch.func.functional_call(self._module, alone, (inputs,))[None]
        run = torch.func.vmap(
            lambda tensors: torch.func.functional_call(self._module, tensors, (inputs,))
        )
        return run(dict(self._tensors))

    def _at_once(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of all modules, each a chain of linear layers, in one product for each layer."""
        hidden = inputs.T.expand(self._width, -1, -1)
        for layer, parameters in self._layers:
            if not parameters:
                hidden = layer.forward(hidden)
            elif len(parameters) == 1:
                hidden = torch.bmm(parameters[0], hidden)
            else:
                hidden = torch.baddbmm(parameters[1][:, :, None], parameters[0], hidden)
        return hidden.transpose(1, 2).contiguous()

    def _alone(self, place: int, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of one chain of linear layers, so that all of its numbers stay in the processor's cache.

        The batch is the last dimension, (features, B), with which a narrow last layer is fastest.
        """
        hidden = inputs
        for layer, parameters in self._layers:
            if isinstance(layer, nn.ReLU):
                hidden = hidden.relu_()
            elif not parameters:
                hidden = layer.forward(hidden)
            elif parameters[0].shape[1] >= NARROW:
                hidden = nn.functional.linear(hidden, *(tensor[place] for tensor in parameters))
            elif len(parameters) == 1:
                hidden = torch.mm(parameters[0][place], hidden.T).T
            else:
                hidden = torch.addmm(
                    parameters[1][place][:, None], parameters[0][place], hidden.T
                ).T
        return hidden

    @cached_property
    def _layers(self) -> list[tuple[nn.Module, list[torch.Tensor]]]:
        """The chain's layers, each with its stacked weight and, if there is one, bias; with none if it is elementwise."""
        assert self._chain is not None
        return [
            (layer, [self._tensors[f"{name}.{part}"] for part, _ in layer.named_parameters()])
            for name, layer in self._chain
        ]


def linear_chain(module: nn.Module) -> Chain | None:
    """The layers of an nn.Sequential that begins with a linear layer and has only linear and elementwise ones; else None."""
    if type(module).forward is not nn.Sequential.forward:
        return None
    layers = [(name, layer) for name, layer in module._modules.items() if layer is not None]
    plain = all(type(layer) in (nn.Linear, *ELEMENTWISE) for _, layer in layers)
    return layers if plain and layers and isinstance(layers[0][1], nn.Linear) else None


def hidden_layers(module: nn.Module) -> list[tuple[list[str], list[str]]]:
    """For each hidden layer of a linear chain the tensors whose rows, and those whose columns, belong to its units.

    Raises:
        ValueError: if the module is not such a chain, or has no hidden layer.
    """
    chain = linear_chain(module)
    linear = [(name, layer) for name, layer in chain or [] if isinstance(layer, nn.Linear)]
    if len(linear) < 2:
        raise ValueError("layers: the unit axis reads hidden layers off an nn.Sequential of two or more linear layers; "
                         f"for this {type(module).__name__} name them")  # fmt: skip
    hidden = []
    for index, (name, layer) in enumerate(linear[:-1]):
        rows = [f"{name}.weight"] + ([f"{name}.bias"] if layer.bias is not None else [])
        hidden.append((rows, [f"{linear[-1][0]}.weight"] if index == len(linear) - 2 else []))
    return hidden


def read_state(path: Path, wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The wanted tensors from a safetensors file, checked against those that they have to fill.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a safetensors file, or its names, shapes or numbers do not fit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"seeds: expected a safetensors file, there is no file {path}")
    try:
        checkpoint = Checkpoint(path.parent, read_header(path))
    except ValueError as error:
        raise ValueError(f"seeds: {error}") from None
    for name, slot in wanted.items():
        entry = checkpoint.entries.get(name)
        if entry is None or entry.shape != tuple(slot.shape):
            got = (
                f"it has {_few(list(checkpoint.entries))}"
                if entry is None
                else f"got {entry.shape}"
            )
            raise ValueError(
                f"seeds: {path}: expected {name!r} of shape {tuple(slot.shape)}, {got}"
            )
    state = {name: checkpoint.tensor(name) for name in wanted}
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"seeds: {path}: {name!r} has numbers that are not finite")
    return state


def _few(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
