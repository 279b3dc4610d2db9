"""`python -m populations.painters OUT [--seed 0]`: trains judges, base and specialists and writes each into a folder of OUT."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from populations.painters.train import make


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m populations.painters",
        description="Trains the demo seeds and their judges, on the CPU in minutes.",
    )
    parser.add_argument(
        "out", type=Path, help="folder for the checkpoints base, low, high, clip and classifier"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and lessons (default 0)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make(options.out, seed=options.seed)


if __name__ == "__main__":
    main()
