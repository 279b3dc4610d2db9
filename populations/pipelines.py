"""Pipelines of diffusers as seeds: all that model_index.json, the components' configs and their headers tell, before a weight is read."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from populations.checkpoints import MODEL, PICKLES, Checkpoint, Entry, names, shards_of
from populations.hub import REPOSITORY, SMALL, fetched, remote
from populations.resident import line, quiet

log = logging.getLogger(__name__)

INDEX = "model_index.json"
CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model"
"""What the files of a model of diffusers are called."""

DENOISERS = ("unet", "transformer")
"""What a pipeline calls the component that is bred if nothing else is said."""

CHECKER = "safety_checker"

HARMLESS = re.compile(r"_.*|sample_size|architectures|(torch_)?dtype|transformers_version|.*dropout.*")
"""Settings of a component in which mergeable ones may differ without a word."""


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

    def weights(self, component: str, variant: str | None) -> Checkpoint:
        """The tensors of a component by their headers; no weight is read.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: as `Checkpoint.open`.
        """
        stem = WEIGHTS if "_class_name" in self.config(component) else MODEL
        if self.repository is None:
            return Checkpoint.open(self.folder / component, stem, variant)
        from huggingface_hub import parse_safetensors_file_metadata
        from huggingface_hub.errors import EntryNotFoundError

        single, index = names(stem, variant)
        listed = self.folder / component / index
        files = sorted(set(shards_of(listed).values())) if listed.is_file() else [single]
        try:
            headers = {
                file: parse_safetensors_file_metadata(self.repository, f"{component}/{file}", revision=self.folder.name)
                for file in files
            }
        except EntryNotFoundError as error:
            raise ValueError(f"{self.name}: {component}: expected safetensors ({single}), it has none: {line(error)}") from None
        return remote(self.repository, self.folder, self.folder / component, headers)

    def check_weights(self, component: str, variant: str | None) -> None:
        """Checks that a component that is not bred is whole, and not pickled, as far as this machine has it.

        Raises:
            FileNotFoundError: if it is missing.
            ValueError: if its weights are pickled.
        """
        folder = self.folder / component
        if not folder.is_dir():
            raise FileNotFoundError(f"{self.name}: its component {component!r} is missing: there is no folder {folder}")
        if self.repository is None and (folder / CONFIG).is_file() and not list(folder.glob("*.safetensors")):
            pickled = [path for pattern in PICKLES for path in folder.glob(pattern)]
            if pickled:
                self.weights(component, variant)  # which says what is wrong with that
            raise FileNotFoundError(f"{self.name}: its component {component!r} has no weights: expected safetensors in {folder}")

    def fetch(self, components: Sequence[str], variant: str | None) -> None:
        """Brings whole components here, where they are on the hub."""
        if self.repository is None:
            return
        of = f".{variant}" if variant else ""
        weights = [f"{stem}{of}{ending}" for stem in (WEIGHTS, MODEL) for ending in (".safetensors", "-*.safetensors")]
        fetched(self.repository, self.folder.name, [*SMALL, *(f"{name}/{file}" for name in components for file in weights)])

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
            settings = {"dtype": dtype, "use_safetensors": True, "variant": variant}
        try:
            with quiet("diffusers", "transformers"):
                return made.from_pretrained(self.folder / component, **settings)
        except (ValueError, OSError) as error:
            raise ValueError(f"{self.name}: {component} cannot be loaded: {line(error)}") from None

    def _json(self, file: str) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / file).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.name}: {file} cannot be read ({error})") from None
        if not isinstance(content, dict):
            raise ValueError(f"{self.name}: {file}: expected an object in braces, got {type(content).__name__}")
        return content


class Bred:
    """What is bred of one seed, as one `populations.seeds.Source`; a tensor's name begins with its component's."""

    def __init__(self, name: str, components: Mapping[str, Checkpoint]) -> None:
        """Takes the checkpoints of its components by their names."""
        self.name, self.components = name, components

    @property
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


def whole(seeds: Sequence[Pipeline]) -> Pipeline:
    """The first seed that is a whole pipeline; the others are held against it.

    Raises:
        ValueError: if none is, or they are of different classes.
    """
    pipelines = [seed for seed in seeds if seed.kind]
    if not pipelines:
        raise ValueError(f"seeds: expected a pipeline of diffusers among them, none has a {INDEX}")
    for seed in pipelines[1:]:
        if seed.kind != pipelines[0].kind:
            raise ValueError(
                f"seeds: expected pipelines of one class; {pipelines[0].name} is a {pipelines[0].kind}, {seed.name} a {seed.kind}"
            )
    return pipelines[0]


def check_alike(seeds: Sequence[Pipeline], component: str) -> None:
    """Checks that a component computes the same in all seeds, but for its weights.

    Raises:
        FileNotFoundError: if a seed lacks it.
        ValueError: if its class or its settings differ.
    """
    first, *others = ((seed, settings(seed.config(component))) for seed in seeds)
    for seed, found in others:
        unlike = sorted((key for key in first[1].keys() | found.keys() if first[1].get(key) != found.get(key)), key=_class_first)
        for key in unlike:
            raise ValueError(
                f"seeds: expected one architecture; {component}: {key.replace('class', 'its class')} is {first[1].get(key)} "
                f"in {first[0].name} and {found.get(key)} in {seed.name}"
            )


def _class_first(key: str) -> tuple[bool, str]:
    return key != "class", key


def check_predictions(seeds: Sequence[Pipeline]) -> None:
    """Checks that all denoisers predict the same thing, as far as there are schedulers to say so.

    Raises:
        ValueError: if they do not.
    """
    said: dict[str, str] = {}
    for seed in seeds:
        if (seed.folder / "scheduler" / "scheduler_config.json").is_file():
            config = seed.config("scheduler", "scheduler_config.json")
            said.setdefault(str(config.get("prediction_type", "epsilon")), seed.name)
    if len(said) > 1:
        told = " and ".join(f"{kind} ({name})" for kind, name in said.items())
        raise ValueError(f"seeds: expected denoisers that predict the same, their schedulers say {told}")


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a component's config says of what is computed, its class's defaults where it is silent."""
    kind = config.get("_class_name") or config.get("architectures")
    found = {key: value for key, value in config.items() if not HARMLESS.fullmatch(key)}
    import diffusers

    made = getattr(diffusers, kind, None) if isinstance(kind, str) else None
    if made is not None:
        parameters = inspect.signature(made.__init__).parameters.items()
        defaults = {key: parameter.default for key, parameter in parameters if parameter.default is not parameter.empty}
        found = {key: value for key, value in defaults.items() if not HARMLESS.fullmatch(key)} | found
    return {"class": kind, **{key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}}


def blank(seed: Pipeline, component: str) -> torch.nn.Module:
    """A component as its config describes it, without weights.

    Raises:
        ValueError: if its class is neither of diffusers nor of transformers, or does not take the config.
    """
    import diffusers
    import transformers

    config = seed.config(component)
    try:
        with torch.device("meta"):
            if kind := getattr(diffusers, str(config.get("_class_name")), None):
                return kind.from_config(config)
            kind = getattr(transformers, next(iter(config.get("architectures") or ["nothing"])), None)
            if kind is None:
                raise ValueError(f"neither diffusers nor transformers has its class {config.get('_class_name')}")
            return kind(transformers.AutoConfig.from_pretrained(seed.folder / component))
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        raise ValueError(f"seeds: {seed.name}: {component} cannot be made: {line(error)}") from None
