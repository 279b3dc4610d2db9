"""Pipelines of diffusers as seeds: what their files tell before a weight is read, and their components, one by one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from populations.express.resident import line, quiet
from populations.seeds.checkpoints import MODEL, PICKLES, Checkpoint, Entry, names, shards_of
from populations.seeds.hub import REPOSITORY, SMALL, fetched, remote
from populations.seeds.reading import read_json
from populations.seeds.seeds import digest_of
from populations.seeds.single_files import BASE, SUFFIXES, alone, refusal

INDEX = "model_index.json"
CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model"
"""What the files of a model of diffusers are called."""

DENOISERS = ("unet", "transformer")
"""What a pipeline calls the component that is bred if nothing else is said."""

CHECKER = "safety_checker"
SCHEDULER = "scheduler"


@dataclass(frozen=True)
class Pipeline:
    """One seed: a pipeline, or a folder with nothing but what is bred of one.

    Attributes:
        name: the folder or the repository, as the user has it.
        folder: where it is on this machine, as far as it is.
        repository: of the hub, if it is from there.
    """

    name: str
    folder: Path
    repository: str | None = None

    @classmethod
    def find(cls, seed: str | Path) -> Pipeline:
        """Finds a seed; of a repository the small files are fetched.

        Raises:
            FileNotFoundError: if there is neither such a folder nor such a repository.
            ValueError: if it is a single file, or a folder with nothing else: the message says what it is.
        """
        folder, match = Path(seed).expanduser(), REPOSITORY.fullmatch(str(seed))
        if folder.is_dir():
            if (file := alone(folder)) is not None:
                raise ValueError(refusal(file))
            return cls(str(seed), folder)
        if folder.is_file():
            raise ValueError(refusal(folder))
        if match is None or folder.suffix in SUFFIXES:
            raise FileNotFoundError(
                f"expected a folder, or owner/name of the hub, there is no folder {folder}"
            )
        found = cls(match["name"], fetched(match["name"], match["revision"]), match["name"])
        files = found.files
        if not any(file == INDEX or file.endswith(f"/{CONFIG}") for file in files):
            singles = [file for file in files if "/" not in file and file.endswith(SUFFIXES)]
            if singles:
                raise ValueError(f"{found.name}: {singles[0]} is a single file; {BASE}")
        return found

    @property
    def pinned(self) -> str:
        """What recipes call it: of a repository, with the commit; a snapshot's folder is named by it."""
        return self.name if self.repository is None else f"{self.repository}@{self.folder.name}"

    @cached_property
    def index(self) -> dict[str, Any]:
        """Its model_index.json: the class of the pipeline, and library and class of each component; empty if it has none.

        Raises:
            ValueError: if it cannot be read.
        """
        return self._json(INDEX) if (self.folder / INDEX).is_file() else {}

    @property
    def kind(self) -> str | None:
        """The class of the pipeline, None if it is none; a class of its own code comes with its file's name."""
        kind = self.index.get("_class_name")
        return kind[-1] if isinstance(kind, list) else kind

    @property
    def components(self) -> dict[str, tuple[str, str]]:
        """Library and class of each component that it has."""
        entries = {
            name: entry
            for name, entry in self.index.items()
            if isinstance(entry, list) and not name.startswith("_")
        }
        return {
            name: (entry[0], entry[1])
            for name, entry in entries.items()
            if len(entry) == 2 and all(entry)
        }

    @property
    def lacks(self) -> list[str]:
        """Names of components that its class has and it has not: null, or null for library and class."""
        listed = [
            name
            for name, entry in self.index.items()
            if isinstance(entry, list) and entry and not any(entry)
        ]
        return [*listed, *self._nulls]

    @property
    def _nulls(self) -> list[str]:
        """Names of components for which the index has one null where diffusers expects two."""
        import diffusers

        made = getattr(diffusers, str(self.kind), None)
        parts = made._get_signature_keys(made)[0] if made is not None else ()
        return [name for name, entry in self.index.items() if entry is None and name in parts]

    @contextmanager
    def loadable(self) -> Iterator[Path]:
        """The folder as diffusers reads it: its own, or one of links to it, whose index has two nulls for one."""
        if not self._nulls:
            yield self.folder
            return
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for path in self.folder.iterdir():
                if path.name != INDEX:
                    (folder / path.name).symlink_to(path.resolve())
            index = self.index | {name: [None, None] for name in self._nulls}
            (folder / INDEX).write_text(json.dumps(index))
            yield folder

    def config(self, component: str, file: str = CONFIG) -> dict[str, Any]:
        """The settings of a component.

        Raises:
            FileNotFoundError: if it has no such component.
            ValueError: if they cannot be read.
        """
        if not (self.folder / component / file).is_file():
            raise FileNotFoundError(
                f"{self.name}: its component {component!r} is missing: there is no {component}/{file}"
            )
        return self._json(f"{component}/{file}")

    @cached_property
    def files(self) -> list[str]:
        """The names of all its files, of a repository those on the hub; without a network those that are here."""
        if self.repository is not None:
            from huggingface_hub import list_repo_files

            with suppress(
                Exception
            ):  # the hub's client raises many kinds, and its network's own; the cache may have it all
                return list_repo_files(self.repository, revision=self.folder.name)
        return [path.relative_to(self.folder).as_posix() for path in files_in(self.folder)]

    def weights(self, component: str, variant: str | None) -> Checkpoint:
        """The tensors of a component by their headers; no weight is read.

        Raises:
            FileNotFoundError: if a file is missing, or the hub does not give its header.
            ValueError: as `Checkpoint.open`.
        """
        stem, of = self._stored(component, variant)
        single, index = names(stem, of)
        listed = self.folder / component / index
        parts = sorted(set(shards_of(listed).values())) if listed.is_file() else [single]
        if self.repository is None or all(
            (self.folder / component / part).is_file() for part in parts
        ):
            return Checkpoint.open(self.folder / component, stem, of)
        from huggingface_hub import parse_safetensors_file_metadata

        try:
            headers = {
                part: parse_safetensors_file_metadata(
                    self.repository, f"{component}/{part}", revision=self.folder.name
                )
                for part in parts
            }
        except Exception as error:  # as above
            why = f"{type(error).__name__}: {line(error)}"
            raise FileNotFoundError(
                f"{self.name}: the hub does not give the headers of {component}/{single} ({why})"
            ) from None
        return remote(self.repository, self.folder, self.folder / component, headers)

    def check_weights(self, component: str, variant: str | None) -> None:
        """Checks that a component that is not bred is there, and its weights, if it has any, are in safetensors.

        Raises:
            FileNotFoundError: if it is missing.
            ValueError: if its weights are pickled.
        """
        if not any(file.startswith(f"{component}/") for file in self.files):
            raise FileNotFoundError(
                f"{self.name}: its component {component!r} is missing: there is no folder {component}"
            )
        if f"{component}/{CONFIG}" in self.files:
            self._stored(component, variant)

    def fetch(self, components: Sequence[str], variant: str | None) -> None:
        """Brings whole components here, where they are on the hub."""
        if self.repository is None:
            return
        weights = []
        for component in components:
            if f"{component}/{CONFIG}" in self.files:
                stem, of = self._stored(component, variant)
                begin = f"{component}/{stem}{f'.{of}' if of else ''}"
                weights += [f"{begin}.safetensors", f"{begin}-*.safetensors"]
        fetched(self.repository, self.folder.name, [*SMALL, *weights])

    def digest(self, component: str) -> str:
        """SHA-256 of a component's files, one after another in the order of their names."""
        return digest_of(sorted(files_in(self.folder / component)))

    def hashes(self, checkpoint: Checkpoint) -> list[str] | None:
        """SHA-256 of each file of a checkpoint of it, of a repository as the hub says; None where it does not."""
        if self.repository is None:
            return [digest_of([path]) for path in checkpoint.files]
        from huggingface_hub import get_paths_info

        names = [path.relative_to(self.folder).as_posix() for path in checkpoint.files]
        with suppress(Exception):  # as above
            listed = {
                info.path: info.lfs.sha256
                for info in get_paths_info(self.repository, names, revision=self.folder.name)
            }
            return [listed[name] for name in names]
        return None

    def _stored(self, component: str, variant: str | None) -> tuple[str, str | None]:
        """What the files of a component's weights are called, and of which variant: the one that is asked for, if it has it.

        Raises:
            FileNotFoundError: if it has none, or others only.
            ValueError: if they are pickled.
        """
        stem = WEIGHTS if "_class_name" in self.config(component) else MODEL
        here = [
            file.removeprefix(f"{component}/")
            for file in self.files
            if file.startswith(f"{component}/")
        ]
        for of in dict.fromkeys((variant, None)):
            if any(name in here for name in names(stem, of)):
                return stem, of
        if pickled := [
            file for file in here if any(Path(file).match(pattern) for pattern in PICKLES)
        ]:
            raise ValueError(
                f"{self.name}: {component}: expected safetensors, got pickled weights ({pickled[0]}), which can run any code when they "
                "are loaded; save the pipeline again with save_pretrained"
            )
        others = sorted(
            {
                file.split(".")[1]
                for file in here
                if file.startswith(f"{stem}.") and file.count(".") > 1
            }
        )
        hint = f"; it has them with variant: {' or '.join(others)}" if others else ""
        raise FileNotFoundError(
            f"{self.name}: {component} has no weights: expected {' or '.join(names(stem, variant))}{hint}"
        )

    def load(self, component: str, dtype: torch.dtype, variant: str | None) -> Any:
        """A component by itself.

        Raises:
            ValueError: if its class is neither of diffusers nor of transformers, or does not load.
        """
        library, kind = self.components[component]
        made = (
            getattr(import_module(library), kind, None)
            if library in ("diffusers", "transformers")
            else None
        )
        if made is None:
            raise ValueError(
                f"{self.name}: {component} is a {library}.{kind}, which can only come with its own pipeline"
            )
        self.fetch([component], variant)
        settings: dict[str, Any] = {}
        if isinstance(made, type) and issubclass(made, torch.nn.Module):
            of = self._stored(component, variant)[1]
            settings = {"dtype": dtype, "use_safetensors": True} | ({"variant": of} if of else {})
        try:
            with quiet("diffusers", "transformers"):
                return made.from_pretrained(self.folder / component, **settings)
        except Exception as error:  # whatever it stumbles on, it is this component
            raise ValueError(f"{self.name}: {component} cannot be loaded: {line(error)}") from None

    def _json(self, file: str) -> dict[str, Any]:
        try:
            return read_json(self.folder / file)
        except ValueError as error:
            reason = str(error).removeprefix(str(self.folder / file))
            raise ValueError(
                f"{self.name}: {file}{reason.replace(': expected JSON, it', '', 1)}"
            ) from None


class Bred:
    """What is bred of one seed, as one `populations.seeds.Source`; a tensor's name begins with its component's."""

    def __init__(self, name: str, components: Mapping[str, Checkpoint]) -> None:
        """Takes the checkpoints of its components by their names."""
        self.name, self.components = name, components

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Its tensors, as the headers describe them."""
        return {
            f"{of}.{name}": entry
            for of, part in self.components.items()
            for name, entry in part.entries.items()
        }

    @property
    def files(self) -> list[Path]:
        """The files that its weights are in."""
        return [path for part in self.components.values() for path in part.files]

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of it, memory-mapped."""
        component, _, rest = name.partition(".")
        return self.components[component].tensor(rest)


def files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder, through links too, but not through those that lead back up."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        here = Path(parent)
        if (
            here != folder
            and here.is_symlink()
            and here.parent.resolve().is_relative_to(here.resolve())
        ):
            folders.clear()
            continue
        for file in files:
            if (here / file).is_file():  # links may dangle
                yield here / file
