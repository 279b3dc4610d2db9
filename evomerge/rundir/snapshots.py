"""Snapshots as files: the newest that is whole, checked against its checksums."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.errors import UserError

log = logging.getLogger(__name__)

SNAPSHOTS = ("latest", "previous")


FORMAT = 1
"""Version of the snapshots' format."""


def read_snapshot(path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The newest snapshot that is whole: its name, data and tensors. Says so when it is not the latest.

    Raises:
        UserError: if none is whole; the message says what is wrong with each.
    """
    from safetensors.torch import load

    wrong = []
    for name in SNAPSHOTS:
        folder = path / "state" / name
        try:
            data = json.loads((folder / "state.json").read_bytes())
            if data.pop("sha256", None) != _digest(data):
                raise ValueError("state.json does not match its checksum")
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']}, this evomerge reads {FORMAT}")
            arrays = (folder / "tensors.safetensors").read_bytes()
            if hashlib.sha256(arrays).hexdigest() != data["tensors"]["sha256"]:
                raise ValueError("tensors.safetensors does not match its checksum")
            with open(path / "births.jsonl", "rb") as file:
                lines = file.read(data["log"]["bytes"])
            if hashlib.sha256(lines).hexdigest() != data["log"]["sha256"]:
                raise ValueError("births.jsonl is not the log that belongs to it")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = "missing" if isinstance(error, FileNotFoundError) else str(error)
            wrong.append(f"{name}: {what}")
            continue
        if wrong:
            log.warning(
                "%s: %s; going on from the snapshot before it", path / "state", "; ".join(wrong)
            )
        return name, data, load(arrays)
    raise UserError(f"{path / 'state'}: no snapshot can be read ({'; '.join(wrong)})")


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


BEST = "best."
"""What the names of the best's rows begin with."""


def best_rows(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The best's scores at each datapoint by split, as a snapshot's tensors have them."""
    return {
        name.removeprefix(BEST): tensor.numpy()
        for name, tensor in tensors.items()
        if name.startswith(BEST)
    }
