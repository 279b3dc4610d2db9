"""evomerge convert: configs of mergekit-evolve as configs of evomerge."""
