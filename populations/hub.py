"""Seeds by name: a folder, or a repository of the Hugging Face hub, of which only headers are fetched before all is known to fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from populations.adapters import CONFIG, Adapted, base_of
from populations.checkpoints import DTYPES, Checkpoint, Entry

REPOSITORY = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
"""owner/name, or owner/name@revision."""

SMALL = ["*.json", "*.model", "*.txt", "*.jinja", "*.py", "adapter_model.safetensors"]
"""What is fetched at once: settings, tokenizers, adapters."""


class Remote(Checkpoint):
    """A checkpoint on the hub; its weights are fetched when the first of them is asked for."""

    repository: str
    revision: str

    @property
    def name(self) -> str:
        """What messages, cards and recipes call it."""
        return f"{self.repository}@{self.revision}"

    def tensor(self, name: str) -> torch.Tensor:
        """As `Checkpoint.tensor`."""
        if not self.entries[name].file.exists():
            from huggingface_hub import snapshot_download

            snapshot_download(self.repository, revision=self.revision, allow_patterns=[path.name for path in self.files])
        return super().tensor(name)

    def __getstate__(self) -> dict[str, Any]:
        """As `Checkpoint`, and where it is."""
        return super().__getstate__() | {"repository": self.repository, "revision": self.revision}


def folder_of(seed: str | Path) -> Path:
    """The folder with a seed's settings and tokenizer; of a repository the small files are fetched.

    Args:
        seed: a folder, or owner/name of the hub, with @revision if it is not the newest.

    Raises:
        FileNotFoundError: if there is neither such a folder nor such a repository.
    """
    folder = Path(seed).expanduser()
    match = REPOSITORY.fullmatch(str(seed))
    if folder.is_dir() or match is None:
        if not folder.is_dir():
            raise FileNotFoundError(f"expected a folder, or owner/name of the hub, there is no folder {folder}")
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(match["name"], revision=match["revision"], allow_patterns=SMALL))
    except Exception as error:  # the hub's client raises many kinds, and httpx's own
        raise FileNotFoundError(
            f"there is no folder {seed}, and the hub does not give it either ({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from None


def source(seed: str | Path, base: str | Path | None = None) -> Checkpoint | Adapted:
    """A seed's tensors, by their headers.

    Args:
        seed: as `folder_of`.
        base: what a LoRA adapter stands on, if not what it says itself.

    Raises:
        FileNotFoundError: if something of it is missing.
        ValueError: if something of it is not as it should be.
    """
    folder = folder_of(seed)
    if (folder / CONFIG).is_file():
        below = base or base_of(folder)
        if below is None:
            raise ValueError(f"{folder}: an adapter that does not say what its base is; name it with base")
        stands_on = source(below)
        if isinstance(stands_on, Adapted):
            raise ValueError(f"{folder}: expected a base that is a whole model, {below} is an adapter, too")
        return Adapted(folder, stands_on)
    if folder == Path(seed).expanduser():
        return Checkpoint.open(folder)
    return _remote(str(seed), folder)


def _remote(seed: str, folder: Path) -> Checkpoint:
    """A repository's tensors by the headers that the hub gives."""
    from huggingface_hub import get_safetensors_metadata
    from huggingface_hub.errors import NotASafetensorsRepoError

    match = REPOSITORY.fullmatch(seed)
    assert match is not None
    try:
        metadata = get_safetensors_metadata(match["name"], revision=match["revision"])
    except NotASafetensorsRepoError:
        raise ValueError(f"{seed}: expected safetensors, the repository has none; pickled weights are not loaded") from None
    checkpoint = Remote(folder, {
        name: Entry(folder / file, DTYPES[tensor.dtype], tuple(tensor.shape))
        for file, content in metadata.files_metadata.items()
        for name, tensor in content.tensors.items()
    })  # fmt: skip
    checkpoint.repository, checkpoint.revision = match["name"], folder.name  # a snapshot's folder is named by its commit
    return checkpoint
