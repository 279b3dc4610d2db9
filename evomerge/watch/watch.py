"""evomerge watch: a run in progress on a terminal, from its files alone, which stay as they are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TextIO

from evomerge.errors import UserError
from evomerge.rundir.births import checked
from evomerge.rundir.following import GOING, check_every, condition, find_log
from evomerge.rundir.tail import Tail
from evomerge.watch.files import Files
from evomerge.watch.screen import Screen
from evomerge.watch.view import view
from evomerge.watch.vitals import Vitals


def watch(path: Path, out: TextIO, *, every: float = 2.0, once: bool = False) -> None:
    """Shows how a run is doing until it has ended.

    Args:
        path: a run directory, or its births.jsonl.
        out: where to show it.
        every: seconds between two views.
        once: show one view only.

    Raises:
        UserError: if there is no run, its log is damaged, or `every` is no time to wait.
        Stopped: if nobody reads the view any more.
    """
    log = find_log(path)
    check_every(every)
    screen = Screen(out)
    files = Files(log.parent)
    tail = Tail(log)
    vitals = Vitals()
    while True:
        # A run may end while its log is read, so it is looked at before and behind.
        before = condition(log, vitals.decided)
        cuts = tail.cuts
        try:
            for entry in checked(tail):
                vitals.take(entry)
        except LookupError as error:
            raise UserError(
                f"{log}: line {tail.count} is no birth, it has no {error.args[0]}"
            ) from error
        # A resume has cut the log back. What came of births that are gone is taken anew.
        if tail.cuts > cuts:
            tail = Tail(log)
            vitals = Vitals()
            continue
        now = condition(log, vitals.decided)
        screen.show(view(str(log.parent), now, vitals, files, screen.columns))
        # A run that ended meanwhile is shown once more, as it ended.
        if once or not (before in GOING or now in GOING):
            return
        time.sleep(every)
