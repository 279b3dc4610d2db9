"""Pipelines of diffusers as seeds: their components, one by one, with their weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from populations.seeds.checkpoints import MODEL, PICKLES, Checkpoint, file_names, shards_of
from populations.seeds.digests import digest_of
from populations.seeds.hub import SMALL, Remote, fetch_files
from populations.seeds.json_files import CONFIG
from populations.seeds.library_logging import without_progress_bars
from populations.seeds.pipeline_folders import PipelineFolder, files_in
from populations.settings.errors import first_line

WEIGHTS = "diffusion_pytorch_model"
"""What the files of a model of diffusers are called."""

LIBRARIES = ("diffusers", "transformers")
"""Libraries whose classes load by themselves; others come with the code of their pipeline."""


class Pipeline(PipelineFolder):
    """One seed: a pipeline, or a folder with nothing but what is bred of one."""

    def weights(self, component: str, variant: str | None) -> Checkpoint:
        """The tensors of a component by their headers; no weight is read.

        Args:
            component: its name.
            variant: which of several sets of files, such as "fp16", if it has that.

        Raises:
            FileNotFoundError: if a file is missing, or the hub does not give its header.
            ValueError: as `Checkpoint.open`.
        """
        stem, stored_variant = self._stored(component, variant)
        folder = self.folder / component
        single, index = file_names(stem, stored_variant)
        parts = [single]
        # Large components are in several files.
        if (folder / index).is_file():
            parts = sorted(set(shards_of(folder / index).values()))
        # What is here already is read here, whether it is from the hub or not.
        if self.repository is None or all((folder / part).is_file() for part in parts):
            return Checkpoint.open(folder, stem, stored_variant)
        return self._remote_weights(self.repository, component, parts, single)

    def check_weights(self, component: str, variant: str | None) -> None:
        """Checks a component that is not bred: its weights, if it has any, are in safetensors.

        Raises:
            FileNotFoundError: if the component is missing.
            ValueError: if its weights are pickled.
        """
        if not self._files_of(component):
            raise FileNotFoundError(
                f"{self.name}: its component {component!r} is missing: "
                f"there is no folder {component}"
            )
        if f"{component}/{CONFIG}" in self.files:
            self._stored(component, variant)

    def fetch(self, components: Sequence[str], variant: str | None) -> None:
        """Brings whole components here, where they are on the hub."""
        if self.repository is None:
            return
        patterns = list(SMALL)
        for component in components:
            # Tokenizers and schedulers have no weights.
            if f"{component}/{CONFIG}" in self.files:
                stem, stored_variant = self._stored(component, variant)
                suffix = f".{stored_variant}" if stored_variant else ""
                beginning = f"{component}/{stem}{suffix}"
                patterns += [f"{beginning}.safetensors", f"{beginning}-*.safetensors"]
        fetch_files(self.repository, self.folder.name, patterns)

    def load(self, component: str, dtype: torch.dtype, variant: str | None) -> Any:
        """Loads a component by itself.

        Args:
            component: its name.
            dtype: the type that a model's weights get.
            variant: which of several sets of files, if it has that.

        Raises:
            ValueError: if its class is neither of diffusers nor of transformers, or does not load.
        """
        library, kind = self.components[component]
        made = None
        if library in LIBRARIES:
            made = getattr(import_module(library), kind, None)
        if made is None:
            raise ValueError(
                f"{self.name}: {component} is a {library}.{kind}, "
                "which can only come with its own pipeline"
            )
        # Of a repository, only the small files are here until now.
        self.fetch([component], variant)
        settings: dict[str, Any] = {}
        # Tokenizers and schedulers do not take these arguments.
        if isinstance(made, type) and issubclass(made, torch.nn.Module):
            settings = {"dtype": dtype, "use_safetensors": True}
            stored_variant = self._stored(component, variant)[1]
            if stored_variant:
                settings["variant"] = stored_variant
        try:
            with without_progress_bars(*LIBRARIES):
                return made.from_pretrained(self.folder / component, **settings)
        except Exception as error:
            # Whatever the library stumbles on, it is this component.
            raise ValueError(
                f"{self.name}: {component} cannot be loaded: {first_line(error)}"
            ) from None

    def digest(self, component: str) -> str:
        """SHA-256 of a component's files, one after another in the order of their names."""
        return digest_of(sorted(files_in(self.folder / component)))

    def hashes(self, checkpoint: Checkpoint) -> list[str] | None:
        """SHA-256 of each file of one of its checkpoints.

        Returns:
            Of a repository what the hub says, so that nothing is downloaded; None where it does
            not say.
        """
        if self.repository is None:
            return [digest_of([path]) for path in checkpoint.files]
        from huggingface_hub import get_paths_info

        paths = [path.relative_to(self.folder).as_posix() for path in checkpoint.files]
        # The hub's client raises many kinds, and so does the network below it.
        with suppress(Exception):
            hash_of = {}
            for info in get_paths_info(self.repository, paths, revision=self.folder.name):
                hash_of[info.path] = info.lfs.sha256
            return [hash_of[path] for path in paths]
        return None

    def _remote_weights(
        self, repository: str, component: str, parts: Iterable[str], single: str
    ) -> Remote:
        """The tensors of a component on the hub.

        Args:
            repository: owner/name.
            component: its name.
            parts: the names of the files of its weights.
            single: what its one file would be called, for the message.

        Raises:
            FileNotFoundError: if the hub does not give a header.
        """
        from huggingface_hub import parse_safetensors_file_metadata

        headers = {}
        try:
            for part in parts:
                headers[part] = parse_safetensors_file_metadata(
                    repository, f"{component}/{part}", revision=self.folder.name
                )
        except Exception as error:
            # As in `hashes`, any kind of error may come.
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise FileNotFoundError(
                f"{self.name}: the hub does not give the headers of {component}/{single} ({reason})"
            ) from None
        return Remote.from_headers(repository, self.folder, self.folder / component, headers)

    def _stored(self, component: str, variant: str | None) -> tuple[str, str | None]:
        """Which set of weights a component has: the one that is asked for, or else the plain one.

        Returns:
            What its files are called, and of which variant they are.

        Raises:
            FileNotFoundError: if it has none, or others only.
            ValueError: if they are pickled.
        """
        # Only diffusers notes the class in this way; transformers names its files otherwise.
        stem = WEIGHTS if "_class_name" in self.config(component) else MODEL
        files = self._files_of(component)
        # A pipeline may have a variant of some components and not of others.
        for candidate in (variant, None):
            single, index = file_names(stem, candidate)
            if single in files or index in files:
                return stem, candidate
        for file in files:
            if any(Path(file).match(pattern) for pattern in PICKLES):
                raise ValueError(
                    f"{self.name}: {component}: expected safetensors, got pickled weights "
                    f"({file}), which can run any code when they are loaded; "
                    "save the pipeline again with save_pretrained"
                )
        # In model.fp16.safetensors, the variant is fp16.
        others = set()
        for file in files:
            if file.startswith(f"{stem}.") and file.count(".") > 1:
                others.add(file.split(".")[1])
        hint = ""
        if others:
            hint = f"; it has them with variant: {' or '.join(sorted(others))}"
        expected = " or ".join(file_names(stem, variant))
        raise FileNotFoundError(
            f"{self.name}: {component} has no weights: expected {expected}{hint}"
        )

    def _files_of(self, component: str) -> list[str]:
        """The names of a component's files, without the component's own."""
        folder = f"{component}/"
        return [file.removeprefix(folder) for file in self.files if file.startswith(folder)]
