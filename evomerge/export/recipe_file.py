"""Recipes as files: what a member was made of, and the member made again from it.

recipe.json has the population's settings, the seeds with the SHA-256 of their files, the genome (`evomerge.genome.Recipe`), and, for
whoever reads it without evomerge, for each tensor the dimension along which it is cut (null: cut as one flat vector), the entries at
which stretches begin and end, and for each stretch a coefficient for each seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.config import calls
from evomerge.config.targets import TARGET
from evomerge.contracts import NamesSeeds, Population
from evomerge.errors import UserError, as_user_error
from evomerge.files import saving, write_folder
from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe
from evomerge.rundir.checks import check_new

NAME = "recipe.json"
TENSORS = "tensors"
KINDS = {"population": dict, "seeds": list, "bounds": list, "coefficients": list, TENSORS: dict}
"""What a recipe has to have."""

OURS = (
    "populations.llm.LanguageModels",
    "populations.diffusion.DiffusionModels",
    "populations.methods.Method",
    "populations.units.Units",
)
"""What a recipe may name without being trusted; nothing that these take is imported."""


def write(folder: Path, population: Any, genome: Recipe) -> None:
    """Writes recipe.json.

    Args:
        folder: where to.
        population: the member's, one that has `sources`.
        genome: the member.
    """
    recipe = {
        "evomerge": version("evomerge"),
        **calls.describe(population=population),
        "seeds": population.sources(),
        "bounds": genome.bounds.tolist(),
        "coefficients": genome.coefficients.tolist(),
    }
    entries = [
        f"  {json.dumps(name)}: {json.dumps(entry)}"
        for name, entry in _tensors(population.axis, genome).items()
    ]
    head = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in recipe.items())
    (folder / NAME).write_text(f'{{\n{head} "{TENSORS}": {{\n' + ",\n".join(entries) + "\n }\n}\n")


def rebuild(path: Path, out: Path, settings: Mapping[str, Any], *, trust: bool = False) -> None:
    """Makes the member of a recipe again, in the ecosystem's own format.

    Args:
        path: recipe.json.
        out: the folder to make.
        settings: settings of the population that are other ones here, such as where the seeds are, or the device.
        trust: whether the recipe may name code that is not evomerge's own, and have code run that comes with a seed.

    Raises:
        UserError: if the recipe cannot be read or names such code, or the seeds are not those that it was made of.
    """
    check_new(out)
    recipe = _read(path)
    given = recipe["population"] | dict(settings)
    if not trust:
        _check_code(path, recipe["population"])
    population: Any = calls.build({"population": given}, _one)["population"]
    has_recipes = isinstance(population, NamesSeeds)
    if not has_recipes:
        raise UserError(f"{path}: {type(population).__name__} has no recipes")
    seeds = as_user_error("population", lambda: population.sources())
    _check_seeds(path, recipe["seeds"], seeds)
    axis = as_user_error("population", lambda: population.axis)
    genome = as_user_error(
        str(path),
        lambda: _genome(
            recipe, axis, sum(not ("base" in seed or "part" in seed) for seed in seeds)
        ),
    )
    if as_user_error(str(path), lambda: _tensors(axis, genome)) != recipe[TENSORS]:
        raise UserError(
            f"{path}: its tensors are not what its bounds and coefficients give on the axis of these settings"
        )
    as_user_error(
        "population", lambda: population.express(genome)
    )  # a device that is not here is no failure to write
    with saving(out):
        write_folder(out, lambda folder: _fill(folder, population, genome))


def _fill(folder: Path, population: Any, genome: Recipe) -> None:
    population.save(genome, folder)
    write(folder, population, genome)


def _one(population: Population) -> None:
    """What a recipe's settings are held against."""


def _read(path: Path) -> dict[str, Any]:
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        wrong = [
            f"its {key} is no {kind.__name__}"
            for key, kind in KINDS.items()
            if not isinstance(recipe.get(key), kind)
        ]
        if not wrong and not all(
            isinstance(seed, dict) and _named(seed) for seed in recipe["seeds"]
        ):
            wrong = ["a seed has no sha256 or no name"]
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: expected a {NAME} of evomerge, it cannot be read ({error})"
        ) from None
    if wrong:
        raise UserError(f"{path}: expected a {NAME} of evomerge; {', '.join(wrong)}")
    return dict(recipe)


def _named(seed: dict[str, Any]) -> bool:
    return all(isinstance(seed.get(key), str) for key in ("name", "sha256"))


def _check_code(path: Path, value: Any) -> None:
    """Refuses settings by which somebody else's file would run somebody else's code, or read a file of ours."""
    if isinstance(value, dict):
        wrong = None
        if value.get(TARGET, OURS[0]) not in OURS:
            wrong = f"{TARGET}: {value[TARGET]} is no class of evomerge's own"
        elif value.get("trust_remote_code"):
            wrong = "trust_remote_code: it wants to run code that comes with a seed"
        elif "{" not in str(value.get("chat_template") or "{"):
            wrong = f"chat_template: it wants the file {value['chat_template']}"
        if wrong is not None:
            raise UserError(f"{path}: {wrong}; if you trust the recipe, say --trust")
    for item in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        _check_code(path, item)


def _check_seeds(path: Path, expected: Sequence[Any], found: Sequence[Mapping[str, str]]) -> None:
    if len(expected) != len(found):
        raise UserError(
            f"{path}: it was made of {len(expected)} models, there are {len(found)} here"
        )
    for before, here in zip(expected, found, strict=True):
        if before["sha256"] != here["sha256"]:
            raise UserError(
                f"{path}: it was made of {_called(before)} with SHA-256 {before['sha256'][:12]}..., "
                f"here {_called(here)} has {here['sha256'][:12]}...: other weights"
            )


def _called(seed: Mapping[str, str]) -> str:
    return f"{seed['part']} of {seed['name']}" if "part" in seed else seed["name"]


def _genome(recipe: Mapping[str, Any], axis: Axis, seeds: int) -> Recipe:
    """The genome, a coefficient for each of so many seeds, checked.

    Raises:
        ValueError: if it is none on this axis.
    """
    bounds = np.array(recipe["bounds"], dtype=np.int64)
    coefficients = np.array(recipe["coefficients"], dtype=np.float64)
    if (
        bounds.ndim != 1
        or len(bounds) < 2
        or bounds[0] != 0
        or bounds[-1] != axis.size
        or (np.diff(bounds) <= 0).any()
    ):
        raise ValueError(f"bounds: expected numbers that rise from 0 to {axis.size}")
    with np.errstate(over="ignore"):
        finite = np.isfinite(coefficients.astype(np.float32)).all()
    if coefficients.shape != (len(bounds) - 1, seeds) or not finite:
        raise ValueError(
            f"coefficients: expected {len(bounds) - 1} rows of {seeds} numbers that float32 can hold"
        )
    return Recipe(bounds, coefficients)


def _tensors(axis: Axis, genome: Recipe) -> dict[str, dict[str, Any]]:
    """For each tensor how it is cut, and its coefficients."""
    return {
        placement.tensor: {
            "dim": placement.dim,
            "edges": placement.edges.tolist(),
            "coefficients": genome.coefficients[placement.stretches].tolist(),
        }
        for placement in axis.placements(genome.bounds)
    }
