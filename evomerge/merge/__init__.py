"""evomerge merge: language models merged without a config written by hand."""
