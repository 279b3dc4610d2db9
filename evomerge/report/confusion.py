"""A confusion matrix: how often each label was answered for each expected one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evomerge.report.axes import calm, pixels_of
from evomerge.report.svg import INK, MUTED, RAW_BLUE, RAW_ORANGE, as_svg, resize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTED = 12
"""Most labels among which there is room for each count."""


def labels_of(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """All labels of pairs of an expected and an answered one: numbers by size, then words."""
    labels: set[str] = set()
    for pair in pairs:
        labels.update(pair)
    return sorted(labels, key=_by_number)


def count(labels: Sequence[str], pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """(C, C) int64 how often each label was answered for each expected one, from pairs of both."""
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)  # (C, C)
    for expected, answer in pairs:
        counts[labels.index(expected), labels.index(answer)] += 1
    return counts


@as_svg
def draw(figure: Figure, labels: Sequence[str], counts: np.ndarray) -> None:
    """How often each label was answered for each expected one.

    Args:
        figure: where to draw.
        labels: C names.
        counts: (C, C), expected by answered.
    """
    longest = max(map(len, labels))
    are_few = len(labels) <= COUNTED
    resize(figure, 350 + 5 * min(longest, 14))
    axes = figure.subplots()
    calm(axes, grid=None, baseline=False)
    # A label that was never expected has a row of zeros, and nothing is divided by zero.
    # The root, since rare mistakes should show.
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (C, 1)
    opacity = np.sqrt(counts / totals) * 0.75  # (C, C)
    is_right = np.eye(len(labels), dtype=bool)[..., None]  # (C, C, 1)
    blue, orange = pixels_of(opacity, RAW_BLUE), pixels_of(opacity, RAW_ORANGE)  # (C, C, 4)
    axes.imshow(np.where(is_right, blue, orange), interpolation="none")
    size = 9.5 if are_few else 7
    # Side by side, longer labels would cover each other.
    turned = 90 if longest > 3 else 0
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=turned, fontsize=size)
    axes.set_yticks(places, labels, fontsize=size)
    axes.set_xlabel("answered", color=MUTED, fontsize=10)
    axes.set_ylabel("expected", color=MUTED, fontsize=10, labelpad=6)
    # Zeros would hide where the mistakes are.
    if are_few:
        for row, column in np.argwhere(counts > 0):
            text = f"{counts[row, column]}"
            axes.text(column, row, text, ha="center", va="center", color=INK, fontsize=9)


def _by_number(label: str) -> tuple[bool, float, str]:
    """Sorts labels: numbers first and by size, then words."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label
