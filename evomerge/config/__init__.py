"""YAML to a call of `evolve`, and back."""
