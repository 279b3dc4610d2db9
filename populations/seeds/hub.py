"""The Hugging Face hub: headers and small files first, weights when the first of them is asked for.

So a repository whose weights do not fit is refused before gigabytes of it are downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from populations.seeds.checkpoints import Checkpoint
from populations.seeds.safetensors_headers import Entry, dtype_of
from populations.settings.errors import first_line

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
"""The files that are fetched at once: settings, tokenizers, cards, adapters."""


class Remote(Checkpoint):
    """A checkpoint on the hub; its weights are fetched when the first of them is asked for."""

    def __init__(
        self, repository: str, root: Path, folder: Path, entries: Mapping[str, Entry]
    ) -> None:
        """Takes the headers; `from_headers` makes entries of the hub's answer.

        Args:
            repository: owner/name.
            root: the folder of its snapshot on this machine.
            folder: the root, or the folder in it that the checkpoint's files are in.
            entries: the tensors by name.
        """
        super().__init__(folder, entries)
        self.repository = repository
        self.root = root

    @classmethod
    def from_headers(
        cls, repository: str, root: Path, folder: Path, headers: Mapping[str, Any]
    ) -> Remote:
        """Makes a checkpoint of the headers that the hub gives.

        Args:
            repository: owner/name.
            root: the folder of its snapshot on this machine.
            folder: the root, or the folder in it that the checkpoint's files are in.
            headers: by the name of each file, what the hub says of it.

        Raises:
            ValueError: if a tensor is of a type that is not known.
        """
        entries = {}
        for file, header in headers.items():
            for name, tensor in header.tensors.items():
                try:
                    dtype = dtype_of(name, str(tensor.dtype))
                except ValueError as error:
                    raise ValueError(f"{repository}: {file}: {error}") from None
                # The path is where the file will be once it is fetched.
                entries[name] = Entry(folder / file, dtype, tuple(tensor.shape))
        return cls(repository, root, folder, entries)

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

            # All files are fetched at once, since a merge reads every tensor.
            files = [path.relative_to(self.root).as_posix() for path in self.files]
            snapshot_download(self.repository, revision=self.revision, allow_patterns=files)
        return super().tensor(name)


def fetch_files(repository: str, revision: str | None, patterns: Sequence[str] = SMALL) -> Path:
    """Fetches some of a repository's files, the small ones if nothing else is said.

    Returns:
        The folder of its snapshot on this machine.

    Raises:
        FileNotFoundError: if the hub does not give them.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:
        # The hub's client raises many kinds, and so does the network below it.
        first_line = str(error).splitlines()[0] if str(error) else ""
        raise FileNotFoundError(
            f"there is no folder {repository}, and the hub does not give it either "
            f"({type(error).__name__}: {first_line})"
        ) from None


def open_remote(repository: str, revision: str | None, folder: Path) -> Remote:
    """Asks the hub for the headers of a repository's checkpoint.

    Args:
        repository: owner/name.
        revision: a branch, a tag or a commit; None: the newest.
        folder: the folder of its snapshot on this machine.

    Raises:
        FileNotFoundError: if the hub does not give them.
        ValueError: if there are no safetensors, or a tensor is of a type that is not known.
    """
    from huggingface_hub import get_safetensors_metadata
    from huggingface_hub.errors import NotASafetensorsRepoError

    try:
        # This reads the beginning of each file, and no weight.
        metadata = get_safetensors_metadata(repository, revision=revision)
    except NotASafetensorsRepoError:
        raise ValueError(
            f"{repository}: expected safetensors, the repository has none; "
            "pickled weights are not loaded"
        ) from None
    except Exception as error:
        # As in `fetch_files`, any kind of error may come.
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise FileNotFoundError(
            f"{repository}: the hub does not give the headers of its weights ({reason})"
        ) from None
    # The files of a language model are at the top of its repository.
    return Remote.from_headers(repository, folder, folder, metadata.files_metadata)
