"""evomerge compare: several searches, several random seeds, one table."""
