"""A desk at which episodes ask the model: a server on this machine that answers in rounds.

An environment of verifiers asks a model behind HTTP, each episode when it comes to it. Which
requests come together would then depend on who is faster. So a round begins only when every
episode that is not over has asked, and what is asked is put in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any, NamedTuple

Conversation = list[dict[str, str]]
"""Messages, each with "role" and "content"."""


class Reply(NamedTuple):
    """What the model says next in a conversation.

    Attributes:
        text: the answer; empty where the conversation no longer fits into the model.
        is_whole: whether the model came to its end, and was not cut.
    """

    text: str
    is_whole: bool


class Asked:
    """A conversation that the model is to go on with, and what comes of it."""

    def __init__(self, conversation: Conversation) -> None:
        """Not answered yet."""
        self.conversation = conversation
        self.reply: Reply | None = None

    @property
    def order(self) -> str:
        """What a round is put in order by."""
        return json.dumps(self.conversation)


class Desk:
    """A server for so many episodes, each of which asks one thing at a time.

    It speaks as much of OpenAI's chat completions as verifiers reads.
    """

    def __init__(self, episodes: int) -> None:
        """Opens a port of this machine; for use in a `with` block."""
        self._changed = Condition()
        self._waiting: list[Asked] = []
        self._playing = episodes
        self._is_closed = False
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Desk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the model is asked."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def rounds(self) -> Iterator[list[Asked]]:
        """What is asked, round by round, until all episodes are over.

        Whoever takes a round answers all of it with `reply` before the next.
        """
        while True:
            with self._changed:
                self._changed.wait_for(self._is_round)
                if self._is_closed or not self._playing:
                    return
                asked = sorted(self._waiting, key=lambda one: one.order)
                self._waiting.clear()
            yield asked

    def reply(self, asked: Sequence[Asked], replies: Sequence[Reply]) -> None:
        """Answers a round."""
        with self._changed:
            for one, reply in zip(asked, replies, strict=True):
                one.reply = reply
            self._changed.notify_all()

    def leave(self) -> None:
        """Says that an episode is over."""
        with self._changed:
            self._playing -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """No more rounds: what waits, and what is asked from here on, is refused."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def ask(self, asked: Asked) -> Reply | None:
        """Waits for an answer; None where none will come."""
        with self._changed:
            self._waiting.append(asked)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closed or asked.reply is not None)
            return asked.reply

    def _is_round(self) -> bool:
        """Whether whoever waits for a round need wait no longer."""
        return self._is_closed or len(self._waiting) >= self._playing


class _Server(ThreadingHTTPServer):
    """A server at which many may ask at once."""

    daemon_threads = True
    """A request that is never answered must not keep the process."""

    request_queue_size = 1024
    """All episodes of a round may come together."""


def _handler(desk: Desk) -> type[BaseHTTPRequestHandler]:
    """What takes the requests for a desk."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answers one request."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                asked = Asked(_conversation(body))
            except ValueError as error:
                self._send(400, {"error": {"message": str(error)}})
                return
            reply = desk.ask(asked)
            if reply is None:
                self._send(503, {"error": {"message": "the model answers no more"}})
            else:
                self._send(200, _completion(reply))

        def log_message(self, format: str, *arguments: object) -> None:
            """Requests are no news."""

        def _send(self, status: int, content: Mapping[str, Any]) -> None:
            """Sends an object."""
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _completion(reply: Reply) -> dict[str, Any]:
    """An answer as OpenAI's servers have it."""
    reason = "stop" if reply.is_whole else "length"
    message = {"role": "assistant", "content": reply.text}
    return {
        "id": "evomerge",
        "object": "chat.completion",
        "created": 0,
        "model": "evomerge",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }


def _conversation(body: Mapping[str, Any]) -> Conversation:
    """The messages of a request.

    Raises:
        ValueError: if tools are in it, or something else than text.
    """
    if body.get("tools"):
        raise ValueError("the environment offers tools, and the model has no way to call them")
    conversation = []
    for message in body["messages"]:
        content = message.get("content") or ""
        if not isinstance(content, str):
            content = "".join(_text(part) for part in content)
        conversation.append({"role": message["role"], "content": content})
    return conversation


def _text(part: Mapping[str, Any]) -> str:
    """The text of a part of a message."""
    if part.get("type") != "text":
        raise ValueError(f"expected text alone in a message, got {part.get('type')!r}")
    return str(part["text"])
