"""The two specialists of M2N2's reference code as state dicts that evomerge takes as seeds.

    python benchmarks/reference_specialists.py specialists.safetensors OUT_FOLDER

The file holds flat vectors as the reference code lays them: w1 64x256 row by row, b1, w2 256x10 row by row, b2; inputs multiply
from the left. Writes OUT_FOLDER/NAME.safetensors for each.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import load_file, save_file


def main() -> None:
    """Converts each vector of the file."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, vector in load_file(source).items():
        w1, b1, w2, b2 = vector.float().split([64 * 256, 256, 256 * 10, 10])
        state = {
            "0.weight": w1.view(64, 256).T.contiguous(),
            "0.bias": b1.clone(),
            "2.weight": w2.view(256, 10).T.contiguous(),
            "2.bias": b2.clone(),
        }
        save_file(state, out / f"{name}.safetensors")
        print(out / f"{name}.safetensors")


if __name__ == "__main__":
    main()
