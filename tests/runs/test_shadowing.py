"""A file of the user's that hides a package of ours is named, and not run in its place."""

import os
import subprocess
import sys

import pytest
from whole_runs import PATIENCE, ROOT, write_config

from evomerge.compare import side_by_side
from evomerge.compare.plan import plan

STRANGER = "open('ran', 'w').close()\n"
"""A file that tells whether it was run."""

SCRIPT = "import sys; sys.path.pop(0); from evomerge.cli import main; sys.exit(main())"
"""The command `evomerge`, which has the folder of programs on its path and not the one it is in."""

EVOLVE = """
import evomerge
try:
    evomerge.evolve(None, None, births=1)
except evomerge.UserError as error:
    print(error)
"""

COMMANDS = [
    "run {config}",
    "resume run",
    "check {config}",
    "watch run",
    "export run out",
    "rebuild recipe.json out --trust",
    "report run",
    "compare {config}",
    "convert my.yml",
]

SHADOWS = [
    ("fitness.py", "fitness.py", "fitness", "my_fitness.py"),
    ("populations.py", "populations.py", "populations", "my_populations.py"),
    ("fitness/__init__.py", "fitness", "fitness", "my_fitness"),
]


def python(*arguments, cwd):
    """A Python that finds evomerge behind what is in its working directory."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def evomerge(command, cwd, program=("-m", "evomerge")):
    return python(*program, *command.split(), cwd=cwd)


@pytest.fixture
def config(tmp_path_factory):
    """A config in another folder."""
    return write_config(tmp_path_factory.mktemp("elsewhere"), births=2)


def shadow(folder, file):
    """Puts a file of a stranger into a folder."""
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(STRANGER)


def assert_named(ended, folder, place, package, better):
    """One line says which file it is and what to do, and nothing of it was run."""
    line = f"{place}: it hides evomerge's own package {package}; rename it, such as {better}"
    assert (ended.returncode, ended.stderr) == (2, f"evomerge: {line}\n")
    assert ended.stdout == ""
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("program", [("-m", "evomerge"), ("-c", SCRIPT)], ids=["module", "script"])
@pytest.mark.parametrize(("file", "place", "package", "better"), SHADOWS)
def test_a_file_that_hides_a_package_is_named(
    tmp_path, config, program, file, place, package, better
):
    shadow(tmp_path, file)
    ended = evomerge(f"check {config}", tmp_path, program)
    assert_named(ended, tmp_path, place, package, better)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_so(tmp_path, config, command):
    shadow(tmp_path, "fitness.py")
    ended = evomerge(command.format(config=config), tmp_path)
    assert_named(ended, tmp_path, "fitness.py", "fitness", "my_fitness.py")


def test_the_script_says_so_of_evomerge_itself(tmp_path, config):
    """Children of the command would run it: `python -m evomerge` does, and cannot be helped."""
    shadow(tmp_path, "evomerge.py")
    ended = evomerge(f"run {config}", tmp_path, ("-c", SCRIPT))
    assert_named(ended, tmp_path, "evomerge.py", "evomerge", "my_evomerge.py")


def test_each_file_has_a_line(tmp_path, config):
    for file in ("fitness.py", "populations.py"):
        shadow(tmp_path, file)
    ended = evomerge(f"check {config}", tmp_path)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 2)


@pytest.mark.parametrize("folder", ["fitness", "populations", "evomerge"])
def test_a_folder_that_is_no_package_hides_nothing(tmp_path, config, folder):
    shadow(tmp_path, f"{folder}/mine.py")
    ended = evomerge(f"run {config} run_dir=run", tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_files_beside_a_config_in_another_folder_hide_nothing(tmp_path, config):
    for file in ("fitness.py", "populations.py", "evomerge.py"):
        shadow(config.parent, file)
    ended = evomerge(f"run {config} run_dir=run", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert not (config.parent / "ran").exists()


def test_a_copy_of_evomerge_hides_nothing(tmp_path, config):
    """Such as a clone of its repository, beside which it is installed."""
    for package in ("evomerge", "fitness", "populations"):
        (tmp_path / package).symlink_to(ROOT / package)
    ended = evomerge(f"run {config} run_dir=run", tmp_path, ("-c", SCRIPT))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(("file", "place", "package", "better"), SHADOWS)
def test_evolve_says_so_in_a_script_beside_it(tmp_path, file, place, package, better):
    shadow(tmp_path, file)
    (tmp_path / "mine.py").write_text(EVOLVE)
    ended = python(tmp_path / "mine.py", cwd=ROOT)
    assert ended.stdout == (
        f"{tmp_path / place}: it hides evomerge's own package {package}; "
        f"rename it, such as {better}\n"
    ), ended.stderr


def test_a_script_that_has_imported_it_already_is_told_when_it_imports_evomerge(tmp_path):
    (tmp_path / "fitness.py").write_text("")
    (tmp_path / "mine.py").write_text("import fitness\nimport evomerge\n")
    ended = python(tmp_path / "mine.py", cwd=ROOT)
    assert ended.stderr.splitlines()[-1] == (
        f"ImportError: {tmp_path / 'fitness.py'}: it hides evomerge's own package fitness; "
        "rename it, such as my_fitness.py"
    )


def test_runs_of_a_comparison_are_runs_of_evomerge(tmp_path, config, monkeypatch):
    """Their program is ours, whatever the working directory has that bears its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    out = tmp_path / "out"
    [run] = plan([config], [], vary={}, seeds=[0], out=out, points=2).rows["config"]
    shadow(tmp_path, "evomerge.py")
    failed = side_by_side.run_all([run], 1)
    assert "it hides evomerge's own package evomerge" in failed[run.path]
    assert not (tmp_path / "ran").exists()
    (tmp_path / "evomerge.py").unlink()
    assert side_by_side.run_all([run], 1) == {}


def test_runs_of_a_comparison_find_the_users_modules(tmp_path, config, monkeypatch):
    """Our program lies beside a folder `config` of ours, which is not the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "check.py").write_text("from fitness.classification import Classification\n")
    fitness = ["fitness._target_=check.Classification"]
    [run] = plan([config], fitness, vary={}, seeds=[0], out=tmp_path / "out", points=2).rows[
        "config"
    ]
    assert side_by_side.run_all([run], 1) == {}
