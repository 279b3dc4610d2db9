"""Task vectors of mergekit's methods: what does not depend on the weights.

mergekit's task arithmetic, and all that trims or drops (TIES, DARE, DELLA, Breadcrumbs), takes the
difference of each seed from the base first, and leaves out part of its numbers. Only then do
weights count. So a search, which changes weights alone, needs that part once for each seed.

Both parts are done by mergekit. The sum of both is what it makes in one call, to the bit: the same
operations run on the same numbers, in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from populations.magnitude_ranks import kept

NUMBERS = ("density", "gamma", "epsilon")
"""Parameters of which each seed has its own, and which only say what is left out of it."""


class TaskVector(torch.Tensor):
    """A task vector in the place of a seed: without the base, it is what it is.

    mergekit begins with `seed - base`. Adding the base here, for mergekit to subtract it again,
    would round twice.
    """

    def __sub__(self, _: Any) -> torch.Tensor:
        """The task vector, whatever the base."""
        return self.as_subclass(torch.Tensor)


def has_task_vectors(method: Any) -> bool:
    """Whether one of mergekit's methods takes task vectors first, and weights them afterwards."""
    from mergekit.merge_methods import GeneralizedTaskArithmeticMerge

    # A subclass, of a plug-in, may do anything.
    return type(method) is GeneralizedTaskArithmeticMerge


@cache
def without_dropping(method: Any) -> Any:
    """The method for seeds that are task vectors already: it weights, elects signs and sums up."""
    return replace(method, sparsification_method=None)


def task_vectors(
    method: Any, parameters: Mapping[str, Any], seeds: Sequence[torch.Tensor], base: torch.Tensor
) -> list[torch.Tensor]:
    """What a method leaves of each seed's difference from the base.

    Random drops are drawn from torch's random state, seed by seed.

    Args:
        method: of mergekit, one that `has_task_vectors`.
        parameters: by mergekit's names; for what is left out, mergekit's defaults hold.
        seeds: (K,) tensors of one shape.
        base: the base's tensor.

    Returns:
        (K,) tensors, of the type to which seeds and base promote.

    Raises:
        ValueError: if mergekit cannot do so with these numbers, or they are not one for each seed.
    """
    vectors = differences(seeds, base)
    return sparsified(method, parameters, vectors, [None] * len(vectors))


def differences(seeds: Sequence[torch.Tensor], base: torch.Tensor) -> list[torch.Tensor]:
    """Each seed minus the base, of the type to which seeds and base promote.

    Raises:
        ValueError: if mergekit cannot subtract them.
    """
    from mergekit.merge_methods import TensorGroup
    from mergekit.merge_methods.dtype import align_dtype

    group = TensorGroup.from_tensors([base, *seeds], base_index=0)
    group.validate_tensors()
    group = align_dtype(group)
    # mergekit turns autocast off as well, which would choose another type for the sums.
    with torch.autocast(base.device.type, enabled=False):
        return [entry.tensor - group.base.tensor for entry in group.non_base]


def sparsified(
    method: Any,
    parameters: Mapping[str, Any],
    vectors: Sequence[torch.Tensor],
    places: Sequence[torch.Tensor | None],
) -> list[torch.Tensor]:
    """What a method leaves of differences from the base; drawn as by `task_vectors`.

    Args:
        method: of mergekit, one that `has_task_vectors`.
        parameters: as for `task_vectors`.
        vectors: (K,) what `differences` gave.
        places: (K,) the ranks of their numbers, where these are known and the method goes by them.

    Raises:
        ValueError: as `task_vectors`.
    """
    if method.sparsification_method is None:
        return list(vectors)
    from mergekit.sparsify import RescaleNorm, rescaled_masked_tensor, sparsify

    specs = {spec.name: spec for spec in method.spec.parameters}
    numbers = {}
    for name in NUMBERS:
        if name in specs:
            numbers[name] = _one_for_each(specs[name], parameters, len(vectors))
    rescale = specs["rescale"].validate(parameters.get("rescale", specs["rescale"].default))
    norm = RescaleNorm.l1 if rescale else None
    trimming = method.sparsification_method

    left = []
    for index, (vector, known) in enumerate(zip(vectors, places, strict=True)):
        own = {name: values[index] for name, values in numbers.items()}
        # All, or nothing, is left without regard to ranks.
        if known is not None and vector.numel() and 0 < own["density"] < 1:
            mask = kept(trimming.value, known, own["density"], own.get("gamma", 0.0))
            mask = mask.to(vector.dtype).reshape_as(vector)
            left.append(rescaled_masked_tensor(vector, mask, norm))
        else:
            left.append(sparsify(vector, method=trimming, rescale_norm=norm, **own))
    return left


def _one_for_each(spec: Any, parameters: Mapping[str, Any], count: int) -> list[Any]:
    """A parameter's value for each of so many seeds.

    Raises:
        ValueError: if there are more or fewer values than seeds.
    """
    value = parameters.get(spec.name, spec.default)
    values = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise ValueError(f"Parameter {spec.name} expects {count} values; got {len(values)}")
    return [spec.validate(one) for one in values]
