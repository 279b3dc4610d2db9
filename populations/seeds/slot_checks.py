"""Whether a seed's headers fill the slots, and hold nothing that no child would have."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence

from populations.seeds.safetensors_headers import Entry
from populations.seeds.slots import Slot, Source

log = logging.getLogger(__name__)

REMADE = re.compile(
    r"(.*\.)?(\w*inv_freq|(sin|cos)_cached|position_ids|masked_bias|causal_mask"
    r"|num_batches_tracked)"
)
"""Tensors that older versions of the libraries wrote beside the weights, and new ones make anew.

They are tables of angles and positions, and masks.
"""

MASK = re.compile(r"(.*\.)?(attn|attention)\.bias")
"""More of these, whose name is also that of a bias; a mask has four dimensions."""

SHOWN = 6
"""Names of tensors that a message shows."""


def check_slots(source: Source, slots: Mapping[str, Slot], trailing: Collection[str]) -> None:
    """Checks that a seed has a tensor for each slot.

    Args:
        source: the seed.
        slots: by name.
        trailing: names of slots of which it may lack the last rows.

    Raises:
        ValueError: if it lacks one, or has one of another shape or of numbers that are not
            floating-point.
    """
    for name, slot in slots.items():
        stored = slot.stored_names(source)
        if not stored:
            # A few of its names show how the seed's library calls tensors.
            few = ", ".join(list(source.entries)[:4])
            raise ValueError(
                f"seeds: {source.name}: expected a tensor {name!r} of shape {slot.shape}, it has "
                f"none; it has {few} ... "
                "(what its library stores under other names than it runs under, Mixtral or files "
                "of old versions, cannot be bred yet)"
            )
        entry = source.entries[stored[0]]
        # Types of less than two bytes are floating-point in torch, and quantized all the same.
        if not entry.dtype.is_floating_point or entry.dtype.itemsize < 2:
            raise ValueError(
                f"seeds: {source.name}: expected floating-point weights, {stored[0]!r} is "
                f"{entry.dtype}: it is quantized"
            )
        shortened = name in trailing and _lacks_rows_only(entry, slot)
        if entry.shape != slot.shape and not shortened:
            raise ValueError(
                f"seeds: {source.name}: expected {stored[0]!r} of shape {slot.shape}, "
                f"got {entry.shape}"
            )


def check_no_extras(
    source: Source, slots: Mapping[str, Slot], spare: Mapping[str, Sequence[str]]
) -> None:
    """Checks that no tensor of a seed is left without a slot: the whole of a seed is merged.

    Args:
        source: the seed.
        slots: by name.
        spare: what a file may have beside the slots, as `spare_of` returns it: by the beginning of
            the names, regular expressions.

    Raises:
        ValueError: if a tensor has no slot.
    """
    slot_names: set[str] = set()
    for slot in slots.values():
        slot_names.update(slot.names)
    extra = []
    listed = []
    for name, entry in source.entries.items():
        # What the libraries make anew is the same in every member.
        if name in slot_names or _is_remade(name, entry):
            continue
        if _is_listed(name, spare):
            listed.append(name)
        else:
            extra.append(name)
    # The class drops these tensors when it loads, so the members lose nothing that the seed had.
    if listed:
        log.info("%s: left out, as its class says: %s", source.name, ", ".join(map(repr, listed)))
    if not extra:
        return
    # A shape tells what a tensor is, where a name does not.
    shown = ", ".join([f"{name!r} {source.entries[name].shape}" for name in extra[:SHOWN]])
    if len(extra) > SHOWN:
        shown = f"{shown} and {len(extra) - SHOWN} more"
    raise ValueError(
        f"seeds: {source.name}: {len(extra)} of its tensors have no place in the model that the "
        f"seeds' config describes, and no child would have them: {shown}. Take a seed without them "
        "(load it with its own class, which drops them, and save it), or seeds whose configs have "
        "them all"
    )


def _lacks_rows_only(entry: Entry, slot: Slot) -> bool:
    """Whether a tensor differs from a slot by last rows that it lacks, if at all."""
    return entry.shape[1:] == slot.shape[1:] and entry.shape[0] <= slot.shape[0]


def _is_remade(name: str, entry: Entry) -> bool:
    """Whether a tensor is one that the libraries make anew, and wrote beside the weights once."""
    if REMADE.fullmatch(name):
        return True
    return MASK.fullmatch(name) is not None and len(entry.shape) == 4


def _is_listed(name: str, spare: Mapping[str, Sequence[str]]) -> bool:
    """Whether a tensor is of a kind that its class leaves out."""
    for beginning, patterns in spare.items():
        if name.startswith(beginning):
            rest = name.removeprefix(beginning)
            if any(re.search(pattern, rest) for pattern in patterns):
                return True
    return False
