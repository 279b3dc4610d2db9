"""A small server that speaks JSON over HTTP as AgentGym's do, and fails as it is told."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Rooms:
    """Places on a server; at each a task t takes t + 1 steps, and is worth what was said well: the share of actions "go"."""

    def __init__(self, place="env_idx", task="session_id", observation="state"):
        self.place, self.task, self.observation = place, task, observation
        self.made, self.tasks, self.closed, self.heard = 0, {}, [], []
        self.replies = {}
        """For a path what comes in place of the right answer: (status, bytes), "silence", "hanging up", or what gives one of them."""
        self.silent = threading.Event()
        """Set when the test is over, so that what keeps silent ends."""

    def create(self, asked):
        self.made += 1
        return self.made if self.place == "env_idx" else {self.place: self.made}

    def reset(self, asked):
        self.tasks[asked[self.place]] = [asked[self.task], 0, 0]
        text = f"task {asked[self.task]}"
        return (
            [text, None]
            if self.place == "env_idx"
            else {self.observation: text, "reward": 0.0, "done": False}
        )

    def step(self, asked):
        task = self.tasks[asked[self.place]]
        task[1] += 1
        task[2] += asked["action"] == "go"
        done = task[1] > task[0]
        return {
            self.observation: f"step {task[1]}",
            "reward": task[2] / (task[0] + 1),
            "done": done,
            "info": None,
        }

    def close(self, asked):
        self.closed.append(asked[self.place])
        return {"closed": True}

    def observe(self, place):
        return f"seen at {place}"


@contextmanager
def serving(rooms):
    """The address of a server of these rooms."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path, _, query = self.path.partition("?")
            self._reply(path[1:], lambda: rooms.observe(query.partition("=")[2]))

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            self._reply(self.path[1:], lambda: getattr(rooms, self.path[1:])(asked), asked)

        def _reply(self, path, right, asked=None):
            rooms.heard.append((path, asked))
            reply = rooms.replies.get(path)
            reply = reply() if callable(reply) else reply
            if reply in ("silence", "hanging up"):
                if reply == "silence":
                    rooms.silent.wait(20)
                return
            status, content = (200, json.dumps(right()).encode()) if reply is None else reply
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        rooms.silent.set()
        server.shutdown()
        server.server_close()
