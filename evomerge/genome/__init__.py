"""What is bred: the parameter axis, genomes on it, and how two of them are crossed."""

from evomerge.genome.axis import Axis, Layer
from evomerge.genome.crossover import Crossing, Crossover, slerp_coefficients
from evomerge.genome.recipe import Recipe
from evomerge.genome.weights import Weights

__all__ = ["Axis", "Crossing", "Crossover", "Layer", "Recipe", "Weights", "slerp_coefficients"]
