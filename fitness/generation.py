"""Greedy answers of a language model, in batches."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

import torch

from fitness.memory import in_batches
from fitness.responses import Response, cut, decode, special_tokens, without

log = logging.getLogger(__name__)


ALONE = ("rwkv",)
"""Types of models that cannot answer in batches: after the first token transformers' RWKV mixes the states of a batch."""

ENDLESS = ("rwkv",)
"""Types of models whose configs state positions that limit nothing: RWKV's is of a kernel."""


MASKED = (
    *("bloom", "cpmant", "mpt"),
    *(
        "bailing_hybrid",
        "bamba",
        "falcon_h1",
        "falcon_mamba",
        "jamba",
        "kimi_linear",
        "mamba",
        "mamba2",
        "nemotron_h",
        "olmo_hybrid",
    ),
    *("qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"),
)
"""Types of models that take no positions, or keep a state, and yet read a padded prompt as if it stood alone: by their masks."""

PADDED = ("reformer",)
"""Types of models that take positions and a mask, and read padding all the same."""


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

    def __init__(self, max_new_tokens: int = 64, stop: str | Sequence[str] | None = None, batch: int = 64) -> None:
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
        self, language: LanguageModel, prompts: Sequence[str], where: Callable[[int], str], *, special: bool, fit: bool = True
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
        tokens = language.tokenizer(list(prompts), add_special_tokens=special, verbose=False)["input_ids"]
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
                raise ValueError(f"{where(index)}: the tokenizer gives token {max(row)}, the model knows {known}")
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
            for place, answer in zip(company, self._answer(language, prompts, company), strict=True):
                answers[place] = answer
        return answers

    def _answer(self, language: LanguageModel, prompts: Sequence[Sequence[int]], order: Sequence[int]) -> list[Response]:
        """The answers to the prompts at these places, in this order, batch by batch."""
        batches, self.batch = in_batches(
            self.batch,
            len(order),
            lambda start, stop: self._generate(language, [prompts[place] for place in order[start:stop]]),
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
                log.info("%s answers otherwise in company, so prompts are answered one by one", kind)
            else:
                log.info("%s reads padding, so only prompts of equal length are answered side by side", kind)

    def _generate(self, language: LanguageModel, prompts: Sequence[Sequence[int]]) -> list[Response]:
        """The answers of one batch, padded on the left."""
        from transformers import GenerationConfig

        model, tokenizer = language.model, language.tokenizer
        ends = self._end_tokens(language)
        pad = next((token for token in (tokenizer.pad_token_id, *ends) if token is not None), 0)
        width = max(map(len, prompts))
        tokens = torch.tensor([[pad] * (width - len(row)) + list(row) for row in prompts], device=model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=model.device)
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

    def _read(self, language: LanguageModel, rows: Sequence[list[int]], ends: Sequence[int], pad: int) -> list[Response]:
        """Rows of new tokens as text, each up to and without what ended it."""
        special, tokenizer = self._special(language.tokenizer), language.tokenizer
        marked = self._marked(special)
        places = [next((i for i, token in enumerate(row) if token in ends), len(row)) for row in rows]
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
        ends = [tokenizer.eos_token_id, *(theirs if isinstance(theirs, list) else [theirs]), *special]
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
            may = torch.zeros(max(len(pieces), len(model.get_input_embeddings().weight)), dtype=torch.bool)
            lasts = {text[-1] for text in self.stop} | {"\ufffd"}  # a part of a character may be its end
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
                    ended = [one or cut(text, marked)[1] != "" for one, text in zip(ended, written, strict=True)]
                done[places] = torch.tensor(ended)
            return done.to(tokens.device)

        return stopped


def chat_prompt(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as the tokenizer's chat template writes it, up to where the assistant answers.

    Raises:
        ValueError: if there is no template, or it refuses the conversation.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("chat: the tokenizer has no chat template; give the population one, or set chat to false")
    try:
        return tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of the checkpoint's
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(f"chat: the tokenizer's chat template refuses the roles {roles}: {error}") from error


def companies(model: Any, lengths: Sequence[int]) -> list[list[int]]:
    """The places of prompts that a model may answer side by side, by the lengths of the prompts, short ones first."""
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    if not order:
        return []
    if model.config.get_text_config().model_type in ALONE:
        return [[place] for place in order]
    if reads_padding(model):
        return [list(places) for _, places in groupby(order, lambda place: lengths[place])]
    return [order]


def reads_padding(model: Any) -> bool:
    """Whether a model may answer otherwise where its prompt is padded on the left.

    Told by the architecture alone, so that it is the same for all weights and in each worker. A model that takes positions is given
    those of its own tokens, and the mask hides the padding. One that takes none counts the padding as places (BART, Whisper, XLNet),
    and one with a state has padding in it (RWKV, RecurrentGemma), unless it is known to look at the mask. What is not known
    is not padded: that is slower, and never wrong.
    """
    kind = model.config.get_text_config().model_type
    if kind in MASKED:
        return False
    # the class's own, since a wrapped forward may hide what it takes; transformers passes positions by this signature, too
    taken = inspect.signature(getattr(type(model), "forward", None) or model.forward).parameters
    stateful = getattr(model, "_is_stateful", False)
    return kind in PADDED or stateful or "attention_mask" not in taken or "position_ids" not in taken


def positions_of(model: Any) -> int | None:
    """How many tokens a model can read by what its config says, rope scaling among it; None if nothing limits it.

    A table of absolute positions ends where it ends. Rotary positions go on: their number is what the model was trained or stretched
    for. ALiBi and recurrent models have no last position, nor has one whose config has no number, or none above 0.
    """
    config = model.config.get_text_config()
    if getattr(config, "alibi", False) or config.model_type in ENDLESS:
        return None
    # Whisper and Speech2Text name the decoder's positions apart; MPT has a table of biases, not of positions
    stated = [getattr(config, name, None) for name in ("max_position_embeddings", "max_target_positions", "max_seq_len")]
    numbers = [int(number) for number in stated if isinstance(number, int | float) and 0 < number < float("inf")]
    if not numbers:
        return None
    if tables := _tables(model):
        return min(numbers[0], *tables)
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    # a config may have a dict for each type of layer; layers with a sliding window never see far, so the widest counts
    nested = [value for value in rope.values() if isinstance(value, dict)]
    return max(_stretched(numbers[0], parameters) for parameters in nested or [rope])


def _stretched(positions: int, rope: Mapping[str, Any]) -> int:
    """The positions of a config with the rope scaling of one type of layer."""
    kind, factor = rope.get("rope_type") or rope.get("type") or "default", rope.get("factor")
    # llama3's factor is of low frequencies, and its config states the positions after the scaling
    if kind in ("default", "llama3") or not isinstance(factor, int | float):
        return positions
    # with the positions before the scaling beside them, the stated ones may be those after it
    original = rope.get("original_max_position_embeddings") or positions
    return max(positions, int(original * factor))


def _tables(model: Any) -> list[int]:
    """How many tokens each table of absolute positions has a row for; those of RoBERTa begin behind the row of the padding."""
    if model.config.get_text_config() is not model.config:
        return []  # the tables may be those of pictures
    embeddings = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding)]
    tables = [module for name, module in embeddings if re.search(r"wpe$|pos[^.]*$", name)]
    return [table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1) for table in tables]
