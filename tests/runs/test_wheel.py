"""What is installed from a wheel runs without the checkout, has all that it needs, and names all that it imports."""

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from safetensors.torch import load_file
from whole_runs import PATIENCE, ROOT

PACKAGES = ("evomerge", "populations", "fitness")
BIN = "Scripts" if os.name == "nt" else "bin"


def run(*command, cwd):
    """A command's output; it knows of no checkout."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    leftovers = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs")
    shutil.copytree(ROOT, folder / "copy", ignore=leftovers)
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        *offline,
        "-w",
        folder,
        folder / "copy",
        cwd=folder,
    )
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of an environment with the wheel and what it depends on.

    The dependencies are those of this environment, by a path file. Python follows no path files in the folder that it names, so an editable
    installation of the checkout that lies there stays without effect.
    """
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / BIN / "python"
    offline = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", *offline, wheel, cwd=home)
    [packages] = home.glob("lib/python*/site-packages")
    there = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in there))
    return python


def test_the_wheel_has_the_packages_with_their_models_and_the_configs_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    [about] = {
        name.partition("/")[0] for name in names if name.partition("/")[0].endswith(".dist-info")
    }
    shipped = {
        re.sub(r"^evomerge-[^/]*\.data/data/", "", name)
        for name in names
        if not name.startswith(about)
    }
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file()
    }
    files = {name for name in files if "__pycache__" not in name}
    configs = {
        f"share/evomerge/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "configs").rglob("*.yaml")
    }
    assert shipped == files | configs
    assert sum(name.endswith("model.safetensors") for name in shipped) > 10
    assert {
        "share/evomerge/configs/ablations/ga.yaml",
        "share/evomerge/configs/searches/digits_snes.yaml",
    } < shipped
    assert f"{about}/licenses/LICENSE" in names


WHERE = """
import json, sys
from pathlib import Path
import evomerge, fitness, populations
from evomerge.config import config, given
names = [path.relative_to(Path(sys.prefix) / "share/evomerge") for path in Path(sys.prefix).glob("share/evomerge/configs/**/*.yaml")]
calls = {str(name): config.load(given.find(name.relative_to("configs"))) for name in names}
print(json.dumps({"path": sys.path, "files": [module.__file__ for module in (evomerge, fitness, populations)],
                  "births": {name: call["births"] for name, call in calls.items()}}))
"""


def test_an_installed_wheel_runs_the_demo_in_an_empty_folder(installed, tmp_path):
    home = installed.parents[1]
    told = json.loads(run(installed, "-c", WHERE, cwd=tmp_path))
    assert all(Path(file).is_relative_to(home) for file in told["files"])
    assert ROOT.resolve() not in {Path(entry).resolve() for entry in told["path"] if entry}
    assert set(told["births"]) == {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")
    }
    assert list(tmp_path.iterdir()) == []

    listed = run(installed, "-m", "evomerge", "configs", cwd=tmp_path)
    assert {
        f"configs/{line.partition(' ')[0]}.yaml"
        for line in listed.partition("\n\n")[0].splitlines()
    } == set(told["births"])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "copy").mkdir()
    run(installed, "-m", "evomerge", "configs", "ablations/ga", cwd=tmp_path / "copy")
    assert len(list((tmp_path / "copy").iterdir())) == 3
    shutil.rmtree(tmp_path / "copy")

    run(installed, "-m", "evomerge", "run", "digits.yaml", "births=200", cwd=tmp_path)
    [folder] = (tmp_path / "runs").iterdir()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    summary = json.loads((folder / "summary.json").read_text())
    assert (folder.name, summary["births"]) == ("digits", 200)
    assert "<svg" in (folder / "report.html").read_text()
    assert (
        sum(tensor.numel() for tensor in load_file(folder / "best" / "model.safetensors").values())
        == 19210
    )
    assert {"README.md", "lineage.json"} <= {path.name for path in (folder / "best").iterdir()}
    assert "200 of 200" in run(
        home / BIN / "evomerge", "watch", "runs/digits", "--once", cwd=tmp_path
    )


SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def requirements(lines):
    return [Requirement(line) for line in lines.strip().splitlines()]


EXTRAS = {name: requirements(lines) for name, lines in SETUP["options.extras_require"].items()}
NEEDED = requirements(SETUP["options"]["install_requires"])
NOT_IMPORTED = {
    "tensorboard": "torch.utils.tensorboard imports it",
    "gguf": "transformers imports it",
    "mypy": "a command of `make test`",
    "ruff": "a command of `make test`",
    "pytest-xdist": "options of pytest in `make test`",
    "types-psutil": "for mypy",
    "types-pyyaml": "for mypy",
    "types-tqdm": "for mypy",
}
"""What is required and not imported, and why."""


def imported(*folders):
    """The distributions of all that is imported anywhere in Python files, also within functions: files by distribution."""
    homes, found = packages_distributions(), {}
    ours = {
        *PACKAGES,
        "examples",
        *(path.stem for path in (ROOT / "tests" / "helpers").glob("*.py")),
    }
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in (
                {name.partition(".")[0] for name in names} - sys.stdlib_module_names - ours
            ):
                assert module in homes, f"{path}: nothing that is installed has a module {module}"
                for home in homes[module]:
                    found.setdefault(canonicalize_name(home), path.relative_to(ROOT))
    return found


def test_all_that_is_imported_is_required_and_all_that_is_required_is_imported():
    for_users = [
        requirement for name, extra in EXTRAS.items() if name != "test" for requirement in extra
    ]
    required = {canonicalize_name(requirement.name) for requirement in [*NEEDED, *for_users]}
    found = imported(*PACKAGES)
    assert {home: path for home, path in found.items() if home not in required} == {}
    tested = {canonicalize_name(requirement.name) for requirement in EXTRAS["test"]}
    assert required - set(found) | tested - set(imported("tests")) == set(NOT_IMPORTED)


def test_what_is_required_is_pinned_and_tested():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {
        canonicalize_name(name): version
        for name, equal, version in (line.partition("==") for line in lines)
        if equal
    }
    for requirement in [
        *NEEDED,
        *(requirement for extra in EXTRAS.values() for requirement in extra),
    ]:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), (
            requirement
        )
    [installed] = re.findall(r"--editable '\.\[(.*)\]'", (ROOT / "Makefile").read_text())
    assert set(installed.split(",")) == set(EXTRAS)
