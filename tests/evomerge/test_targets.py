"""Import paths: what they name, and what is said where they name nothing."""

import re
import sys
import types

import pytest

import evomerge
from evomerge.config.targets import import_path, names_the_same, path_of
from evomerge.genome.recipe import Recipe
from fitness.classification import right
from populations.mnist import Classifiers


def test_import_paths():
    assert import_path("fitness.classification.right") is right
    assert import_path("populations.mnist.Classifiers.network") is Classifiers.network
    assert import_path("evomerge.cli").__name__ == "evomerge.cli"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "fitness.clasification.right",
            "fitness has no 'clasification'; did you mean 'classification'?",
        ),
        ("fitness.classification.rihgt", "has no 'rihgt'; did you mean 'right'?"),
        (
            "fitnes.classification",
            "there is no module 'fitnes' on the import path; did you mean 'fitness'?",
        ),
        ("", "Empty module name"),
        ("qqqq.wwww", "there is no module 'qqqq' on the import path"),
    ],
)
def test_import_paths_of_nothing(path, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        import_path(path)


@pytest.mark.parametrize("name", evomerge.__all__)
def test_what_a_run_directory_says_of_a_class_is_its_public_name(name):
    assert path_of(getattr(evomerge, name)) == f"evomerge.{name}"


@pytest.mark.parametrize(
    ("named", "path"),
    [
        (Recipe, "evomerge.genome.Recipe"),
        (right, "fitness.classification.right"),
        (Classifiers.network, "populations.mnist.Classifiers.network"),
    ],
)
def test_what_no_package_exports_is_named_where_it_is_defined(named, path):
    assert path_of(named) == path


def test_two_paths_may_name_the_same(monkeypatch):
    old = types.ModuleType("evomerge_of_old")
    old.Strategy, old.number = evomerge.NaturalNiches, 7
    monkeypatch.setitem(sys.modules, "evomerge_of_old", old)
    assert names_the_same("evomerge_of_old.Strategy", "evomerge.NaturalNiches")
    assert not names_the_same("evomerge_of_old.Strategy", "evomerge.Sweep")
    assert not names_the_same("evomerge_of_old.number", "evomerge_of_old.number"), (
        "no class or function, but a text"
    )
    assert not names_the_same("gone.Strategy", "evomerge.NaturalNiches")
    assert not names_the_same("a text.", "evomerge.NaturalNiches")
    assert not names_the_same(3, "evomerge.NaturalNiches")
