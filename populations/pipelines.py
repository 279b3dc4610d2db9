"""Pipelines of diffusers as seeds: what their files tell before a weight is read, and their components, one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from populations.checkpoints import MODEL, PICKLES, Checkpoint, Entry, names, shards_of
from populations.hub import REPOSITORY, SMALL, fetched, remote
from populations.reading import read_json
from populations.resident import line, quiet
from populations.seeds import digest_of

INDEX = "model_index.json"
CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model"
"""What the files of a model of diffusers are called."""

DENOISERS = ("unet", "transformer")
"""What a pipeline calls the component that is bred if nothing else is said."""

CHECKER = "safety_checker"


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
        """
        folder, match = Path(seed).expanduser(), REPOSITORY.fullmatch(str(seed))
        if folder.is_dir():
            return cls(str(seed), folder)
        if match is None:
            raise FileNotFoundError(f"expected a folder, or owner/name of the hub, there is no folder {folder}")
        return cls(match["name"], fetched(match["name"], match["revision"]), match["name"])

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
        entries = {name: entry for name, entry in self.index.items() if isinstance(entry, list) and not name.startswith("_")}
        return {name: (entry[0], entry[1]) for name, entry in entries.items() if len(entry) == 2 and all(entry)}

    @property
    def lacks(self) -> list[str]:
        """Names of components that its class has and it has not."""
        return [name for name, entry in self.index.items() if isinstance(entry, list) and entry and not any(entry)]

    def config(self, component: str, file: str = CONFIG) -> dict[str, Any]:
        """The settings of a component.

        Raises:
            FileNotFoundError: if it has no such component.
            ValueError: if they cannot be read.
        """
        if not (self.folder / component / file).is_file():
            raise FileNotFoundError(f"{self.name}: its component {component!r} is missing: there is no {component}/{file}")
        return self._json(f"{component}/{file}")

    @cached_property
    def files(self) -> list[str]:
        """The names of all its files, of a repository those on the hub; without a network those that are here."""
        if self.repository is not None:
            from huggingface_hub import list_repo_files

            with suppress(Exception):  # the hub's client raises many kinds, and its network's own; the cache may have it all
                return list_repo_files(self.repository, revision=self.folder.name)
        return [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]

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
        if self.repository is None or all((self.folder / component / part).is_file() for part in parts):
            return Checkpoint.open(self.folder / component, stem, of)
        from huggingface_hub import parse_safetensors_file_metadata

        try:
            headers = {
                part: parse_safetensors_file_metadata(self.repository, f"{component}/{part}", revision=self.folder.name)
                for part in parts
            }
        except Exception as error:  # as above
            why = f"{type(error).__name__}: {line(error)}"
            raise FileNotFoundError(f"{self.name}: the hub does not give the headers of {component}/{single} ({why})") from None
        return remote(self.repository, self.folder, self.folder / component, headers)

    def check_weights(self, component: str, variant: str | None) -> None:
        """Checks that a component that is not bred is there, and its weights, if it has any, are in safetensors.

        Raises:
            FileNotFoundError: if it is missing.
            ValueError: if its weights are pickled.
        """
        if not any(file.startswith(f"{component}/") for file in self.files):
            raise FileNotFoundError(f"{self.name}: its component {component!r} is missing: there is no folder {component}")
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
        return digest_of(sorted(path for path in (self.folder / component).rglob("*") if path.is_file()))

    def _stored(self, component: str, variant: str | None) -> tuple[str, str | None]:
        """What the files of a component's weights are called, and of which variant: the one that is asked for, if it has it.

        Raises:
            FileNotFoundError: if it has none, or others only.
            ValueError: if they are pickled.
        """
        stem = WEIGHTS if "_class_name" in self.config(component) else MODEL
        here = [file.removeprefix(f"{component}/") for file in self.files if file.startswith(f"{component}/")]
        for of in dict.fromkeys((variant, None)):
            if any(name in here for name in names(stem, of)):
                return stem, of
        if pickled := [file for file in here if any(Path(file).match(pattern) for pattern in PICKLES)]:
            raise ValueError(
                f"{self.name}: {component}: expected safetensors, got pickled weights ({pickled[0]}), which can run any code when they "
                "are loaded; save the pipeline again with save_pretrained"
            )
        others = sorted({file.split(".")[1] for file in here if file.startswith(f"{stem}.") and file.count(".") > 1})
        hint = f"; it has them with variant: {' or '.join(others)}" if others else ""
        raise FileNotFoundError(f"{self.name}: {component} has no weights: expected {' or '.join(names(stem, variant))}{hint}")

    def load(self, component: str, dtype: torch.dtype, variant: str | None) -> Any:
        """A component by itself.

        Raises:
            ValueError: if its class is neither of diffusers nor of transformers, or does not load.
        """
        library, kind = self.components[component]
        made = getattr(import_module(library), kind, None) if library in ("diffusers", "transformers") else None
        if made is None:
            raise ValueError(f"{self.name}: {component} is a {library}.{kind}, which can only come with its own pipeline")
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
            raise ValueError(f"{self.name}: {file}{reason.replace(': expected JSON, it', '', 1)}") from None


class Bred:
    """What is bred of one seed, as one `populations.seeds.Source`; a tensor's name begins with its component's."""

    def __init__(self, name: str, components: Mapping[str, Checkpoint]) -> None:
        """Takes the checkpoints of its components by their names."""
        self.name, self.components = name, components

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Its tensors, as the headers describe them."""
        return {f"{of}.{name}": entry for of, part in self.components.items() for name, entry in part.entries.items()}

    @property
    def files(self) -> list[Path]:
        """The files that its weights are in."""
        return [path for part in self.components.values() for path in part.files]

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of it, memory-mapped."""
        component, _, rest = name.partition(".")
        return self.components[component].tensor(rest)


def import_diffusers() -> None:
    """Imports diffusers, without what transformers says where torchvision is missing, which nothing here needs.

    Raises:
        ImportError: if diffusers is not installed.
    """
    try:
        from transformers.utils import logging as said

        before = said.get_verbosity()
        said.set_verbosity_error()
        try:
            from diffusers import StableDiffusionPipeline  # noqa: F401
        finally:
            said.set_verbosity(before)
    except ImportError as error:
        raise ImportError("image generators need the package diffusers: pip install 'evomerge[diffusion]'") from error
