"""Import paths: what they name, and what is said where they name nothing."""

import os
import re
import subprocess
import sys
import types

import pytest
from whole_runs import PATIENCE, ROOT

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


def test_what_a_script_defines_is_found_without_running_it_again(tmp_path):
    """A run directory names it by the script's name."""
    (tmp_path / "mine.py").write_text(
        "from evomerge.config.targets import import_path, path_of\n"
        "print('once')\n"
        "class Own: pass\n"
        "print(path_of(Own), import_path('mine.Own') is Own)\n"
    )
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.splitlines() == ["once", "mine.Own True"], done.stderr
