"""Objects that travel to a worker as their settings alone."""

from __future__ import annotations

from typing import Any


class Portable:
    """What is pickled of it are its settings, whose names have no underscore before them.

    What it loads or makes on first use may be large, and is made again where it arrives.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Its settings."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}
