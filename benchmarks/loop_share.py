"""The loop's own share of a run: all of its time but what the fitness and express take.

    python benchmarks/loop_share.py configs/skills.yaml [key=value ...]

Runs a config in a temporary folder with a clock around `fitness(...)` and `population.express(...)`. What is left is planning, crossover,
admission, the bound, the log and snapshots.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from evomerge import evolve
from evomerge.config import calls, config
from evomerge.evolution import OUTSIDE


def clocked(part: Any, method: str, spent: Counter[str]) -> None:
    """Puts a clock around a method of one object's class."""
    kind = type(part)
    original = getattr(kind, method)

    def timed(self: Any, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(self, *arguments)
        finally:
            spent[method] += time.perf_counter() - started

    setattr(kind, method, timed)


def main() -> None:
    """Runs the config and prints the shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_args()
    call = calls.build(config.load(options.config, options.overrides), evolve, outside=OUTSIDE)
    spent: Counter[str] = Counter()
    clocked(call["population"], "express", spent)
    clocked(call["fitness"], "__call__", spent)
    call["population"].express(
        call["population"].founders(None)[0]
    )  # what is loaded once is not the loop's
    spent.clear()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        evolve(**call, run_dir=Path(folder) / "run", progress=False)
        total = time.perf_counter() - started
        births = json.loads((Path(folder) / "run" / "summary.json").read_text())["births"]
    own = total - sum(spent.values())
    print(f"{births} births in {total:.1f} s: fitness {spent['__call__'] / total:.2%}, express {spent['express'] / total:.2%}, "
          f"the loop itself {own / total:.2%} ({1e3 * own / births:.1f} ms a birth, founding and report among it)")  # fmt: skip


if __name__ == "__main__":
    main()
