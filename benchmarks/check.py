"""What `evomerge check` says of time and memory, beside what the run then takes.

    python benchmarks/check.py configs/digits.yaml configs/skills.yaml configs/painters.yaml [key=value ...]

Each config is checked, then run from the command line in a temporary folder; overrides are for all of them. Time is that of the whole command,
memory the most that it had at once.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UNITS = {
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "hours": 3600.0,
    "bytes": 1.0,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
}


def told(text: str, pattern: str) -> float:
    """A figure with its unit, from what check printed."""
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found[1]) * UNITS[found[2]]


def measured(command: list[str], folder: str) -> tuple[float, int]:
    """Runs a command; gives its seconds, and most bytes of its process."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.monotonic() - started, 1024 * usage.ru_maxrss


def main() -> None:
    """Prints a row for each config."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("given", nargs="+", metavar="CONFIG|key=value")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the runs there")
    options = parser.parse_args()
    given, kept = options.given, options.keep
    overrides = [text for text in given if "=" in text]
    print(
        "| config | check took | time told | taken | ratio | memory told | taken | ratio |\n|---|---|---|---|---|---|---|---|"
    )
    for config in (Path(text).resolve() for text in given if "=" not in text):
        with tempfile.TemporaryDirectory() as folder:
            base = [sys.executable, "-m", "evomerge"]
            started = time.monotonic()
            check = subprocess.run(
                [*base, "check", str(config), *overrides],
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
            )
            checking = time.monotonic() - started
            seconds, memory = (
                told(check.stdout, r"about ([\d.e+]+) (\w+) for"),
                told(check.stdout, r"memory +([\d.e+]+) (\w+) of"),
            )
            run_dir = Path(folder) / "run" if kept is None else kept.resolve() / config.stem
            took, had = measured(
                [*base, "run", str(config), *overrides, f"run_dir={run_dir}"], folder
            )
        print(
            f"| {config.name} | {checking:.0f} s | {seconds:.0f} s | {took:.0f} s | {seconds / took:.2f} "
            f"| {memory / 1e6:.0f} MB | {had / 1e6:.0f} MB | {memory / had:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
