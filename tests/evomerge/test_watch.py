"""evomerge watch: what a person sees of a run, and that the run does not notice."""

import contextlib
import fcntl
import io
import json
import math
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
from whole_runs import PATIENCE, ROOT, assert_same_run, begun, small_run, start

from evomerge.cli import main
from evomerge.rundir.rundir import RunDir
from evomerge.watch.files import Files
from evomerge.watch.terminal import sparkline, width
from evomerge.watch.vitals import Vitals
from evomerge.watch.watch import watch

pytestmark = pytest.mark.whole

BIRTHS = 2000


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A run that goes on: its process, and the folder that its directory is in."""
    folder = tmp_path_factory.mktemp("endless")
    process = begun(folder, births=10**6)
    yield process, folder
    assert process.poll() is None
    process.kill()
    process.communicate()


def on_a_terminal(*arguments, cwd, columns):
    """Runs `evomerge` on a terminal of so many columns; gives its exit code and its text."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "PYTHONIOENCODING": "utf-8",
    }
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "evomerge", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while chunk := os.read(ours, 65536):
            written += chunk
    os.close(ours)
    assert process.stderr.read() == b""
    return process.wait(timeout=PATIENCE), written.decode().replace("\r\n", "\n")


def contents(folder):
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_on_a_terminal_a_view_renews_itself_until_the_run_has_ended(tmp_path):
    run = begun(tmp_path, births=BIRTHS)
    code, written = on_a_terminal("watch", "run", "--every", "0.2", cwd=tmp_path, columns=60)
    assert run.wait(timeout=PATIENCE) == 0
    assert code == 0
    escapes = {re.sub(r"\d+", "N", escape) for escape in re.findall(r"\x1b\[?[\d;]*.", written)}
    assert escapes == {
        "\x1b[K",
        "\x1b[J",
        "\x1b[NF",
    }
    first, *others = re.split(r"\x1b\[(?=\d+F)", written)
    assert others
    before = first
    for view in others:  # goes up by as many lines as there were
        assert int(view.partition("F")[0]) == before.count("\n")
        before = view
    lines = re.sub(r"\x1b\[\d*[KJ]|^\d+F", "", others[-1]).splitlines()
    assert all(width(line) < 60 for line in lines)
    assert lines[:3] == ["run", "state     ended", f"births    {BIRTHS:,} of {BIRTHS:,} (100.0%)"]


def test_in_a_pipe_it_is_text_and_the_run_is_as_if_nobody_had_looked(tmp_path):
    run = begun(tmp_path, births=BIRTHS)
    watching = start("watch", "run", "--every", "0.05", cwd=tmp_path)
    written, told = watching.communicate(timeout=PATIENCE)
    assert run.wait(timeout=PATIENCE) == 0
    assert (watching.returncode, told) == (0, "")
    assert "\x1b" not in written
    views = written.split("\n\n")
    assert len(views) > 2
    assert re.search(
        rf"^state     running, process {run.pid}, last line 0:00:0\d ago$", views[0], re.MULTILINE
    )
    decided = [
        int(re.search(rf"births    ([\d,]+) of {BIRTHS:,}", view)[1].replace(",", ""))
        for view in views
    ]
    assert decided == sorted(decided)
    assert decided[0] < decided[-1] == BIRTHS
    assert re.search(r"^births .*\(\d+\.\d%\), 0:\d\d:\d\d left$", views[0], re.MULTILINE)
    assert re.search(r"^rate      [\d.,]+ a second lately", views[0], re.MULTILINE)
    assert "state     ended" in views[-1]
    assert start("run", "config.yaml", "run_dir=alone", cwd=tmp_path).wait(timeout=PATIENCE) == 0
    assert_same_run(tmp_path / "alone", tmp_path / "run")


def test_what_is_told_is_what_the_run_came_to(tmp_path, capsys):
    small_run(tmp_path / "run", births=120)
    before = contents(tmp_path)
    assert main(["watch", str(tmp_path / "run"), "--once"]) == 0
    view = capsys.readouterr().out
    assert contents(tmp_path) == before
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    best = summary["best"]
    assert re.search(
        rf"best      train {best['train']:.4f}, test {best['test']:.4f}; "
        rf"since birth {best['id']}, 0:0",
        view,
    )
    assert f"coverage  {summary['coverage']:.4f}, entropy {summary['entropy']:.4f} bits" in view
    assert f"scored    {summary['share_scored']:.0%} of the datapoints" in view
    assert re.search(r"workers   1 lately; a birth takes [\d.]+ (µs|ms|s) on 0\n", view)
    assert "failures" not in view


def test_killed_and_stopped_runs_are_told_from_each_other_and_stay_as_they_are(tmp_path, capsys):
    run = begun(tmp_path, births=10**6)
    run.kill()
    run.communicate()
    before = contents(tmp_path)
    assert main(["watch", str(tmp_path / "run")]) == 0  # with nothing to wait for
    assert "state     killed; go on with `evomerge resume" in capsys.readouterr().out
    assert contents(tmp_path) == before
    resumed = start("resume", "run", cwd=tmp_path)
    time.sleep(1)
    while (
        main(["watch", str(tmp_path / "run"), "--once"]) == 0
        and "state     running" not in capsys.readouterr().out
    ):
        assert resumed.poll() is None
    resumed.send_signal(signal.SIGINT)
    resumed.communicate(timeout=PATIENCE)
    assert main(["watch", str(tmp_path / "run"), "--once"]) == 0
    assert "state     stopped; go on with" in capsys.readouterr().out


def advice(run, capsys):
    """What `watch` says behind a run's state."""
    assert main(["watch", str(run), "--once"]) == 0
    return re.search(r"^state     (.*?)^births", capsys.readouterr().out, re.MULTILINE | re.DOTALL)[
        1
    ].rstrip("\n")


def test_a_run_that_was_killed_while_it_began_is_to_begin_again(tmp_path, capsys):
    run = tmp_path / "run"
    run_dir = RunDir.create(run)
    run_dir.append({"birth": 0, "id": 0, "founder": 0, "train": 0.5})
    run_dir.close()
    assert advice(run, capsys) == "stopped while it began; begin again with `evomerge run`"
    (run / ".lock").write_text(f"{socket.gethostname()} 4711\n")
    assert advice(run, capsys) == "killed while it began; begin again with `evomerge run`"
    small_run(run, births=5)  # and that does it
    for name in ("config.yaml", "summary.json"):
        (run / name).unlink()
    assert advice(run, capsys) == "stopped; there is no config.yaml to go on with"


def test_the_command_to_go_on_with_is_one_to_paste(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small_run(Path("my run|<é>"), births=5)
    Path("my run|<é>", "summary.json").unlink()
    assert advice("my run|<é>", capsys) == "stopped; go on with `evomerge resume 'my run|<é>'`"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "run: not a run directory, it has no births.jsonl"),
        (["runn"], "runn: there is no such run directory"),
        (["damaged", "--every", "0"], "every: expected a number of seconds above 0, got 0.0"),
        (["damaged", "--every", "inf"], "every: expected a number of seconds above 0, got inf"),
        (["damaged"], "damaged/births.jsonl: line 1 is damaged"),
        (["strange"], "strange/births.jsonl: line 1 is no birth, it has no coverage"),
        (
            ["wrong"],
            "wrong/births.jsonl: line 2: test: expected a number of at most 64 bits, got 'q'",
        ),
    ],
)
def test_what_is_no_run_is_said_with_exit_code_2(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    for name in ("run", "damaged", "strange", "wrong"):
        (tmp_path / name).mkdir()
    (tmp_path / "damaged" / "births.jsonl").write_text("hello\n")
    (tmp_path / "strange" / "births.jsonl").write_text('{"birth": 1}\n')
    best = {"birth": 0, "founder": 0, "best": True, "train": 0.5}
    (tmp_path / "wrong" / "births.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in (best, best | {"test": "q"}))
    )
    assert main(["watch", *arguments]) == 2
    assert told in capsys.readouterr().err


HOSTILE = (
    "\x1b]0;mine\x07\x1b[2J\x9b31m\r\n\x08\u202e名前の長い名前の長い名前の長い名前の長い名前の長い名前の長い名前 "
    + "x" * 200
)


@pytest.mark.parametrize("columns", [40, 57, 80])
def test_what_others_wrote_reaches_no_terminal_raw_and_every_line_has_room(
    tmp_path, monkeypatch, capsys, columns
):
    small_run(tmp_path / "run\x1b[31m", births=60)
    [run] = tmp_path.iterdir()
    with open(run / "births.jsonl", "a") as log:
        last = {
            "birth": 61,
            "parents": [1, 2],
            "scored": 1.0,
            "coverage": 0.5,
            "entropy": 0.1,
            "time": time.time(),
        }
        for worker in range(12):
            log.write(
                json.dumps(
                    last
                    | {
                        "birth": 61 + worker,
                        "seconds": worker,
                        "worker": worker,
                        "failure": HOSTILE,
                    }
                )
                + "\n"
            )
    monkeypatch.setenv("COLUMNS", str(columns + 1))
    assert main(["watch", str(run), "--once"]) == 0
    written = capsys.readouterr().out
    assert all(character.isprintable() for character in written.replace("\n", ""))
    lines = written.splitlines()
    assert max(map(width, lines)) <= columns
    assert sum(line.startswith(" " * 10) for line in lines) >= 6
    assert "12, the last at birth 72: ?]0;mine??[2J?31m ??" in re.sub(r"\s+", " ", written)
    assert "12 lately; a birth takes 11 s on 11, 10 s on 10," in re.sub(r"\s+", " ", written)
    assert "and 4 more" in re.sub(r"\s+", " ", written)


def test_ctrl_c_ends_the_watching_and_not_the_run(endless):
    run, folder = endless
    watching = start("watch", "run", cwd=folder)
    assert watching.stdout.readline() == "run\n"
    watching.send_signal(signal.SIGINT)
    assert watching.communicate(timeout=PATIENCE)[1] == ""
    assert watching.returncode == 130
    assert run.poll() is None


def test_a_reader_that_goes_ends_it_quietly(endless):
    _, folder = endless
    watching = start("watch", "run", "--every", "0.05", cwd=folder)
    assert watching.stdout.readline() == "run\n"
    watching.stdout.close()
    assert (watching.wait(timeout=PATIENCE), watching.stderr.read()) == (141, "")


def test_a_resume_that_cuts_the_log_back_is_shown(tmp_path):
    small_run(tmp_path / "run", births=60)
    log, out = tmp_path / "run" / "births.jsonl", io.StringIO()
    run_dir, *_ = RunDir.reopen(tmp_path / "run")
    whole = log.read_bytes()
    watching = threading.Thread(target=watch, args=(log, out), kwargs={"every": 0.02})
    watching.start()
    while "births    60 of 60" not in out.getvalue():
        time.sleep(0.01)
    os.truncate(log, len(b"".join(whole.splitlines(keepends=True)[:42])))
    while "births    40 of 60" not in out.getvalue():
        time.sleep(0.01)
    run_dir.close()
    watching.join(timeout=PATIENCE)
    assert "state     stopped" in out.getvalue().split("\n\n")[-1]


def line(birth, at, worker=0, seconds=1.0):
    return {
        "birth": birth,
        "worker": worker,
        "seconds": seconds,
        "scored": 0.5,
        "coverage": 0.5,
        "time": 1e9 + at,
    }


def vitals(*lines):
    taken = Vitals()
    for entry in lines:
        taken.take(entry)
    return taken


@pytest.mark.parametrize(
    ("times", "now", "rate"),
    [
        ([], 0, None),
        ([0], 5, None),
        ([0, 1, 2, 3, 4], 4, 1.0),  # a run that has just begun
        (
            [*range(0, 1000), *[1000 + i / 10 for i in range(1000)]],
            1099.9,
            10.0,
        ),  # ten times as fast since a while
        (range(0, 2000, 100), 1900, 0.01),  # slower than ten in a minute
        (range(0, 100), 198, 10 / 109),  # and slower, the longer there is none
    ],
)
def test_the_rate_is_that_of_the_last_minute_or_of_the_last_ten_births(times, now, rate):
    taken = vitals(*(line(birth, at) for birth, at in enumerate(times, 1)))
    assert taken.rate(1e9 + now) == (rate if rate is None else pytest.approx(rate, rel=0.02))


def test_a_worker_that_should_have_come_back_is_silent_and_one_that_went_long_ago_is_forgotten():
    lines = [
        line(1, -4000, worker=9),
        *(line(2 + i, 60 * i, worker=i, seconds=1 + 50 * (i == 0)) for i in range(4)),
    ]
    taken = vitals(*lines, line(6, 185, worker=2, seconds=4))
    assert taken.silent(1e9 + 190) == {
        1: pytest.approx(130)
    }  # 0 takes 51 s for a birth, so it may still be at one
    assert list(taken.lately(1e9 + 190)) == [0, 2, 3]
    assert taken.lately(1e9 + 190)[2] == 2.5


def test_scores_that_are_no_finite_numbers_are_shown(tmp_path, capsys):
    nan = float("nan")
    founder = {"birth": 0, "founder": 0, "best": True, "train": nan}
    births = [
        line(1, 0) | {"coverage": nan},
        line(2, 1),
        line(3, 2) | {"coverage": 1e300, "seconds": nan, "entropy": nan},
    ]
    (tmp_path / "births.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in (founder, *births))
    )
    assert main(["watch", str(tmp_path), "--once"]) == 0
    assert "best      train nan; founder 0\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["config.yaml", "state/latest/state.json"])
def test_a_file_that_says_what_cannot_be_is_as_if_it_said_nothing(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        {"config.yaml": "births: 1" + "0" * 400}.get(
            name, '{"state": {"counters": {"decided": 9, "seconds": NaN}}}'
        )
    )
    assert (Files(tmp_path).planned, Files(tmp_path).pace) == (None, None)


def test_a_sparkline_ends_with_the_last_value():
    assert sparkline([0.0, 0.5, 1.0], 10) == "▁▅█"
    assert sparkline([0.5] * 100, 10) == "▁" * 10
    assert sparkline(range(1000), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([*[0.0] * 999, 1.0], 5) == "▁▁▁▁█"


def test_a_sparkline_is_of_finite_values():
    assert sparkline([math.nan, 0.0, math.inf, 0.5, 1.0, -math.inf], 10) == "▁▅█"
    assert sparkline([math.nan], 10) == ""
