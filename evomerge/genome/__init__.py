"""What is bred: the parameter axis, genomes on it, and how two of them are crossed."""

from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossing, Crossover
from evomerge.genome.layers import Layer
from evomerge.genome.recipe import Recipe
from evomerge.genome.slerp import slerp_coefficients
from evomerge.genome.weights import Weights

__all__ = ["Axis", "Crossing", "Crossover", "Layer", "Recipe", "Weights", "slerp_coefficients"]
