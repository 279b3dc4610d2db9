"""The two ways in which a run ends early, each with its exit code. Anything else that is raised is a bug of evomerge."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave is wrong. The message says where, what was expected and what came."""

    exit_code = 2


class Interrupted(Exception):
    """What the environment did: a full disk, a silent server. What was there is saved, and a resume goes on."""

    exit_code = 1
