"""mergekit's merge methods that take a weight for each input: a recipe's coefficients are the weights, so the search drives them.

mergekit is the authority on what a merge means: tensors go through its own in-memory functions, and which methods there are,
what they take and what they need is read from its registry. docs/methods.md lists them.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

SEARCHED = "searched"
"""A method that takes a weight for each seed."""

SINGLE = "single child"
"""A method without weights: it makes one child of its seeds, and leaves nothing to search."""

WEIGHT = "weight"
"""What mergekit calls the parameter that the search sets."""

DEFAULTS = {"normalize": False, "normalize_weights": False}
"""Where they are not mergekit's: weights count as they are; divided by a sum near 0, as ratios beyond [0, 1] make it, they do not."""

SHARES = ("density", "gamma", "select_topk")
"""Parameters that are a share of a tensor's numbers; mergekit takes any number for them, a percentage too."""


def methods() -> dict[str, str]:
    """Every merge method that mergekit registers, by name: `SEARCHED`, `SINGLE`, or why it cannot be had.

    Raises:
        ImportError: if mergekit is not installed.
    """
    return {method.spec.name: _kind(method.spec) for method in _mergekit().registered_methods()}


@dataclass(frozen=True)
class Method:
    """One of mergekit's merge methods.

    Attributes:
        name: as mergekit has it: linear, task_arithmetic, ties, dare_ties, della, ...
        parameters: its other settings (density, epsilon, lambda, ...) by mergekit's names; where mergekit has one for each input,
            a value for all seeds or a list of one for each. What is left out is as mergekit has it, except that weights are not
            normalised; and density must be given where it matters, because mergekit's drops nothing.
        seed: of random drops. They depend on it and on the tensor's name alone, so all children share them.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def needs_base(self) -> bool:
        """Whether the method merges differences from a base."""
        return self._method.spec.contract.base == "required"

    def check(self, seeds: int, base: bool, *, searched: bool = True) -> None:
        """Checks all that can be known before a weight is read; at the end by a trial on small tensors.

        Args:
            seeds: how many there are, the base not counted.
            base: whether there is a base.
            searched: whether the method is for `merge`, which takes a weight for each seed, or for `single`.

        Raises:
            ValueError: if there is no such method, or it is of the other kind; if a parameter is unknown, missing, or of the
                wrong type or size; if the method needs a base, or another number of seeds.
            ImportError: if mergekit is not installed.
        """
        known = methods()
        if self.name not in known:
            raise ValueError(
                f"name: mergekit has no merge method {self.name!r}{_nearest(self.name, known)}"
            )
        kind = known[self.name]
        if kind != (SEARCHED if searched else SINGLE):
            words = {
                SEARCHED: "takes a weight for each seed: it is searched, and has no single child",
                SINGLE: "takes no weight for each seed, so there is nothing to search: it makes a single child",
            }
            raise ValueError(f"name: {self.name} {words.get(kind, kind)}")
        if self.needs_base and not base:
            raise ValueError(
                f"name: {self.name} merges differences from a base, and there is no base"
            )
        self._check_parameters()
        draw = torch.Generator().manual_seed(0)
        first, *others = (torch.randn(8, 16, generator=draw) for _ in range(seeds + 1))
        weights = {WEIGHT: [1.0 / len(others) for _ in others]} if searched else {}
        child = self._run(
            f"{seeds} seeds{' and a base' if base else ''}",
            None,
            others,
            weights,
            first if base else None,
        )
        if not child.isfinite().all():
            raise ValueError(
                f"parameters: {self.name} with {dict(self.parameters)} makes weights that are not finite"
            )

    def merge(
        self,
        tensor: str,
        seeds: Sequence[torch.Tensor],
        coefficients: Iterable[float],
        base: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The child's tensor; torch's random state stays as it is.

        Args:
            tensor: its name.
            seeds: (K,) tensors of one shape, on one device.
            coefficients: (K,) the weights.
            base: the base's tensor; methods that know no base leave it out.

        Returns:
            The merged tensor, in the seeds' type. mergekit computes in the type to which seeds and base promote, `linear` in
            float32 at least: seeds in float32 lose nothing on the way.

        Raises:
            ValueError: if mergekit cannot merge these.
        """
        weights = {WEIGHT: [float(weight) for weight in coefficients]}
        return self._run(f"tensor {tensor!r}", tensor, seeds, weights, base)

    def single(
        self, tensor: str, seeds: Sequence[torch.Tensor], base: torch.Tensor | None = None
    ) -> torch.Tensor:
        """As `merge`, for a method without weights."""
        return self._run(f"tensor {tensor!r}", tensor, seeds, {}, base)

    @property
    def _method(self) -> Any:
        return _mergekit().get(self.name)

    def _run(
        self,
        what: str,
        tensor: str | None,
        seeds: Sequence[torch.Tensor],
        weights: Mapping[str, Any],
        base: torch.Tensor | None,
    ) -> torch.Tensor:
        """Mergekit's own function on one tensor; `what` is for messages."""
        spec = self._method.spec
        inputs, base_index = list(seeds), None
        if base is not None and spec.contract.base in ("required", "optional"):
            inputs, base_index = [base, *seeds], 0
        defaults = {name: value for name, value in DEFAULTS.items() if name in _parameters(spec)}
        parameters = {**defaults, **self.parameters, **weights}
        try:
            with torch.no_grad(), _drops(self.seed, tensor, inputs):
                merged: torch.Tensor = _mergekit().merge_tensors(
                    inputs,
                    self.name,
                    parameters=parameters,
                    base_index=base_index,
                    name=tensor,
                    out_dtype=inputs[-1].dtype,
                )
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{self.name} of {what}: {error}") from error
        return merged

    def _check_parameters(self) -> None:
        """Checks names, types and shares, and that nothing is missing."""
        known = _parameters(self._method.spec)
        for name, value in self.parameters.items():
            if name == WEIGHT:
                raise ValueError("parameters: weight comes from the genome, it cannot be set")
            if name not in known:
                words = f"expected {', '.join(known)}" if known else "it has none"
                raise ValueError(
                    f"parameters: {self.name} has no {name!r}{_nearest(name, known)}; {words}"
                )
            listed = known[name].scope != "shared" and isinstance(value, list | tuple)
            for one in value if listed else [value]:
                _check_value(known[name], one)
        for name, parameter in known.items():
            if name not in self.parameters and parameter.required:
                raise ValueError(f"parameters: {self.name} needs {name}")
        if (
            getattr(self._method, "sparsification_method", None)
            and "density" not in self.parameters
        ):
            raise ValueError(
                f"parameters: {self.name} needs density, the share of numbers that it keeps of each seed, such as 0.5"
            )


def _mergekit() -> Any:
    try:
        from mergekit import merge_methods
    except ImportError as error:
        raise ImportError(
            "merge methods need the package mergekit: pip install 'evomerge[llm]'"
        ) from error
    return merge_methods


def _kind(spec: Any) -> str:
    """What a method is here, by what mergekit says that it takes."""
    if spec.name == "slerp":
        return "mixes two models by one ratio: this is crossover with angle: tensor, over any number of seeds"
    if spec.contract.max_inputs == 1:
        return "takes one model alone: there is nothing to merge"
    return (
        SEARCHED if any(parameter.name == WEIGHT for parameter in spec.input_parameters) else SINGLE
    )


def _parameters(spec: Any) -> dict[str, Any]:
    """A method's parameters by name, without the weights."""
    return {parameter.name: parameter for parameter in spec.parameters if parameter.name != WEIGHT}


def _check_value(parameter: Any, value: Any) -> None:
    """Checks type and range, for one input or for all."""
    words = {float: "a number", int: "a whole number", bool: "true or false"}
    try:
        checked = parameter.validate(value)
    except ValueError:
        expected = words.get(parameter.value_type, str(parameter.value_type))
        raise ValueError(
            f"parameters: {parameter.name}: expected {expected}, got {value!r}"
        ) from None
    if parameter.name in SHARES and not 0 <= checked <= 1:
        raise ValueError(
            f"parameters: {parameter.name}: expected a share from 0 to 1, got {value!r}"
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


@contextmanager
def _drops(seed: int, tensor: str | None, inputs: Sequence[torch.Tensor]) -> Iterator[None]:
    """What is drawn inside comes from the seed and the tensor's name; the random state of before comes back."""
    number = int.from_bytes(hashlib.sha256(f"{seed} {tensor}".encode()).digest()[:8], "little") >> 1
    gpus = sorted({tensor.device.index for tensor in inputs if tensor.device.type == "cuda"})
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(number)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(number)
        yield
