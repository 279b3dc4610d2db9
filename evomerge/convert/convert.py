"""A config of mergekit-evolve as a config of evomerge.

It has the same seeds and tasks, bred by M2N2, or the same numbers under CMA-ES. Nothing is dropped
in silence: what has no counterpart here is told, each with its place and the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evomerge.convert.mergekit_evolve import Options, read
from evomerge.convert.population import population
from evomerge.convert.remarks import Remarks
from evomerge.convert.search import search
from evomerge.convert.tasks import fitness
from evomerge.convert.yaml_text import commented

GENOME = (
    "models", "merge_method", "base_model", "tokenizer_source", "layer_granularity", "normalize",
    "allow_negative_weights", "filters", "smooth",
)  # fmt: skip
TASK = ("name", "weight", "metric")
WHOLE = (
    "genome", "tasks", "limit", "num_fewshot", "shuffle", "random_init", "apply_chat_template",
    "fewshot_as_multiturn",
)  # fmt: skip
"""The fields of mergekit's classes that are converted, or named as what has no counterpart."""

HEAD = """\
# {name} of mergekit-evolve, as `evomerge convert` has written it. \
`evomerge check` tells whether it can run, and what time,
# memory and disk the run takes.
"""
"""What stands above a config."""


def convert(path: Path, options: Options | None = None) -> tuple[str, list[str]]:
    """Converts a config.

    Args:
        path: a config of mergekit-evolve.
        options: what its command line would say.

    Returns:
        The text of evomerge's config, and a line for all that has no counterpart; the text ends
        with the same lines.

    Raises:
        UserError: if mergekit-evolve would refuse the config, or nothing here can stand for it.
    """
    options = options or Options()
    given, unknown = read(path)
    remarks = Remarks(dropped=unknown)
    call: dict[str, Any] = {
        "population": population(given.genome, options, remarks),
        "fitness": fitness(given, options, remarks),
        **search(given, options, remarks),
    }
    _drop_newer(given, remarks)
    lines = remarks.lines()
    # They stand in the config as well, where a reader looks for them a week later.
    text = HEAD.format(name=path.name) + commented(call, remarks.above)
    for line in lines:
        text += f"# {line}\n"
    return text, lines


def _drop_newer(given: Any, remarks: Remarks) -> None:
    """Names the fields that mergekit's classes have got since this was written."""
    parts = [("", given, WHOLE), ("genome.", given.genome, GENOME)]
    for number, task in enumerate(given.tasks):
        parts.append((f"tasks[{number}].", task, TASK))
    for place, part, known in parts:
        for name in part.model_fields_set.difference(known):
            remarks.dropped[f"{place}{name}"] = "newer than what evomerge knows of mergekit-evolve"
