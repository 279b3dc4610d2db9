"""An episode on its way: what was said in it, and what came of it so far."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Protocol

import numpy as np

from fitness.contracts import Closes, can
from fitness.readable import check_readable
from fitness.unit import unit_score

log = logging.getLogger(__name__)


class Episode(Protocol):
    """One datapoint, played once. Optional: `close()`, called when it is over."""

    def reset(self) -> str:
        """The first observation."""

    def step(self, action: str) -> tuple[str, float, bool]:
        """What an action leads to.

        It is the next observation, the reward so far, in [0, 1], and whether the episode is over.
        """


class Environment(Protocol):
    """Where a model acts."""

    def size(self, split: str) -> int:
        """D, the datapoints of "train", "test" or "validation"; 0 if there is no such split."""

    def episode(self, datapoint: int, split: str) -> Episode:
        """A new episode, the same for the same datapoint."""


@dataclass
class Play:
    """One episode, as far as it has been played.

    Attributes:
        name: what messages call it.
        datapoint: which episode it is.
        episode: the environment's own object, once it has begun.
        said: observations and responses by turns, an observation first.
        action: the last one, as it was read from a response.
        reward: the last one.
        done: whether it is over.
    """

    name: str
    datapoint: int
    episode: Episode | None = None
    said: list[str] = field(default_factory=list)
    action: str = ""
    reward: float = 0.0
    done: bool = False

    def open(self, environment: Environment, split: str) -> None:
        """Begins.

        Raises:
            ValueError: if the environment fails, or gives no observation.
        """
        with _errors_named(f"{self.name}, reset"):
            self.episode = environment.episode(self.datapoint, split)
            self.said.append(_observation(self.episode.reset()))

    def step(self, action: str) -> None:
        """Takes an action; the response that it stands in was the last thing said.

        Raises:
            ValueError: if the environment fails, or gives something else than an observation, a
                reward in [0, 1] and whether the episode is over.
        """
        assert self.episode is not None
        with _errors_named(f"{self.name}, turn {len(self.said) // 2}"):
            # an environment is a user's own code, so all that it gives is looked at
            answer = self.episode.step(action)
            if not isinstance(answer, tuple | list) or len(answer) != 3:
                raise ValueError(
                    f"expected an observation, a reward and whether it is over, got {answer!r}"
                )
            observation, reward, done = answer
            self.said.append(_observation(observation))
            # what is not refused here would end as a score, or as an episode without an end
            score = None
            if isinstance(reward, Real | np.number):
                score = unit_score(reward)
            if score is None:
                raise ValueError(f"expected a reward in [0, 1], got {reward!r}")
            if not isinstance(done, bool | np.bool_):
                raise ValueError(f"expected true or false for whether it is over, got {done!r}")
            self.reward = score
            self.done = bool(done)

    def close(self) -> None:
        """Ends the episode; what fails here costs nothing."""
        if not can(self.episode, Closes):
            return
        # the reward is known by now, and counts whatever the environment does at its end
        try:
            self.episode.close()
        except Exception as error:
            log.debug("%s: close raised %s: %s", self.name, type(error).__name__, error)


def transcript(said: Sequence[str]) -> str:
    """Observations and responses by turns, in one text; each response has its line's end."""
    text = ""
    for place, part in enumerate(said):
        text += part
        if place % 2:
            text += "\n"
    return text


@contextmanager
def _errors_named(where: str) -> Iterator[None]:
    """Errors of an environment say where; those of its surroundings stay what they are."""
    try:
        yield
    # a server that cannot be reached is tried again, and is no fault of the environment
    except (OSError, MemoryError):
        raise
    except Exception as error:
        problem = str(error)
        if not isinstance(error, ValueError):
            problem = f"{type(error).__name__}: {error}"
        raise ValueError(f"{where}: the environment: {problem}") from error


def _observation(observation: Any) -> str:
    """An observation, held against what a model can read."""
    if not isinstance(observation, str):
        raise ValueError(f"expected a text as the observation, got {observation!r}")
    check_readable(observation)
    return observation
