"""Greedy answers of a language model, in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from fitness.batching import in_batches
from fitness.families import ALONE, companies, positions_of
from fitness.responses import Response, cut, decode, special_tokens, without

log = logging.getLogger(__name__)


class LanguageModel(Protocol):
    """What a population of language models expresses."""

    @property
    def model(self) -> Any:
        """A causal language model of transformers, in evaluation mode."""

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer, with its chat template if there is one."""


class Generator:
    """Answers prompts greedily, in batches of equal size cut from the prompts in order of their length.

    The length breaks ties by place, so the same prompts always come in the same company. A model that answers otherwise where a
    prompt is padded (`reads_padding`) gets batches of prompts of one length. Where memory runs out, the batch is halved, for good,
    and the answers go on.
    """

    def __init__(
        self, max_new_tokens: int = 64, stop: str | Sequence[str] | None = None, batch: int = 64
    ) -> None:
        """Settings only.

        Args:
            max_new_tokens: most tokens of an answer.
            stop: texts that end an answer; they are not part of it. The model's own end tokens end it in any case.
            batch: prompts that are answered side by side.

        Raises:
            ValueError: if a setting is out of its range.
        """
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens: expected at least 1, got {max_new_tokens}")
        if batch < 1:
            raise ValueError(f"batch: expected at least 1, got {batch}")
        self.max_new_tokens, self.batch = max_new_tokens, batch
        self.stop = [stop] if isinstance(stop, str) else list(stop or ())
        if not all(isinstance(text, str) and text for text in self.stop):
            raise ValueError(f"stop: expected texts of at least one character, got {self.stop}")
        self._endings: tuple[Any, torch.Tensor] | None = None
        self._specials: tuple[Any, dict[int, str]] | None = None
        self._said = False

    def encode(
        self,
        language: LanguageModel,
        prompts: Sequence[str],
        where: Callable[[int], str],
        *,
        special: bool,
        fit: bool = True,
    ) -> list[list[int]]:
        """The tokens of prompts, held against what the model can take.

        Args:
            language: the model and its tokenizer.
            prompts: texts.
            where: names a prompt by its place, for messages.
            special: whether the tokenizer adds what it adds to a text of its own accord, such as a token at the start.
            fit: whether a prompt must fit into the model with its answer.

        Raises:
            ValueError: if a prompt has no tokens, too many for the model's positions, or one that the model does not know.
        """
        if not prompts:
            return []
        model = language.model
        tokens = language.tokenizer(list(prompts), add_special_tokens=special, verbose=False)[
            "input_ids"
        ]
        positions = positions_of(model)
        known = len(model.get_input_embeddings().weight)
        for index, row in enumerate(tokens):
            if not row:
                raise ValueError(f"{where(index)}: its prompt {prompts[index]!r} has no tokens")
            if fit and positions is not None and len(row) + self.max_new_tokens > positions:
                raise ValueError(
                    f"{where(index)}: its prompt has {len(row)} tokens and its answer up to {self.max_new_tokens} "
                    f"(max_new_tokens), the model has {positions} positions"
                )
            if max(row) >= known:
                raise ValueError(
                    f"{where(index)}: the tokenizer gives token {max(row)}, the model knows {known}"
                )
        return tokens

    def __call__(self, language: LanguageModel, prompts: Sequence[Sequence[int]]) -> list[str]:
        """The answer to each prompt of tokens (B), up to and without what ends it, and without special tokens.

        Raises:
            MemoryError: if there is no memory for one prompt.
        """
        return [response.text for response in self.respond(language, prompts)]

    def respond(self, language: LanguageModel, prompts: Sequence[Sequence[int]]) -> list[Response]:
        """The answer to each prompt of tokens (B), with the special tokens that are in it.

        Raises:
            MemoryError: if there is no memory for one prompt.
        """
        answers = [Response("", "")] * len(prompts)
        together = companies(language.model, [len(prompt) for prompt in prompts])
        if len(together) > 1:
            self._say_small(language.model)
        for company in together:
            for place, answer in zip(
                company, self._answer(language, prompts, company), strict=True
            ):
                answers[place] = answer
        return answers

    def _answer(
        self, language: LanguageModel, prompts: Sequence[Sequence[int]], order: Sequence[int]
    ) -> list[Response]:
        """The answers to the prompts at these places, in this order, batch by batch."""
        batches, self.batch = in_batches(
            self.batch,
            len(order),
            lambda start, stop: self._generate(
                language, [prompts[place] for place in order[start:stop]]
            ),
            "prompts were answered",
            lambda start: (
                f"there is no memory to answer one prompt of {len(prompts[order[start]])} tokens with up to {self.max_new_tokens} "
                "new ones: lower max_new_tokens, shorten the prompts, or leave less in the same memory"
            ),
        )
        return [answer for answers in batches for answer in answers]

    def _say_small(self, model: Any) -> None:
        """Says, once, that batches are smaller than asked for."""
        if not self._said:
            self._said = True
            kind = type(model).__name__
            if model.config.get_text_config().model_type in ALONE:
                log.info(
                    "%s answers otherwise in company, so prompts are answered one by one", kind
                )
            else:
                log.info(
                    "%s reads padding, so only prompts of equal length are answered side by side",
                    kind,
                )

    def _generate(
        self, language: LanguageModel, prompts: Sequence[Sequence[int]]
    ) -> list[Response]:
        """The answers of one batch, padded on the left."""
        from transformers import GenerationConfig

        model, tokenizer = language.model, language.tokenizer
        ends = self._end_tokens(language)
        pad = next((token for token in (tokenizer.pad_token_id, *ends) if token is not None), 0)
        width = max(map(len, prompts))
        tokens = torch.tensor(
            [[pad] * (width - len(row)) + list(row) for row in prompts], device=model.device
        )
        mask = torch.tensor(
            [[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=model.device
        )
        config = GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            pad_token_id=pad,
            eos_token_id=ends or None,
        )
        criteria = [self._stopper(language, width)] if self.stop else []
        theirs = model.generation_config
        model.generation_config = config  # what a config leaves open, generate takes from the model's: sampling, penalties
        try:
            rows = model.generate(
                input_ids=tokens, attention_mask=mask, generation_config=config, stopping_criteria=criteria
            )[:, width:].tolist()  # fmt: skip
        finally:
            model.generation_config = theirs
        return self._read(language, rows, ends, pad)

    def _read(
        self, language: LanguageModel, rows: Sequence[list[int]], ends: Sequence[int], pad: int
    ) -> list[Response]:
        """Rows of new tokens as text, each up to and without what ended it."""
        special, tokenizer = self._special(language.tokenizer), language.tokenizer
        marked = self._marked(special)
        places = [
            next((i for i, token in enumerate(row) if token in ends), len(row)) for row in rows
        ]
        kept = [row[:place] for row, place in zip(rows, places, strict=True)]
        responses = []
        for row, tokens, text in zip(rows, kept, decode(tokenizer, kept), strict=True):
            ended = row[len(tokens) : len(tokens) + 1]
            end = decode(tokenizer, [ended], special=True)[0].strip() if ended else ""
            shown, stop = cut(text, self.stop)
            # most answers have no special tokens, and are read once
            if special.keys().isdisjoint(tokens):
                responses.append(Response(shown, shown, (), stop or end))
                continue
            # a row that came to a stop before others of its batch was filled up to their length
            while tokens and tokens[-1] == pad:
                tokens = tokens[:-1]
            here = tuple(dict.fromkeys(special[token] for token in tokens if token in special))
            whole = decode(tokenizer, [tokens], special=True)[0]
            written, found = cut(whole, marked)
            if found:
                shown, stop = cut(without(written, here), self.stop)
            written, plain = cut(written, self.stop, here)
            responses.append(Response(shown, written, here, plain or stop or found or end))
        return responses

    def _special(self, tokenizer: Any) -> dict[int, str]:
        """The special tokens of a tokenizer with their texts, asked for once."""
        if self._specials is None or self._specials[0] is not tokenizer:
            self._specials = tokenizer, special_tokens(tokenizer)
        return self._specials[1]

    def _marked(self, special: Mapping[int, str]) -> list[str]:
        """The texts of `stop` with a special token in them, which are looked for before an answer is cleaned."""
        return [text for text in self.stop if any(token in text for token in special.values())]

    def _end_tokens(self, language: LanguageModel) -> list[int]:
        """The tokens that end an answer: the tokenizer's, the checkpoint's, and those that are named in `stop`."""
        theirs = getattr(language.model.generation_config, "eos_token_id", None)
        tokenizer = language.tokenizer
        special = [token for token, text in self._special(tokenizer).items() if text in self.stop]
        ends = [
            tokenizer.eos_token_id,
            *(theirs if isinstance(theirs, list) else [theirs]),
            *special,
        ]
        return list(dict.fromkeys(token for token in ends if token is not None))

    def _stopper(self, language: LanguageModel, width: int) -> Callable[..., torch.Tensor]:
        """What tells `generate` which rows (B,) have come to a stop; the prompt is `width` tokens of each.

        A row is read only when its last token may end one of the texts; a token that ends it unseen costs time, not rightness.
        """
        tokenizer, model = language.tokenizer, language.model
        special = self._special(tokenizer)
        marked = self._marked(special)
        if self._endings is None or self._endings[0] is not tokenizer:
            pieces = decode(tokenizer, [[token] for token in range(len(tokenizer))])
            if marked:
                pieces += [""] * (1 + max(special) - len(pieces))
                for token, text in special.items():
                    pieces[token] = text
            may = torch.zeros(
                max(len(pieces), len(model.get_input_embeddings().weight)), dtype=torch.bool
            )
            lasts = {text[-1] for text in self.stop} | {
                "\ufffd"
            }  # a part of a character may be its end
            may[: len(pieces)] = torch.tensor([not lasts.isdisjoint(piece) for piece in pieces])
            self._endings = tokenizer, may
        may = self._endings[1]

        def stopped(tokens: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
            done = may[tokens[:, -1].cpu()]
            places = done.nonzero()[:, 0].tolist()
            if places:
                rows = tokens[places, width:].tolist()
                ended = [any(end in text for end in self.stop) for text in decode(tokenizer, rows)]
                if marked:
                    written = decode(tokenizer, rows, special=True)
                    ended = [
                        one or cut(text, marked)[1] != ""
                        for one, text in zip(ended, written, strict=True)
                    ]
                done[places] = torch.tensor(ended)
            return done.to(tokens.device)

        return stopped


def chat_prompt(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as the tokenizer's chat template writes it, up to where the assistant answers.

    Raises:
        ValueError: if there is no template, or it refuses the conversation.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "chat: the tokenizer has no chat template; give the population one, or set chat to false"
        )
    try:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # a template is a program of the checkpoint's
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(
            f"chat: the tokenizer's chat template refuses the roles {roles}: {error}"
        ) from error
