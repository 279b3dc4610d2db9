"""Is it the same run? Scored in full or only as far as it matters, again, and killed twenty times.

    python benchmarks/same_answer.py [--births 3000] [--kills 20]
    python benchmarks/same_answer.py --ray [--births 2000]      # in this process and on Ray workers, digits and language models

Prints a line for each comparison and exits with 1 if any two runs that ought to be the same are not.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from evomerge import evolve
from evomerge.config import calls, config
from evomerge.evolution import OUTSIDE
from evomerge.rundir.births import CLOCKS, read_births
from evomerge.rundir.snapshots import read_snapshot
from evomerge.workers.ray import Ray

CONFIGS = Path(__file__).parents[1] / "configs"
FORESEEN = ("scored", "train", "fitness", "reason")
"""What a birth that was not scored to the end does not know."""


def run(run_dir: Path, name: str = "digits.yaml", **settings: object) -> float:
    """A run into `run_dir`; gives the share of datapoints that it scored."""
    call = calls.build(config.load(CONFIGS / name), evolve, outside=OUTSIDE)
    evolve(**call | settings, run_dir=run_dir, progress=False)
    shares = [entry["scored"] for entry in read_births(run_dir) if "scored" in entry]
    return sum(shares) / len(shares)


def log_of(run_dir: Path, *without: str) -> list[dict]:
    """The log without what may differ."""
    return [
        {key: value for key, value in entry.items() if key not in (*CLOCKS, *without)}
        for entry in read_births(run_dir)
    ]


def archive_of(run_dir: Path) -> tuple:
    """Ids, scores and weights of the members alive."""
    _, data, tensors = read_snapshot(run_dir)
    alive = data["state"]["archive"]
    rows = {member["id"]: row for row, member in enumerate(data["state"]["members"])}
    scores = [tensors["scores"][rows[id]].numpy().tobytes() for id in alive]
    genomes = {
        name: tensor.numpy().tobytes()
        for name, tensor in tensors.items()
        if name.startswith("genome.")
    }
    return alive, scores, genomes


def same(one: Path, other: Path, *without: str) -> bool:
    """Whether two run directories hold the same archive and the same log."""
    return archive_of(one) == archive_of(other) and log_of(one, *without) == log_of(other, *without)


def on_ray(folder: Path, births: int, verdict: Callable[..., None]) -> None:
    """Compares runs in this process with runs on Ray."""
    language = {
        "births": max(1, births * 3 // 20),
        "lookahead": 4,
    }  # the whole demo beside 2,000 births of digits
    for name, settings, counts in (
        ("digits.yaml", {"births": births, "lookahead": 8}, (1, 2, 4)),
        ("skills.yaml", language, (1, 2)),
    ):
        run(folder / name / "here", name, **settings)
        for count in counts:
            workers = Ray(count, cpus=0.5, births=8 if name == "digits.yaml" else 1)
            run(folder / name / str(count), name, **settings, workers=workers)
            what = f"{name}, {settings['births']} births, lookahead {settings['lookahead']}: here and on Ray, {count} worker(s)"
            verdict(what, same(folder / name / "here", folder / name / str(count)))


def killed(folder: Path, births: int, kills: int) -> tuple[bool, int]:
    """Whether a run killed with -9 at random moments ends as one that never was, and how often it was killed."""
    settings = [f"births={births}", "save_every=0.3", "lookahead=4", "stack=2"]

    def start(*arguments: object) -> subprocess.Popen:
        command = [sys.executable, "-m", "evomerge", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=CONFIGS.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    start("run", CONFIGS / "digits.yaml", *settings, f"run_dir={folder}/whole").wait()
    process, moments, done = (
        start("run", CONFIGS / "digits.yaml", *settings, f"run_dir={folder}/killed"),
        random.Random(0),
        0,
    )
    log = folder / "killed" / "births.jsonl"
    while done < kills and process.poll() is None:
        lines = log.read_bytes().count(b"\n") if log.exists() else 0
        while (
            process.poll() is None
            and (log.read_bytes().count(b"\n") if log.exists() else 0) <= lines
        ):
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 1.0))
        process.kill()
        process.wait()
        done += 1
        process = start("resume", folder / "killed")
    process.wait()
    return process.returncode == 0 and same(folder / "whole", folder / "killed"), done


def main() -> None:
    """Makes all comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--births", type=int)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    verdicts = []

    def verdict(what: str, equal: bool, more: str = "") -> None:
        verdicts.append(equal)
        print(f"{'the same' if equal else 'NOT THE SAME':14}{what}{more}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.ray:
            on_ray(folder, options.births or 2000, verdict)
            sys.exit(not all(verdicts))
        options.births = options.births or 3000
        for name in ("digits.yaml", "digits_specialists.yaml"):
            for lookahead in (1, 8):
                for seed in (0, 1, 2):
                    here = folder / f"{name}-{lookahead}-{seed}"
                    settings = {"births": options.births, "lookahead": lookahead, "seed": seed}
                    share = run(here / "on", name, **settings)
                    run(here / "off", name, **settings, foresee=False)
                    what = f"{name}, lookahead {lookahead}, seed {seed}: foresee on and off"
                    verdict(
                        what,
                        same(here / "on", here / "off", *FORESEEN),
                        f"; {share:.3f} of the datapoints scored",
                    )
        for schedule in (
            {"lookahead": 1},
            {"lookahead": 4, "stack": 4},
            {"lookahead": 16, "stack": 8},
        ):
            here = folder / str(schedule)
            for again in ("one", "two"):
                run(here / again, births=options.births, **schedule)
            verdict(f"digits.yaml, {schedule}: twice", same(here / "one", here / "two"))
        equal, kills = killed(folder, options.births * 5, options.kills)
        verdict(
            f"digits.yaml, {options.births * 5} births: never killed, and killed with -9 {kills} times",
            equal,
        )
    sys.exit(not all(verdicts))


if __name__ == "__main__":
    main()
