"""The seeds that a user brings: where they are, whether they are of one kind, and their tensors."""
