"""The worked examples of docstrings: each runs, and what a reader needs first has one."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
FIRST_NEEDED = [
    "evomerge.evolution:evolve",
    "evomerge.genome.axis:Axis.placements",
    "evomerge.genome.crossover:Crossover",
    "evomerge.genome.recipe:Recipe.cross",
    "evomerge.genome.slerp:slerp_coefficients",
    "evomerge.strategies.natural_niches:NaturalNiches",
    "fitness.attraction:attraction",
    "fitness.competition:competitive_fitness",
]


def modules_with_examples():
    """Dotted names of all modules with `>>>` in them, found without an import."""
    names = []
    for package in ("evomerge", "populations", "fitness"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                names.append(".".join(parts).removesuffix(".__init__"))
    return names


def test_examples_are_found():
    assert {name.partition(":")[0] for name in FIRST_NEEDED} <= set(modules_with_examples())


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert results.attempted, "a `>>>` that no docstring holds"
    assert not results.failed, "see the output above"


@pytest.mark.parametrize("name", FIRST_NEEDED)
def test_what_a_reader_needs_first_has_an_example(name):
    module, _, path = name.partition(":")
    named = importlib.import_module(module)
    for part in path.split("."):
        named = getattr(named, part)
    assert doctest.DocTestFinder(recurse=False).find(named, name)[0].examples
