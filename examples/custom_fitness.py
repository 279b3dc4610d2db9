"""A fitness of your own: score each datapoint between 0 and 1, your own way.

    python examples/custom_fitness.py

Here a classifier is worth what a cautious user would pay for its answer: the confidence that it puts in the right class, and
nothing at all where it is confidently wrong. The same function from a config, by import path:

    evomerge run configs/digits.yaml fitness.score=examples.custom_fitness.trust births=2000
"""

import torch

from evomerge import Crossover, NaturalNiches, evolve
from fitness.classification import Classification
from fitness.images import SklearnDigits
from populations.mnist import Classifiers


def trust(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Outputs (B, 10) and targets (B,) to scores (B,) in [0, 1]."""
    confidence = outputs.softmax(dim=-1)
    right = confidence.gather(1, targets[:, None])[:, 0]
    wrong = confidence.scatter(1, targets[:, None], 0.0).amax(dim=1)
    return torch.where(wrong > 0.9, 0.0, right)


if __name__ == "__main__":
    digits = SklearnDigits()
    archive = evolve(
        population=Classifiers(digits),  # 64-256-10, two random founders
        fitness=Classification(digits, score=trust),  # competes for 1,437 handwritten digits
        strategy=NaturalNiches(size=20, mutation=0.01, crossover=Crossover(angle="whole")),
        births=2000,
    )
    best = max(archive.members, key=lambda member: member.scores.mean())
    print(f"best mean score {best.scores.mean():.3f}; together the {len(archive.members)} members "
          f"reach {archive.scores.max(axis=0).mean():.3f}")  # fmt: skip
