"""evomerge watch: how a run is doing, in a terminal."""
