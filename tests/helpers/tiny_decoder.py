"""The tensors of a small decoder, by their shapes."""

SHAPES = {
    "embed.weight": (3, 2),
    "layers.0.attn.weight": (2, 2),
    "layers.0.mlp.weight": (2, 2),
    "layers.1.attn.weight": (2, 2),
    "layers.1.mlp.weight": (2, 2),
    "norm.weight": (2,),
}
