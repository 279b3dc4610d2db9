"""What the folder or repository of a pipeline holds: its index, its configs, its files' names.

No weight is read for any of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from populations.seeds.hub import REPOSITORY, fetch_files
from populations.seeds.json_files import CONFIG, read_json
from populations.seeds.single_files import BASE, SUFFIXES, lone_file, refusal

INDEX = "model_index.json"

DENOISERS = ("unet", "transformer")
"""What a pipeline calls the component that is bred if nothing else is said."""

CHECKER = "safety_checker"
SCHEDULER = "scheduler"
SCHEDULER_CONFIG = "scheduler_config.json"

Folder = TypeVar("Folder", bound="PipelineFolder")


@dataclass(frozen=True)
class PipelineFolder:
    """A pipeline of diffusers, or a folder with nothing but what is bred of one.

    Attributes:
        name: the folder or the repository, as the user has it.
        folder: its files on this machine, as far as they are here.
        repository: of the hub, if it is from there.
    """

    name: str
    folder: Path
    repository: str | None = None

    @classmethod
    def find(cls: type[Folder], seed: str | Path) -> Folder:
        """Finds a seed; of a repository the small files are fetched.

        Args:
            seed: a folder, or owner/name of the hub, with @revision if it is not the newest.

        Raises:
            FileNotFoundError: if there is neither such a folder nor such a repository.
            ValueError: if it is a single file, or a folder with nothing else: the message says
                what the file is.
        """
        folder = Path(seed).expanduser()
        if folder.is_dir():
            # Checkpoints in one file are the usual download, and cannot be bred yet.
            file = lone_file(folder)
            if file is not None:
                raise ValueError(refusal(file))
            return cls(str(seed), folder)
        if folder.is_file():
            raise ValueError(refusal(folder))
        match = REPOSITORY.fullmatch(str(seed))
        # A file that is not there, such as models/a.safetensors, looks like owner/name.
        if match is None or folder.suffix in SUFFIXES:
            raise FileNotFoundError(
                f"expected a folder, or owner/name of the hub, there is no folder {folder}"
            )
        pipeline = cls(match["name"], fetch_files(match["name"], match["revision"]), match["name"])
        pipeline._check_not_single_file()
        return pipeline

    @property
    def pinned(self) -> str:
        """What recipes call it: of a repository with the commit, which its snapshot is named by."""
        if self.repository is None:
            return self.name
        return f"{self.repository}@{self.folder.name}"

    @cached_property
    def index(self) -> dict[str, Any]:
        """Its model_index.json; empty if it has none.

        The index has the class of the pipeline, and library and class of each component.

        Raises:
            ValueError: if it cannot be read.
        """
        # A folder with nothing but a denoiser has no index.
        if (self.folder / INDEX).is_file():
            return self._read(INDEX)
        return {}

    @property
    def kind(self) -> str | None:
        """The class of the pipeline, None if it is none."""
        kind = self.index.get("_class_name")
        # A class of the pipeline's own code comes with the name of its file before it.
        if isinstance(kind, list):
            return kind[-1]
        return kind

    @property
    def components(self) -> dict[str, tuple[str, str]]:
        """Library and class of each component that it has."""
        components = {}
        for name, entry in self.index.items():
            # Names that begin with an underscore are notes of diffusers.
            is_component = isinstance(entry, list) and not name.startswith("_")
            if is_component and len(entry) == 2 and all(entry):
                components[name] = (entry[0], entry[1])
        return components

    @property
    def lacks(self) -> list[str]:
        """Names of components that its class has and it has not.

        Its index has null for them, or null for their library and null for their class.
        """
        names = []
        for name, entry in self.index.items():
            if isinstance(entry, list) and entry and not any(entry):
                names.append(name)
        return names + self._single_nulls

    @contextmanager
    def loadable(self) -> Iterator[Path]:
        """Gives a folder that diffusers can read.

        It is the pipeline's own, or, where the index has one null for a component, a folder of
        links to it, whose index has two.
        """
        nulls = self._single_nulls
        if not nulls:
            yield self.folder
            return
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            # Links, since the weights take gigabytes.
            for path in self.folder.iterdir():
                if path.name != INDEX:
                    (folder / path.name).symlink_to(path.resolve())
            index = dict(self.index)
            for name in nulls:
                index[name] = [None, None]
            (folder / INDEX).write_text(json.dumps(index))
            yield folder

    def config(self, component: str, file: str = CONFIG) -> dict[str, Any]:
        """The settings of a component.

        Args:
            component: its name.
            file: which of its files; a scheduler's has another name.

        Raises:
            FileNotFoundError: if it has no such component.
            ValueError: if they cannot be read.
        """
        if not (self.folder / component / file).is_file():
            raise FileNotFoundError(
                f"{self.name}: its component {component!r} is missing: "
                f"there is no {component}/{file}"
            )
        return self._read(f"{component}/{file}")

    def has_config(self, component: str, file: str = CONFIG) -> bool:
        """Whether the settings of a component are here."""
        return (self.folder / component / file).is_file()

    @cached_property
    def files(self) -> list[str]:
        """The names of all its files, of a repository those on the hub.

        Without a network, these are the names of the files that are here.
        """
        if self.repository is not None:
            from huggingface_hub import list_repo_files

            # The hub's client raises many kinds, and so does the network below it; the cache may
            # have all that is needed.
            with suppress(Exception):
                return list_repo_files(self.repository, revision=self.folder.name)
        return [path.relative_to(self.folder).as_posix() for path in files_in(self.folder)]

    @property
    def _single_nulls(self) -> list[str]:
        """Names of components for which the index has one null where diffusers expects two."""
        import diffusers

        pipeline_class = getattr(diffusers, str(self.kind), None)
        if pipeline_class is None:
            return []
        parts = pipeline_class._get_signature_keys(pipeline_class)[0]
        return [name for name, entry in self.index.items() if entry is None and name in parts]

    def _check_not_single_file(self) -> None:
        """Refuses a repository that has a checkpoint in one file, and no pipeline.

        Raises:
            ValueError: if it is one.
        """
        singles = []
        for file in self.files:
            if file == INDEX or file.endswith(f"/{CONFIG}"):
                return
            if "/" not in file and file.endswith(SUFFIXES):
                singles.append(file)
        if singles:
            raise ValueError(f"{self.name}: {singles[0]} is a single file; {BASE}")

    def _read(self, file: str) -> dict[str, Any]:
        """Reads one of its files, and blames the pipeline rather than a path in the hub's cache."""
        path = self.folder / file
        try:
            return read_json(path)
        except ValueError as error:
            reason = str(error).removeprefix(str(path))
            raise ValueError(
                f"{self.name}: {file}{reason.replace(': expected JSON, it', '', 1)}"
            ) from None


def files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder, through links too, but not through those that lead back up."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        here = Path(parent)
        # Such a link would be followed for ever.
        if here != folder and _leads_up(here):
            folders.clear()
            continue
        for file in files:
            # A link may dangle.
            if (here / file).is_file():
                yield here / file


def _leads_up(folder: Path) -> bool:
    """Whether a folder is a link to one that it is in."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
