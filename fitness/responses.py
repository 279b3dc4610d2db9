"""What a model wrote, with the special tokens in it: read with them, and cleaned of them afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Response:
    """What a model wrote, up to and without what ended it.

    Attributes:
        text: without special tokens.
        written: with them; the same where there are none.
        special: those that are in it, such as "<ans>".
        end: what ended it, an end token or a text of `stop`; nothing if it was cut at its longest.
    """

    text: str
    written: str
    special: tuple[str, ...] = ()
    end: str = ""

    def extracted(self, pattern: re.Pattern[str]) -> str:
        """The last match of an expression, or its first group, without special tokens; nothing if there is no match.

        The expression sees special tokens, each as a whole: a match that begins or ends within one is none, so that no number is
        read out of a token's name. Where it does not match so, it sees the text without them; and then what ended the response,
        too. Special tokens alone, such as <yes>, stay where the expression names them.
        """
        matches = uncut(pattern, self.written, self.special) or list(pattern.finditer(self.text))
        if not matches and self.end:
            matches = uncut(pattern, self.written + self.end, (*self.special, self.end))
        if not matches:
            return ""
        # behind all that ".*" takes it matches once more, nothing
        last = next((match for match in reversed(matches) if match[0]), matches[-1])
        chosen = last.group(1 if pattern.groups else 0) or ""
        cleaned = without(chosen, self.special)
        named = re.sub(r"\\(.)", r"\1", pattern.pattern)
        return (
            chosen
            if not cleaned.strip() and any(token in named for token in self.special)
            else cleaned
        )


def cut(text: str, ends: Sequence[str], special: Sequence[str] = ()) -> tuple[str, str]:
    """A text before the first of what ends it, and what that is; nothing if none of the ends is in it.

    An end that begins or stops within a special token is none.
    """
    first: dict[str, int] = {}
    for end in ends:
        for match in uncut(re.compile(re.escape(end)), text, special)[:1]:
            first[end] = match.start()
    if not first:
        return text, ""
    end = min(first, key=first.__getitem__)
    return text[: first[end]], end


def uncut(pattern: re.Pattern[str], text: str, special: Sequence[str]) -> list[re.Match[str]]:
    """The matches of an expression that cut no special token in two."""
    inner: set[int] = set()
    for token in _any_of(special).finditer(text):
        inner.update(range(token.start() + 1, token.end()))
    return [match for match in pattern.finditer(text) if inner.isdisjoint(match.span())]


def without(text: str, special: Sequence[str]) -> str:
    """A text without special tokens."""
    return _any_of(special).sub("", text) if special else text


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """The tokens that a tokenizer leaves out where it is told to skip special tokens, by id, with their texts."""
    added: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    marked = [token for token, about in added.items() if getattr(about, "special", False)]
    texts = {}
    for token in dict.fromkeys([*tokenizer.all_special_ids, *marked]):
        if token is None or decode(tokenizer, [[token]])[0]:
            continue
        text = decode(tokenizer, [[token]], special=True)[0].strip()
        if text:
            texts[token] = text
    return texts


def decode(tokenizer: Any, rows: Sequence[Sequence[int]], *, special: bool = False) -> list[str]:
    """The texts of rows of tokens, with special tokens or without."""
    return tokenizer.batch_decode(
        rows, skip_special_tokens=not special, clean_up_tokenization_spaces=False
    )


def _any_of(texts: Sequence[str]) -> re.Pattern[str]:
    """An expression that matches each of these texts, the longest first; nothing if there are none."""
    longest = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest)) or "(?!)")
