"""The contracts: what the engine asks of a genome, a population and a fitness. Write these methods and evomerge breeds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossing

Model: TypeAlias = Any
"""What the ecosystem's users know: an nn.Module; a transformers model with its tokenizer; a DiffusionPipeline."""


class Genome(Protocol):
    """What is needed to rebuild a member (`evomerge.genome`)."""

    def cross(self, other: Any, crossing: Crossing, species: Any) -> Genome:
        """The child of this parent, the first, and the other, the second; `species` is their population."""

    def mutate(self, scale: float, seed: int) -> Genome:
        """This genome with Gaussian noise of standard deviation `scale`, drawn from `seed`."""

    def finite(self) -> bool:
        """Whether all its numbers are finite."""

    def tensors(self) -> Mapping[str, Any]:
        """The torch tensors that a snapshot stores; the class has `from_tensors`, the way back."""


@runtime_checkable
class Population(Protocol):
    """A species: its seeds, how a genome becomes a model, how a member is saved.

    Constructors keep their arguments, each under its own name, and nothing else; what is heavy is loaded on first use.
    Optional methods: `express_many(genomes) -> Model`, a stack of small models that runs as one (one with a method
    `only(places)` is narrowed to the models that still matter); `immigrant(rng) -> Genome`, a new founder for a run that is
    under way, where founders are random; `linear -> bool`, whether genomes may be crossed linearly only; `grams -> Grams`, where
    genomes are recipes, kept by the run, and `restore_grams(units)`, by which a resume gives them back; `sources() -> list`, name and
    sha256 of each seed, by which a recipe is made again; `card() -> Mapping`, what a model card says in the hub's words: keys of its head such
    as library_name, pipeline_tag and tags; and `seeds`, a Mapping for each seed in the order of a recipe's coefficients, and `others`, for what
    else is in the weights, each with `name` and what is known of `repository`, `revision`, `license` (a list), `license_name`, `license_link`,
    `base_model`, `language` and `datasets` (lists); `footprint() -> Mapping`, before anything is loaded: bytes of the "seeds" and of the
    "model", and whether that is on a "gpu".
    """

    @property
    def axis(self) -> Axis:
        """The order of the parameters."""

    def founders(self, rng: np.random.Generator) -> list[Any]:
        """The genomes with which a run starts, two or more. A random founder i draws from `rng.spawn(K)[i]`."""

    def express(self, genome: Any) -> Model:
        """The genome as a running model, which is valid until the next call."""

    def save(self, genome: Any, directory: Path) -> None:
        """Writes the member in the ecosystem's own format into an existing directory."""


@runtime_checkable
class Fitness(Protocol):
    """What a member is worth.

    Constructors as for populations. Optional methods: `weights(split) -> (D,)`, all ones if absent; `groups(split)`, by name (n,) indices
    of datapoints that belong together: a class, a task;
    `score_many(models, datapoints, split) -> (W, B)`, for a stack of models; `explain(model, datapoints, split)`, a dict for
    each datapoint of what a report shows of it ("prompt", "expected", "answer", "picture": rows of pixels or a data URI; "score", if it
    is known by then); `showcase(split) -> (n,)`, datapoints whose explanation a report shows for one member beside another.
    """

    def size(self, split: str) -> int:
        """D, the number of datapoints of "train", "test" or "validation"; 0 if there is no such split."""

    def __call__(self, model: Model, datapoints: np.ndarray, split: str) -> np.ndarray:
        """Indices (B,) to scores (B,) float32 in [0, 1]."""
