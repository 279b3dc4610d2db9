"""Settings of a config that those laid over it leave without meaning.

A config may be laid over another one by `_base_`, and overrides are laid over both. What is above
then says what holds: `order: unit` over a config with chromosomes of the flat axis means the unit
axis, which has its own. Whoever writes both into one layer contradicts himself, and is refused
where the objects are made.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

log = logging.getLogger(__name__)


class Rule(NamedTuple):
    """A setting that leaves others without meaning.

    Attributes:
        key: its place.
        value: with which value it does; None for any but null.
        others: the places of the others.
    """

    key: str
    value: str | None
    others: tuple[str, ...]


RULES = (
    # The unit axis has chromosomes and cuts of its own.
    Rule(
        "population.order",
        "unit",
        ("population.chromosomes", "population.cut", "population.layout"),
    ),
    # Coefficients are the weights of a method, between which there is no angle.
    Rule("population.method", None, ("strategy.crossover.angle",)),
)
"""What is known before any class is loaded: populations of checkpoints have these settings."""


def drop_contradicted(below: Any, above: Any, before: Any = None) -> None:
    """Takes out of a config what one that is laid over it leaves without meaning.

    Args:
        below: the config, as OmegaConf has it; it is changed.
        above: what is laid over it. What it says itself stays, and may be a contradiction.
        before: the config as it was before, if the other one is laid over it already.
    """
    if before is None:
        before = below
    for rule in RULES:
        # Where the config has said so itself, the one above makes no contradiction of it: it may
        # set a parameter of the method that was there.
        if not _applies(rule, above) or _applies(rule, before):
            continue
        for other in rule.others:
            where, _, name = other.rpartition(".")
            parent = _at(below, where)
            if not _has_keys(parent) or parent._get_node(name) is None:
                continue
            # The layer above has its own, or is plain about it.
            upper = _at(above, where)
            if _has_keys(upper) and name in upper:
                continue
            del parent[name]
            log.info("%s of the config below is left out, since %s is set", other, rule.key)


def _applies(rule: Rule, config: Any) -> bool:
    """Whether a config says what leaves other settings without meaning."""
    value = _at(config, rule.key)
    return value is not None and rule.value in (None, value)


def _at(config: Any, key: str) -> Any:
    """What a config has at a place; None where there is none, or where it has no keys."""
    for name in key.split("."):
        if not _has_keys(config) or name not in config:
            return None
        node = config._get_node(name)
        # What an interpolation leads to may only be there once all layers are.
        if node._is_interpolation() or node._is_missing():
            return None
        config = config[name]
    return config


def _has_keys(config: Any) -> bool:
    return isinstance(config, Mapping)
