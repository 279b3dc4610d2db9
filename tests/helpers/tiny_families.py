"""Tiny causal models of transformers' families, with random weights and the tokenizer of single characters."""

from __future__ import annotations

from typing import Any

import tiny_llama
import torch

SIZES = {
    "vocab_size": len(tiny_llama.CHARACTERS) + 4,
    "pad_token_id": 3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
USUAL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
DECODER = {
    "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 48, "encoder_layers": 2,
    "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "max_position_embeddings": 64, "is_decoder": True,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "bart": DECODER,
    "bert": USUAL | {"max_position_embeddings": 64, "is_decoder": True},
    "blenderbot": DECODER,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True},
    "gemma3_text": USUAL | {"head_dim": 8, "num_key_value_heads": 2, "sliding_window": 8, "max_position_embeddings": 64},
    "gpt2": GPT,
    "gptj": GPT | {"rotary_dim": 8},
    "gpt_neox": USUAL | {"max_position_embeddings": 64},
    "llama": USUAL | {"num_key_value_heads": 2, "max_position_embeddings": 64},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    "marian": DECODER | {"decoder_start_token_id": 1, "decoder_vocab_size": SIZES["vocab_size"]},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
    "opt": USUAL | {"ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
    "recurrent_gemma": USUAL | {"num_hidden_layers": 3, "num_key_value_heads": 2, "lru_width": 32, "attention_window_size": 16},
    "reformer": {
        "axial_pos_embds": False, "hidden_size": 32, "attention_head_size": 8, "num_attention_heads": 4, "feed_forward_size": 48,
        "attn_layers": ["local", "local"], "local_attn_chunk_length": 8, "max_position_embeddings": 64, "is_decoder": True,
    },
    "roberta": USUAL | {"max_position_embeddings": 64, "is_decoder": True},
    "roformer": USUAL | {"embedding_size": 32, "max_position_embeddings": 64, "is_decoder": True},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 64},
    "whisper": DECODER | {"max_target_positions": 64, "decoder_start_token_id": 1},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48},
}  # fmt: skip
"""The settings of each family's config, small."""


def family(name: str, seed: int = 0, **settings: Any) -> tiny_llama.TinyLlama:
    """A model of a family, all of its matrices drawn anew, so that nothing that begins at 0 stays without effect."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(name, **{**SIZES, **FAMILIES[name], **settings})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.2)
    return tiny_llama.TinyLlama(model.eval(), tiny_llama.tokenizer())
