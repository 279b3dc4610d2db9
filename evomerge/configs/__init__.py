"""evomerge configs: the configs that come with evomerge, listed and copied."""
