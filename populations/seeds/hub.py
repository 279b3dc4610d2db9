"""Seeds by name: a folder, or a repository of the Hugging Face hub, of which only headers are fetched before all is known to fit."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from populations.express.resident import line
from populations.seeds.adapters import CONFIG, Adapted, base_of
from populations.seeds.checkpoints import Checkpoint, Entry, dtype_of
from populations.seeds.origins import Model
from populations.seeds.reading import check_settings

log = logging.getLogger(__name__)

REPOSITORY = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
"""owner/name, or owner/name@revision."""

SMALL = [
    "*.json",
    "*.model",
    "*.txt",
    "*.jinja",
    "*.py",
    "README.md",
    "LICENSE*",
    "adapter_model.safetensors",
]
"""What is fetched at once: settings, tokenizers, cards, adapters."""


class Remote(Checkpoint):
    """A checkpoint on the hub; its weights are fetched when the first of them is asked for."""

    repository: str
    root: Path

    @property
    def name(self) -> str:
        """What messages and recipes call it."""
        return f"{self.repository}@{self.revision}"

    @property
    def revision(self) -> str:
        """The commit; a snapshot's folder is named by it."""
        return self.root.name

    def tensor(self, name: str) -> torch.Tensor:
        """As `Checkpoint.tensor`."""
        if not self.entries[name].file.exists():
            from huggingface_hub import snapshot_download

            files = [path.relative_to(self.root).as_posix() for path in self.files]
            snapshot_download(self.repository, revision=self.revision, allow_patterns=files)
        return super().tensor(name)


@dataclass(frozen=True)
class Found:
    """Where everything of one seed is.

    Attributes:
        name: a folder, or the repository without its revision: what a model card calls it.
        folder: its own settings and tokenizer, as far as it has them.
        source: its tensors, by their headers.
        repository: of the hub, if it is from there.
    """

    name: str
    folder: Path
    source: Checkpoint | Adapted
    repository: str | None = None

    @property
    def models(self) -> list[Model]:
        """What has to be asked for a licence: it, and the base of an adapter."""
        own: list[Model] = [(self.folder, self.repository)]
        if not isinstance(self.source, Adapted):
            return own
        base = self.source.base
        return [
            *own,
            (base.root, base.repository) if isinstance(base, Remote) else (base.folder, None),
        ]

    @property
    def model_folder(self) -> Path:
        """Where the config of the whole model is: of an adapter, its base's."""
        return self.source.base.folder if isinstance(self.source, Adapted) else self.folder

    @property
    def tokenizer_folder(self) -> Path:
        """Where its tokenizer is: its own, or its base's."""
        return (
            self.folder if (self.folder / "tokenizer_config.json").is_file() else self.model_folder
        )


def find(seed: str | Path, adapter_base: str | Path | None = None) -> Found:
    """Finds a seed and reads its headers; of a repository the small files are fetched.

    Args:
        seed: a folder, or owner/name of the hub, with @revision if it is not the newest.
        adapter_base: what a LoRA adapter stands on, instead of what it says itself.

    Raises:
        FileNotFoundError: if there is neither such a folder nor such a repository, or something of it is missing.
        ValueError: if something of it is not as it should be.
    """
    folder, match = Path(seed).expanduser(), REPOSITORY.fullmatch(str(seed))
    if not folder.is_dir() and match is not None:
        name, folder = match["name"], fetched(match["name"], match["revision"])
    elif folder.is_dir():
        name, match = str(seed), None
    else:
        raise FileNotFoundError(
            f"expected a folder, or owner/name of the hub, there is no folder {folder}"
        )
    repository = None if match is None else match["name"]
    check_settings(folder)
    if (folder / CONFIG).exists():
        return Found(name, folder, _adapted(folder, adapter_base), repository)
    source = (
        Checkpoint.open(folder)
        if match is None
        else _remote(match["name"], match["revision"], folder)
    )
    return Found(name, folder, source, repository)


def _adapted(folder: Path, adapter_base: str | Path | None) -> Adapted:
    """An adapter over its base.

    Raises:
        FileNotFoundError: if its base is neither on this machine nor on the hub.
        ValueError: if it names none, or one that is not a whole model in floating point.
    """
    said = base_of(folder)
    below = adapter_base or said
    if below is None:
        raise ValueError(
            f"{folder}: an adapter that does not say what its base is; set adapter_base to it"
        )
    try:
        stands_on = find(below).source
    except (OSError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        way_out = (
            "" if adapter_base else "; set adapter_base to a folder or a repository that has it"
        )
        raise kind(
            f"{folder}: the adapter's base {below} cannot be had: {error}{way_out}"
        ) from None
    if isinstance(stands_on, Adapted):
        raise ValueError(
            f"{folder}: expected a base that is a whole model, {below} is an adapter, too"
        )
    if adapter_base and said and str(adapter_base) != said:
        log.info(
            "%s: it says that its base is %s; it stands on %s, since adapter_base says so",
            folder,
            said,
            adapter_base,
        )
    return Adapted(folder, stands_on)


def fetched(repository: str, revision: str | None, patterns: Sequence[str] = SMALL) -> Path:
    """The folder with some of a repository's files, the small ones if nothing else is said.

    Raises:
        FileNotFoundError: if the hub does not give them.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's client raises many kinds, and its network's own
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise FileNotFoundError(
            f"there is no folder {repository}, and the hub does not give it either ({why})"
        ) from None


def _remote(repository: str, revision: str | None, folder: Path) -> Checkpoint:
    """A repository's tensors by the headers that the hub gives."""
    from huggingface_hub import get_safetensors_metadata
    from huggingface_hub.errors import NotASafetensorsRepoError

    try:
        metadata = get_safetensors_metadata(repository, revision=revision)
    except NotASafetensorsRepoError:
        raise ValueError(
            f"{repository}: expected safetensors, the repository has none; pickled weights are not loaded"
        ) from None
    except Exception as error:  # the hub's client raises many kinds, and its network's own
        why = f"{type(error).__name__}: {line(error)}"
        raise FileNotFoundError(
            f"{repository}: the hub does not give the headers of its weights ({why})"
        ) from None
    return remote(repository, folder, folder, metadata.files_metadata)


def remote(repository: str, root: Path, folder: Path, headers: Mapping[str, Any]) -> Remote:
    """A checkpoint on the hub.

    Args:
        repository: owner/name.
        root: where its snapshot is on this machine.
        folder: the root, or the folder in it that the checkpoint's files are in.
        headers: what the hub says of each file.

    Raises:
        ValueError: if a tensor is of a type that is not known.
    """
    entries = {}
    for file, content in headers.items():
        for name, tensor in content.tensors.items():
            try:
                dtype = dtype_of(name, str(tensor.dtype))
            except ValueError as error:
                raise ValueError(f"{repository}: {file}: {error}") from None
            entries[name] = Entry(folder / file, dtype, tuple(tensor.shape))
    checkpoint = Remote(folder, entries)
    checkpoint.repository, checkpoint.root = repository, root
    return checkpoint
