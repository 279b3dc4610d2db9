"""Where the blocks of the docs are run: a folder with what a page takes for granted, and small real runs to talk about."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from doc_blocks import ROOT, Block, blocks

from evomerge import cli

DIGITS = ["births=40", "population.hidden=[16]"]
SMALL = {
    "digits": DIGITS,
    "digits_units": DIGITS,
    "skills": [
        "births=6",
        "fitness.parts[0].data={train: 40, test: 20}",
        "fitness.parts[1].environment={train: 40, test: 20}",
    ],
    "painters": ["births=3", "fitness.data={train: 20, test: 20}", "fitness.batch=20"],
}
"""The shipped configs that are run here, and what makes them small."""

MEANT = {
    "[key=value ...]": "",
    "TEST3": "'fitness.parts[0].data.test=2000' 'fitness.parts[1].data.test=2000' 'fitness.parts[2].environment.test=2000'",
    "TEST": "'fitness.parts[0].data.test=2000' 'fitness.parts[1].environment.test=2000'",
    "BASE": "{_target_: populations.skills.folder, name: base}",
    "owner/coder-7b@main": "mine/coder-7b",
    "stabilityai/stable-diffusion-xl-base-1.0": "folders/base",
    "owner/my-sdxl@main": "folders/mine",
    "openai/clip-vit-large-patch14": "folders/clip",
    "max_new_tokens: 320": "max_new_tokens: 8",
    "dtype: float16": "dtype: float32  # for a processor",
}
"""What words of the docs stand for here: a page's own abbreviations, and models of the hub that are folders here."""


class Ground:
    """The working directory of one block, and the real runs of all of them.

    Attributes:
        folder: the working directory.
    """

    def __init__(self, folder: Path, runs: Path) -> None:
        self.folder, self._runs = folder, runs

    def run(self, name: str) -> tuple[Path, str]:
        """The directory of a small run of a shipped config, and what the command printed; begun when it is first asked for."""
        printed = self._runs / f"{name}.txt"
        if not printed.exists():
            with working(self._runs):
                said = called(["run", f"configs/{name}.yaml", *SMALL[name]])
            printed.write_text(said)
        return self._runs / "runs" / name, printed.read_text()

    def meant(self, text: str) -> str:
        """A block's text with what its words stand for."""
        for word, meaning in MEANT.items():
            text = text.replace(word, meaning)
        return text

    def lay(self, block: Block) -> None:
        """Puts into the folder the files that the page shows, and what it says that a user has."""
        theirs = blocks(ROOT / "docs" / "from_mergekit_evolve.md") if "my.yml" in block.text else []
        for other in (*theirs, *blocks(block.page)):
            if other.file is not None:
                (self.folder / other.file).write_text(self.meant(other.text))
        for name in SMALL:
            if f"runs/{name}" in block.text:
                shutil.copytree(self.run(name)[0], self.folder / "runs" / name)
        if "recipe.json" in block.text:
            shutil.copy(self.run("skills")[0] / "best" / "recipe.json", self.folder)
        for name in ("my.yaml", "a.yaml", "b.yaml"):
            if not (self.folder / name).exists():
                (self.folder / name).write_text("_base_: configs/digits.yaml\nbirths: 10\n")
        if "evomerge merge" in block.text:
            language_models(self.folder)
            sums = [{"question": f"{n} + {n}?", "answer": f"{n + n}"} for n in range(8)]
            for name in ("math", "code"):
                lines = "".join(json.dumps(record) + "\n" for record in sums)
                (self.folder / f"{name}.jsonl").write_text(lines)
        config = (self.folder / "my.yaml").read_text()
        for word, make in BROUGHT.items():
            if word in config and "my.yaml" in block.text:
                make(self.folder)


def language_models(folder: Path) -> None:
    """Two fine-tunes of one base, and questions."""
    import tiny_llama

    tiny_llama.tuned(folder / "mine", ["math-7b", "coder-7b"])
    for split in ("train", "test"):
        records = [{"question": f"{n} + {n}?", "answer": f"#### {n + n}"} for n in range(8)]
        (folder / f"{split}.jsonl").write_text(
            "".join(json.dumps(record) + "\n" for record in records)
        )


def image_generators(folder: Path) -> None:
    """SDXL pipelines, one of them its denoiser alone, CLIP, and prompts with pictures."""
    import numpy as np
    import tiny_judges
    import tiny_pipelines
    from PIL import Image

    words = tiny_pipelines.tokenizer()
    for seed, name in enumerate(("base", "mine", "tuned-unet")):
        tiny_pipelines.sdxl(seed, words).save_pretrained(folder / "folders" / name)
    for part in (folder / "folders" / "tuned-unet").iterdir():
        if part.name != "unet":
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    tiny_judges.clip(folder / "folders" / "clip")
    Image.fromarray(np.zeros((16, 16, 3), dtype=np.uint8)).save(folder / "real.png")
    for split in ("train", "test"):
        records = [{"prompt": f"a {n}", "image": "real.png"} for n in range(4)]
        (folder / f"{split}_prompts.jsonl").write_text(
            "".join(json.dumps(record) + "\n" for record in records)
        )


BROUGHT: dict[str, Callable[[Path], None]] = {
    "mine/math-7b": language_models,
    "folders/tuned-unet": image_generators,
}
"""What makes what a user brings, by a word of the page's my.yaml."""


@contextlib.contextmanager
def working(folder: Path) -> Iterator[None]:
    """Works in a folder that has the repository's configs and scripts; forgets the modules that were imported from there."""
    for name in ("configs", "docs", "examples", "benchmarks"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [str(folder), *sys.path])
        yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(f"{folder}{os.sep}"):
            del sys.modules[name]


def called(arguments: Sequence[str]) -> str:
    """What `evomerge` prints, called with these arguments; it has to succeed."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = cli.main(arguments)
    assert code == 0, f"evomerge {' '.join(arguments)} ended with {code}"
    return said.getvalue()
