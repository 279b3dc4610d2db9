"""The genome of mergekit-evolve as a population and a search of evomerge."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evomerge.config.targets import TARGET
from evomerge.convert.mergekit_evolve import BASELESS, Options, normalized, searched_besides_weights

SIGMA = 1 / 6
"""The step of CMA-ES at its start there, if none is given."""

LAYERS = 32
"""Layers of a model whose config is not on this machine."""

DENSITY = 0.5
"""mergekit-evolve searches it; here it is set."""

SIZE = 8
"""Members of the archive."""


@dataclass
class Remarks:
    """What is said of a config while it is made.

    Attributes:
        above: comments, by the place of the key that they stand above.
        dropped: what has no counterpart, and why, by its place in the file of mergekit-evolve.
    """

    above: dict[tuple[str | int, ...], str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What has no counterpart, a line for each."""
        return [f"no counterpart: {place}: {why}" for place, why in self.dropped.items()]


def population(genome: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """The seeds, and how they are merged.

    Args:
        genome: mergekit's `ModelGenomeDefinition`.
        options: which search it is for.
        remarks: what is said of it is added here.

    Returns:
        A call of `populations.llm.LanguageModels` as plain data.
    """
    method = genome.merge_method
    seeds, bases = _seeds(genome, remarks)
    population: dict[str, Any] = {TARGET: "populations.llm.LanguageModels", "seeds": seeds, **bases}
    if method not in BASELESS:
        population["method"] = _method(genome, remarks)
    chromosomes = _chromosomes(genome.filters or (), remarks)
    if chromosomes:
        population["chromosomes"] = chromosomes
        remarks.above["population", "chromosomes"] = (
            'Each filter is a chromosome, what none of them matches is a last one, "rest". Names are regular expressions here.'
        )
    if genome.layer_granularity > 0 and options.search == "m2n2":
        population["cut"] = "layer"
        remarks.above["population", "cut"] = (
            "Splits fall between layers; without this line, before any tensor."
        )
        if genome.layer_granularity > 1:
            remarks.dropped["genome.layer_granularity"] = (
                f"under M2N2 a split falls between any two layers, not only between groups of {genome.layer_granularity}"
            )
    if genome.smooth:
        remarks.dropped["genome.smooth"] = (
            "numbers are not interpolated over layers: each layer, or group of layers, has its own"
        )
    source = genome.tokenizer_source
    if source == "union":
        population["vocabulary"] = "trailing"
        remarks.above["population", "vocabulary"] = (
            "tokenizer_source: union. Some seeds may have tokens added at the end."
        )
    if source is not None:
        remarks.dropped["genome.tokenizer_source"] = (
            f"{source}: seeds need one tokenizer, but for tokens added at the end (vocabulary: trailing); others are not translated"
        )
    population["dtype"] = "bfloat16"
    remarks.above["population", "dtype"] = "What mergekit-evolve merges and scores in."
    return population


def _seeds(genome: Any, remarks: Remarks) -> tuple[list[str], dict[str, str]]:
    """The seeds, and beside them what a method takes differences to, `base`, and what adapters stand on, `adapter_base`."""
    method, base = genome.merge_method, genome.base_model
    wanted = None if base is None or method in BASELESS else str(base.lora or base.model)
    merged = [*genome.models, *([base] if wanted is not None else [])]
    below = list(dict.fromkeys(str(model.model) for model in merged if model.lora))
    for place, model in [
        *((f"genome.models[{i}]", m) for i, m in enumerate(genome.models)),
        ("genome.base_model", base),
    ]:
        if model is not None and model.override_architecture is not None:
            remarks.dropped[f"{place}.override_architecture"] = (
                "a seed is of the architecture that its config.json names"
            )
    seeds = [str(model.lora or model.model) for model in genome.models]
    settings = {}
    if wanted is not None:
        settings["base"] = wanted
        if len(seeds) < 2:
            seeds.append(wanted)
            remarks.above["population", "seeds"] = (
                "One model and its base: a child has a share of the difference between them."
            )
    elif base is not None:
        remarks.dropped["genome.base_model"] = f"{method} merges no differences from a base"
    if len(below) == 1:
        settings["adapter_base"] = below[0]
    elif below:
        remarks.dropped["genome.models"] = (
            "their adapters stand on several models: here each on what its adapter_config.json names"
        )
    return seeds, settings


def _method(genome: Any, remarks: Remarks) -> dict[str, Any]:
    """One of mergekit's methods, whose weights the search sets."""
    name, place = genome.merge_method, ("population", "method", "parameters")
    parameters: dict[str, Any] = {}
    for searched in searched_besides_weights(name):
        if searched != "density":
            remarks.dropped[f"genome.merge_method ({searched})"] = (
                "only weights are searched here; this is as mergekit has it by default"
            )
            continue
        parameters["density"] = DENSITY
        remarks.dropped["genome.merge_method (density)"] = (
            f"mergekit-evolve searches it, from 1 on; here it is one number, {DENSITY}, which you should choose"
        )
        remarks.above[(*place, "density")] = (
            "The share of numbers that is kept of each seed. Compare a few: "
            "`evomerge compare THIS.yaml --vary population.method.parameters.density=0.3,0.5,0.9`."
        )
    parameters["normalize"] = normalized(genome)
    remarks.above[(*place, "normalize")] = "Whether weights are divided by their sum" + (
        "." if genome.normalize is not None else "; mergekit-evolve's default for this method."
    )
    return {TARGET: "populations.methods.Method", "name": name, "parameters": parameters}


def _chromosomes(filters: Sequence[str], remarks: Remarks) -> dict[str, str]:
    """Names to regular expressions, as mergekit's filters would match: the first that is part of a tensor's name."""
    chromosomes: dict[str, str] = {}
    for number, text in enumerate(filters):
        place = f"genome.filters[{number}]"
        if text in ("", "*"):
            for later in range(number, len(filters)):
                remarks.dropped[f"genome.filters[{later}]"] = (
                    f'{text!r} matches all that is left, which is "rest" here'
                )
            break
        if text in chromosomes:
            remarks.dropped[place] = f"{text!r} is there already, so this one matches nothing"
        else:
            chromosomes["rest of that name" if text == "rest" else text] = re.escape(text)
    return chromosomes


def natural_niches(genome: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """M2N2, as a strategy in plain data; arguments as `population` has them."""
    for name in ("sigma0", "force_population_size"):
        if getattr(options, name) is not None:
            remarks.dropped[f"--{name.replace('_', '-')}"] = "a setting of CMA-ES (--search cma-es)"
    slerp = genome.merge_method == "slerp"
    if genome.normalize is not None and slerp:
        remarks.dropped["genome.normalize"] = "SLERP has no weights to divide by their sum"
    if not slerp and not normalized(genome):
        remarks.dropped["genome.normalize"] = (
            "false: under M2N2 a child's weights sum to one all the same; under --search cma-es they are free"
        )
    if genome.allow_negative_weights and slerp:
        remarks.dropped["genome.allow_negative_weights"] = (
            "SLERP's ratio lies between 0 and 1 there, too"
        )
    beyond = genome.allow_negative_weights and not slerp
    remarks.above["strategy", "size"] = (
        "Members of the archive, which compete for the documents. Some 15 where there are 1,000 births."
    )
    remarks.above["strategy", "crossover", "ratio"] = (
        "allow_negative_weights: children go beyond their parents."
        if beyond
        else "Between the parents, so no weight is negative. [-0.3, 1.3] lets children go beyond them, and often finds better ones."
    )
    remarks.above["strategy", "crossover", "angle"] = (
        "SLERP, with an angle for each tensor, as mergekit has it."
        if slerp
        else "Weights mix linearly, and sum to one."
    )
    ratio = [-0.3, 1.3] if beyond else [0.0, 1.0]
    return {"size": SIZE, "crossover": {"ratio": ratio, "angle": "tensor" if slerp else "none"}}


def cma_es(genome: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """CMA-ES over the same numbers, in the same groups, likewise."""
    vector: dict[str, Any] = {TARGET: "evomerge.Coefficients", "by": "chromosome"}
    if genome.layer_granularity > 0:
        vector |= {"by": "block" if genome.filters else "layer", "layers": genome.layer_granularity}
    if genome.merge_method == "slerp":
        vector[TARGET] = "evomerge.Ratios"
        remarks.dropped["genome.merge_method"] = (
            "slerp: under CMA-ES all seeds are mixed linearly; SLERP is M2N2's crossover, of any number of seeds (--search m2n2)"
        )
        for name in ("allow_negative_weights", "normalize"):
            if getattr(genome, name) is not None and name in genome.model_fields_set:
                remarks.dropped[f"genome.{name}"] = "shares sum to one here, and may leave [0, 1]"
    else:
        vector["negative"] = genome.allow_negative_weights
        if genome.merge_method == "linear":
            vector["normalize"] = normalized(genome)
    remarks.above["strategy", "vector"] = (
        "The numbers that mergekit-evolve searches: a weight of each seed for each group of layers and filter."
    )
    popsize = options.force_population_size
    if popsize is None:
        layers = _layers(genome.models[0])
        groups = (
            (layers or LAYERS) // genome.layer_granularity if genome.layer_granularity > 0 else 1
        )
        numbers = max(groups, 1) * (len(genome.filters or ()) + 1) * len(genome.models)
        popsize = 4 + int(3 * math.log(numbers))
        guess = (
            f", if the model has {LAYERS} layers"
            if layers is None and genome.layer_granularity > 0
            else ""
        )
        remarks.above["strategy", "settings"] = (
            f"popsize is what cma takes by itself for {numbers} numbers{guess}: 4 + 3 ln {numbers}. stdev_init is --sigma0."
        )
    settings = {
        "popsize": popsize,
        "stdev_init": round(SIGMA if options.sigma0 is None else options.sigma0, 6),
    }
    return {
        TARGET: "evomerge.Search",
        "algorithm": "evotorch.algorithms.CMAES",
        "settings": settings,
        "vector": vector,
    }


def _layers(model: Any) -> int | None:
    """How many layers a model has, if its config is here."""
    with suppress(OSError, ValueError):
        described = json.loads((Path(model.model.path) / "config.json").read_text(encoding="utf-8"))
        layers = described.get("num_hidden_layers") if isinstance(described, Mapping) else None
        return layers if isinstance(layers, int) else None
    return None
