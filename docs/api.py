"""Writes docs/api.md, what a config or a Python user can name, from signatures and docstrings: `python docs/api.py`."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from evomerge.config.targets import import_path

HEAD = """# Reference

What a config or a Python program can name. Each line is an argument: its name, type and default, and what it means. In a config `_target_` is
the name in the heading, and the arguments are keys beside it. Made from the code by `python docs/api.py`.
"""

SECTIONS = {
    "A run": """evomerge.evolve evomerge.NaturalNiches evomerge.Crossover evomerge.Local evomerge.Ray evomerge.Archive evomerge.Member
        evomerge.UserError evomerge.Interrupted""",
    "Populations": """populations.llm.LanguageModels populations.diffusion.DiffusionModels populations.modules.Modules
        populations.mnist.Classifiers populations.methods.Method populations.units.Units populations.skills.folder
        populations.painters.folder populations.smollm.base populations.smollm.adapter
        populations.dtypes.native""",
    "Fitness: classifiers": """fitness.classification.Classification fitness.classification.right fitness.classification.probability
        fitness.images.SklearnDigits fitness.images.Idx fitness.images.HubImages""",
    "Fitness: language models": """fitness.questions.QuestionAnswering fitness.matching.exact fitness.matching.numeric fitness.matching.gsm8k
        fitness.matching.AnyOf fitness.agents.Agents fitness.http_environment.HttpEnvironment fitness.harness.Harness fitness.skills.Arithmetic
        fitness.skills.Sorting fitness.skills.Sums fitness.skills.WordSorting fitness.reasoning_gym.ReasoningGym
        fitness.verifiers.Verifiers fitness.shop.Shop fitness.webshop.GoalQueries fitness.webshop.overlap
        fitness.webshop.bigram_overlap""",
    "Fitness: image generators": """fitness.text_to_image.TextToImage fitness.clip.ImageSimilarity fitness.clip.TextSimilarity
        fitness.classifier.ClassProbability fitness.coco.CocoCaptions fitness.digit_prompts.DigitPrompts""",
    "Fitness: for all of them": """fitness.combined.Combined fitness.records.JsonLines fitness.records.Part
        fitness.conversations.Conversations
        fitness.competition.competitive_fitness fitness.attraction.attraction""",
    "Other searches": """evomerge.Search evomerge.Operator evomerge.AllWeights evomerge.Ratios evomerge.Coefficients evomerge.Genomes
        evomerge.Sweep evomerge.evotorch.MergeProblem evomerge.evotorch.M2N2 evomerge.evotorch.MAPElites evomerge.evotorch.Merge""",
    "A run's log": "evomerge.births_dataframe evomerge.follow",
    "Trackers": "evomerge.TensorBoard evomerge.Wandb evomerge.MLflow",
    "Classes of your own": """evomerge.contracts.Fitness evomerge.contracts.Population evomerge.genome.Weights evomerge.genome.Recipe
        evomerge.genome.Axis fitness.images.Images fitness.questions.Records fitness.agents.Environment fitness.agents.Episode
        fitness.text_to_image.Judge evomerge.Strategy evomerge.Planner evomerge.Tracker""",
    "What a class of your own can do besides": """evomerge.contracts.Stacks evomerge.contracts.Immigrants evomerge.contracts.LinearOnly
        evomerge.contracts.Recipes evomerge.contracts.NamesSeeds evomerge.contracts.Carded evomerge.contracts.Footprint
        evomerge.contracts.Weighted evomerge.contracts.Grouped evomerge.contracts.ScoresStacks evomerge.contracts.Explains
        evomerge.contracts.Showcases evomerge.contracts.Watches""",
    "Checks for a class of your own": """evomerge.testing.check_population evomerge.testing.check_fitness evomerge.testing.check_strategy""",
}
"""Import paths, section by section."""

METHODS = ("Classes of your own", "What a class of your own can do besides")
"""The sections in which methods count, not arguments alone."""


def reference() -> str:
    """The text of docs/api.md."""
    links = (
        f"[{section}](#{re.sub('[^a-z ]', '', section.lower()).replace(' ', '-')})"
        for section in SECTIONS
    )
    lines = [HEAD, f"{' · '.join(links)}\n"]
    for section, paths in SECTIONS.items():
        lines += [
            f"## {section}\n",
            *(entry(path, methods=section in METHODS) for path in paths.split()),
        ]
    return "\n".join(lines)


def entry(path: str, *, methods: bool) -> str:
    """What is said of one class or function."""
    named = import_path(path)
    prose, sections = taken_apart(inspect.getdoc(named) or "")
    lines = [f"### {path}\n", *(f"{paragraph}\n" for paragraph in prose)]
    arguments = [] if getattr(named, "_is_protocol", False) else list(arguments_of(named))
    lines += [*arguments, ""] if arguments else []
    if returned := sections.get("Returns"):
        lines += [f"Returns: {returned[0]}\n"]
    if methods and (found := list(methods_of(named))):
        lines += ["Methods:\n", *found, ""]
    lines += [f"{example}\n" for example in sections.get("Example", [])]
    return "\n".join(lines)


def arguments_of(named: Callable[..., Any]) -> Iterator[str]:
    """A line for each argument of a call."""
    if inspect.isclass(named) and (not ours(named.__init__) or issubclass(named, Exception)):
        return
    for name, parameter in inspect.signature(named).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and inspect.isclass(
            named
        ):
            continue
        text = described(named).get(name, "")
        if not text and inspect.isfunction(named):
            continue  # the prose says it
        yield f"- `{declared(named, parameter)}`{f': {text}' if text else ''}"


def declared(named: Callable[..., Any], parameter: inspect.Parameter) -> str:
    """An argument as it is declared: name, type, default."""
    default = parameter.default
    if dataclasses.is_dataclass(named) and repr(default) == "<factory>":
        (field,) = (field for field in dataclasses.fields(named) if field.name == parameter.name)
        made = field.default_factory
        default = getattr(made, "__name__", repr(made)) + "()"
    elif callable(default) and default is not parameter.empty:
        default = f"{default.__module__}.{default.__qualname__}"
    else:
        default = None if default is parameter.empty else repr(default)
    known = vars(sys.modules[named.__module__])
    kind = re.sub(
        r"\b[A-Z]\w+\b", lambda found: choices(found[0], known), str(parameter.annotation)
    )
    return f"{parameter.name}: {kind}" + ("" if default is None else f" = {default}")


def choices(name: str, known: Mapping[str, Any]) -> str:
    """What a name in an annotation stands for, if for a choice of texts; the name otherwise."""
    values = (
        typing.get_args(known.get(name)) if typing.get_origin(known.get(name)) is Literal else ()
    )
    return " | ".join(map(repr, values)) if values else name


def ours(function: Any) -> bool:
    """Whether a class or function is of this project, and not of one that it builds on."""
    return getattr(function, "__module__", "").partition(".")[0] in (
        "evomerge",
        "fitness",
        "populations",
    )


def described(named: Any) -> dict[str, str]:
    """What docstrings say of each argument; where one says "as `Other`", what is said there."""
    texts = dict[str, str]()
    classes = reversed(named.__mro__) if inspect.isclass(named) else ()
    parts: list[Any] = [
        part for base in classes for part in (base, vars(base).get("__init__"))
    ] or [named]
    for text in [inspect.getdoc(part) for part in parts if ours(part)]:
        sections = taken_apart(text or "")[1]
        for item in [*sections.get("Attributes", []), *sections.get("Args", [])]:
            name, _, meaning = item.partition(": ")
            texts[name] = meaning
    known = vars(sys.modules[named.__module__])
    for name, meaning in texts.items():
        if other := re.match(r"as `(\w+)(?:\.\w+)?`(?=[.;])", meaning):
            texts[name] = (
                described(known[other[1]])[name].removesuffix(".") + meaning[other.end() :]
            )
    return texts


def methods_of(named: type) -> Iterator[str]:
    """A line for each public method and property of a class, in its order."""
    for name, member in vars(named).items():
        function = (
            member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        )
        if not inspect.isfunction(function) or (name.startswith("_") and name != "__call__"):
            continue
        prose, _ = taken_apart(inspect.getdoc(function) or "")
        taken = [
            declared(function, p)
            for p in inspect.signature(function).parameters.values()
            if p.name not in ("self", "cls")
        ]
        given = inspect.signature(function).return_annotation
        call = name if isinstance(member, property) else f"{name}({', '.join(taken)})"
        yield f"- `{call} -> {given}`: {' '.join(prose)}"


def taken_apart(docstring: str) -> tuple[list[str], dict[str, list[str]]]:
    """A docstring's paragraphs before its first section, and the items of each section, every one on one line."""
    headings = r"^(Args|Attributes|Returns|Raises|Examples?):\n"
    prose, *rest = re.split(headings, docstring, flags=re.MULTILINE)
    sections = dict[str, list[str]]()
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        if title.startswith("Example"):
            sections["Example"] = [_example(body)]
            continue
        items = (
            re.split(r"\n {4}(?=\S)", "\n" + body.rstrip()) if title != "Returns" else ["", body]
        )
        sections[title] = [" ".join(item.split()) for item in items[1:]]
    return [_paragraph(text) for text in re.split(r"\n\s*\n", prose) if text.strip()], sections


def _example(body: str) -> str:
    """A worked example as Markdown: prose as it is, what is typed and printed as code."""
    blocks = []
    for block in re.split(r"\n\s*\n", textwrap.dedent(body).strip("\n")):
        lines = block.splitlines()
        typed = next((n for n, line in enumerate(lines) if line.startswith(">>>")), len(lines))
        if typed:
            blocks.append(" ".join(lines[:typed]))
        if lines[typed:]:
            blocks.append("\n".join(["```pycon", *lines[typed:], "```"]))
    return "\n\n".join(blocks)


def _paragraph(text: str) -> str:
    """A paragraph as Markdown: what is indented as it is, a formula as code, all else on one line."""
    if ">>>" in text:
        return _example(text)
    line = " ".join(text.split())
    if text.startswith("    "):
        return text.rstrip()
    return f"`{line}`" if " = " in line and not line.endswith(".") else re.sub("::$", ":", line)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(reference(), encoding="utf-8")
