"""What the models are to be good at: a file of questions and answers as a fitness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evomerge.config.targets import TARGET, import_path
from evomerge.merge.fields import Fields, fields_of
from evomerge.merge.reading import Division, Read, Records, read, read_watched
from evomerge.merge.scores import Score, longest_answer, score_of, stops

NAME_OF_FILE = "fitness.part_names.name_of_file"
"""What names a file's questions in reports, too. The engine knows no tasks, so it is named."""


@dataclass(frozen=True)
class Skill:
    """What the models are to be good at.

    Attributes:
        name: what it is called.
        part: its fitness, in plain data.
        words: what was taken, in words.
        comments: what stands above keys of the part.
        notes: what a user should know besides.
        renamed: whether the fitness would be called otherwise, if nobody said so.
    """

    name: str
    part: dict[str, Any]
    words: str
    comments: Mapping[str, str]
    notes: Sequence[str] = field(default=())
    renamed: bool = False


@dataclass(frozen=True)
class Asking:
    """How a model is asked, and what is right, as far as the user says so.

    Attributes:
        chat: whether a question is a user's message in a conversation.
        template: what the model reads.
        answer: the field of the answer.
        score: a ready score's name, or an import path.
        max_new_tokens: most tokens of an answer.
        stop: what ends an answer.
        system: the system's message.
        batch: questions that are answered side by side.
    """

    chat: bool
    template: str | None = None
    answer: str | None = None
    score: str | None = None
    max_new_tokens: int | None = None
    stop: Sequence[str] | None = None
    system: str | None = None
    batch: int | None = None


def skill(name: str, file: str, test: str | None, division: Division, asking: Asking) -> Skill:
    """A skill from a file, or from two.

    Args:
        name: what it is called.
        file: JSON lines, to train on, and to test on where there is no other.
        test: JSON lines to test on.
        division: how records are divided.
        asking: how a model is asked.

    Raises:
        ValueError, OSError: if a file cannot be read, or it cannot be known how a model is asked.
    """
    given = read(file, test, division)
    amount = f"{len(given.train):,} to train, {len(given.test):,} to test"
    return _of_records(name, file, given, amount, asking)


def watched_skill(name: str, file: str, division: Division, asking: Asking) -> Skill:
    """What must not be forgotten, from a file.

    Args:
        name: what it is called.
        file: JSON lines, all of which are scored before and after, and never trained on.
        division: how many records at most.
        asking: how a model is asked.

    Raises:
        ValueError, OSError: if the file cannot be read, or it cannot be known how a model is asked.
    """
    given = read_watched(file, division)
    amount = f"{len(given.train):,} only watched"
    return _of_records(name, file, given, amount, asking)


def _of_records(name: str, file: str, given: Read, amount: str, asking: Asking) -> Skill:
    """A skill from records.

    Args:
        name: what it is called.
        file: where they are from.
        given: the records.
        amount: how many there are for what, in words.
        asking: how a model is asked.

    Raises:
        ValueError: if it cannot be known how a model is asked.
    """
    records = [*given.train, *given.test]
    fields = fields_of(records, asking.template, asking.answer)
    template = asking.template
    if template is None:
        template = fields.template(chat=asking.chat)
    # A record without the field is refused with its line when the fitness is asked for its size.
    references = [record[fields.answer] for record in records if fields.answer in record]
    score = score_of(references, asking.score)
    part = {
        TARGET: "fitness.questions.QuestionAnswering",
        "data": given.data,
        "template": template,
        "answer": fields.answer,
        "score": score.call,
        **_conversation(given, asking),
        **_generation(references, score, template, asking),
    }
    comments = {
        TARGET: f"{name}: {_taken(fields)}, right is {score.words}.",
        "data": given.about,
    }
    if asking.max_new_tokens is None:
        comments["max_new_tokens"] = "Most tokens of an answer; few are fast."
    words = f"{amount}; {_taken(fields)}; read as {template!r}; right is {score.words}"
    renamed = name != import_path(NAME_OF_FILE)(file)
    return Skill(name, part, words, comments, _notes(given, template), renamed)


def names_of(files: Sequence[str]) -> list[str]:
    """What the skills of files are called: after the file, or its folder, without its split.

    Those that would be alike have their folders before them, and their places where that is not
    enough. A number is no name, since parts without one are called by their places.

    >>> names_of(["data/sums_train.jsonl", "sorting/train.jsonl"])
    ['sums', 'sorting']
    >>> names_of(["a/sums.jsonl", "b/sums.jsonl"])
    ['a/sums', 'b/sums']
    >>> names_of(["sums.jsonl", "b/sums.jsonl", "words.jsonl"])
    ['sums', 'b/sums', 'words']
    >>> names_of(["2024.jsonl"])
    ['2024.jsonl']
    """
    paths = [Path(file) for file in files]
    name_of_file = import_path(NAME_OF_FILE)
    names: list[str] = []
    for path in paths:
        name = name_of_file(path)
        if not name.strip() or name.isdigit():
            name = path.name
        names.append(name)
    told_apart = []
    for path, name in zip(paths, names, strict=True):
        # A file of the working directory has no folder.
        if names.count(name) > 1 and path.parent.name:
            name = f"{path.parent.name}/{name}"
        told_apart.append(name)
    if len(set(told_apart)) < len(told_apart):
        return [f"{number}: {name}" for number, name in enumerate(told_apart)]
    return told_apart


def _conversation(given: Read, asking: Asking) -> dict[str, Any]:
    """The settings of a conversation, as far as there is one.

    Raises:
        ValueError: if there are system's messages that have no place.
    """
    system = asking.system
    if given.conversations and system is None:
        system = _shared_system([*given.train, *given.test])
        # A template of the user's has a place for it, or leaves it out on purpose.
        if system is not None and not asking.chat and asking.template is None:
            raise ValueError(
                "it has a system's message, which has its place in a chat template: --chat, "
                r"or --template '{system}\n\n{question}'"
            )
    if not asking.chat:
        return {}
    settings: dict[str, Any] = {"chat": True}
    if system is not None:
        settings["system"] = system
    return settings


def _shared_system(records: Records) -> str | None:
    """The system's message of all conversations; None if they have none.

    Raises:
        ValueError: if they have different ones.
    """
    systems = list(dict.fromkeys(record["system"] for record in records))
    if len(systems) > 1:
        raise ValueError(
            f"expected one system's message in all conversations, got {len(systems)} different "
            "ones; --system says one for all"
        )
    return systems[0] or None


def _generation(
    references: Sequence[Any], score: Score, template: str, asking: Asking
) -> dict[str, Any]:
    """The settings of how answers are generated."""
    settings: dict[str, Any] = {"max_new_tokens": asking.max_new_tokens}
    if asking.max_new_tokens is None:
        settings["max_new_tokens"] = longest_answer(references, score)
    stop = asking.stop
    # In a conversation a model ends its answer itself.
    if stop is None and not asking.chat:
        stop = stops(references, score, template)
    if stop:
        settings["stop"] = list(stop)
    if asking.batch is not None:
        settings["batch"] = asking.batch
    return settings


def _taken(fields: Fields) -> str:
    """Which fields were taken, in words."""
    question = fields.question
    if question is None:
        return f"the answer is the field {fields.answer!r}"
    if fields.beside is not None:
        question = f"{question} with {fields.beside}"
    return f"{question} -> {fields.answer}"


def _notes(given: Read, template: str) -> list[str]:
    """What is odd about the records, in words."""

    def asked(record: Mapping[str, Any]) -> str:
        used = {name: record[name] for name in record if f"{{{name}}}" in template}
        return str(used)

    trained = {asked(record) for record in given.train}
    known = sum(asked(record) in trained for record in given.test)
    if not known:
        return []
    return [
        f"{known:,} of {len(given.test):,} test questions are among those that are trained on: "
        "test scores are flattered by them"
    ]
