"""What a command is given: a config by its name, and the run directory that a config names."""

from __future__ import annotations

import site
import sys
from pathlib import Path
from typing import Any

from evomerge.errors import UserError
from evomerge.files import place

CONFIGS = "configs"
"""The folder of the configs that come with evomerge, in a checkout and in what a wheel installs."""

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder of the packages, which in a checkout is that of the configs, too."""


def shipped() -> Path | None:
    """The folder of the configs that came with evomerge; None where they did not come along."""
    # A wheel puts them below the prefix; with `pip install --user`, that is the user's own.
    below = [Path(sys.prefix), Path(site.getuserbase())]
    folders = [CHECKOUT / CONFIGS, *(prefix / "share" / "evomerge" / CONFIGS for prefix in below)]
    for folder in folders:
        # Beside installed packages there may be somebody else's package of that name.
        if (folder / "digits.yaml").is_file():
            return folder
    return None


def find(path: Path) -> Path:
    """A config as it is named, or the one of that name that came with evomerge."""
    if path.exists():
        return path
    # A wheel puts the configs of the demos there, without the folder that they have here.
    share = Path(sys.prefix) / "share" / "evomerge"
    for shipped in (share / path, share / "configs" / path):
        if shipped.is_file():
            return shipped
    return path


def take_run_dir(call: dict[str, Any]) -> Path | None:
    """The run directory that a config names, taken out of it; None if it names none.

    Raises:
        UserError: if it is no path.
    """
    named = call.pop("run_dir", None)
    if named is None:
        return None
    if not isinstance(named, str):
        raise UserError(f"run_dir: expected a path, got {named!r}")
    return place(named)
