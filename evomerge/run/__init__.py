"""A run, from its founders to its last birth."""
