"""In what the seeds' pipelines differ beside what is bred: a line for each difference.

Each line says whose component is used, and how the user can choose another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from populations.seeds.component_differences import difference_in_words
from populations.seeds.pipeline_agreement import prediction, schedule_of
from populations.seeds.pipeline_folders import CHECKER, SCHEDULER
from populations.seeds.pipeline_settings import same
from populations.seeds.pipelines import Pipeline

UNUSED = (CHECKER, "feature_extractor")
"""Components that nothing is drawn with."""

SILENT = {"requires_safety_checker", "add_watermarker"}
"""Settings of a whole pipeline that change nothing of what it draws."""


def difference_lines(
    seeds: Sequence[Pipeline],
    whole: Pipeline,
    used: Mapping[str, Pipeline],
    chosen: Collection[str],
    bred: Collection[str],
    variant: str | None,
) -> list[str]:
    """What the user should know of seeds that are not alike in what is not bred.

    Args:
        seeds: all of them.
        whole: the pipeline that the resident one is made from.
        used: by the name of each component that is not bred, whose is used.
        chosen: the components of which the user said whose they are.
        bred: the components that are bred.
        variant: which set of weights is read.

    Returns:
        A line for each component that differs, and for each default of the pipeline's.

    Raises:
        ValueError: if a file cannot be read.
    """
    lines = []
    for name, mine in used.items():
        # Who has chosen a component knows that the others' differ.
        if name not in chosen:
            lines += _component_lines(seeds, mine, name, variant)
    # Members have the components of the whole pipeline, and no others.
    for seed in seeds:
        lines += _more_components_lines(seed, whole)
    # The config of what is bred was compared before, but for this default.
    for name in bred:
        lines += _size_lines(seeds, whole, name)
    for seed in seeds:
        lines += _default_lines(seed, whole)
    return lines + _prediction_lines(seeds, whole)


def can_take(mine: Pipeline, other: Pipeline, name: str) -> bool:
    """Whether a pipeline can have a component of another's.

    It can have one of the same class; schedulers and tokenizers stand in for each other.
    """
    theirs = other.components.get(name)
    if theirs is None:
        return False
    return theirs == mine.components[name] or name.startswith((SCHEDULER, "tokenizer"))


def _component_lines(
    seeds: Sequence[Pipeline], mine: Pipeline, name: str, variant: str | None
) -> list[str]:
    """A line, if a component that is used differs from those of the other seeds."""
    clauses = []
    fitting = []
    for place, seed in enumerate(seeds):
        if seed is mine:
            continue
        clause = difference_in_words(mine, seed, name, variant)
        if clause is not None:
            clauses.append(f"{seed.name} has {clause}")
            # A component that the pipeline cannot take is no choice.
            if can_take(mine, seed, name):
                fitting.append(place)
    if not clauses:
        return []
    # The component in use comes first: to name it says that it is right.
    ways = " or ".join([f"{{{name}: {place}}}" for place in (seeds.index(mine), *fitting)])
    return [
        f"{name}: all members use that of {mine.name}; {'; '.join(clauses)} "
        f"(components: {ways} says whose)"
    ]


def _more_components_lines(seed: Pipeline, whole: Pipeline) -> list[str]:
    """Lines for components of a seed that no member has."""
    lines = []
    for name in seed.components:
        if name not in whole.components and name not in UNUSED:
            lines.append(
                f"{name}: no member has one, as {whole.name} has none; {seed.name} has one"
            )
    return lines


def _size_lines(seeds: Sequence[Pipeline], whole: Pipeline, name: str) -> list[str]:
    """Lines for denoisers that have other sizes of pictures for a default."""
    expected = whole.config(name).get("sample_size")
    lines = []
    for seed in seeds:
        size = seed.config(name).get("sample_size")
        if not same(size, expected):
            lines.append(
                f"{name}: sample_size is {expected} in {whole.name} and {size} in {seed.name}; "
                "without a height and width of the fitness's, "
                f"pictures are as large as those of {whole.name}"
            )
    return lines


def _default_lines(seed: Pipeline, whole: Pipeline) -> list[str]:
    """Lines for settings of a whole pipeline, such as what stands for an empty prompt."""
    # A folder with nothing but a denoiser has no such settings.
    if not seed.kind:
        return []
    lines = []
    for key in sorted(seed.index.keys() | whole.index.keys()):
        if key.startswith("_") or key in SILENT:
            continue
        expected = whole.index.get(key)
        value = seed.index.get(key)
        is_setting = _is_setting(expected) or _is_setting(value)
        if is_setting and not same(expected, value):
            lines.append(
                f"{key}: all members use that of {whole.name}, {expected}; "
                f"in {seed.name} it is {value}"
            )
    return lines


def _is_setting(value: object) -> bool:
    """Whether a value of an index is a setting, and no component or lack of one."""
    return value is not None and not isinstance(value, list)


def _prediction_lines(seeds: Sequence[Pipeline], whole: Pipeline) -> list[str]:
    """A line, if some seeds have no scheduler that says what their denoiser predicts."""
    schedule = schedule_of(whole)
    if schedule is None:
        return []
    silent = []
    for seed in seeds:
        # A denoiser alone may predict something else, and nothing would tell.
        if seed is not whole and schedule_of(seed) is None:
            silent.append(seed.name)
    if not silent:
        return []
    return [
        f"{', '.join(silent)}: without a scheduler of its own, taken to predict "
        f"{prediction(schedule)}, as {whole.name} does"
    ]
