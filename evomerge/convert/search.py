"""The search: M2N2 over the seeds, or CMA-ES over the numbers of mergekit-evolve."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from evomerge.config.targets import TARGET
from evomerge.convert.mergekit_evolve import Options, normalized
from evomerge.convert.remarks import Remarks

SIGMA = 1 / 6
"""The step of mergekit-evolve's CMA-ES at its start, if none is given."""

LAYERS = 32
"""Layers of a model whose config is not on this machine."""

SIZE = 8
"""Members of the archive."""

WITHIN = (0.0, 1.0)
"""Mixing ratios of children between their parents."""

BEYOND = (-0.3, 1.3)
"""Mixing ratios of children that may go beyond their parents."""


def search(given: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """The strategy, and the numbers of the run.

    Args:
        given: mergekit's `EvolMergeConfiguration`.
        options: which search it is, and what else its command line says.
        remarks: what is said of it is added here.

    Returns:
        Arguments of `evolve` as plain data.
    """
    call: dict[str, Any] = {}
    if options.search == "m2n2":
        call["strategy"] = _natural_niches(given.genome, options, remarks)
    else:
        call["strategy"] = _cma_es(given.genome, options, remarks)
    call["births"] = options.births
    remarks.above["births",] = "Merges to score: --max-fevals. The seeds are scored besides."
    # CMA-ES learns from a whole generation, so no child has to wait for another.
    if options.search == "cma-es":
        call["lookahead"] = call["strategy"]["settings"]["popsize"]
        remarks.above["lookahead",] = (
            "A generation is raised at once, by as many workers as there are."
        )
    # mergekit-evolve counts seconds, and a run hours.
    if options.timeout is not None:
        call["hours"] = round(options.timeout / 3600, 6)
    return call


def _natural_niches(genome: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """M2N2, as a strategy in plain data."""
    # A user who sets them expects them to matter.
    for name in ("sigma0", "force_population_size"):
        if getattr(options, name) is not None:
            remarks.dropped[f"--{name.replace('_', '-')}"] = "a setting of CMA-ES (--search cma-es)"
    remarks.above["strategy", "size"] = (
        "Members of the archive, which compete for the documents. "
        "Some 15 where there are 1,000 births."
    )
    # SLERP goes along an arc between two parents, whose weights are not free.
    if genome.merge_method == "slerp":
        _drop_weights_of_slerp(genome, remarks)
        beyond = False
        angle = "tensor"
        about_angle = "SLERP, with an angle for each tensor, as mergekit has it."
    else:
        _drop_free_weights(genome, remarks)
        beyond = genome.allow_negative_weights
        angle = "none"
        about_angle = "Weights mix linearly, and sum to one."
    ratio = WITHIN
    about_ratio = (
        "Between the parents, so no weight is negative. "
        "[-0.3, 1.3] lets children go beyond them, and often finds better ones."
    )
    if beyond:
        ratio = BEYOND
        about_ratio = "allow_negative_weights: children go beyond their parents."
    remarks.above["strategy", "crossover", "ratio"] = about_ratio
    remarks.above["strategy", "crossover", "angle"] = about_angle
    return {"size": SIZE, "crossover": {"ratio": list(ratio), "angle": angle}}


def _drop_weights_of_slerp(genome: Any, remarks: Remarks) -> None:
    """Names the settings of weights that SLERP has none for."""
    if genome.normalize is not None:
        remarks.dropped["genome.normalize"] = "SLERP has no weights to divide by their sum"
    if genome.allow_negative_weights:
        remarks.dropped["genome.allow_negative_weights"] = (
            "SLERP's ratio lies between 0 and 1 there, too"
        )


def _drop_free_weights(genome: Any, remarks: Remarks) -> None:
    """Names weights that need not sum to one, which they do under M2N2."""
    if not normalized(genome):
        remarks.dropped["genome.normalize"] = (
            "false: under M2N2 a child's weights sum to one all the same; "
            "under --search cma-es they are free"
        )


def _cma_es(genome: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """CMA-ES over the same numbers in the same groups, as a strategy in plain data."""
    vector = _vector(genome, remarks)
    remarks.above["strategy", "vector"] = (
        "The numbers that mergekit-evolve searches: "
        "a weight of each seed for each group of layers and filter."
    )
    popsize = options.force_population_size
    # mergekit-evolve leaves it to the library cma, which goes by how many numbers there are.
    if popsize is None:
        numbers, guess = _numbers(genome)
        popsize = 4 + int(3 * math.log(numbers))
        remarks.above["strategy", "settings"] = (
            f"popsize is what cma takes by itself for {numbers} numbers{guess}: "
            f"4 + 3 ln {numbers}. stdev_init is --sigma0."
        )
    step = options.sigma0
    if step is None:
        step = SIGMA
    return {
        TARGET: "evomerge.Search",
        "algorithm": "evotorch.algorithms.CMAES",
        "settings": {"popsize": popsize, "stdev_init": round(step, 6)},
        "vector": vector,
    }


def _vector(genome: Any, remarks: Remarks) -> dict[str, Any]:
    """How the numbers that CMA-ES searches are the weights of the seeds."""
    vector: dict[str, Any] = {TARGET: "evomerge.Coefficients", "by": "chromosome"}
    # Numbers are of a group of layers, and of a filter in it where there are filters.
    if genome.layer_granularity > 0:
        vector["by"] = "block" if genome.filters else "layer"
        vector["layers"] = genome.layer_granularity
    if genome.merge_method == "slerp":
        vector[TARGET] = "evomerge.Ratios"
        remarks.dropped["genome.merge_method"] = (
            "slerp: under CMA-ES all seeds are mixed linearly; "
            "SLERP is M2N2's crossover, of any number of seeds (--search m2n2)"
        )
        for name in ("allow_negative_weights", "normalize"):
            if getattr(genome, name) is not None and name in genome.model_fields_set:
                remarks.dropped[f"genome.{name}"] = "shares sum to one here, and may leave [0, 1]"
        return vector
    vector["negative"] = genome.allow_negative_weights
    if genome.merge_method == "linear":
        vector["normalize"] = normalized(genome)
    return vector


def _numbers(genome: Any) -> tuple[int, str]:
    """How many numbers mergekit-evolve searches, and what that number depends on, in words."""
    groups = 1
    guess = ""
    # Without it there is one number for all layers, as mergekit-evolve has it.
    if genome.layer_granularity > 0:
        layers = _layers(genome.models[0])
        if layers is None:
            guess = f", if the model has {LAYERS} layers"
        groups = max((layers or LAYERS) // genome.layer_granularity, 1)
    filters = len(genome.filters or ()) + 1
    return groups * filters * len(genome.models), guess


def _layers(model: Any) -> int | None:
    """How many layers a model has, if its config is here."""
    path = Path(model.model.path) / "config.json"
    with suppress(OSError, ValueError):
        described = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(described, Mapping):
            layers = described.get("num_hidden_layers")
            if isinstance(layers, int):
                return layers
    return None
