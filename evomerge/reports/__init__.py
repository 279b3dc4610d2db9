"""report.html: what happened in a run, in one file."""
