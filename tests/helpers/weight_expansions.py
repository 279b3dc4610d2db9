"""What torch does with a model's weights on the way: those that it expands over a batch are slow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class _Watch(TorchDispatchMode):
    """Notes the matrices of a model that are expanded to one for each entry of a batch."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        matrices = [
            (name, tensor) for name, tensor in model.named_parameters() if tensor.dim() == 2
        ]
        self.names = {tensor.untyped_storage().data_ptr(): name for name, tensor in matrices}
        self.expanded: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), settings: Any = None
    ) -> Any:
        if function is torch.ops.aten.expand.default and len(arguments[1]) > 2:
            name = self.names.get(arguments[0].untyped_storage().data_ptr())
            self.expanded += [] if name is None else [name]
        return function(*arguments, **(settings or {}))


@contextmanager
def expansions(model: torch.nn.Module) -> Iterator[list[str]]:
    """The names of a model's matrices that are expanded meanwhile."""
    with torch.no_grad(), _Watch(model) as watch:
        yield watch.expanded
