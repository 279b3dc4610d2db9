"""evomerge breeds models.

A few seeds of one architecture go in, one model with all their skills comes out.
"""

# ruff: noqa: E402

from evomerge.config import shadowing

# A fitness.py of the user's is then said in words, rather than by an error of Python's.
shadowing.load_fitness()

from evomerge.archives.archive import Archive, Member
from evomerge.errors import Interrupted, UserError
from evomerge.evolution import evolve
from evomerge.genome.crossover import Crossover
from evomerge.run.trackers import MLflow, TensorBoard, Tracker, Wandb
from evomerge.rundir.births import births_dataframe
from evomerge.rundir.following import follow
from evomerge.strategies.natural_niches import NaturalNiches
from evomerge.strategies.search import Operator, Search
from evomerge.strategies.strategy import Planner, Strategy
from evomerge.strategies.sweep import Sweep
from evomerge.strategies.vector import AllWeights, Coefficients, Genomes, Ratios
from evomerge.workers.local import Local
from evomerge.workers.ray import Ray

__all__ = [
    "AllWeights",
    "Archive",
    "Coefficients",
    "Crossover",
    "Genomes",
    "Interrupted",
    "Local",
    "MLflow",
    "Member",
    "NaturalNiches",
    "Operator",
    "Planner",
    "Ratios",
    "Ray",
    "Search",
    "Strategy",
    "Sweep",
    "TensorBoard",
    "Tracker",
    "UserError",
    "Wandb",
    "births_dataframe",
    "evolve",
    "follow",
]
__version__ = "0.1.0"
