"""Recipes as files: what a member was made of, and the member made again from it.

recipe.json has the population's settings, the seeds with the SHA-256 of their files, and the genome
(`evomerge.genome.Recipe`). For whoever reads it without evomerge, it also has for each tensor the
dimension along which it is cut (null: cut as one flat vector), the entries at which stretches begin
and end, and for each stretch a coefficient for each seed. Where numbers of a merge method are
searched, it has the places of the member's in their ranges, and these numbers by name.
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
from evomerge.contracts import NamesSeeds, Population, SearchesSettings, can
from evomerge.errors import UserError, as_user_error
from evomerge.files import saving, write_folder
from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe
from evomerge.rundir.checks import check_new

NAME = "recipe.json"
TENSORS = "tensors"
SETTINGS = "settings"
NUMBERS = "searched"
KINDS = {"population": dict, "seeds": list, "bounds": list, "coefficients": list, TENSORS: dict}
"""What a recipe has to have."""

OPTIONAL = {SETTINGS: list, NUMBERS: dict}
"""What it has as well, where numbers of a merge method are searched."""

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
    recipe: dict[str, Any] = {
        "evomerge": version("evomerge"),
        **calls.describe(population=population),
        "seeds": population.sources(),
        "bounds": genome.bounds.tolist(),
        "coefficients": genome.coefficients.tolist(),
    }
    if len(genome.settings):
        recipe[SETTINGS] = genome.settings.tolist()
        recipe[NUMBERS] = _numbers(population, genome)
    # A line for each tensor, so that people can read it: indented, it would be a line a number.
    text = "{\n"
    for key, value in recipe.items():
        text += f" {json.dumps(key)}: {json.dumps(value)},\n"
    tensors = []
    for name, entry in _tensors(population.axis, genome).items():
        tensors.append(f"  {json.dumps(name)}: {json.dumps(entry)}")
    text += f' "{TENSORS}": {{\n' + ",\n".join(tensors) + "\n }\n}\n"
    (folder / NAME).write_text(text)


def rebuild(path: Path, out: Path, settings: Mapping[str, Any], *, trust: bool = False) -> None:
    """Makes the member of a recipe again, in the ecosystem's own format.

    Args:
        path: recipe.json.
        out: the folder to make.
        settings: settings of the population that are other ones here, such as where the seeds are,
            or the device.
        trust: whether the recipe may name code that is not evomerge's own, and have code run that
            comes with a seed.

    Raises:
        UserError: if the recipe cannot be read or names such code, or the seeds are not those that
            it was made of.
    """
    # All checks come before anything large is read, and before anything of the recipe is run.
    check_new(out)
    recipe = _read(path)
    if not trust:
        _check_code(path, recipe["population"])
    population = _population(path, recipe["population"] | dict(settings))
    seeds = as_user_error("population", lambda: population.sources())
    _check_seeds(path, recipe["seeds"], seeds)
    genome = _checked_genome(path, recipe, population, seeds)
    # Here it fails for want of a device; below, that would read as a failure to write.
    as_user_error("population", lambda: population.express(genome))

    def fill(folder: Path) -> None:
        population.save(genome, folder)
        write(folder, population, genome)

    with saving(out):
        write_folder(out, fill)


def _population(path: Path, settings: Mapping[str, Any]) -> Any:
    """The population of these settings.

    Raises:
        UserError: if there is none such, or it is of a kind that has no recipes.
    """
    population = calls.build({"population": settings}, _takes_population)["population"]
    if not can(population, NamesSeeds):
        raise UserError(f"{path}: {type(population).__name__} has no recipes")
    return population


def _takes_population(population: Population) -> None:
    """A call of what a recipe has: its settings are held against these arguments."""


def _read(path: Path) -> dict[str, Any]:
    """A recipe that has all that it has to have.

    Raises:
        UserError: if it has not, or cannot be read.
    """
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        wrong = _wrong_in(recipe)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        message = f"{path}: expected a {NAME} of evomerge, it cannot be read ({error})"
        raise UserError(message) from None
    if wrong:
        raise UserError(f"{path}: expected a {NAME} of evomerge; {', '.join(wrong)}")
    return dict(recipe)


def _wrong_in(recipe: Any) -> list[str]:
    """What is wrong in a file of JSON that should be a recipe."""
    wrong = []
    for key, kind in KINDS.items():
        if not isinstance(recipe.get(key), kind):
            wrong.append(f"its {key} is no {kind.__name__}")
    for key, kind in OPTIONAL.items():
        if key in recipe and not isinstance(recipe[key], kind):
            wrong.append(f"its {key} is no {kind.__name__}")
    if not wrong and not all(map(_is_seed, recipe["seeds"])):
        wrong.append("a seed has no sha256 or no name")
    return wrong


def _is_seed(seed: Any) -> bool:
    if not isinstance(seed, dict):
        return False
    return isinstance(seed.get("name"), str) and isinstance(seed.get("sha256"), str)


def _check_code(path: Path, value: Any) -> None:
    """Refuses settings that would let somebody else's file do more than merge.

    Such settings would run somebody else's code, or read a file of ours.

    Raises:
        UserError: if there is such a setting in the value.
    """
    items: Sequence[Any] = ()
    if isinstance(value, dict):
        wrong = None
        if value.get(TARGET, OURS[0]) not in OURS:
            wrong = f"{TARGET}: {value[TARGET]} is no class of evomerge's own"
        elif value.get("trust_remote_code"):
            wrong = "trust_remote_code: it wants to run code that comes with a seed"
        # A template has braces; without them, it is the path of one.
        elif "{" not in str(value.get("chat_template") or "{"):
            wrong = f"chat_template: it wants the file {value['chat_template']}"
        if wrong is not None:
            raise UserError(f"{path}: {wrong}; if you trust the recipe, say --trust")
        items = list(value.values())
    elif isinstance(value, list):
        items = value
    for item in items:
        _check_code(path, item)


def _check_seeds(path: Path, expected: Sequence[Any], seeds: Sequence[Mapping[str, str]]) -> None:
    """Checks that the seeds here are those that a recipe was made of.

    Raises:
        UserError: if they are not.
    """
    if len(expected) != len(seeds):
        raise UserError(
            f"{path}: it was made of {len(expected)} models, there are {len(seeds)} here"
        )
    # The order is that of the coefficients.
    for before, here in zip(expected, seeds, strict=True):
        if before["sha256"] != here["sha256"]:
            raise UserError(
                f"{path}: it was made of {_called(before)} with SHA-256 "
                f"{before['sha256'][:12]}..., here {_called(here)} has {here['sha256'][:12]}...: "
                "other weights"
            )


def _called(seed: Mapping[str, str]) -> str:
    if "part" in seed:
        return f"{seed['part']} of {seed['name']}"
    return seed["name"]


def _checked_genome(
    path: Path, recipe: Mapping[str, Any], population: Any, seeds: Sequence[Mapping[str, str]]
) -> Recipe:
    """The genome of a recipe, if it is one on the axis that the population has here.

    Raises:
        UserError: if it is none, or its tensors are not what it gives there.
    """
    axis = as_user_error("population", lambda: population.axis)
    # A base, and a part of a pipeline that is not merged, have no coefficients.
    merged = [seed for seed in seeds if not ("base" in seed or "part" in seed)]
    genome = as_user_error(str(path), lambda: _genome(recipe, axis, len(merged)))
    if as_user_error(str(path), lambda: _tensors(axis, genome)) != recipe[TENSORS]:
        raise UserError(
            f"{path}: its tensors are not what its bounds and coefficients give on the axis of "
            "these settings"
        )
    if as_user_error(str(path), lambda: _numbers(population, genome)) != recipe.get(NUMBERS, {}):
        raise UserError(
            f"{path}: its {NUMBERS} numbers are not what its {SETTINGS} give in the ranges of the "
            "method"
        )
    return genome


def _numbers(population: Any, genome: Recipe) -> dict[str, float]:
    """The numbers of a merge method that are a member's own, by name.

    Raises:
        ValueError: if the genome has not one for each that the population searches.
    """
    if can(population, SearchesSettings):
        return population.settings_of(genome)
    if len(genome.settings):
        raise ValueError(f"{SETTINGS}: expected none, {type(population).__name__} searches none")
    return {}


def _genome(recipe: Mapping[str, Any], axis: Axis, seeds: int) -> Recipe:
    """The genome, a coefficient for each of so many seeds, checked.

    Raises:
        ValueError: if it is none on this axis.
    """
    bounds = np.array(recipe["bounds"], dtype=np.int64)  # (stretches + 1,)
    coefficients = np.array(recipe["coefficients"], dtype=np.float64)  # (stretches, K)
    if not _are_bounds(bounds, axis.size):
        raise ValueError(f"bounds: expected numbers that rise from 0 to {axis.size}")
    rows = len(bounds) - 1
    # The weights are of 32 bits: what is finite in 64 may not be there.
    with np.errstate(over="ignore"):
        are_finite = np.isfinite(coefficients.astype(np.float32)).all()
    if coefficients.shape != (rows, seeds) or not are_finite:
        raise ValueError(
            f"coefficients: expected {rows} rows of {seeds} numbers that float32 can hold"
        )
    settings = np.array(recipe.get(SETTINGS, []), dtype=np.float64)  # (n,)
    # Written this way round, the comparison is false for NaN.
    if settings.ndim != 1 or not ((settings >= 0) & (settings <= 1)).all():
        raise ValueError(f"{SETTINGS}: expected numbers from 0 to 1, got {recipe[SETTINGS]}")
    return Recipe(bounds, coefficients, settings)


def _are_bounds(bounds: np.ndarray, size: int) -> bool:
    """Whether an array of integers can cut an axis of this size into stretches."""
    if bounds.ndim != 1 or len(bounds) < 2:
        return False
    rises = (np.diff(bounds) > 0).all()
    return bool(bounds[0] == 0 and bounds[-1] == size and rises)


def _tensors(axis: Axis, genome: Recipe) -> dict[str, dict[str, Any]]:
    """For each tensor how it is cut, and its coefficients."""
    tensors = {}
    for placement in axis.placements(genome.bounds):
        tensors[placement.tensor] = {
            "dim": placement.dim,
            "edges": placement.edges.tolist(),
            "coefficients": genome.coefficients[placement.stretches].tolist(),
        }
    return tensors
