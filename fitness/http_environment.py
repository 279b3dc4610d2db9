"""An environment on a server that speaks JSON over HTTP, such as those of AgentGym (WebShop, TextCraft, ...)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

log = logging.getLogger(__name__)

PAUSE = 0.2
"""Seconds before a server that could not be reached is asked again, times the attempt."""


class HttpEnvironment:
    """Episodes on a server; a place on it, once made, is used again for the next episode.

    What is said, with AgentGym's WebShop server as the default::

        POST /create {}                                     -> 7, or {"env_idx": 7}: the place, sent with all that follows
        POST /reset  {"env_idx": 7, "session_id": 12}       -> the first observation: "text", ["text", ...] or {"state": "text"}
        POST /step   {"env_idx": 7, "action": "search[x]"}  -> {"state": "text", "reward": 0.5, "done": false}
        POST /close  {"env_idx": 7}                         -> anything
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
            splits: for "train", "test" and "validation" the server's number of the first task, and the one after the last.
            place: the field that names the place on the server; "id" for most others of AgentGym.
            task: the field that names the task at /reset; "data_idx" for most others of AgentGym.
            observation: the field of the observation; "observation" for most others of AgentGym.
            observe: whether the first observation is asked for with GET /observation, after the reset.
            reuse: whether places are used again; otherwise each episode makes one and closes it.
            timeout: seconds after which a server that does not answer has failed.
            retries: how often a server that refuses the connection, or is busy (503), is asked again.

        Raises:
            ValueError: if a setting is out of its range.
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url: expected one that begins with http:// or https://, got {url!r}")
        for name, (start, stop) in splits.items():
            if name not in ("train", "test", "validation"):
                raise ValueError(f"splits: expected train, test or validation, got {name!r}")
            if not 0 <= start < stop:
                raise ValueError(
                    f"splits.{name}: expected a first task of at least 0 and one after the last, got {start}, {stop}"
                )
        if not timeout > 0:
            raise ValueError(f"timeout: expected seconds above 0, got {timeout}")
        if retries < 0:
            raise ValueError(f"retries: expected at least 0, got {retries}")
        self.url, self.splits, self.place, self.task, self.observation = (
            url,
            splits,
            place,
            task,
            observation,
        )
        self.observe, self.reuse, self.timeout, self.retries = observe, reuse, timeout, retries

    def size(self, split: str) -> int:
        """As `Environment.size`."""
        start, stop = self.splits.get(split, (0, 0))
        return stop - start

    def episode(self, datapoint: int, split: str) -> HttpEpisode:
        """As `Environment.episode`."""
        return HttpEpisode(self, self.splits[split][0] + datapoint)

    def take(self) -> Any:
        """A place on the server: a free one, or a new one."""
        free: list[Any] = vars(self).setdefault("_free", [])
        try:
            return free.pop()
        except IndexError:
            made = self.ask("create", {})
        made = made.get(self.place) if isinstance(made, dict) else made
        if not isinstance(made, int | str) or isinstance(made, bool):
            raise ValueError(
                f"{self.url}/create: expected a number, or an object with the field {self.place!r}, got {made!r}"
            )
        return made

    def give(self, place: Any) -> None:
        """Takes a place back: for the next episode, or closes it."""
        if self.reuse:
            vars(self).setdefault("_free", []).append(place)
        else:
            self.ask("close", {self.place: place})

    def close(self) -> None:
        """Closes the places on the server that no episode uses."""
        for place in vars(self).pop("_free", []):
            self.ask("close", {self.place: place})

    def ask(self, path: str, what: Mapping[str, Any] | None, **query: Any) -> Any:
        """What the server answers to a POST of an object, or to a GET if there is none.

        Raises:
            TimeoutError: if it does not answer in time. It is not asked again: it may have done what it was asked.
            OSError: if it cannot be reached or fails (an answer of 500 or above).
            ValueError: if it refuses what it was asked (400 to 499), or its answer is not JSON.
        """
        url = f"{self.url.rstrip('/')}/{path}"
        body = None if what is None else json.dumps(what).encode()
        request = Request(
            f"{url}?{urlencode(query)}" if query else url,
            body,
            {"Content-Type": "application/json"},
        )
        for attempt in range(self.retries + 1):
            try:
                with urlopen(request, timeout=self.timeout) as answer:  # noqa: S310 (http only, see __init__)
                    content = answer.read()
                break
            except HTTPError as error:
                with error:
                    said = _short(error.read())
                if error.code < 500:
                    raise ValueError(
                        f"{url}: the server refused {_short(body or b'')}: {error.code}, {said}"
                    ) from None
                if error.code != 503 or attempt == self.retries:
                    raise OSError(f"{url}: the server failed: {error.code}, {said}") from None
            except TimeoutError:
                raise TimeoutError(f"{url}: no answer in {self.timeout:g} seconds") from None
            except URLError as error:
                if isinstance(error.reason, TimeoutError):
                    raise TimeoutError(
                        f"{url}: no connection in {self.timeout:g} seconds"
                    ) from None
                if attempt == self.retries:
                    raise OSError(f"{url}: the server cannot be reached: {error.reason}") from None
            except (OSError, HTTPException) as error:
                raise OSError(
                    f"{url}: the connection broke: {type(error).__name__}: {error}"
                ) from None
            time.sleep(PAUSE * (attempt + 1))
        try:
            return json.loads(content)
        except ValueError:
            raise ValueError(f"{url}: expected an answer in JSON, got {_short(content)}") from None

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, places do not."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class HttpEpisode:
    """An episode on a server."""

    def __init__(self, environment: HttpEnvironment, task: int) -> None:
        """One task of an environment."""
        self.environment, self.task = environment, task
        self.place: Any = None
        self.sound = True

    def reset(self) -> str:
        """As `Episode.reset`."""
        ours = self.environment
        if self.place is None:
            self.place = ours.take()
        answer = self._ask("reset", {ours.task: self.task})
        if ours.observe:
            answer = self._ask("observation", None)
        elif isinstance(answer, list) and answer:
            answer = answer[0]
        if isinstance(answer, dict):
            answer = self._field(answer, ours.observation, "reset")
        if not isinstance(answer, str):
            raise ValueError(
                f"{ours.url}/reset: expected an observation, got {_short(json.dumps(answer).encode())}"
            )
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
        place, self.place = self.place, None
        if place is not None and self.sound:
            self.environment.give(place)

    def _ask(self, path: str, what: Mapping[str, Any] | None) -> Any:
        """What the server answers of this place."""
        named = {self.environment.place: self.place}
        self.sound = False
        answer = (
            self.environment.ask(path, None, **named)
            if what is None
            else self.environment.ask(path, named | {**what})
        )
        self.sound = True
        return answer

    def _field(self, answer: Any, name: str, path: str) -> Any:
        if not isinstance(answer, dict) or name not in answer:
            got = (
                f"the fields {', '.join(answer)}"
                if isinstance(answer, dict)
                else _short(json.dumps(answer).encode())
            )
            raise ValueError(
                f"{self.environment.url}/{path}: expected an answer with the field {name!r}, got {got}"
            )
        return answer[name]


def _short(content: bytes) -> str:
    text = content.decode(errors="replace").strip()
    return text if len(text) <= 200 else text[:197] + "..."
