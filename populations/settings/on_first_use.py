"""Objects that load what is heavy on first use, and travel without it."""

from __future__ import annotations

from functools import cached_property
from typing import Any


class OnFirstUse:
    """An object whose cached properties stay behind when it is pickled.

    A worker gets the settings, and makes models and tensors by itself.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what cached properties made."""
        state = {}
        for name, value in vars(self).items():
            if not isinstance(getattr(type(self), name, None), cached_property):
                state[name] = value
        return state
