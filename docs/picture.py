"""A report as a picture, drawn by Chromium, which has to be installed.

`python docs/picture.py runs/digits/report.html docs/report_digits.png`, and with `--width 400` as on a telephone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
"""Where it is; None if there is none."""

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
)
"""How it is started, so that it draws and does nothing else."""

TALL = 16_000
"""Pixels of the window's height; what is below the page is cut off."""

MARGIN = 24
"""Pixels that stay below it."""

COLOURS = 256
"""Of the picture, which are enough for a page and make the file a third as large."""


def picture(page: Path, out: Path, width: int, height: int | None = None) -> None:
    """Draws a page.

    Args:
        page: an HTML file.
        out: the PNG file to write.
        width: of the window, in pixels.
        height: what is shown of the page from its top; all of it if None.
    """
    if BROWSER is None:
        raise SystemExit(f"expected a browser, one of {', '.join(BROWSERS)}, found none")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        window = (
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
            f"--window-size={width},{height or TALL}",
        )
        command = [BROWSER, *QUIET, *window, f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603
        pixels = np.asarray(Image.open(shot).convert("RGB"))
    drawn = np.flatnonzero((pixels != pixels[-1, 0]).any(axis=(1, 2)))
    if height is None and drawn.size:
        pixels = pixels[: drawn[-1] + MARGIN]
    Image.fromarray(pixels).quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


def main() -> None:
    """Draws what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="report.html of a run, or of a comparison")
    parser.add_argument("out", type=Path, help="the PNG file to write")
    parser.add_argument("--width", type=int, default=1200, help="of the window, in pixels")
    parser.add_argument(
        "--height", type=int, help="pixels of the page to show, from its top; by default all of it"
    )
    options = parser.parse_args()
    picture(options.page, options.out, options.width, options.height)


if __name__ == "__main__":
    main()
