"""What is kept of members for a report: this is a stand-in until they move here."""

from evomerge.export.export import answers
from evomerge.report.sections.changes import explained
from evomerge.report.sections.gallery import keep

__all__ = ["answers", "explained", "keep"]
