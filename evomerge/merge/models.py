"""The models that are merged: whether they are there, and whether they write talks alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge.config.targets import TARGET, import_path

FIND = "populations.seeds.language_seeds.find"
"""What finds a language model. The engine knows no models, so it is named as in a config."""

METHOD = "populations.methods.Method"
"""Likewise, a merge method of mergekit's."""

ADAPTER = "adapter_config.json"
"""The file that makes a folder a LoRA adapter's."""

DENSITY = 0.5
"""The share of its numbers that a seed keeps, for methods that have to be given one."""

DROPPING = ("ties", "dare", "della", "breadcrumbs")
"""How the names of methods begin that have to be given a density."""


@dataclass(frozen=True)
class Models:
    """The models that are merged.

    Attributes:
        names: as the user names them.
        adapted: whether a LoRA adapter is among them.
        templates: by name the chat template that stands beside each; None where none does.
    """

    names: list[str]
    adapted: bool
    templates: dict[str, str | None]

    def chat(self) -> tuple[bool | None, str]:
        """Whether questions go into a chat template where the user has not said so.

        Returns:
            None where that cannot be known; and why.
        """
        having = [name for name, template in self.templates.items() if template]
        if not having:
            return False, "no model has a chat template"
        lacking = [name for name in self.templates if name not in having]
        if lacking:
            return None, f"{having[0]} has a chat template, {lacking[0]} has none"
        if len(set(self.templates.values())) > 1:
            return None, f"the chat templates of {' and '.join(having)} are not the same text"
        return True, "all models have the same chat template"


def find(names: Sequence[str], base: str | None, method: str | None, mistakes: list[str]) -> Models:
    """Finds the models and reads their headers; of a repository the small files are fetched.

    Args:
        names: folders, owner/name of the hub, LoRA adapters.
        base: what adapters stand on, and what a method takes differences to.
        method: of mergekit.
        mistakes: what is wrong is added here.
    """
    if len(names) < 2:
        mistakes.append(f"MODEL: expected two models or more, got {' '.join(names) or 'none'}")
    known = set()
    for name in names:
        # A folder may be named in many ways; a repository is no folder here.
        place = str(Path(name).expanduser().resolve())
        if place in known:
            mistakes.append(f"{name}: the same model is given more than once")
        known.add(place)
    given = base is not None
    if base is not None and _seed(base, None, "--base: ", mistakes) is None:
        base = None
    adapted = False
    templates = {}
    for name in dict.fromkeys(names):
        seed = _seed(name, base, "", mistakes)
        if seed is None:
            continue
        adapted = adapted or (seed.folder / ADAPTER).is_file()
        templates[name] = _chat_template(seed.tokenizer_folder)
    # What stands on a base cannot be told where a model was not found.
    if len(templates) == len(names):
        mistakes += _mistakes_of_base(given, method, adapted)
    return Models(list(names), adapted, templates)


def population(
    models: Models, *, base: str | None, method: str | None, dtype: str, device: str
) -> dict[str, Any]:
    """The models as a population, in plain data."""
    call: dict[str, Any] = {TARGET: "populations.llm.LanguageModels", "seeds": models.names}
    if base is not None and models.adapted:
        call["adapter_base"] = base
    if method is not None:
        if base is not None:
            call["base"] = base
        call["method"] = {TARGET: METHOD, "name": method}
        if method.startswith(DROPPING):
            call["method"]["parameters"] = {"density": DENSITY}
    return {**call, "dtype": dtype, "device": device}


def _mistakes_of_base(given: bool, method: str | None, adapted: bool) -> list[str]:
    """What is wrong with a base that is given, or that is not.

    Args:
        given: whether it is.
        method: of mergekit.
        adapted: whether a LoRA adapter is among the models.
    """
    needs = takes = False
    if method is not None:
        try:
            known = import_path(METHOD)(method)
            needs, takes = known.needs_base, known.takes_base
        except (ImportError, RuntimeError):
            # A method that cannot be had is refused by the population.
            return []
    if needs and not given:
        return [f"--method: {method} takes differences from a base; --base names it"]
    # A base that nothing takes was meant for something.
    if not given or takes or adapted:
        return []
    if method is not None:
        return [f"--base: {method} takes no base, it would be left out"]
    return [
        "--base: expected a LoRA adapter among the models, or a --method that takes "
        "differences from a base; there is neither"
    ]


def _seed(name: str, base: str | None, before: str, mistakes: list[str]) -> Any:
    """A model as populations find it; None, and a mistake, where it is not there or is none."""
    # What can only be a path is not looked for on the hub.
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        mistakes.append(f"{before}{name}: expected a folder with a model, there is none")
        return None
    try:
        return import_path(FIND)(name, base)
    except (OSError, ValueError, ImportError) as error:
        # A setting of the config is an option here.
        text = " ".join(str(error).split()).replace("adapter_base", "--base")
        # Most messages about a folder begin with it.
        if not text.startswith(name):
            text = f"{name}: {text}"
        mistakes.append(f"{before}{text}")
        return None


def _chat_template(folder: Path) -> str | None:
    """The chat template in a folder of a tokenizer, if there is one."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    # Whatever is wrong with it is said by the population, which needs all of it.
    with suppress(OSError, ValueError, AttributeError):
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        template = settings.get("chat_template")
        if template:
            return str(template)
    return None
