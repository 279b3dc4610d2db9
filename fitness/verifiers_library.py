"""The package verifiers: its environments by name, and their episodes played by our model."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any

from fitness.verifiers_desk import Conversation, Desk, Reply

HARNESS = "evomerge_in_process"
"""The name of the program by which verifiers has our model play."""

NO_KEY = "EVOMERGE_HAS_NO_KEY"
"""The environment variable in which verifiers would look for a key."""

TALKATIVE = ("verifiers", "httpx", "aiohttp.access")
"""What logs each request and each episode."""

OURS = ("harness", "runtime", "model", "client", "sampling")
"""Settings of the agent that say who plays, and how: our model does, and answers greedily."""

COUNTED_ELSEWHERE = ("max_input_tokens", "max_output_tokens", "max_total_tokens")
"""Limits of the agent that count tokens, which only a provider's server tells."""

Answer = Callable[[list[Conversation]], list[Reply]]
"""Conversations to what the model says next."""


def load(name: str, settings: Mapping[str, Any]) -> Any:
    """An environment of verifiers whose one agent is our model.

    Args:
        name: of the taskset, as verifiers has it.
        settings: what its `EnvConfig` takes: "taskset", "timeout", the name of the agent.

    Raises:
        ImportError: if verifiers is not installed.
        ValueError: if there is no such environment, verifiers refuses the settings, or it is one
            that a model alone cannot play.
    """
    loaders = _loaders()
    try:
        return _load(loaders, name, settings)
    except (OSError, MemoryError):
        raise
    # a taskset is a package of somebody else's, and may raise anything
    except Exception as error:
        raise ValueError(f"environment: {name!r}: {error}") from error


def play(environment: Any, tasks: Sequence[Any], answer: Answer) -> list[Any]:
    """The episodes of these tasks, played side by side, turn by turn.

    Raises:
        OSError: if verifiers cannot do its part.
    """
    import verifiers.v1 as vf

    with quiet(), Desk(len(tasks)) as desk, ThreadPoolExecutor(1) as pool:
        client = vf.EvalClientConfig(base_url=desk.url, api_key_var=NO_KEY)
        context = vf.ModelContext("evomerge", client)
        playing = pool.submit(asyncio.run, _episodes(environment, tasks, context, desk))

        # where no episode can begin there is nothing to wait for
        def end(_: Future[Any]) -> None:
            desk.close()

        playing.add_done_callback(end)
        # closed before the pool waits for its thread, which waits for answers
        try:
            for asked in desk.rounds():
                desk.reply(asked, answer([one.conversation for one in asked]))
        finally:
            desk.close()
        return playing.result()


@contextmanager
def quiet() -> Iterator[None]:
    """A block without what is said below a warning of each request and each episode."""
    logs = [logging.getLogger(name) for name in TALKATIVE]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


async def _episodes(environment: Any, tasks: Sequence[Any], context: Any, desk: Desk) -> list[Any]:
    """The episodes of these tasks, in which the model is the context's."""

    async def episode(task: Any) -> Any:
        # the others do not wait for what one that is over might still ask
        try:
            return await environment.run_episode(task, context)
        finally:
            desk.leave()

    async with environment.serving():
        return await asyncio.gather(*[episode(task) for task in tasks])


def _load(loaders: Any, name: str, settings: Mapping[str, Any]) -> Any:
    """As `load`."""
    from verifiers.v1.configs.agent import AgentConfig

    _register_harness()
    # some tasks are only worth playing with the program that comes with them
    if loaders.default_harness_id(name) != "bash":
        raise ValueError("it brings a program of its own to play it with, and a model alone cannot")
    seats = []
    for field, about in loaders.env_config_type(name, settings.get("id", "")).model_fields.items():
        if isinstance(about.default, AgentConfig):
            seats.append(field)
    # whose reward it is that counts would be a guess
    if len(seats) != 1:
        raise ValueError(f"expected one agent, it has {len(seats)}: {', '.join(seats)}")
    [seat] = seats
    _check_settings(settings, seat)
    harness = {"harness": {"id": HARNESS}, "runtime": {"type": "subprocess"}}
    config = loaders.resolve_env_config(
        {
            **settings,
            "taskset": {**settings.get("taskset", {}), "id": name},
            seat: {**settings.get(seat, {}), **harness},
        }
    )
    # what an environment sets by itself would as quietly be another model's score, or no limit
    for key in ("model", "client", *COUNTED_ELSEWHERE):
        if getattr(getattr(config, seat), key) is not None:
            raise ValueError(f"its agent has a setting {key}, which cannot be kept here")
    return loaders.load_environment(config)


def _check_settings(settings: Mapping[str, Any], seat: str) -> None:
    """Refuses settings that would be overwritten, or never be asked for.

    Args:
        settings: as for `load`.
        seat: the name of the agent.

    Raises:
        ValueError: if there are such settings.
    """
    for name in ("taskset", seat):
        inner = settings.get(name, {})
        if not isinstance(inner, Mapping):
            raise ValueError(f"settings.{name}: expected settings by name, got {inner!r}")
    if "id" in settings.get("taskset", {}):
        raise ValueError("settings.taskset.id: the taskset is the environment that is named")
    for key in (*OURS, *COUNTED_ELSEWHERE):
        if key in settings.get(seat, {}):
            raise ValueError(
                f"settings.{seat}.{key}: the model that is scored plays, and answers greedily; "
                f"its answers are limited by max_new_tokens and stop, beside settings"
            )


@lru_cache(maxsize=1)
def _register_harness() -> None:
    """Makes our program known to verifiers.

    It runs in this process, which verifiers lets it: its own start a process for each episode, and
    install what that needs from the network.
    """
    import httpx
    import verifiers.v1 as vf

    class InProcess(vf.Harness[vf.HarnessConfig]):  # type: ignore[misc]
        APPENDS_SYSTEM_PROMPT = True
        SUPPORTS_RESUME = True
        EXECUTES_CODE = False
        NEEDS_CONTAINER = False

        async def launch(
            self,
            ctx: Any,
            _trace: Any,
            _runtime: Any,
            endpoint: str,
            secret: str,
            _mcp_urls: Mapping[str, str],
            data: Any,
        ) -> Any:
            """One turn: the conversation so far goes to the model by way of verifiers."""
            system, prompt = self.resolve_prompt(data)
            messages: list[dict[str, Any]] = []
            if system is not None:
                messages.append({"role": "system", "content": system})
            if isinstance(prompt, str):
                messages.append({"role": "user", "content": prompt})
            else:
                messages += [message.model_dump(exclude_none=True) for message in prompt or ()]
            # a proxy has no business between two ports of one machine
            async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113
                reply = await client.post(
                    f"{endpoint.rstrip('/')}/chat/completions",
                    headers={"Authorization": f"Bearer {secret}"},
                    json={"model": ctx.model, "messages": messages},
                )
            return vf.ProgramResult(int(reply.is_error), "", reply.text)

    module = ModuleType(HARNESS)
    module.InProcess = InProcess  # type: ignore[attr-defined]
    module.__all__ = ["InProcess"]  # type: ignore[attr-defined]
    sys.modules[HARNESS] = module


def _loaders() -> Any:
    """What verifiers finds its environments with."""
    try:
        from verifiers.v1.utils import loaders
    except ImportError as error:
        raise ImportError(
            "environments of verifiers need the package verifiers, on Python 3.11 or later: "
            f"pip install 'evomerge[verifiers]' ({error})"
        ) from None
    return loaders
