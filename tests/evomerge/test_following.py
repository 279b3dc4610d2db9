"""Reading along with a run: every line once, through kills and resumes; the run is not touched."""

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
from whole_runs import PATIENCE, begun, small_run, start

from evomerge import UserError, follow
from evomerge.rundir import lock
from evomerge.rundir.births import read_births
from evomerge.rundir.following import SILENT, condition
from evomerge.rundir.log import Log
from evomerge.rundir.rundir import RunDir
from evomerge.rundir.tail import Tail

pytestmark = pytest.mark.whole


def line(birth, **more):
    return json.dumps({"birth": birth, "seconds": 0.25} | more).encode() + b"\n"


def cut(path, kept, again):
    """Cuts a log back to what is kept, as a resume does, and adds what was raised again."""
    log = Log(path, len(kept))
    log.close()
    with open(path, "ab") as file:
        file.write(b"".join(again))


def replaced(entries):
    """What is left of followed lines by the rule.

    A birth that is not above the last one replaces it and all behind it.
    """
    kept, cuts = [], 0
    for entry in entries:
        id = entry.get("id", entry["birth"])
        cuts += bool(kept) and id <= kept[-1][0]
        while kept and kept[-1][0] >= id:
            kept.pop()
        kept.append((id, entry))
    return [entry for _, entry in kept], cuts


def test_a_run_is_followed_to_its_end(tmp_path):
    process = begun(tmp_path, births=400)
    followed = list(follow(tmp_path / "run", every=0.05))
    assert process.wait(timeout=PATIENCE) == 0
    assert followed == read_births(tmp_path / "run")
    assert followed[-1]["birth"] == 400
    assert list(follow(str(tmp_path / "run" / "births.jsonl"))) == followed  # and after its end


def test_a_run_that_is_killed_and_resumed_is_followed_through_the_cut(tmp_path):
    """Its only snapshot is the first, so all of its births are raised again."""
    process = begun(tmp_path, births=10**6, save_every=1e9)
    followed, first = [], threading.Event()

    def read():
        for entry in follow(tmp_path / "run", every=0.02, linger=120):
            followed.append(entry)
            if entry["birth"] == 50:
                first.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert first.wait(timeout=PATIENCE)
    process.kill()
    process.communicate()
    assert condition(tmp_path / "run" / "births.jsonl", 50) == "killed"
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("births: 1000000", "births: 300"))
    resumed = start("resume", "run", cwd=tmp_path)
    _, told = resumed.communicate(timeout=PATIENCE)
    assert resumed.returncode == 0, told
    reader.join(timeout=PATIENCE)
    assert not reader.is_alive()
    kept, cuts = replaced(followed)
    assert kept == read_births(tmp_path / "run")
    assert (kept[-1]["birth"], cuts) == (300, 1)


@pytest.mark.parametrize(
    "again", [[line(2, seconds=0.5)], [line(2, seconds=0.75), line(3), line(4), line(5)], []]
)
def test_a_log_that_was_cut_back_is_read_from_the_first_line_that_is_not_as_it_was(tmp_path, again):
    """Whether by then it is still shorter than what was read, or longer."""
    path = tmp_path / "births.jsonl"
    path.write_bytes(line(1) + line(2) + line(3) + line(4)[:9])
    tail = Tail(path)
    assert [entry["birth"] for entry in tail.new()] == [1, 2, 3]
    assert (list(tail.new()), tail.cuts) == ([], 0)
    cut(path, line(1), again)
    assert [json.dumps(entry).encode() + b"\n" for entry in tail.new()] == again
    assert (list(tail.new()), tail.cuts) == ([], 1)
    with open(path, "ab") as file:
        file.write(line(9))
    assert [entry["birth"] for entry in tail.new()] == [9]


def test_a_log_that_is_cut_back_while_it_is_read(tmp_path):
    """It is read to its end as it was, and then from the first line that is another one."""
    path = tmp_path / "births.jsonl"
    lines = [line(birth) for birth in range(1, 2001)]
    path.write_bytes(b"".join(lines))
    tail, read = Tail(path), []
    for entry in tail.new():
        read.append(entry)
        if entry["birth"] == 3:
            again = [line(birth, seconds=1 / 3) for birth in range(11, 3001)]
            cut(path, b"".join(lines[:10]), again)
    then = list(tail.new())
    assert [entry["birth"] for entry in then] == list(range(11, 3001))
    kept, cuts = replaced(read + then)
    assert kept == read_births(tmp_path)
    assert cuts == tail.cuts == 1


def test_a_log_that_is_cut_twice_between_two_looks(tmp_path):
    """The second new file may not pass for the one that was read, whatever number it gets."""
    path = tmp_path / "births.jsonl"
    lines = [line(birth) for birth in range(1, 9)]
    path.write_bytes(b"".join(lines))
    tail = Tail(path)
    assert len(list(tail.new())) == 8
    for seconds in (1.5, 2.5):
        again = [line(birth, seconds=seconds) for birth in range(6, 12)]
        cut(path, b"".join(lines[:5]), again)
    assert [json.dumps(entry).encode() + b"\n" for entry in tail.new()] == again
    assert tail.cuts == 1


def test_a_log_that_is_replaced_by_one_that_goes_on_from_it_was_not_cut(tmp_path):
    """As where a resume takes away half a line, which nobody has read."""
    path = tmp_path / "births.jsonl"
    path.write_bytes(line(1) + line(2) + line(3)[:9])
    tail = Tail(path)
    assert len(list(tail.new())) == 2
    cut(path, line(1) + line(2), [line(3)])
    assert [entry["birth"] for entry in tail.new()] == [3]
    assert tail.cuts == 0


def test_a_log_that_somebody_else_cuts_in_its_place_comes_again(tmp_path):
    """What it was is gone; births that come again replace themselves."""
    path = tmp_path / "births.jsonl"
    path.write_bytes(line(1) + line(2) + line(3))
    tail = Tail(path)
    read = list(tail.new())
    path.write_bytes(line(1) + line(2, seconds=0.5))
    read += list(tail.new())
    kept, cuts = replaced(read)
    assert kept == read_births(tmp_path)
    assert cuts == tail.cuts == 1


def all_read():
    """Bytes that this process has read in all."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_only_what_is_new_is_read(tmp_path):
    path = tmp_path / "births.jsonl"
    path.write_bytes(b"".join(map(line, range(1, 100_001))))

    def read():
        before = all_read()
        return sum(1 for _ in tail.new()), all_read() - before

    tail = Tail(path)
    assert read()[0] == 100_000
    with open(path, "ab") as file:
        file.write(line(100_001))
    count, read_bytes = read()
    assert count == 1
    assert read_bytes < 50_000


def test_an_event_ends_it(tmp_path):
    small_run(tmp_path / "run", births=5)
    stop, (run_dir, *_) = threading.Event(), RunDir.reopen(tmp_path / "run")
    threading.Timer(0.2, stop.set).start()
    assert len(list(follow(tmp_path / "run", every=600, stop=stop))) == 7
    run_dir.close()


def test_what_cannot_be_followed_is_said_at_once(tmp_path):
    with pytest.raises(UserError, match="no such run directory"):
        follow(tmp_path / "run")
    small_run(tmp_path / "run", births=5)
    with pytest.raises(UserError, match="every: expected a number of seconds above 0, got 0"):
        follow(tmp_path / "run", every=0)
    lines = follow(tmp_path / "run")
    next(lines)
    lines.close()
    reading = follow(tmp_path / "run", linger=600, every=0.01)
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "births.jsonl").unlink()
    with pytest.raises(UserError, match=r"births.jsonl: cannot be read \(No such file"):
        list(reading)


def test_the_files_tell_how_a_run_is(tmp_path):
    small_run(tmp_path / "run", births=5)
    log = tmp_path / "run" / "births.jsonl"
    assert condition(log, 5) == "ended"
    assert condition(log, 6) == "stopped"  # resumed since its summary
    run_dir, *_ = RunDir.reopen(tmp_path / "run")
    assert condition(log, 5) == "running"
    assert lock.holder(tmp_path / "run").pid == os.getpid()
    run_dir.close()
    (tmp_path / "run" / ".lock").write_text("another-machine 4711\n")
    assert condition(log, 5) == "running"
    os.utime(log, (0, time.time() - SILENT - 5))
    assert condition(log, 5) == "silent"
    (tmp_path / "run" / ".lock").unlink()  # a copy, without it
    assert condition(log, 5) == "ended"


def test_a_lock_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    (tmp_path / "births.jsonl").write_bytes(line(1))
    (tmp_path / ".lock").mkdir()
    with pytest.raises(UserError, match=r"\.lock: cannot be read \(Is a directory\)"):
        list(follow(tmp_path))

    def closed(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", closed)
    with pytest.raises(UserError, match=r"\.lock: cannot be read \(Permission denied\)"):
        list(follow(tmp_path))


def test_a_run_directory_that_cannot_be_looked_into_is_said(tmp_path):
    with pytest.raises(UserError, match=r"x: cannot be read \(File name too long\)"):
        follow(tmp_path / ("x" * 300))


def test_a_log_that_goes_while_another_machine_has_the_lock_is_said(tmp_path):
    (tmp_path / ".lock").write_text("another-machine 4711\n")
    with pytest.raises(UserError, match=r"births.jsonl: cannot be read \(No such file"):
        condition(tmp_path / "births.jsonl", 0)


def test_looking_at_a_lock_keeps_nobody_from_taking_it(tmp_path):
    over = threading.Event()

    def look():
        while not over.is_set():
            lock.holder(tmp_path)
            time.sleep(0.001)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            lock.release(lock.take(tmp_path))
    finally:
        over.set()
        for looker in lookers:
            looker.join()
    assert lock.holder(tmp_path) is None
