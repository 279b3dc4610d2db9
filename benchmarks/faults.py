"""Is it the same run when workers are killed and a node goes? Three nodes on this machine, and a run in this process to compare with.

    python benchmarks/faults.py [--births 600] [--kills 20]

Births sleep 0.05 to 0.3 s and score what their numbers say (`scaling.py`). While they are raised on four workers, random workers are killed
with -9, and after half of the kills a node is removed with all that is on it. Then the log, the archive and its scores are compared.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import tempfile
import threading
from pathlib import Path

import psutil
from same_answer import log_of, same
from scaling import DATAPOINTS, Sleep, Vectors

from evomerge import Crossover, NaturalNiches, evolve
from evomerge.rundir.births import read_births
from evomerge.workers.ray import Ray
from evomerge.workers.starting import LOOPBACK


def bred(run_dir: Path, births: int, seconds: tuple[float, float], workers: Ray | None) -> None:
    """A run."""
    strategy = NaturalNiches(size=20, crossover=Crossover())
    evolve(
        Vectors(), Sleep(*seconds), strategy=strategy, births=births, lookahead=8, tile=DATAPOINTS // 4, workers=workers,
        run_dir=run_dir, progress=False,
    )  # fmt: skip


def main() -> None:
    """Runs both and compares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--births", type=int, default=600)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    os.environ.setdefault(LOOPBACK, "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    dice, over, killed = random.Random(0), threading.Event(), []

    def kill() -> None:
        while len(killed) < options.kills and not over.wait(1.5):
            actors = [
                p
                for p in psutil.process_iter(["cmdline"])
                if (p.info["cmdline"] or [""])[0].startswith("ray::Actor")
            ]
            if actors:
                killed.append(dice.choice(actors).pid)
                psutil.Process(killed[-1]).kill()
            if len(killed) == options.kills // 2 and len(nodes) == 2:
                cluster.remove_node(nodes.pop())

    with tempfile.TemporaryDirectory() as scratch:
        here, there = Path(scratch) / "here", Path(scratch) / "there"
        bred(here, options.births, (0.0, 0.0), None)
        thread = threading.Thread(target=kill)
        thread.start()
        workers = Ray(4, cpus=0.5, address=cluster.address, retries=10)
        bred(there, options.births, (0.05, 0.3), workers)
        over.set()
        thread.join()
        once = [entry["birth"] for entry in log_of(there) if entry["birth"]] == list(
            range(1, options.births + 1)
        )
        undisturbed = same(here, there)
        status = json.loads((there / "summary.json").read_text())["workers"]
        again = sum(entry.get("attempts", 1) - 1 for entry in read_births(there))
    print(
        f"{len(killed)} workers killed with -9, {2 - len(nodes)} node removed; {status['restarts']} replaced, {again} births raised again"
    )
    print(
        f"every birth once: {'yes' if once else 'NO'}; the same run as undisturbed: {'yes' if undisturbed else 'NO'}"
    )
    import ray

    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
