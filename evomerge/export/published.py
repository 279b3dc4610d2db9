"""What of a run's config is published with a member.

That is what made it, without what its author would keep to himself.
"""

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
    r"token(?!i|s$)|password|passwd|secret|credential|authorization|cookie|headers?$"
    r"|(^|_)auth$|(^|_)(api_?)?key$",
    re.IGNORECASE,
)
"""The name of a setting whose value is nobody else's business."""

TOKEN = re.compile(
    r"(?i)(\bbearer |(?:api[_-]?key|token|password|secret)(?:=| (?=\S*\d)))[^\s&'\",;]{4,200}"
    r"|\b()(?:hf_|sk-|gh[pousr]_|glpat-)[\w-]{16,200}"
)
"""A secret in the middle of a text, behind what gives it away."""

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

    Trackers, workers and the command are left out. `...` stands for settings that are called like a
    secret. Of a path on the machine its last part is left, of an address all but user and password.

    Args:
        config: text of config.yaml.
        call: the same as data.
    """
    shown = {name: _shown(value) for name, value in call.items() if name not in LEFT_OUT}
    versions = versions_in(config)
    # A config that somebody wrote by hand names no versions.
    if versions:
        return f"{versions}\n{dumped(shown)}"
    return dumped(shown)


def without_places(text: str) -> str:
    """A text without what others may not see.

    Paths of a machine are cut to their last parts, and what looks like a secret is struck out.
    """
    # Users go before tokens: a token in front of an @ is gone as a whole.
    text = USER.sub("", text)
    text = TOKEN.sub(lambda match: f"{match[1] or ''}{HIDDEN}", text)
    return PLACE.sub(lambda match: match[match.lastindex or 0], text)


def _is_secret(name: Any, value: Any) -> bool:
    """Whether a setting is called like a secret; nothing, yes and no are none."""
    if value is None or isinstance(value, bool):
        return False
    return SECRET.search(str(name)) is not None


def _shown(value: Any) -> Any:
    """A value of the config, as far as it may be shown."""
    if isinstance(value, Mapping):
        shown = {}
        for name, item in value.items():
            shown[name] = HIDDEN if _is_secret(name, item) else _shown(item)
        return shown
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, str):
        return without_places(value)
    return value
