"""evomerge compare: strategies side by side, over several random seeds."""
