"""mergekit's merge methods that take a weight for each input.

A recipe's coefficients are the weights, so the search drives them. mergekit is the authority on
what a merge means: tensors go through its own in-memory functions, and which methods there are,
what they take and what they need is read from its registry. docs/methods.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from populations.magnitude_ranks import TRIMMING, ranks
from populations.method_kinds import OTHER_KIND, SEARCHED, SINGLE, mergekit, methods, takes_base
from populations.method_parameters import (
    WEIGHT,
    check_parameters,
    nearest_hint,
    parameters_of,
)
from populations.method_ranges import Range, corners, ranges_of, values_at
from populations.seeded_drops import seeded_drops
from populations.task_vectors import (
    TaskVector,
    differences,
    has_task_vectors,
    sparsified,
    task_vectors,
    without_dropping,
)

DEFAULTS = {"normalize": False, "normalize_weights": False}
"""Where they are not mergekit's: weights count as they are.

They are not divided by their sum, which ratios beyond [0, 1] can make nearly 0.
"""


@dataclass(frozen=True)
class Method:
    """One of mergekit's merge methods.

    Attributes:
        name: as mergekit has it: linear, task_arithmetic, ties, dare_ties, della, ...
        parameters: its other settings (density, epsilon, lambda, ...) by mergekit's names; where
            mergekit has one for each input, a value for all seeds or a list of one for each. A
            range such as {from: 0.2, to: 0.9} in the place of a number is searched. What is left
            out is as mergekit has it, except that weights are not normalised; and density must be
            given where it matters, because mergekit's drops nothing.
        seed: of random drops. They depend on it and on the tensor's name alone, so all children
            share them.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def needs_base(self) -> bool:
        """Whether the method merges differences from a base."""
        return self._method.spec.contract.base == "required"

    @property
    def takes_base(self) -> bool:
        """Whether a base counts if there is one, needed or not; else it is left out."""
        return takes_base(self._method)

    @property
    def ranges(self) -> list[Range]:
        """The parameters that are searched, in the order in which a genome has their settings."""
        return ranges_of(self.parameters)

    def at(self, settings: Sequence[float]) -> Method:
        """The method of a member, which has a number in the place of each range.

        Args:
            settings: for each of `ranges` where in it the number is, from 0 to 1.

        Raises:
            ValueError: if there are more or fewer than ranges.
        """
        # The method itself, and not a copy, where nothing of it is searched.
        if not len(settings) and not self.ranges:
            return self
        return replace(self, parameters=values_at(self.parameters, settings))

    def numbers(self, settings: Sequence[float]) -> dict[str, float]:
        """The numbers that a member has of its own, by name.

        Args:
            settings: as `at` takes them.

        Raises:
            ValueError: as `at`.
        """
        self.at(settings)
        pairs = zip(self.ranges, settings, strict=True)
        return {range_.label: range_.at(setting) for range_, setting in pairs}

    def check(self, seeds: int, base: bool, *, searched: bool = True) -> None:
        """Checks all that can be known before a weight is read.

        At the end it tries the method on small tensors.

        Args:
            seeds: how many there are, the base not counted.
            base: whether there is a base.
            searched: whether the method is for `merge`, which takes a weight for each seed, or for
                `single`.

        Raises:
            ValueError: if there is no such method, or it is of the other kind; if a parameter is
                unknown, missing, or of the wrong type or size; if the method needs a base, or
                another number of seeds.
            ImportError: if mergekit is not installed.
        """
        known = methods()
        if self.name not in known:
            guess = nearest_hint(self.name, known)
            raise ValueError(f"name: mergekit has no merge method {self.name!r}{guess}")
        kind = known[self.name]
        if kind != (SEARCHED if searched else SINGLE):
            raise ValueError(f"name: {self.name} {OTHER_KIND.get(kind, kind)}")
        if self.needs_base and not base:
            raise ValueError(
                f"name: {self.name} merges differences from a base, and there is no base"
            )
        drops = self._trimming is not None
        check_parameters(self.name, self._method.spec, self.parameters, needs_density=drops)
        if self.ranges and not searched:
            raise ValueError(
                f"parameters: {self.ranges[0].label}: expected a number, got a range: "
                "nothing is searched for a single child"
            )
        for settings in corners(self.parameters):
            self.at(settings)._check_trial(seeds, base, searched)

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
            The merged tensor, in the seeds' type. mergekit computes in the type to which seeds and
            base promote, `linear` in float32 at least: seeds in float32 lose nothing on the way.

        Raises:
            ValueError: if mergekit cannot merge these.
        """
        weights = {WEIGHT: [float(weight) for weight in coefficients]}
        return self._run(f"tensor {tensor!r}", tensor, seeds, weights, base)

    @property
    def has_task_vectors(self) -> bool:
        """Whether part of the method does not depend on weights: `task_vectors` is that part."""
        return has_task_vectors(self._method)

    @property
    def trims_by_size(self) -> bool:
        """Whether what the method leaves of a seed goes by the size of its numbers alone."""
        return self._trimming in TRIMMING

    def task_vectors(
        self, tensor: str, seeds: Sequence[torch.Tensor], base: torch.Tensor
    ) -> list[torch.Tensor]:
        """What the method leaves of each seed's difference from the base.

        It is the part of `merge` that does not depend on weights, and takes nearly all of its time.

        Args:
            tensor: its name.
            seeds: (K,) tensors of one shape, on one device.
            base: the base's tensor.

        Returns:
            (K,) tensors, in the type to which seeds and base promote, for `merge_vectors`.

        Raises:
            ValueError: if mergekit cannot do so.
        """
        drops = seeded_drops(self.seed, tensor, [base, *seeds])
        with torch.no_grad(), drops, self._named(f"tensor {tensor!r}"):
            return task_vectors(self._method, self._settings(self._method), seeds, base)

    def differences(
        self, tensor: str, seeds: Sequence[torch.Tensor], base: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        """What of `task_vectors` does not depend on density, gamma and epsilon either.

        Args:
            tensor: its name.
            seeds: (K,) tensors of one shape, on one device.
            base: the base's tensor.

        Returns:
            (K,) differences from the base, and (K,) the ranks of their numbers; None for methods
            that do not trim by size.

        Raises:
            ValueError: if mergekit cannot do so.
        """
        with torch.no_grad(), self._named(f"tensor {tensor!r}"):
            vectors = differences(seeds, base)
            return vectors, [ranks(self._trimming, vector) for vector in vectors]

    def sparsified(
        self,
        tensor: str,
        vectors: Sequence[torch.Tensor],
        places: Sequence[torch.Tensor | None],
    ) -> list[torch.Tensor]:
        """As `task_vectors`, from what `differences` gave: the same numbers, to the bit.

        Args:
            tensor: its name.
            vectors: (K,) the differences.
            places: (K,) the ranks.

        Raises:
            ValueError: if mergekit cannot do so.
        """
        drops = seeded_drops(self.seed, tensor, vectors)
        with torch.no_grad(), drops, self._named(f"tensor {tensor!r}"):
            return sparsified(self._method, self._settings(self._method), vectors, places)

    def merge_vectors(
        self,
        tensor: str,
        vectors: Sequence[torch.Tensor],
        coefficients: Iterable[float],
        base: torch.Tensor,
    ) -> torch.Tensor:
        """As `merge`, from what `task_vectors` gave: the same numbers, to the bit.

        Args:
            tensor: its name.
            vectors: (K,) the task vectors.
            coefficients: (K,) the weights.
            base: the base's tensor, on their device.

        Returns:
            The merged tensor, in the task vectors' type.

        Raises:
            ValueError: if mergekit cannot merge these.
        """
        inputs = [vector.as_subclass(TaskVector) for vector in vectors]
        weights = {WEIGHT: [float(weight) for weight in coefficients]}
        method = without_dropping(self._method)
        return self._call(method, f"tensor {tensor!r}", tensor, inputs, weights, base)

    def single(
        self, tensor: str, seeds: Sequence[torch.Tensor], base: torch.Tensor | None = None
    ) -> torch.Tensor:
        """As `merge`, for a method without weights."""
        return self._run(f"tensor {tensor!r}", tensor, seeds, {}, base)

    @property
    def _method(self) -> Any:
        """The method as mergekit registers it."""
        return mergekit().get(self.name)

    @property
    def _trimming(self) -> str | None:
        """Mergekit's name of how the method drops numbers; None if it does not."""
        # Methods that drop numbers say how they choose them; the others have no such attribute.
        trimming = getattr(self._method, "sparsification_method", None)
        return None if trimming is None else trimming.value

    def _check_trial(self, seeds: int, base: bool, searched: bool) -> None:
        """Merges small tensors, for what only the method itself can tell: counts, sizes of lists.

        Raises:
            ValueError: if it does not merge them, or makes numbers that are not finite.
        """
        # Tensors that are alike, as those of zeros are, could hide what goes wrong.
        draw = torch.Generator().manual_seed(0)
        first = torch.randn(8, 16, generator=draw)
        others = []
        for _ in range(seeds):
            others.append(torch.randn(8, 16, generator=draw))
        weights = {}
        if searched:
            weights = {WEIGHT: [1.0 / seeds] * seeds}
        if base:
            child = self._run(f"{seeds} seeds and a base", None, others, weights, first)
        else:
            child = self._run(f"{seeds} seeds", None, others, weights, None)
        if not child.isfinite().all():
            raise ValueError(
                f"parameters: {self.name} with {dict(self.parameters)} makes weights that are "
                "not finite"
            )

    def _run(
        self,
        label: str,
        tensor: str | None,
        seeds: Sequence[torch.Tensor],
        weights: Mapping[str, Any],
        base: torch.Tensor | None,
    ) -> torch.Tensor:
        """Mergekit's own function on one tensor.

        Args:
            label: what is merged, in messages.
            tensor: its name, from which random drops come.
            seeds: (K,) tensors of one shape.
            weights: the weights, by mergekit's name for them; empty for a method without.
            base: the base's tensor, if there is one.

        Raises:
            ValueError: if mergekit cannot merge these.
        """
        with seeded_drops(self.seed, tensor, seeds if base is None else [base, *seeds]):
            return self._call(self._method, label, tensor, seeds, weights, base)

    def _call(
        self,
        method: Any,
        label: str,
        tensor: str | None,
        seeds: Sequence[torch.Tensor],
        weights: Mapping[str, Any],
        base: torch.Tensor | None,
    ) -> torch.Tensor:
        """As `_run`, with drops from torch's random state, and of any method of mergekit's."""
        # mergekit takes a base as one of the inputs, and refuses one that its method does not know.
        inputs = list(seeds)
        base_index = None
        if base is not None and takes_base(method):
            inputs = [base, *seeds]
            base_index = 0
        with torch.no_grad(), self._named(label):
            merged: torch.Tensor = mergekit().merge_tensors(
                inputs,
                method,
                parameters=self._settings(method) | dict(weights),
                base_index=base_index,
                name=tensor,
                out_dtype=inputs[-1].dtype,
            )
        return merged

    @contextmanager
    def _named(self, label: str) -> Iterator[None]:
        """What mergekit refuses inside is said with the method, and what it was to merge.

        Raises:
            ValueError: for all that it raises of numbers, types and places.
        """
        try:
            yield
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{self.name} of {label}: {error}") from error

    def _settings(self, method: Any) -> dict[str, Any]:
        """What a method of mergekit's is given: our defaults, and before them what the user gave.

        A method without drops does not know what only drops need.
        """
        known = parameters_of(method.spec)
        given = DEFAULTS | dict(self.parameters)
        return {name: value for name, value in given.items() if name in known}
