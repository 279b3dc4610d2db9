"""The names of all files and folders in a run directory, and nothing else."""

CONFIG = "config.yaml"
"""The call of `evolve` that made the run. A directory that has it is a run."""

LOG = "births.jsonl"
"""A line for each founder and each birth, in order."""

IDENTITY = "identity.json"
"""By what trackers know the run."""

FOUNDERS = "founders.safetensors"
"""The founders' scores at each datapoint, and more that only the beginning knows."""

GRAMS = "grams.safetensors"
"""Inner products of the seeds, where genomes are recipes."""

SUMMARY = "summary.json"
"""The run in numbers, once it has ended."""

REPORT = "report.html"
"""The run in pictures."""

STATE = "state"
"""The folder of the snapshots."""

LATEST = "latest"
"""The folder, in that of the snapshots, of the newest one."""

PREVIOUS = "previous"
"""Likewise, of the one before it."""

STATE_DATA = "state.json"
"""A snapshot's data, with the checksums of all its parts."""

STATE_TENSORS = "tensors.safetensors"
"""A snapshot's tensors."""

BEST_FOLDER = "best"
"""The folder of the best member in its native format."""

LINEAGE = "lineage.json"
"""The file, beside the best member's, of its ancestors."""

ANSWERS = "test.jsonl"
"""The file, beside the best member's, of what it answers on the test split."""

CHANGES = "changes.jsonl"
"""The file, beside the best member's, of datapoints that it or a founder alone solves."""

GALLERY = "gallery"
"""The folder in which members show themselves, a file each."""

LOCK = ".lock"
"""Who writes the directory now."""

STAND_IN = ".lock.held"
"""Likewise, where the file system has no locks."""

CLEARING = ".lock.clearing"
"""Who removes a stand-in whose process has gone."""
