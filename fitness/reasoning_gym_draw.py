"""A process that draws questions of reasoning-gym: `python -m fitness.reasoning_gym_draw IN OUT`.

Started by `fitness.reasoning_gym_library.draw` with a fixed seed of Python's hashes.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from fitness.reasoning_gym_library import draw_here


def main(order: Path, drawn: Path) -> None:
    """Writes the questions that one file asks for into another, or what is wrong with the order."""
    configs, sizes, seed = pickle.loads(order.read_bytes())  # noqa: S301 (written by our parent)
    try:
        questions = draw_here(configs, sizes, seed)
    except ValueError as error:
        drawn.write_bytes(pickle.dumps(str(error)))
        return
    drawn.write_bytes(pickle.dumps(questions))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
