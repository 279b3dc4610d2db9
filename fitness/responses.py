"""What a model wrote, with the special tokens in it: read with them, and cleaned of them after."""

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
        """The last match of an expression, or its first group, without special tokens.

        The expression sees special tokens, each as a whole: a match that begins or ends within one
        is none, so that no number is read out of a token's name. Where it does not match so, it
        sees the text without them; and then what ended the response, too. Special tokens alone,
        such as <yes>, stay where the expression names them.

        Returns:
            The empty text if there is no match.
        """
        matches = uncut(pattern, self.written, self.special)
        # the order is that of trust: as written, then as shown, then with its end
        if not matches:
            matches = list(pattern.finditer(self.text))
        if not matches and self.end:
            matches = uncut(pattern, self.written + self.end, (*self.special, self.end))
        if not matches:
            return ""
        chosen = _last_that_matches_something(matches).group(1 if pattern.groups else 0) or ""
        cleaned = without(chosen, self.special)
        if cleaned.strip():
            return cleaned
        # nothing but special tokens: an expression that names one of them asks for that very token
        named = re.sub(r"\\(.)", r"\1", pattern.pattern)
        if any(token in named for token in self.special):
            return chosen
        return cleaned


def pattern(extract: str | None) -> re.Pattern[str] | None:
    """An expression, compiled; None for none.

    Raises:
        ValueError: if it is no regular expression.
    """
    if extract is None:
        return None
    try:
        return re.compile(extract, re.DOTALL)
    except re.error as error:
        raise ValueError(f"extract: not a regular expression ({error}): {extract!r}") from None


def extracted(response: Response | str, extract: str | None) -> str:
    """What counts in a response.

    Args:
        response: what a model wrote.
        extract: the expression, whose last match counts, or the first group of that; the whole of
            the response if None.
    """
    if isinstance(response, str):
        response = Response(response, response)
    # Python keeps compiled expressions, so this costs a look-up
    compiled = pattern(extract)
    if compiled is None:
        return response.text
    return response.extracted(compiled)


def cut(text: str, ends: Sequence[str], special: Sequence[str] = ()) -> tuple[str, str]:
    """A text before the first of what ends it, and what that is; nothing if no end is in it.

    An end that begins or stops within a special token is none.

    >>> cut("4, of course. Question: 3 + 3", ["Question:", "."])
    ('4, of course', '.')
    """
    first: dict[str, int] = {}
    for end in ends:
        matches = uncut(re.compile(re.escape(end)), text, special)
        if matches:
            first[end] = matches[0].start()
    if not first:
        return text, ""
    # of two ends at one place it is the one that was named first
    end = min(first, key=first.__getitem__)
    return text[: first[end]], end


def uncut(pattern: re.Pattern[str], text: str, special: Sequence[str]) -> list[re.Match[str]]:
    """The matches of an expression that cut no special token in two."""
    # all places within a token, at which a match may neither begin nor end
    inner: set[int] = set()
    for token in _any_of(special).finditer(text):
        inner.update(range(token.start() + 1, token.end()))
    return [match for match in pattern.finditer(text) if inner.isdisjoint(match.span())]


def without(text: str, special: Sequence[str]) -> str:
    """A text without special tokens."""
    if not special:
        return text
    return _any_of(special).sub("", text)


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """The tokens that a tokenizer leaves out where it skips special tokens: by id, their texts."""
    # some tokens are marked as special where they were added, and stand in no list of such
    added: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    marked = [token for token, about in added.items() if getattr(about, "special", False)]
    texts = {}
    for token in dict.fromkeys([*tokenizer.all_special_ids, *marked]):
        # what the tokenizer does not leave out is text like any other
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


def _last_that_matches_something(matches: Sequence[re.Match[str]]) -> re.Match[str]:
    """The last match that is not empty, or the last one.

    Behind all that ".*" takes it matches once more, nothing.
    """
    for match in reversed(matches):
        if match[0]:
            return match
    return matches[-1]


def _any_of(texts: Sequence[str]) -> re.Pattern[str]:
    """An expression that matches each of these texts, the longest first; nothing without texts."""
    # of two tokens that begin alike the short one must not hide the long one
    longest = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest)) or "(?!)")
