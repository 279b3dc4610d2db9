"""evomerge breeds models: a few seeds of one architecture go in, one model with all their skills comes out."""

from evomerge.archive import Archive, Member
from evomerge.crossover import Crossover
from evomerge.errors import Interrupted, UserError
from evomerge.evolution import evolve
from evomerge.pool import Ray
from evomerge.strategy import NaturalNiches
from evomerge.workers import Local

__all__ = ["Archive", "Crossover", "Interrupted", "Local", "Member", "NaturalNiches", "Ray", "UserError", "evolve"]
__version__ = "0.1.0"
