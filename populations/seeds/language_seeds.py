"""Finding a language model by what the user calls it: a folder, a repository, or a LoRA adapter."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from populations.seeds.adapter_settings import base_of
from populations.seeds.adapters import Adapted
from populations.seeds.checkpoints import ADAPTER_CONFIG, Checkpoint
from populations.seeds.hub import REPOSITORY, Remote, fetch_files, open_remote
from populations.seeds.json_files import check_settings
from populations.seeds.model_cards import Model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LanguageSeed:
    """One seed, with the places of all that belongs to it.

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
        """The models whose licences count: the seed itself, and the base of an adapter."""
        # The licence of an adapter does not free what it stands on.
        models: list[Model] = [(self.folder, self.repository)]
        if isinstance(self.source, Adapted):
            base = self.source.base
            if isinstance(base, Remote):
                models.append((base.root, base.repository))
            else:
                models.append((base.folder, None))
        return models

    @property
    def model_folder(self) -> Path:
        """The folder with the config of the whole model: of an adapter, its base's."""
        if isinstance(self.source, Adapted):
            return self.source.base.folder
        return self.folder

    @property
    def tokenizer_folder(self) -> Path:
        """The folder of its tokenizer: its own, or its base's."""
        # An adapter that added tokens brings the tokenizer that has them.
        if (self.folder / "tokenizer_config.json").is_file():
            return self.folder
        return self.model_folder


def find(seed: str | Path, adapter_base: str | Path | None = None) -> LanguageSeed:
    """Finds a seed and reads its headers; of a repository the small files are fetched.

    Args:
        seed: a folder, or owner/name of the hub, with @revision if it is not the newest.
        adapter_base: the model that a LoRA adapter stands on, instead of the one that it names.

    Raises:
        FileNotFoundError: if there is neither such a folder nor such a repository, or something of
            it is missing.
        ValueError: if something of it is not as it should be.
    """
    folder = Path(seed).expanduser()
    repository = revision = None
    name = str(seed)
    # A folder goes before a repository of the same name.
    if not folder.is_dir():
        match = REPOSITORY.fullmatch(str(seed))
        if match is None:
            raise FileNotFoundError(
                f"expected a folder, or owner/name of the hub, there is no folder {folder}"
            )
        name = repository = match["name"]
        revision = match["revision"]
        folder = fetch_files(repository, revision)
    # The config comes before the headers: it says more plainly that a model is quantized.
    check_settings(folder)
    source: Checkpoint | Adapted
    if (folder / ADAPTER_CONFIG).exists():
        source = _open_adapter(folder, adapter_base)
    elif repository is None:
        source = Checkpoint.open(folder)
    else:
        source = open_remote(repository, revision, folder)
    return LanguageSeed(name, folder, source, repository)


def _open_adapter(folder: Path, adapter_base: str | Path | None) -> Adapted:
    """Opens an adapter over its base.

    Raises:
        FileNotFoundError: if its base is neither on this machine nor on the hub.
        ValueError: if it names none, or one that is not a whole model in floating point.
    """
    named_base = base_of(folder)
    # The adapter may name a folder of the machine that it was trained on.
    base_name = adapter_base or named_base
    if base_name is None:
        raise ValueError(
            f"{folder}: an adapter that does not say what its base is; set adapter_base to it"
        )
    try:
        base = find(base_name).source
    except (OSError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        # Who has set adapter_base already does not need the advice to set it.
        advice = "; set adapter_base to a folder or a repository that has it"
        raise kind(
            f"{folder}: the adapter's base {base_name} cannot be had: {error}"
            f"{'' if adapter_base else advice}"
        ) from None
    if isinstance(base, Adapted):
        raise ValueError(
            f"{folder}: expected a base that is a whole model, {base_name} is an adapter, too"
        )
    if adapter_base and named_base and str(adapter_base) != named_base:
        _tell_base(folder, named_base, str(adapter_base))
    return Adapted(folder, base)


@cache
def _tell_base(folder: Path, named: str, given: str) -> None:
    """Logs once that an adapter stands on another base than it says, however often it is read."""
    log.info(
        "%s: it says that its base is %s; it stands on %s, since adapter_base says so",
        folder,
        named,
        given,
    )
