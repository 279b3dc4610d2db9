"""evomerge check: what a run will need, before it begins."""
