"""The sections of a report, one a file, in the order in which a reader meets them on the page."""
