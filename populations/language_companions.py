"""What stands beside the weights of merged language models: config, tokenizer, chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any

from populations.seeds.chat_templates import chat_of, template_of
from populations.seeds.generation_configs import generation_config_of
from populations.seeds.language_configs import Vocabulary, config_of
from populations.seeds.language_seeds import LanguageSeed
from populations.seeds.language_tokenizers import tokenizer_of


class Companions:
    """What all members have beside their weights, as the seeds agree on it, or the user decides.

    Each is read on first use.
    """

    def __init__(
        self,
        seeds: Sequence[LanguageSeed],
        *,
        vocabulary: Vocabulary,
        like: int | None,
        config: Mapping[str, Any] | None,
        chat_template: str | None,
        trust_remote_code: bool,
    ) -> None:
        """Settings only.

        Args:
            seeds: K of them.
            vocabulary: whether seeds may lack the last tokens.
            like: the seed whose settings count where the seeds differ; None: nobody said.
            config: values by the names of config.json, in the place of the seeds'.
            chat_template: a chat template, or a file with one; None: the tokenizer's.
            trust_remote_code: whether code that comes with a seed may run.
        """
        self._seeds = seeds
        self._vocabulary = vocabulary
        self._like = like
        self._given = config
        self._chat_template = chat_template
        self._trust_remote_code = trust_remote_code

    @property
    def config(self) -> Any:
        """The members' config."""
        config, _, _ = self._configs
        return config

    @property
    def first(self) -> LanguageSeed:
        """The seed whose files the resident model is made from."""
        _, seed, _ = self._configs
        return seed

    @property
    def tokenizers(self) -> list[Any]:
        """Each seed's own tokenizer."""
        _, tokenizers = self._tokenizers
        return tokenizers

    @cached_property
    def tokenizer(self) -> Any:
        """The members' tokenizer, as it is saved."""
        # It may be a seed's own, which stays as it is to be compared.
        chosen, _ = self._tokenizers
        tokenizer = deepcopy(chosen)
        tokenizer.chat_template, _ = self._chat_templates
        return tokenizer

    @cached_property
    def reader(self) -> Any:
        """The members' tokenizer, as a fitness gets it.

        Where the seeds' chat templates differ and nobody decided, it refuses to write a chat.
        """
        _, refusing = self._chat_templates
        if refusing is None:
            return self.tokenizer
        reader = deepcopy(self.tokenizer)
        reader.chat_template = refusing
        return reader

    @cached_property
    def generation_config(self) -> Any:
        """The members' generation config: end tokens of all seeds, the rest of one."""
        # Where nobody said whose counts, it is that of the seed that the model is made from.
        _, seed, configs = self._configs
        chosen = self._like
        if chosen is None:
            chosen = self._seeds.index(seed)
        return generation_config_of(
            self._seeds, configs, self.tokenizers, chosen, self._like is not None
        )

    @cached_property
    def _configs(self) -> tuple[Any, LanguageSeed, list[Any]]:
        """The members' config, the seed whose files count, and each seed's own config."""
        return config_of(
            self._seeds, self._vocabulary, self._trust_remote_code, self._like, self._given
        )

    @cached_property
    def _tokenizers(self) -> tuple[Any, list[Any]]:
        """The tokenizer that the members' is made from, and each seed's own."""
        return tokenizer_of(self._seeds, self._vocabulary, self._trust_remote_code, self._like)

    @cached_property
    def _chat_templates(self) -> tuple[Any, str | None]:
        """The members' chat template, and one that refuses where the seeds' differ."""
        # What the user says goes first: a template, then whose template.
        if self._chat_template is not None:
            return template_of(self._chat_template), None
        chosen, tokenizers = self._tokenizers
        if self._like is not None:
            return tokenizers[self._like].chat_template, None
        names = [seed.name for seed in self._seeds]
        return chat_of(names, tokenizers, chosen)
