"""How long there has been no worker at all, and when a run has waited long enough for one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from evomerge.errors import Interrupted

log = logging.getLogger(__name__)

SILENT = 10.0
"""Seconds without a worker before it is said."""


class Absence:
    """The time for which no worker of a pool has been alive."""

    def __init__(self, wait: float, needs: str) -> None:
        """Begins now, without a worker.

        Args:
            wait: seconds after which nobody waits any longer.
            needs: what a worker needs, in words.
        """
        self._wait = wait
        self._needs = needs
        self._since = time.monotonic()
        self._was_logged = False

    def begin(self) -> None:
        """Counts from now on, as long as no worker comes to life."""
        self._since = time.monotonic()

    def end(self) -> None:
        """Enters that a worker is alive."""
        self.begin()
        self._was_logged = False

    def check(self, cluster_resources: Callable[[], Mapping[str, float]]) -> None:
        """Says once that there is no worker, and ends a wait that has become too long.

        Args:
            cluster_resources: gives what the cluster has; it is asked over the network, and so
                only where the wait ends.

        Raises:
            Interrupted: if there has been no worker for `wait` seconds.
        """
        seconds = time.monotonic() - self._since
        if seconds > self._wait:
            # Ray's own names, such as node:127.0.0.1, say nothing here.
            amounts = {}
            for name, amount in cluster_resources().items():
                if ":" not in name:
                    amounts[name] = amount
            raise Interrupted(
                f"there was no worker for {self._wait:g} s: one needs {self._needs}, "
                f"the cluster has {amounts}"
            )
        if seconds > SILENT and not self._was_logged:
            self._was_logged = True
            log.warning(
                "there is no worker; waiting up to %g s (one needs %s)", self._wait, self._needs
            )
