"""Who raises births: this process, or workers on Ray."""

from evomerge.workers.job import Workers
from evomerge.workers.local import Local

__all__ = ["Local", "Workers"]
