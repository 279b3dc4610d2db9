"""The command `evomerge check`."""

from __future__ import annotations

import argparse

from evomerge.check.check import check
from evomerge.config import calls, config, given
from evomerge.errors import Interrupted, UserError
from evomerge.evolution import OUTSIDE, evolve
from evomerge.files import place
from evomerge.run.settings import RANGES
from evomerge.rundir.checks import check_free


def command(options: argparse.Namespace) -> None:
    """Prints what a run needs, and whether it can run here.

    Raises:
        UserError: if the config is wrong.
        Interrupted: if there is not enough of something.
    """
    if not options.seconds >= 0.1:
        raise UserError(f"--seconds: expected a number of at least 0.1, got {options.seconds:g}")
    loaded = config.load(given.find(options.config), options.overrides)
    run_dir = given.take_run_dir(loaded)
    call = calls.build(loaded, evolve, outside=OUTSIDE, check=RANGES)
    # A call of no births says nothing of what a birth takes.
    call["births"] = max(call["births"], 1)
    if run_dir is None:
        folder = place("runs")
    else:
        check_free(run_dir)
        folder = run_dir.parent
    doubts: list[str] = []
    problems: list[str] = []
    for needs in check(call, folder, options.seconds):
        # The rehearsal takes a while, so each line is shown as soon as it is known.
        print(*needs.lines, sep="\n", flush=True)
        problems += needs.problems
        doubts += needs.doubts
    if problems:
        raise Interrupted("\n".join(["no, this cannot run here", *problems]))
    print("; but ".join(["yes, this can run", *doubts]))
