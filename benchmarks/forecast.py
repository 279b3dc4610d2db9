"""How well `evomerge check` tells the time of a run from its first births, by runs that have ended.

    python benchmarks/forecast.py runs/scratch/digits/0 runs/skills/skills/* ...

Takes the share of the datapoints that later births are scored on from the first tenth, and from the first fifth, as check does, and compares the time
with that of the shares as they were; a fifth of a birth's time is taken not to fall with the share. The machine's speed plays no part.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from evomerge import evolve
from evomerge.check.forecast import FIXED, mean_share
from evomerge.config import calls, config
from evomerge.evolution import OUTSIDE
from evomerge.rundir.births import read_births


def main() -> None:
    """Prints a row for each part of a run that is taken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    runs = []
    for path in parser.parse_args().runs:
        scored = np.array(
            [entry["scored"] for entry in read_births(path) if "founder" not in entry]
        )
        call = calls.build(config.load(path / "config.yaml"), evolve, outside=OUTSIDE)
        runs.append((scored, call["strategy"].archive(None, call["fitness"]).size))
    print(
        "| from the first | runs | off on average | most | by 25 % or more |\n|---|---|---|---|---|"
    )
    for part in (0.1, 0.2):
        told = np.array(
            [
                mean_share(scored[: max(1, int(part * len(scored)))], len(scored), size)
                for scored, size in runs
            ]
        )
        was = np.array([scored.mean() for scored, _ in runs])
        fixed = FIXED[0]
        off = np.abs(np.log((fixed + (1 - fixed) * told) / (fixed + (1 - fixed) * was)))
        print(
            f"| {part:.0%} | {len(runs)} | {np.expm1(off.mean()):.0%} | {np.expm1(off.max()):.0%} | {(np.expm1(off) >= 0.25).sum()} |"
        )


if __name__ == "__main__":
    main()
