"""Which of a task's metrics can be a fitness: those that give each sample a score in [0, 1]."""

from __future__ import annotations

from typing import Any

from fitness.lm_eval_library import aggregations

SAMPLEWISE = ("mean", "nanmean", "median")
"""How lm-eval puts the samples' scores together where each sample has a score of its own."""


def choose_metric(task: Any, name: str, wanted: str | None) -> tuple[str, str]:
    """A metric and its filter, held against what a task has.

    Args:
        task: lm-eval's own object.
        name: of the task, for messages.
        wanted: "metric" or "metric,filter". The first metric that gives each sample a score if
            None; the first filter if none is named.

    Raises:
        ValueError: if the task has no such metric or filter, or it is none of single samples.
    """
    filters = [ensemble.name for ensemble in task._filters]
    faults = {}
    for metric in task.aggregation():
        faults[metric] = _fault(task, metric)
    known = _listed(name, faults, filters)
    # without a wish it is the first that can be a fitness, with the first filter
    if wanted is None:
        for metric, fault in faults.items():
            if not fault:
                return metric, filters[0]
        raise ValueError(f"metric: none gives each sample a score in [0, 1]: {known}")
    metric, _, filter = wanted.partition(",")
    # most tasks have one filter, which does nothing
    filter = filter or filters[0]
    if metric not in faults or filter not in filters:
        raise ValueError(f"metric: expected a metric, or metric,filter, got {wanted!r}; {known}")
    if faults[metric]:
        raise ValueError(
            f"metric: expected a score in [0, 1] of each sample, got {wanted!r}; {known}"
        )
    return metric, filter


def _fault(task: Any, metric: str) -> str:
    """Why a metric cannot be a fitness; nothing if it can."""
    function = task.aggregation()[metric]
    # an aggregation that lm-eval does not know by name is taken for a mean
    aggregation = "mean"
    for name, registered in aggregations().items():
        if registered is function:
            aggregation = name
            break
    # F1 or BLEU of all samples together are no sum of what single samples get
    if aggregation not in SAMPLEWISE:
        return " (taken over all samples together)"
    if not task.higher_is_better().get(metric, True):
        return " (less is better)"
    return ""


def _listed(name: str, faults: dict[str, str], filters: list[str]) -> str:
    """What a message says of the metrics and filters that there are."""
    metrics = [metric + fault for metric, fault in faults.items()]
    return (
        f"the task {name!r} has {', '.join(metrics)}; each with the filter {' or '.join(filters)}"
    )
