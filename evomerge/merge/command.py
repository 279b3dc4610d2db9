"""The command `evomerge merge`."""

from __future__ import annotations

import argparse
import logging
import shlex
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evomerge.config import calls, config
from evomerge.errors import UserError, as_user_error
from evomerge.evolution import OUTSIDE, evolve, with_defaults
from evomerge.files import place, saving, shortened, write_file
from evomerge.merge.lookup import looked_up
from evomerge.merge.outcome import outcome
from evomerge.merge.plan import compose, config_text
from evomerge.merge.request import Request
from evomerge.merge.skills import Skill
from evomerge.run.parts import Parts
from evomerge.run.settings import RANGES
from evomerge.rundir.checks import check_free, check_place, free_name

log = logging.getLogger(__name__)

CONFIG = "merge.yaml"
"""The file of the config in the folder of a merge."""

RUN = "run"
"""The run directory there."""


def command(options: argparse.Namespace) -> None:
    """Writes the config of a merge, and runs it.

    Raises:
        UserError: if anything is wrong; a line for each mistake, and nothing is written.
    """
    start = str(Path.cwd())
    out = _checked_out(options.out)
    path = out / CONFIG
    shown = shlex.quote(shortened(str(path), start))
    request = Request.of_options(options)
    lookup = looked_up(request)
    composed, comments = compose(
        lookup.population,
        lookup.skills,
        lookup.watched,
        births=options.births,
        seed=options.seed,
        about_chat=lookup.about_chat,
    )
    text_of = partial(
        config_text, comments=comments, models=request.models, skills=lookup.skills, path=shown
    )
    # Overrides are laid over it as `run` does, and what is written has them.
    call = _read_back(text_of(composed), request.overrides)
    asked = [*lookup.skills, *lookup.watched]
    arguments = _built(call, asked)
    if path.exists():
        _check_same(path, call, out)
    for skill in asked:
        print(f"{skill.name}: {skill.words}")
        for note in skill.notes:
            log.warning("%s: %s", skill.name, note)
    print(lookup.about_chat)
    if not path.exists():
        with saving(path):
            out.mkdir(parents=True, exist_ok=True)
            write_file(path, text_of(call))
    print(f"config   {shortened(str(path), start)}", flush=True)
    if options.dry_run:
        print(f"next     evomerge check {shown}, evomerge run {shown}")
        return
    evolve(**arguments, run_dir=out / RUN)
    names = [skill.name for skill in lookup.skills]
    print(outcome(out / RUN, path, names, start))


def _checked_out(given: Path | None) -> Path:
    """The folder of a merge, in which one can begin.

    Raises:
        UserError: if none can.
    """
    if given is None:
        return free_name(place("runs") / "merged")
    check_place(given)
    if given.exists() and not given.is_dir():
        raise UserError(f"{given}: expected a folder, this is a file")
    check_free(given / RUN)
    return given


def _read_back(text: str, overrides: Sequence[str]) -> dict[str, Any]:
    """A config as `run` reads it from a file, with overrides.

    Raises:
        UserError: if an override is none.
    """
    for override in overrides:
        if override.partition("=")[0] == "run_dir":
            raise UserError(f"{override}: a merge has its run in its own folder; give --out")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / CONFIG
        path.write_text(text, encoding="utf-8")
        return config.load(path, overrides)


def _built(call: dict[str, Any], skills: Sequence[Skill]) -> dict[str, Any]:
    """The arguments of `evolve`, once all is checked that can be before a weight is read.

    Raises:
        UserError: if anything is wrong.
    """
    arguments = calls.build(call, evolve, outside=OUTSIDE, check=RANGES)
    # Every file is asked, so that all that is wrong with their records is known at once.
    mistakes = []
    for skill in skills:
        fitness = calls.build({"fitness": skill.part}, _only)["fitness"]
        try:
            for split in ("train", "test"):
                as_user_error(skill.name, partial(fitness.size, split))
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError("\n".join(mistakes))
    parts, settings = with_defaults(arguments)
    Parts.fitted(
        parts["population"], parts["fitness"], parts["strategy"], parts["workers"], settings
    )
    return arguments


def _only(fitness: Any) -> None:
    """A call with one argument, which `calls.build` makes."""


def _check_same(path: Path, call: dict[str, Any], out: Path) -> None:
    """Checks that a config that is there, of a dry run, says the same.

    Raises:
        UserError: if it does not: somebody may have changed it, and wants to keep that.
    """
    if config.load(path) != call:
        run_dir = shlex.quote(f"run_dir={out / RUN}")
        raise UserError(
            f"{path}: it is there and says something else; "
            f"`evomerge run {shlex.quote(str(path))} {run_dir}` runs it, or name another --out"
        )
