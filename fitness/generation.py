"""Greedy answers of a language model, in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from fitness.batching import in_batches
from fitness.families import ALONE, companies, positions_of
from fitness.responses import Response
from fitness.stopping import Stopping

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
    """Answers prompts greedily, in batches of equal size cut from the prompts in order of length.

    The length breaks ties by place, so the same prompts always come in the same company. A model
    that answers otherwise where a prompt is padded (`reads_padding`) gets batches of prompts of one
    length. Where memory runs out, the batch is halved, for good, and the answers go on.
    """

    def __init__(
        self, max_new_tokens: int = 64, stop: str | Sequence[str] | None = None, batch: int = 64
    ) -> None:
        """Settings only.

        Args:
            max_new_tokens: most tokens of an answer.
            stop: texts that end an answer; they are not part of it. The model's own end tokens end
                it in any case.
            batch: prompts that are answered side by side.

        Raises:
            ValueError: if a setting is out of its range.
        """
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens: expected at least 1, got {max_new_tokens}")
        if batch < 1:
            raise ValueError(f"batch: expected at least 1, got {batch}")
        self.max_new_tokens = max_new_tokens
        self.batch = batch
        self.stop = [stop] if isinstance(stop, str) else list(stop or ())
        # an empty text would end every answer before it begins
        if not all(isinstance(text, str) and text for text in self.stop):
            raise ValueError(f"stop: expected texts of at least one character, got {self.stop}")
        self._stopping: Stopping | None = None
        self._logged_small_batches = False

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
            special: whether the tokenizer adds what it adds to a text of its own accord, such as a
                token at the start.
            fit: whether a prompt must fit into the model with its answer.

        Raises:
            ValueError: if a prompt has no tokens, too many for the model's positions, or one that
                the model does not know.
        """
        if not prompts:
            return []
        model = language.model
        tokens = language.tokenizer(list(prompts), add_special_tokens=special, verbose=False)[
            "input_ids"
        ]
        positions = positions_of(model)
        known = len(model.get_input_embeddings().weight)
        # each of these would be an error of torch's later, on a GPU one that names nothing
        for index, row in enumerate(tokens):
            if not row:
                raise ValueError(f"{where(index)}: its prompt {prompts[index]!r} has no tokens")
            if fit and positions is not None and len(row) + self.max_new_tokens > positions:
                raise ValueError(
                    f"{where(index)}: its prompt has {len(row)} tokens and its answer up to "
                    f"{self.max_new_tokens} (max_new_tokens), the model has {positions} positions"
                )
            if max(row) >= known:
                raise ValueError(
                    f"{where(index)}: the tokenizer gives token {max(row)}, the model knows {known}"
                )
        return tokens

    def __call__(self, language: LanguageModel, prompts: Sequence[Sequence[int]]) -> list[str]:
        """The answer to each prompt of tokens (B), up to and without what ends it.

        Special tokens are left out.

        Raises:
            MemoryError: if there is no memory for one prompt.
        """
        return [response.text for response in self.respond(language, prompts)]

    def respond(self, language: LanguageModel, prompts: Sequence[Sequence[int]]) -> list[Response]:
        """The answer to each prompt of tokens (B), with the special tokens that are in it.

        Raises:
            MemoryError: if there is no memory for one prompt.
        """
        # companies come in order of length, and their answers go back to their places
        answers = [Response("", "")] * len(prompts)
        together = companies(language.model, [len(prompt) for prompt in prompts])
        if len(together) > 1:
            self._log_small_batches(language.model)
        for company in together:
            responses = self._answer(language, prompts, company)
            for place, response in zip(company, responses, strict=True):
                answers[place] = response
        return answers

    def _answer(
        self, language: LanguageModel, prompts: Sequence[Sequence[int]], order: Sequence[int]
    ) -> list[Response]:
        """The answers to the prompts at these places, in this order, batch by batch."""

        def call(start: int, stop: int) -> list[Response]:
            return self._generate(language, [prompts[place] for place in order[start:stop]])

        def no_memory(start: int) -> str:
            return (
                f"there is no memory to answer one prompt of {len(prompts[order[start]])} tokens "
                f"with up to {self.max_new_tokens} new ones: lower max_new_tokens, shorten the "
                f"prompts, or leave less in the same memory"
            )

        batches, self.batch = in_batches(
            self.batch, len(order), call, "prompts were answered", no_memory
        )
        answers = []
        for batch in batches:
            answers += batch
        return answers

    def _log_small_batches(self, model: Any) -> None:
        """Says, once, that batches are smaller than asked for."""
        if self._logged_small_batches:
            return
        self._logged_small_batches = True
        # neither is a mistake, but a user who set `batch` wonders why it takes so long
        kind = type(model).__name__
        if model.config.get_text_config().model_type in ALONE:
            log.info("%s answers otherwise in company, so prompts are answered one by one", kind)
        else:
            log.info(
                "%s reads padding, so only prompts of equal length are answered side by side", kind
            )

    def _generate(
        self, language: LanguageModel, prompts: Sequence[Sequence[int]]
    ) -> list[Response]:
        """The answers of one batch, padded on the left."""
        from transformers import GenerationConfig

        model = language.model
        stopping = self._stopping_of(language.tokenizer)
        ends = stopping.end_tokens(model)
        # the mask hides what fills a row up, so any token will do
        pad = language.tokenizer.pad_token_id
        if pad is None:
            pad = ends[0] if ends else 0
        # on the left, as an answer goes on at the right
        width = max(map(len, prompts))
        padded = []
        visible = []
        for row in prompts:
            padding = width - len(row)
            padded.append([pad] * padding + list(row))
            visible.append([0] * padding + [1] * len(row))
        tokens = torch.tensor(padded, device=model.device)  # (B, width)
        mask = torch.tensor(visible, device=model.device)  # (B, width)
        config = GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            pad_token_id=pad,
            eos_token_id=ends or None,
        )
        # looking for texts costs time at every token
        criteria = []
        if self.stop:
            criteria.append(stopping.criterion(model, width))
        # what a config leaves open, such as sampling and penalties, generate takes from the model's
        theirs = model.generation_config
        model.generation_config = config
        try:
            whole = model.generate(
                input_ids=tokens,
                attention_mask=mask,
                generation_config=config,
                stopping_criteria=criteria,
            )
            rows = whole[:, width:].tolist()
        finally:
            model.generation_config = theirs
        return stopping.read(rows, ends, pad)

    def _stopping_of(self, tokenizer: Any) -> Stopping:
        """What ends answers with this tokenizer, made anew only for another one."""
        if self._stopping is None or self._stopping.tokenizer is not tokenizer:
            self._stopping = Stopping(tokenizer, self.stop)
        return self._stopping


def chat_prompt(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as the tokenizer's chat template writes it, up to the assistant's answer.

    Raises:
        ValueError: if there is no template, or it refuses the conversation.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "chat: the tokenizer has no chat template; give the population one, "
            "or set chat to false"
        )
    # a template is a program of the checkpoint's, and may raise anything
    try:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
    except Exception as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(
            f"chat: the tokenizer's chat template refuses the roles {roles}: {error}"
        ) from error
