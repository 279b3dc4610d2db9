"""Chat templates: whether the seeds write a conversation alike, and which template members get."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

USER = {"role": "user", "content": "a user's words"}
SYSTEM = {"role": "system", "content": "a system's words"}
ASSISTANT = {"role": "assistant", "content": "a assistant's words"}

CONVERSATIONS = ([USER], [SYSTEM, USER], [USER, ASSISTANT, USER])
"""Conversations in which templates differ, if they do."""


def template_of(given: str) -> str:
    """A chat template as the user gives it: the template itself, or a file with one.

    Raises:
        ValueError: if it is neither.
    """
    # Every template has braces in it, and hardly a path has.
    if "{" in given:
        return given
    path = Path(given).expanduser()
    if not path.is_file():
        raise ValueError(
            f"chat_template: expected a template, or a file with one, there is no file {given}"
        )
    return path.read_text(encoding="utf-8")


def chat_of(names: Sequence[str], tokenizers: Sequence[Any], chosen: Any) -> tuple[Any, str | None]:
    """The chat template of members whose user has not said whose it is.

    Args:
        names: of the K seeds.
        tokenizers: (K,) theirs.
        chosen: the one that members are saved with.

    Returns:
        The template that members are saved with, None where no seed has one; and a template that
        refuses every conversation, where one would not be written as each seed writes it alone.
    """
    # A seed without a template never wrote a conversation, so it cannot be written otherwise.
    having = [place for place, tokenizer in enumerate(tokenizers) if tokenizer.chat_template]
    if not having:
        return None, None
    template = chosen.chat_template or tokenizers[having[0]].chat_template
    if _written_alike([tokenizers[place] for place in having], chosen, template):
        if len(having) < len(tokenizers):
            lacking = [name for place, name in enumerate(names) if place not in having]
            log.info(
                "seeds: %s has no chat template; the members have that of %s",
                " and ".join(lacking),
                names[having[0]],
            )
        return template, None
    whose = " and ".join([names[place] for place in having])
    if len(having) > 1:
        clash = f"the chat templates of {whose} differ"
    else:
        clash = f"the chat template of {whose} needs its own special tokens"
    reason = (
        f"{clash}; say whose the members have with like: {names[having[0]]} (or another seed), "
        "or give one with chat_template"
    )
    log.warning(
        "seeds: %s; until then members are saved with the first one's, "
        "and no conversation is scored",
        reason,
    )
    # A template is a program, so the refusal travels with the tokenizer to whoever uses it.
    return template, f"{{{{ raise_exception({json.dumps(reason)}) }}}}"


def _written_alike(tokenizers: Sequence[Any], chosen: Any, template: Any) -> bool:
    """Whether members would write conversations as each seed that has a template writes them.

    Each template is filled in with the special tokens of its own tokenizer, so the texts of two
    templates do not count, but what becomes of them.
    """
    expected = _conversations(chosen, template)
    for tokenizer in tokenizers:
        if _conversations(tokenizer, tokenizer.chat_template) != expected:
            return False
    return True


def _conversations(tokenizer: Any, template: Any) -> list[str]:
    """Some conversations as a chat template writes them, or why it refuses them."""
    texts = []
    # A copy, since code that comes with a seed may change the messages that it is given.
    for messages in deepcopy(CONVERSATIONS):
        try:
            text = tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:
            # A template is a program of the checkpoint's, which may raise anything.
            text = f"{type(error).__name__}: {error}"
        texts.append(text)
    return texts
