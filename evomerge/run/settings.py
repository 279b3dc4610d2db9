"""The numbers of a run, checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

LEAST = {
    "births": 0,
    "seed": 0,
    "lookahead": 1,
    "stack": 1,
    "tile": 1,
    "retile": 1,
    "patience": 1,
    "failures": 1,
}
"""The least value of each whole number."""


@dataclass(frozen=True)
class Settings:
    """The numbers of a run. `evolve` says what each means, and has its defaults from here."""

    births: int
    seed: int = 0
    lookahead: int = 1
    stack: int = 1
    tile: int = 128
    retile: int = 100
    foresee: bool = True
    validate: bool = False
    hours: float | None = None
    patience: int | None = None
    failures: int = 20
    save_every: float = 10.0

    def __post_init__(self) -> None:
        problems = []
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is None and name == "patience":
                continue
            # bool is a kind of int, and True is no number of births
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                problems.append(f"{name}: expected a whole number, got {value!r}")
            elif value < least:
                problems.append(f"{name}: expected a number of at least {least}, got {value}")
        # Only numbers can be compared, so this waits until all are some.
        if not problems and self.stack > self.lookahead:
            problems.append(
                f"stack: expected at most the lookahead, {self.lookahead}, since no more births "
                f"are in flight; got {self.stack}"
            )
        for name in ("hours", "save_every"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, str) or not value > 0):
                problems.append(f"{name}: expected a number above 0, got {value!r}")
        if problems:
            raise ValueError("\n".join(problems))


RANGES = partial(Settings, births=0)
"""Checks the numbers of a call, whether or not it names births."""
