"""evomerge check: what a run will need, found out before it begins."""
