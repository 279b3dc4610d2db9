"""The genome of mergekit-evolve as a population of evomerge: the seeds, and how they are merged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evomerge.config.targets import TARGET
from evomerge.convert.mergekit_evolve import BASELESS, Options, normalized, searched_besides_weights
from evomerge.convert.remarks import Remarks

DENSITY = 0.5
"""What CMA-ES has in the place of a density that mergekit-evolve searches."""

DENSITIES = {"from": 0.1, "to": 1.0}
"""Where M2N2 searches a density; below it little is left of a seed."""

MATCH_ALL = ("", "*")
"""Filters that match every tensor."""


def population(genome: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """The seeds, and how they are merged.

    Args:
        genome: mergekit's `ModelGenomeDefinition`.
        options: which search it is for.
        remarks: what is said of it is added here.

    Returns:
        A call of `populations.llm.LanguageModels` as plain data.
    """
    seeds, bases = _seeds(genome, remarks)
    call: dict[str, Any] = {TARGET: "populations.llm.LanguageModels", "seeds": seeds, **bases}
    # The other two are what recipes over seeds are without a method.
    if genome.merge_method not in BASELESS:
        call["method"] = _method(genome, len(seeds), options, remarks)
    chromosomes = _chromosomes(genome.filters or (), remarks)
    if chromosomes:
        call["chromosomes"] = chromosomes
        remarks.above["population", "chromosomes"] = (
            "Each filter is a chromosome, what none of them matches is a last one, "
            '"rest". Names are regular expressions here.'
        )
    # CMA-ES has its layers in the vector that it searches.
    if genome.layer_granularity > 0 and options.search == "m2n2":
        call["cut"] = "layer"
        remarks.above["population", "cut"] = (
            "Splits fall between layers; without this line, before any tensor."
        )
        if genome.layer_granularity > 1:
            remarks.dropped["genome.layer_granularity"] = (
                "under M2N2 a split falls between any two layers, "
                f"not only between groups of {genome.layer_granularity}"
            )
    if genome.smooth:
        remarks.dropped["genome.smooth"] = (
            "numbers are not interpolated over layers: each layer, or group of layers, has its own"
        )
    # Tokens of different tokenizers are different things, whatever their numbers.
    source = genome.tokenizer_source
    if source == "union":
        call["vocabulary"] = "trailing"
        remarks.above["population", "vocabulary"] = (
            "tokenizer_source: union. Some seeds may have tokens added at the end."
        )
    if source is not None:
        remarks.dropped["genome.tokenizer_source"] = (
            f"{source}: seeds need one tokenizer, but for tokens added at the end "
            "(vocabulary: trailing); others are not translated"
        )
    call["dtype"] = "bfloat16"
    remarks.above["population", "dtype"] = "What mergekit-evolve merges and scores in."
    return call


def _seeds(genome: Any, remarks: Remarks) -> tuple[list[str], dict[str, str]]:
    """The seeds, and what they stand on.

    Returns:
        The seeds; and, as far as there are such, `base`, to which a method takes differences, and
        `adapter_base`, on which adapters stand.
    """
    method = genome.merge_method
    base = genome.base_model
    seeds = []
    # The models below adapters, each once.
    below: dict[str, None] = {}
    for number, model in enumerate(genome.models):
        seeds.append(str(model.lora or model.model))
        if model.lora:
            below[str(model.model)] = None
        _drop_architecture(model, f"genome.models[{number}]", remarks)
    if base is not None:
        _drop_architecture(base, "genome.base_model", remarks)

    settings = {}
    if base is not None and method in BASELESS:
        remarks.dropped["genome.base_model"] = f"{method} merges no differences from a base"
    elif base is not None:
        settings["base"] = str(base.lora or base.model)
        if base.lora:
            below[str(base.model)] = None
        # A child needs two parents; mergekit-evolve searches how much of one model is taken.
        if len(seeds) < 2:
            seeds.append(settings["base"])
            remarks.above["population", "seeds"] = (
                "One model and its base: a child has a share of the difference between them."
            )
    if len(below) == 1:
        settings["adapter_base"] = next(iter(below))
    elif below:
        remarks.dropped["genome.models"] = (
            "their adapters stand on several models: "
            "here each on what its adapter_config.json names"
        )
    return seeds, settings


def _drop_architecture(model: Any, place: str, remarks: Remarks) -> None:
    """Names the architecture of a model, if it is to be another than its own."""
    if model.override_architecture is not None:
        remarks.dropped[f"{place}.override_architecture"] = (
            "a seed is of the architecture that its config.json names"
        )


def _method(genome: Any, seeds: int, options: Options, remarks: Remarks) -> dict[str, Any]:
    """One of mergekit's methods, whose weights the search sets; M2N2 sets density as well."""
    name = genome.merge_method
    place = ("population", "method", "parameters")
    parameters: dict[str, Any] = {}
    for searched in searched_besides_weights(name):
        if searched != "density":
            remarks.dropped[f"genome.merge_method ({searched})"] = (
                "only weights and density are searched here; this is as mergekit has it by default"
            )
        elif options.search == "m2n2":
            parameters["density"] = [dict(DENSITIES) for _ in range(seeds)]
            remarks.dropped["genome.merge_method (density)"] = (
                "mergekit-evolve searches one for each group of layers; "
                "here each seed has one for all layers"
            )
            remarks.above[(*place, "density")] = (
                "The share of numbers that is kept of each seed, searched. With a number in the "
                "place of each range births are faster."
            )
        else:
            parameters["density"] = DENSITY
            remarks.dropped["genome.merge_method (density)"] = (
                f"mergekit-evolve searches it, from 1 on; here it is one number, {DENSITY}, "
                "which you should choose"
            )
            remarks.above[(*place, "density")] = (
                "The share of numbers that is kept of each seed. Compare a few: "
                "`evomerge compare THIS.yaml "
                "--vary population.method.parameters.density=0.3,0.5,0.9`."
            )
    parameters["normalize"] = normalized(genome)
    about = "Whether weights are divided by their sum"
    if genome.normalize is None:
        about += "; mergekit-evolve's default for this method"
    remarks.above[(*place, "normalize")] = f"{about}."
    return {TARGET: "populations.methods.Method", "name": name, "parameters": parameters}


def _chromosomes(filters: Sequence[str], remarks: Remarks) -> dict[str, str]:
    """Names to regular expressions.

    They match as mergekit's filters do: the first that is part of a tensor's name has the tensor.
    """
    chromosomes: dict[str, str] = {}
    # A tensor belongs to the first filter that matches, so the order of filters stays.
    for number, text in enumerate(filters):
        place = f"genome.filters[{number}]"
        if text in MATCH_ALL:
            for later in range(number, len(filters)):
                remarks.dropped[f"genome.filters[{later}]"] = (
                    f'{text!r} matches all that is left, which is "rest" here'
                )
            break
        if text in chromosomes:
            remarks.dropped[place] = f"{text!r} is there already, so this one matches nothing"
            continue
        # What no filter matches has this name here.
        name = text
        if text == "rest":
            name = "rest of that name"
        chromosomes[name] = re.escape(text)
    return chromosomes
