"""What a request comes to: the models looked at, and the files read; no weight is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from evomerge.errors import UserError
from evomerge.merge.models import Models, find, population
from evomerge.merge.request import Request
from evomerge.merge.skills import Asking, Skill, names_of, skill, watched_skill
from evomerge.merge.tasks import task_skill

SAID = "as the command line says"
"""Why there are conversations, or none, where the user has decided it."""


@dataclass(frozen=True)
class Lookup:
    """What a request comes to.

    Attributes:
        population: the models, in plain data.
        skills: what the merged model is to be good at.
        watched: what it is not to forget.
        about_chat: whether there are conversations, and why, in words.
    """

    population: dict[str, Any]
    skills: list[Skill]
    watched: list[Skill]
    about_chat: str


def looked_up(request: Request) -> Lookup:
    """Looks at the models and at the files; no weight is read.

    Raises:
        UserError: if anything is wrong; a line for each mistake.
    """
    options = request.options
    mistakes = list(request.mistakes)
    models = find(request.models, options.base, options.method, mistakes)
    chat, about_chat = _chat(models, request, mistakes)
    skills: list[Skill] = []
    watched: list[Skill] = []
    # What is wrong with the options themselves would be said once more of each file.
    if not request.mistakes:
        skills, watched = _skills(request, chat, mistakes)
    if mistakes:
        raise UserError("\n".join(mistakes))
    merged = population(
        models,
        base=options.base,
        method=options.method,
        dtype=options.dtype,
        device=options.device,
    )
    return Lookup(merged, skills, watched, about_chat)


def _skills(request: Request, chat: bool, mistakes: list[str]) -> tuple[list[Skill], list[Skill]]:
    """The skills that can be made, and what is watched; the others are among the mistakes."""
    options = request.options
    skills = []
    watched = []
    tests: Sequence[str | None] = request.test or [None] * len(request.data)
    files = [*request.data, *request.watch]
    names = names_of(files)
    for number, (name, file) in enumerate(zip(names, files, strict=True)):
        asking = Asking(
            chat=chat,
            template=request.templates[number],
            answer=request.answers[number],
            score=request.scores[number],
            max_new_tokens=request.lengths[number],
            stop=request.stop,
            system=options.system,
            batch=options.batch,
        )
        try:
            if number < len(request.data):
                skills.append(skill(name, file, tests[number], request.division, asking))
            else:
                watched.append(watched_skill(name, file, request.division, asking))
        except (ValueError, OSError) as error:
            mistakes.append(_line(file, error))
    # lm-eval asks in a chat template only where it is told to, and so is this.
    conversations = options.chat is True
    for task in request.tasks:
        try:
            made = task_skill(
                task,
                request.division,
                folder=options.task_path,
                chat=conversations,
                system=options.system if conversations else None,
                batch=options.batch,
            )
        except (ValueError, OSError, ImportError) as error:
            mistakes.append(_line(f"--tasks {task}", error))
            continue
        # A file may be called after the task that it is from.
        if task in names:
            made = replace(made, name=f"{task} of lm-eval", renamed=True)
        skills.append(made)
    return skills, watched


def _chat(models: Models, request: Request, mistakes: list[str]) -> tuple[bool, str]:
    """Whether questions go into a chat template, and why, in words."""
    options = request.options
    chat = options.chat
    reason = SAID
    if chat is None and not request.data and not request.watch:
        chat, reason = False, "lm-eval's tasks are asked without one, unless --chat says so"
    elif chat is None and options.template is not None:
        chat, reason = False, "--template says what the model reads (--chat puts it in one)"
    elif chat is None:
        chat, reason = models.chat()
        if chat is None:
            mistakes.append(
                f"--chat: {reason}; say --chat for questions in a chat template, "
                "or --no-chat for a text to go on with"
            )
        if chat:
            reason += "; --no-chat asks without it"
    elif chat and _lacks_template(models, request):
        mistakes.append("--chat: no model has a chat template")
    if options.system is not None and not chat:
        mistakes.append("--system: a system's message needs --chat")
    kind = "Questions go into the chat template" if chat else "Questions are texts to go on with"
    return bool(chat), f"{kind}: {reason}."


def _lacks_template(models: Models, request: Request) -> bool:
    """Whether neither a model nor an override brings a chat template."""
    # Models that are not there have their own mistakes.
    if not models.templates or any(models.templates.values()):
        return False
    key = "population.chat_template="
    return not any(text.startswith(key) for text in request.overrides)


def _line(where: str, error: Exception) -> str:
    """A mistake in one line, which begins with where it is."""
    text = " ".join(str(error).split())
    if text.startswith(where):
        return text
    return f"{where}: {text}"
