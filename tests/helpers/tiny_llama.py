"""A tiny Llama with random weights and a tokenizer of single characters, made in memory or saved as an ordinary checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

CHARACTERS = (
    "\n !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz|"
)
CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A chat template of the usual kind."""


@dataclass
class TinyLlama:
    """What a population of language models expresses: the model and its tokenizer."""

    model: Any
    tokenizer: Any


def tokenizer(
    characters: str = CHARACTERS, *, pad: bool = True, begin: bool = False, chat: str | None = None
) -> Any:
    """Each character is a token; `<unk>`, `<s>`, `</s>` and, unless told otherwise, `<pad>` come first.

    With `begin` it puts `<s>` before a text of its own accord, as Llama's does.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "<pad>"]
    vocabulary = {token: index for index, token in enumerate([*special, *characters])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    made.decoder = decoders.Fuse()
    if begin:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"} | (
        {"pad_token": "<pad>"} if pad else {}
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=chat, **named)


def tiny_llama(
    seed: int = 0,
    *,
    chat: str | None = None,
    pad: bool = True,
    begin: bool = False,
    sd: float = 0.2,
    **config: Any,
) -> TinyLlama:
    """A random model: two layers, 32 wide, four heads that share two keys; `config` changes any of it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = tokenizer(pad=pad, begin=begin, chat=chat)
    settings = {
        "vocab_size": len(CHARACTERS) + 4,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": sd,
        "bos_token_id": tokens.bos_token_id,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**settings | config))
    return TinyLlama(model.eval().requires_grad_(False), tokens)


def save(folder: Path, seed: int = 0, **config: Any) -> TinyLlama:
    """Writes a random model and its tokenizer as a checkpoint that `from_pretrained` loads."""
    made = tiny_llama(seed, **config)
    made.model.save_pretrained(folder, safe_serialization=True)
    made.tokenizer.save_pretrained(folder)
    return made


def tuned(folder: Path, names: Sequence[str], sd: float = 0.02, **config: Any) -> list[str]:
    """Fine-tunes of one base, written as checkpoints: its weights, each with noise of its own. Gives their folders."""
    base = save(folder / "base", **config)
    for number, name in enumerate(names):
        draw = torch.Generator().manual_seed(number)
        tiny = tiny_llama(**config)
        with torch.no_grad():
            for parameter in tiny.model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=draw).to(parameter) * sd)
        tiny.model.save_pretrained(folder / name)
        base.tokenizer.save_pretrained(folder / name)
    return [str(folder / name) for name in names]


def rewritten(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """What changes the tensors of a checkpoint in a folder."""

    def apply(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    return apply
