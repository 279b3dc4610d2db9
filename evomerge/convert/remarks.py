"""What is said of a config while it is converted."""

from __future__ import annotations

from dataclasses import dataclass, field

Place = tuple[str | int, ...]
"""Where a key is in a config, such as ("fitness", "parts", 0, "train")."""


@dataclass
class Remarks:
    """What is said of a config while it is made.

    Attributes:
        above: comments, by the place of the key that they stand above.
        dropped: what has no counterpart, and why, by its place in the file of mergekit-evolve.
    """

    above: dict[Place, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What has no counterpart, a line for each."""
        return [f"no counterpart: {place}: {reason}" for place, reason in self.dropped.items()]
