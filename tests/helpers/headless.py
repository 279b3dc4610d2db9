"""A real browser, where there is one: what a page comes to when it is laid out."""

import json
import re
import runpy
import subprocess
from html import unescape
from pathlib import Path

PICTURE = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "picture.py"))
NAMES, FOUND, QUIET = PICTURE["BROWSERS"], PICTURE["BROWSER"], PICTURE["QUIET"]

LOOK = """<!doctype html><meta charset="utf-8"><iframe src="{page}" style="width:{width}px;height:900px;border:0"></iframe><pre></pre><script>
onload = () => {{
  const frame = document.querySelector("iframe"), page = frame.contentDocument;
  document.querySelector("pre").textContent = JSON.stringify({{
    title: page.title,
    inner: frame.contentWindow.innerWidth,
    scroll: page.scrollingElement.scrollWidth,
    images: page.images.length,
    missing: [...page.images].filter(image => !image.naturalWidth).map(image => image.outerHTML.slice(0, 200)),
    scripts: page.scripts.length,
    text: page.body.innerText,
    wide: [...page.querySelectorAll("main *")].filter(one => !one.closest(".table,.scroll,svg") &&
      one.getBoundingClientRect().right > frame.contentWindow.innerWidth + 1).map(one => one.outerHTML.slice(0, 200)),
  }});
}};
</script>"""


def look(page, width, folder):
    """What a browser sees of a page in a window of so many pixels, and what it says on its console.

    Args:
        page: the page's file.
        width: of the window.
        folder: where to write.
    """
    around = folder / "around.html"
    around.write_text(LOOK.format(page=page.resolve().as_uri(), width=width))
    command = [
        *(FOUND, *QUIET, f"--user-data-dir={folder / 'profile'}", "--allow-file-access-from-files"),
        *(
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--window-size=1300,1000",
            "--dump-dom",
            around.as_uri(),
        ),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
    seen = json.loads(unescape(re.search("<pre>(.*?)</pre>", done.stdout, flags=re.DOTALL)[1]))
    return seen | {"console": [line for line in done.stderr.splitlines() if "CONSOLE" in line]}
