"""A process that draws questions a second time: `python -m fitness.reasoning_gym_again ORDER FILE`.

Started by `fitness.reasoning_gym_questions.draw`, which compares them with its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fitness.reasoning_gym_questions import digests, draw_here


def main(order: str, result: Path) -> None:
    """Writes the digests of the questions that an order asks for into a file."""
    configs, sizes, seed = json.loads(order)
    result.write_text(json.dumps(digests(draw_here(configs, sizes, seed))))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
