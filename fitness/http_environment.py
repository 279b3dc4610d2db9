"""An environment on a server that speaks JSON over HTTP, such as those of AgentGym."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fitness.json_client import LONGEST, ask
from fitness.messages import decoded
from fitness.portable import Portable


class HttpEnvironment(Portable):
    """Episodes on a server; a place on it, once made, is used again for the next episode.

    What is said, with AgentGym's WebShop server as the default::

        POST /create {}
            -> 7, or {"env_idx": 7}: the place, sent with all that follows
        POST /reset  {"env_idx": 7, "session_id": 12}
            -> the first observation: "text", ["text", ...] or {"state": "text"}
        POST /step   {"env_idx": 7, "action": "search[x]"}
            -> {"state": "text", "reward": 0.5, "done": false}
        POST /close  {"env_idx": 7}
            -> anything
    """

    def __init__(
        self,
        url: str,
        splits: Mapping[str, tuple[int, int]],
        *,
        place: str = "env_idx",
        task: str = "session_id",
        observation: str = "state",
        observe: bool = False,
        reuse: bool = True,
        timeout: float = 60.0,
        retries: int = 2,
    ) -> None:
        """Settings only; the server is asked on first use.

        Args:
            url: of the server, such as http://localhost:36001.
            splits: for "train", "test" and "validation" the server's number of the first task, and
                the one after the last.
            place: the field that names the place on the server; "id" for most others of AgentGym.
            task: the field that names the task at /reset; "data_idx" for most others of AgentGym.
            observation: the field of the observation; "observation" for most others of AgentGym.
            observe: whether the first observation is asked for with GET /observation, after the
                reset.
            reuse: whether places are used again; otherwise each episode makes one and closes it.
            timeout: seconds after which a server that does not answer has failed.
            retries: how often a server that refuses the connection, or is busy (503), is asked
                again.

        Raises:
            ValueError: if a setting is out of its range.
        """
        # any other scheme, such as file://, would have a config read what it likes
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url: expected one that begins with http:// or https://, got {url!r}")
        for name, (start, stop) in splits.items():
            if name not in ("train", "test", "validation"):
                raise ValueError(f"splits: expected train, test or validation, got {name!r}")
            if not 0 <= start < stop:
                raise ValueError(
                    f"splits.{name}: expected a first task of at least 0 and one after the last, "
                    f"got {start}, {stop}"
                )
        if not timeout > 0:
            raise ValueError(f"timeout: expected seconds above 0, got {timeout}")
        if retries < 0:
            raise ValueError(f"retries: expected at least 0, got {retries}")
        self.url = url
        self.splits = splits
        self.place = place
        self.task = task
        self.observation = observation
        self.observe = observe
        self.reuse = reuse
        self.timeout = timeout
        self.retries = retries

    def size(self, split: str) -> int:
        """As `Environment.size`."""
        start, stop = self.splits.get(split, (0, 0))
        return stop - start

    def episode(self, datapoint: int, split: str) -> HttpEpisode:
        """As `Environment.episode`."""
        return HttpEpisode(self, self.splits[split][0] + datapoint)

    def take(self) -> Any:
        """A place on the server: a free one, or a new one.

        Raises:
            ValueError: if the server's answer names no place; also as `ask`.
        """
        # asking first whether there is one would not do: threads share the free places
        with suppress(IndexError):
            return self._free.pop()
        made = self.ask("create", {})
        # some servers of AgentGym answer with the number alone
        if isinstance(made, dict):
            made = made.get(self.place)
        if not isinstance(made, int | str) or isinstance(made, bool):
            raise ValueError(
                f"{self.url}/create: expected a number, or an object with the field "
                f"{self.place!r}, got {made!r}"
            )
        return made

    def give(self, place: Any) -> None:
        """Takes a place back: for the next episode, or closes it."""
        if self.reuse:
            self._free.append(place)
        else:
            self.ask("close", {self.place: place})

    def close(self) -> None:
        """Closes the places on the server that no episode uses."""
        # popped, so that what is closed is never taken again
        for place in vars(self).pop("_places", []):
            self.ask("close", {self.place: place})

    def ask(self, path: str, content: Mapping[str, Any] | None, **query: Any) -> Any:
        """What the server answers, as `fitness.json_client.ask`."""
        url = f"{self.url.rstrip('/')}/{path}"
        return ask(url, content, query, timeout=self.timeout, retries=self.retries)

    @property
    def _free(self) -> list[Any]:
        """The places that no episode uses, made in one step, as several threads may ask first."""
        return vars(self).setdefault("_places", [])


class HttpEpisode:
    """An episode on a server."""

    def __init__(self, environment: HttpEnvironment, task: int) -> None:
        """One task of an environment."""
        self.environment = environment
        self.task = task
        self.place: Any = None
        self.sound = True

    def reset(self) -> str:
        """As `Episode.reset`."""
        server = self.environment
        # an episode that is begun again stays at its place
        if self.place is None:
            self.place = server.take()
        answer = self._ask("reset", {server.task: self.task})
        # servers differ in how they tell the first observation
        if server.observe:
            answer = self._ask("observation", None)
        elif isinstance(answer, list) and answer:
            answer = answer[0]
        if isinstance(answer, dict):
            answer = self._field(answer, server.observation, "reset")
        if not isinstance(answer, str):
            raise ValueError(f"{server.url}/reset: expected an observation, got {_shown(answer)}")
        return answer

    def step(self, action: str) -> tuple[str, float, bool]:
        """As `Episode.step`."""
        answer = self._ask("step", {"action": action})
        return (
            self._field(answer, self.environment.observation, "step"),
            self._field(answer, "reward", "step"),
            self._field(answer, "done", "step"),
        )

    def close(self) -> None:
        """Gives the place back; one that failed is left alone."""
        place = self.place
        self.place = None
        if place is not None and self.sound:
            self.environment.give(place)

    def _ask(self, path: str, content: Mapping[str, Any] | None) -> Any:
        """What the server answers of this place."""
        named = {self.environment.place: self.place}
        # a place whose answer never came may be in the middle of something, or gone
        self.sound = False
        if content is None:
            answer = self.environment.ask(path, None, **named)
        else:
            answer = self.environment.ask(path, {**named, **content})
        self.sound = True
        return answer

    def _field(self, answer: Any, name: str, path: str) -> Any:
        """A field of an answer.

        Raises:
            ValueError: if the answer has none of that name.
        """
        if isinstance(answer, dict) and name in answer:
            return answer[name]
        # of an object the fields are more to the point than the texts in them
        problem = _shown(answer)
        if isinstance(answer, dict):
            problem = f"the fields {', '.join(answer)}"
        raise ValueError(
            f"{self.environment.url}/{path}: expected an answer with the field {name!r}, "
            f"got {problem}"
        )


def _shown(answer: Any) -> str:
    """An answer in a message."""
    return decoded(json.dumps(answer).encode(), LONGEST)
