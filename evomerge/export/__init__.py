"""What leaves a run: a member in its native format, its recipe, its card."""
