"""evomerge watch: a run in progress, on a terminal."""
