"""What of a run's config is published with a member: what made it, without what its author would not want to tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evomerge.config.config import dumped, versions_in

LEFT_OUT = ("trackers", "workers")
"""Arguments of `evolve` that are no part of what a model is."""

HIDDEN = "..."
"""What stands where a secret was."""

SECRET = re.compile(
    r"token(?!i|s$)|password|passwd|secret|credential|authorization|cookie|headers?$|(^|_)auth$|(^|_)(api_?)?key$",
    re.IGNORECASE,
)
"""The name of a setting whose value is nobody else's business."""

TOKEN = re.compile(
    r"(?i)(\bbearer |(?:api[_-]?key|token|password|secret)(?:=| (?=\S*\d)))[^\s&'\",;]{4,200}|\b()(?:hf_|sk-|gh[pousr]_|glpat-)[\w-]{16,200}"
)
"""A secret in the middle of a text, behind what tells it."""

USER = re.compile(r"(?<=://)[^\s/@]+@")
"""Name and password in an address."""

PART = r"[^\s/\\'\"<>|,;()]+"
PLACE = re.compile(
    rf"""(?<![\w.:/~\\<]) (?:
        (?:(?:file|sqlite):/*)? / (?=\w) (?:{PART}/)+ ({PART})  # /home/me/x, file:///home/me/x
        | ~\w* / (?:{PART}/)* ({PART})                       # ~/x
        | (?:\.\./)+ (?:{PART}/)* ({PART})                   # ../../me/x
        | [A-Za-z]: (?:\\{PART})* \\({PART})                 # C:\Users\me\x
    )""",
    re.VERBOSE,
)
"""A path on a machine; what it ends with."""


def published(config: str, call: Mapping[str, Any]) -> str:
    """A config as YAML for others to read.

    Trackers, workers and the command are left out; `...` stands for settings that are called like a secret; of a path on the machine its last
    part is left, of an address all but user and password.

    Args:
        config: text of config.yaml.
        call: the same as data.
    """
    versions = versions_in(config)
    return f"{versions}\n" * bool(versions) + dumped(
        {name: _shown(value) for name, value in call.items() if name not in LEFT_OUT}
    )


def without_places(text: str) -> str:
    """A text without paths of a machine but for their last parts, and without what looks like a secret in it."""
    text = TOKEN.sub(lambda match: f"{match[1] or ''}{HIDDEN}", USER.sub("", text))
    return PLACE.sub(lambda match: match[match.lastindex or 0], text)


def _is_secret(name: Any, value: Any) -> bool:
    """Whether a setting is called like a secret; nothing, yes and no are none."""
    return (
        SECRET.search(str(name)) is not None and value is not None and not isinstance(value, bool)
    )


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: HIDDEN if _is_secret(name, of) else _shown(of) for name, of in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return without_places(value) if isinstance(value, str) else value
