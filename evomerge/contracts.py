"""The contracts: what the engine asks of a genome, a population and a fitness.

Write these methods, and evomerge breeds it. What one can do besides is a small protocol each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
from typing_extensions import TypeIs, get_protocol_members

from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossing

if TYPE_CHECKING:
    from evomerge.genome.grams import Grams

Model: TypeAlias = Any
"""What users know: an nn.Module, a transformers model with its tokenizer, a DiffusionPipeline."""

Able = TypeVar("Able")


def can(thing: object, protocol: type[Able]) -> TypeIs[Able]:
    """Whether a thing has what a protocol asks of it.

    `isinstance` would do, but from Python 3.12 on it looks past what a wrapper passes on with
    `__getattr__`, whose weights would quietly count as none.

    Example:
        >>> can([], Explains)
        False
    """
    return all(getattr(thing, name, None) is not None for name in get_protocol_members(protocol))


class Genome(Protocol):
    """What is needed to rebuild a member (`evomerge.genome`)."""

    def cross(self, other: Any, crossing: Crossing, species: Any) -> Genome:
        """The child of this parent, the first, and the other, the second.

        Args:
            other: the second parent's genome.
            crossing: mixing ratios and split points.
            species: their population.
        """

    def mutate(self, scale: float, seed: int) -> Genome:
        """This genome with Gaussian noise of standard deviation `scale`, drawn from `seed`."""

    def finite(self) -> bool:
        """Whether all its numbers are finite."""

    def tensors(self) -> Mapping[str, Any]:
        """The torch tensors that a snapshot stores; the class has `from_tensors`, the way back."""


class Population(Protocol):
    """A species: its seeds, how a genome becomes a model, how a member is saved.

    A constructor keeps its arguments, each under its own name, and nothing else. What is heavy is
    loaded on first use. What a population can do besides is a small protocol each: `Stacks`,
    `Immigrants`, `LinearOnly`, `Recipes`, `NamesSeeds`, `SearchesSettings`, `Carded`, `Footprint`.
    """

    @property
    def axis(self) -> Axis:
        """The order of the parameters."""

    def founders(self, rng: np.random.Generator) -> list[Any]:
        """The genomes with which a run starts, two or more.

        A random founder i draws from `rng.spawn(K)[i]`.
        """

    def express(self, genome: Any) -> Model:
        """The genome as a running model, which is valid until the next call."""

    def save(self, genome: Any, directory: Path) -> None:
        """Writes the member in the ecosystem's own format into an existing directory."""


class Stacks(Protocol):
    """A population of small models, of which several can run as one."""

    def express_many(self, genomes: Sequence[Any]) -> Model:
        """The genomes as one stack of models."""


class Narrows(Protocol):
    """A stack of models that can be narrowed to those that still matter."""

    def only(self, places: Sequence[int]) -> None:
        """Narrows the stack to the models at these places of it."""


class Immigrants(Protocol):
    """A population with random founders."""

    def immigrant(self, rng: np.random.Generator) -> Any:
        """The genome of a new founder, for a run that is under way."""


class LinearOnly(Protocol):
    """A population that tells whether its genomes may be crossed linearly only."""

    linear: bool


class Recipes(Protocol):
    """A population whose genomes are recipes over seeds."""

    if TYPE_CHECKING:  # whoever asks would compute it, which reads every seed

        @property
        def grams(self) -> Grams:
            """The inner products of the seeds, which the run keeps."""

    def restore_grams(self, units: np.ndarray) -> None:
        """Takes back what the run has kept, (U, K, K) float64: no seed is read again."""


class NamesSeeds(Protocol):
    """A population that names its seeds, so that a recipe can be made again elsewhere."""

    def sources(self) -> list[dict[str, Any]]:
        """The name and the sha256 of each seed."""


class SearchesSettings(Protocol):
    """A population whose recipes may have settings, numbers of a merge method that are searched."""

    def settings_of(self, genome: Any) -> dict[str, float]:
        """Those of a genome, by name.

        Raises:
            ValueError: if it has not one for each that is searched.
        """


class Carded(Protocol):
    """A population that has something to say on a model card."""

    def card(self) -> Mapping[str, Any]:
        """What a card says in the hub's words.

        Keys of its head, such as library_name, pipeline_tag and tags; `seeds`, a Mapping for each
        seed in the order of a recipe's coefficients; and `others`, for what else is in the weights.
        Each of these has `name`, and what is known of `repository`, `revision`, `license` (a list),
        `license_name`, `license_link`, `base_model`, `language` and `datasets` (lists).
        """


class Footprint(Protocol):
    """A population that knows, before anything is loaded, how much memory it takes."""

    def footprint(self) -> Mapping[str, Any]:
        """Bytes of the "seeds" and of the "model", and whether that is on a "gpu"."""


class Fitness(Protocol):
    """What a member is worth.

    A constructor is as a population's. What a fitness can do besides is a small protocol each:
    `Weighted`, `Grouped`, `Watches`, `ScoresStacks`, `Explains`, `Showcases`.
    """

    def size(self, split: str) -> int:
        """D, the number of datapoints of a split; 0 if there is no such split.

        Args:
            split: "train", "test" or "validation".
        """

    def __call__(self, model: Model, datapoints: np.ndarray, split: str) -> np.ndarray:
        """Indices (B,) to scores (B,) float32 in [0, 1]."""


class Weighted(Protocol):
    """A fitness whose datapoints do not all weigh the same."""

    def weights(self, split: str) -> np.ndarray:
        """(D,) numbers above 0."""


class Grouped(Protocol):
    """A fitness whose datapoints form groups, such as classes or tasks."""

    def groups(self, split: str) -> Mapping[str, np.ndarray]:
        """(n,) indices of the datapoints that belong together, by the group's name."""


class Watches(Protocol):
    """A fitness with a split "watched", of which all else is asked as of any other split.

    What is watched counts in no mean, and nobody competes or is chosen by it. Founders and each new
    best are scored on it, so that people see what breeding has cost. Its groups are told apart.
    """

    @property
    def watched(self) -> Any:
        """What is watched; None where nothing is, and then there is no such split."""


class Batched(Protocol):
    """A fitness of which a model reads several datapoints side by side."""

    @property
    def batch(self) -> int:
        """How many at most."""


class BatchedParts(Protocol):
    """A fitness with groups, of some of which a model reads several datapoints side by side."""

    def batches(self) -> Mapping[str, int]:
        """How many at most, by the group's name."""


class ScoresStacks(Protocol):
    """A fitness that scores several small models at once."""

    def score_many(self, models: Model, datapoints: np.ndarray, split: str) -> np.ndarray:
        """(W, B) scores of a stack of W models."""


class Explains(Protocol):
    """A fitness that can show what a model makes of a datapoint."""

    def explain(self, model: Model, datapoints: np.ndarray, split: str) -> Sequence[dict[str, Any]]:
        """What a report shows of each datapoint.

        "prompt", "expected", "answer", "picture" (rows of pixels or a data URI), and "score", if it
        is known by then.
        """


class Showcases(Protocol):
    """A fitness with datapoints whose explanation a report shows for one member beside another."""

    def showcase(self, split: str) -> np.ndarray:
        """(n,) these datapoints."""
