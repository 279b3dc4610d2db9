"""Which package may import which, and what may not be imported at all."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("evomerge", "populations", "fitness")
FILES = {
    path.relative_to(ROOT).as_posix(): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(path):
    """Dotted names of all that a file imports, wherever in the file, and whether each is imported with the file."""
    tree = ast.parse(path.read_text())
    late = {
        id(node)
        for scope in ast.walk(tree)
        if isinstance(scope, ast.FunctionDef)
        for node in ast.walk(scope)
    }
    found = {}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found.update({name: found.get(name, False) or id(node) not in late for name in names})
    return found


def within(name, *roots):
    return any(name == root or name.startswith(root + ".") for root in roots)


def offenders(package, barred, allowed=()):
    """Imports in a package that are of what is barred, without what is allowed."""
    return [
        f"{file}: {name}"
        for file, path in FILES.items()
        if file.startswith(package + "/")
        for name in imports(path)
        if within(name, *barred) and not within(name, *allowed)
    ]


@pytest.mark.parametrize(
    ("package", "barred", "allowed"),
    [
        ("fitness", ["evomerge", "populations"], []),
        ("evomerge", ["populations", "fitness"], ["fitness.competition", "fitness.attraction"]),
        (
            "populations",
            ["evomerge"],
            ["evomerge.genome"],
        ),
    ],
)
def test_imports_run_one_way(package, barred, allowed):
    assert any(file.startswith(package + "/") for file in FILES)
    assert offenders(package, barred, allowed) == []


@pytest.mark.parametrize(
    ("module", "home"),
    [
        ("numba", "populations/express/fused.py"),
        ("omegaconf", "evomerge/config/config.py"),
        ("lm_eval", "fitness/lm_eval_library.py"),
    ],
)
def test_a_dependency_has_one_home(module, home):
    users = {file for file, path in FILES.items() for name in imports(path) if within(name, module)}
    assert users <= {home}


def test_ray_has_one_home():
    users = {file for file, path in FILES.items() for name in imports(path) if within(name, "ray")}
    assert all(file.startswith("evomerge/workers/") for file in users)


def test_mergekit_has_two_homes_one_for_its_merge_methods_one_for_its_evolutionary_search():
    users = {
        file for file, path in FILES.items() for name in imports(path) if within(name, "mergekit")
    }
    assert users <= {"populations/methods.py", "evomerge/convert/mergekit_evolve.py"}


@pytest.mark.parametrize("module", ["ray", "mergekit", "transformers", "lm_eval"])
def test_what_takes_seconds_to_import_is_imported_late(module):
    assert [
        file
        for file, path in FILES.items()
        for name, early in imports(path).items()
        if early and within(name, module)
    ] == []


def test_nothing_is_unpickled():
    """A file that somebody else wrote must not be able to run code."""
    barred = ("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
    for file, path in FILES.items():
        assert not [name for name in imports(path) if within(name, *barred)], file
        tree = ast.parse(path.read_text())
        read = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        ]
        assert ("torch", "load") not in {(node.value.id, node.attr) for node in read}, file
        assert "torch.load" not in imports(path), file
        assert "allow_pickle" not in {
            node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)
        }, file


def test_the_engine_is_light_to_import():
    """Torch and all that is heavier is imported where it is used."""
    heavy = [
        "torch",
        "mergekit",
        "ray",
        "transformers",
        "diffusers",
        "sklearn",
        "matplotlib",
        "safetensors",
        "scipy",
        "pandas",
    ]
    code = f"""
import sys
import evomerge, evomerge.rundir, evomerge.run.loop, evomerge.strategies.search, evomerge.workers.ray, evomerge.cli
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=1800,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_are_of_the_package_and_not_of_their_own_folder(package):
    """A folder of tests bears the package's name; were it found first, it would stand for the package."""
    assert __import__(package).__file__ is not None
