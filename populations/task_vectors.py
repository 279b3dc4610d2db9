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
    from mergekit.merge_methods import TensorGroup
    from mergekit.merge_methods.dtype import align_dtype
    from mergekit.sparsify import RescaleNorm, sparsify

    group = TensorGroup.from_tensors([base, *seeds], base_index=0)
    group.validate_tensors()
    group = align_dtype(group)
    specs = {spec.name: spec for spec in method.spec.parameters}
    numbers = {}
    for name in NUMBERS:
        if name in specs:
            numbers[name] = _one_for_each(specs[name], parameters, len(seeds))
    rescale = specs["rescale"].validate(parameters.get("rescale", specs["rescale"].default))

    vectors = []
    # mergekit turns autocast off as well, which would choose another type for the sums.
    with torch.autocast(base.device.type, enabled=False):
        for index, entry in enumerate(group.non_base):
            vector = entry.tensor - group.base.tensor
            if method.sparsification_method is not None:
                vector = sparsify(
                    vector,
                    method=method.sparsification_method,
                    rescale_norm=RescaleNorm.l1 if rescale else None,
                    **{name: values[index] for name, values in numbers.items()},
                )
            vectors.append(vector)
    return vectors


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
