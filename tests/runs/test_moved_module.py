"""A run that was begun before a module moved is resumed after it."""

import json
import shutil
import subprocess
import sys

from whole_runs import PATIENCE, ROOT, assert_same_run, write_config

COPIED = ("evomerge", "populations", "fitness")


def evomerge(*arguments, checkout, cwd):
    command = [sys.executable, "-m", "evomerge", *map(str, arguments)]
    environment = {"PYTHONPATH": str(checkout), "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_goes_on_after_a_module_has_moved(tmp_path):
    checkout = tmp_path / "checkout"
    for package in COPIED:
        leftovers = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, checkout / package, ignore=leftovers)
    config = write_config(tmp_path, births=20)
    evomerge("run", config, f"run_dir={tmp_path / 'whole'}", checkout=checkout, cwd=tmp_path)
    evomerge(
        "run", config, f"run_dir={tmp_path / 'run'}", "births=8", checkout=checkout, cwd=tmp_path
    )

    # what defines the strategy, the crossover and the workers of the run is elsewhere now
    moves = {
        "strategies/natural_niches": "strategies/m2n2",
        "genome/crossover": "genome/split_points",
        "genome/weights": "genome/vector",
        "workers/local": "workers/here",
    }
    for old, new in moves.items():
        (checkout / "evomerge" / f"{old}.py").rename(checkout / "evomerge" / f"{new}.py")
    for path in checkout.rglob("*.py"):
        text = path.read_text()
        for old, new in moves.items():
            before, after = old.replace("/", "."), new.replace("/", ".")
            text = text.replace(f"evomerge.{before}", f"evomerge.{after}")
        path.write_text(text)

    evomerge("resume", tmp_path / "run", "births=20", checkout=checkout, cwd=tmp_path)
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["births"] == 20
