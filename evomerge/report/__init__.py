"""report.html: a run in pictures, drawn from its directory alone."""
