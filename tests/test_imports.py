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
            ["evomerge.genome", "evomerge.files", "evomerge.memory"],
        ),
    ],
)
def test_imports_run_one_way(package, barred, allowed):
    assert any(file.startswith(package + "/") for file in FILES)
    assert offenders(package, barred, allowed) == []


@pytest.mark.parametrize(
    ("module", "home"),
    [
        ("numba", "populations/express/fused_numba.py"),
        ("omegaconf", "evomerge/config/config.py"),
        ("lm_eval", "fitness/lm_eval_library.py"),
        ("reasoning_gym", "fitness/reasoning_gym_library.py"),
        ("verifiers", "fitness/verifiers_library.py"),
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
    methods = {"populations/method_kinds.py", "populations/task_vectors.py"}
    assert users <= methods | {"evomerge/convert/mergekit_evolve.py"}


@pytest.mark.parametrize(
    "module", ["ray", "mergekit", "transformers", "lm_eval", "reasoning_gym", "verifiers"]
)
def test_what_takes_seconds_to_import_is_imported_late(module):
    assert [
        file
        for file, path in FILES.items()
        for name, early in imports(path).items()
        if early and within(name, module)
    ] == []


def room_of(file):
    """The room of a file: its folder right below a package, or the module itself where it stands loose."""
    parts = Path(file).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    # fitness is flat, and one room; so are the modules of populations that stand beside its folders
    flat = parts[0] == "populations" and f"{'/'.join(parts)}.py" in FILES and len(parts) == 2
    if parts[0] == "fitness" or flat:
        return parts[0]
    return "/".join(parts[:2])


def arrows(place_of):
    """By place, the places that its files import from; `place_of` gives the place of a file."""
    found = {place_of(file): set() for file in FILES}
    for file, path in FILES.items():
        for name in imports(path):
            parts = name.split(".")
            for cut in range(len(parts), 0, -1):
                stem = "/".join(parts[:cut])
                files = [other for other in (f"{stem}.py", f"{stem}/__init__.py") if other in FILES]
                if files:
                    found[place_of(file)].add(place_of(files[0]))
                    break
    return {place: others - {place} for place, others in found.items()}


def floors(below):
    """The floor of each place, so that all imports run downwards; fails where they run in a circle."""
    floor = {}
    while len(floor) < len(below):
        rest = {
            place: others - floor.keys() for place, others in below.items() if place not in floor
        }
        ready = [place for place, others in rest.items() if not others]
        assert ready, f"each of these imports another one of them: {rest}"
        for place in ready:
            floor[place] = 1 + max((floor[other] for other in below[place]), default=0)
    return floor


def test_no_import_runs_back_up():
    """The rooms stand on at most twelve floors."""
    rooms = arrows(room_of)
    assert max(floors(rooms).values()) <= 12
    loose = [room for room in rooms if f"{room}.py" in FILES and room.startswith("evomerge/")]
    assert len(loose) <= 13, loose  # __main__ among them


def test_no_modules_import_each_other():
    floors(arrows(lambda file: file))


def test_nothing_is_unpickled():
    """A file that somebody else wrote must not be able to run code."""
    barred = ("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
    for file, path in FILES.items():
        if file != "evomerge/testing.py":  # which pickles what it is given, and reads that again
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
import evomerge, evomerge.rundir, evomerge.run.run, evomerge.strategies.search, evomerge.workers.ray, evomerge.cli
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
