"""Where an answer ends: at end tokens, and at texts of the user's choice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from fitness.responses import Response, cut, decode, special_tokens, without

INCOMPLETE = "\ufffd"
"""What a tokenizer writes for a part of a character."""


class Stopping:
    """What ends the answers of models with one tokenizer."""

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        """Asks a tokenizer for its special tokens, which takes a while.

        Args:
            tokenizer: of transformers.
            stop: texts that end an answer.
        """
        self.tokenizer = tokenizer
        self.stop = stop
        self.special = special_tokens(tokenizer)
        # texts with a special token in them are looked for before an answer is cleaned
        self.marked = []
        for text in stop:
            if any(token in text for token in self.special.values()):
                self.marked.append(text)
        self._may_end: torch.Tensor | None = None

    def end_tokens(self, model: Any) -> list[int]:
        """The tokens that end an answer of a model.

        They are the tokenizer's, the checkpoint's, and those that are named in `stop`.
        """
        ends = [self.tokenizer.eos_token_id]
        # a checkpoint of a chat model often has several
        theirs = getattr(model.generation_config, "eos_token_id", None)
        if isinstance(theirs, list):
            ends += theirs
        else:
            ends.append(theirs)
        for token, text in self.special.items():
            if text in self.stop:
                ends.append(token)
        return list(dict.fromkeys(token for token in ends if token is not None))

    def criterion(self, model: Any, width: int) -> Callable[..., torch.Tensor]:
        """What tells `generate` which rows (B,) have come to a stop at a text.

        A row is read only when its last token may end one of the texts; a token that ends it
        unseen costs time, not rightness.

        Args:
            model: the model that answers.
            width: the tokens of each row that are the prompt.
        """
        may_end = self._tokens_that_may_end(model)

        def stopped(tokens: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
            done = may_end[tokens[:, -1].cpu()]  # (B,)
            places = done.nonzero()[:, 0].tolist()
            if places:
                rows = tokens[places, width:].tolist()
                done[places] = torch.tensor(self._have_ended(rows))
            return done.to(tokens.device)

        return stopped

    def read(self, rows: Sequence[list[int]], ends: Collection[int], pad: int) -> list[Response]:
        """Rows of new tokens as text, each up to and without what ended it.

        Args:
            rows: B lists of tokens, all of one length.
            ends: tokens that end an answer.
            pad: the token that fills a row behind its end.
        """
        kept = [row[: _place_of_any(ends, row)] for row in rows]
        texts = decode(self.tokenizer, kept)
        responses = []
        for row, tokens, text in zip(rows, kept, texts, strict=True):
            end = self._end_of(row, len(tokens))
            # most answers have no special tokens, and are read once
            if self.special.keys().isdisjoint(tokens):
                shown, stop = cut(text, self.stop)
                responses.append(Response(shown, shown, (), stop or end))
            else:
                responses.append(self._with_special(tokens, text, end, pad))
        return responses

    def _with_special(self, tokens: list[int], text: str, end: str, pad: int) -> Response:
        """An answer with special tokens in it.

        Args:
            tokens: the answer, up to the token that ended it.
            text: the same without special tokens.
            end: the text of the token that ended it.
            pad: the token that fills a row behind its end.
        """
        # a row that came to a stop before others of its batch was filled up to their length
        while tokens and tokens[-1] == pad:
            tokens = tokens[:-1]
        special = tuple(
            dict.fromkeys(self.special[token] for token in tokens if token in self.special)
        )
        written, mark = cut(decode(self.tokenizer, [tokens], special=True)[0], self.marked)
        # behind a text with a special token nothing counts, though the cleaned text goes on there
        if mark:
            text = without(written, special)
        shown, stop = cut(text, self.stop)
        written, stop_in_written = cut(written, self.stop, special)
        return Response(shown, written, special, stop_in_written or stop or mark or end)

    def _end_of(self, row: list[int], length: int) -> str:
        """The text of the token that ended an answer of that length; nothing if none did."""
        ended = row[length : length + 1]
        if not ended:
            return ""
        return decode(self.tokenizer, [ended], special=True)[0].strip()

    def _have_ended(self, rows: Sequence[list[int]]) -> list[bool]:
        """Whether a text of `stop` is in each row."""
        ended = []
        for text in decode(self.tokenizer, rows):
            ended.append(any(end in text for end in self.stop))
        # decoding takes its time at every token, and few configs name special tokens
        if self.marked:
            for place, text in enumerate(decode(self.tokenizer, rows, special=True)):
                ended[place] = ended[place] or cut(text, self.marked)[1] != ""
        return ended

    def _tokens_that_may_end(self, model: Any) -> torch.Tensor:
        """(V,) whether each token may be the last of a text of `stop`, made once."""
        if self._may_end is None:
            tokenizer = self.tokenizer
            pieces = decode(tokenizer, [[token] for token in range(len(tokenizer))])
            # special tokens decode to nothing, and may stand behind all others
            if self.marked:
                pieces += [""] * (1 + max(self.special) - len(pieces))
                for token, text in self.special.items():
                    pieces[token] = text
            # a part of a character may be the end of one
            last_characters = {text[-1] for text in self.stop} | {INCOMPLETE}
            may_end = [not last_characters.isdisjoint(piece) for piece in pieces]
            # a model may know tokens that its tokenizer never gives
            size = max(len(pieces), len(model.get_input_embeddings().weight))
            self._may_end = torch.zeros(size, dtype=torch.bool)
            self._may_end[: len(pieces)] = torch.tensor(may_end)
        return self._may_end


def _place_of_any(ends: Collection[int], row: Sequence[int]) -> int:
    """Where the first of these tokens stands in a row; behind its last if none does."""
    for place, token in enumerate(row):
        if token in ends:
            return place
    return len(row)
