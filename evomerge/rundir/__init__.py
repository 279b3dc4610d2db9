"""A run on disk: its log, its snapshots, who writes it. It knows files and no engine."""

from evomerge.rundir.births import FIELDS

__all__ = ["FIELDS"]
