"""One config with several random seeds: test accuracy of the best, its mean and 95 % interval, and what was scored.

    python benchmarks/seeds.py CONFIG [key=value ...] [--seeds 0 1 2 3 4] [--at 100] [--out FOLDER]

Prints a line a seed and a line for all. With --out the run directories stay there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from evomerge import calls, config, evolve
from evomerge.cli import OUTSIDE
from evomerge.rundir import read_births

STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
"""Two-sided 95 % quantile of Student's t for so many runs."""


def run(path: Path, overrides: list[str], seed: int, run_dir: Path) -> dict:
    """A run's summary, with its log."""
    given = config.load(path, [*overrides, f"seed={seed}"])
    evolve(**calls.build(given, evolve, outside=OUTSIDE), run_dir=run_dir, progress=False)
    return json.loads((run_dir / "summary.json").read_text()) | {"log": read_births(run_dir)}


def best_test(log: list[dict], births: int) -> float:
    """Test score of the best after so many births."""
    return [entry["test"] for entry in log if entry.get("best") and entry["birth"] <= births][-1]


def main() -> None:
    """Runs the seeds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--at", type=int, default=100, help="also print the test accuracy after so many births")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        print(f"{options.config.stem} {' '.join(options.overrides)}")
        print(
            f"{'seed':>6}{'test':>9}{f'at {options.at}':>9}{'train':>9}{'coverage':>10}{'entropy':>9}{'scored':>8}{'births/s':>10}"
        )
        tests, early, scored = [], [], []
        for seed in options.seeds:
            done = run(options.config, options.overrides, seed, folder / f"{options.config.stem}-{seed}")
            tests.append(best_test(done["log"], done["births"]))
            early.append(best_test(done["log"], options.at))
            scored.append(done["share_scored"])
            print(f"{seed:6}{tests[-1]:9.4f}{early[-1]:9.4f}{done['best']['train']:9.4f}{done['coverage']:10.4f}"
                  f"{done['entropy']:9.4f}{scored[-1]:8.3f}{done['births_per_second']:10.0f}", flush=True)  # fmt: skip
        half = STUDENT.get(len(tests), 1.96) * statistics.stdev(tests) / len(tests) ** 0.5 if len(tests) > 1 else float("nan")
        print(f"{'mean':>6}{statistics.mean(tests):9.4f}{statistics.mean(early):9.4f}   (95 % interval of the mean +- {half:.4f})"
              f"  scored {statistics.mean(scored):.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
