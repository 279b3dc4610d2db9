"""The lock: of one process, which no child of it has; and what stands in where there are none."""

import errno
import fcntl
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from whole_runs import ROOT, assert_same_run, start, write_config

from evomerge import UserError
from evomerge.cli import main
from evomerge.rundir import lock
from evomerge.rundir.following import condition
from evomerge.rundir.processes import Process

pytestmark = pytest.mark.whole

USED = "another process is using this run directory"


def wait_for_end(pid):
    """Waits until a process has ended, be it a child of this one or not."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        select.select([handle], [], [])
        os.close(handle)


@pytest.fixture
def orphans():
    """Numbers of processes that the test has to end."""
    pids = []
    yield pids
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)


# Takes a folder's lock, starts a child in some way, writes its number and waits to be killed.
PARENT = """
import ctypes, multiprocessing, os, pty, signal, subprocess, sys
from pathlib import Path
from evomerge.rundir import lock

def sleep(*_):
    signal.pause()

def forked():
    pid = os.fork()
    return pid if pid else sleep()

def forked_with_a_terminal():
    pid, _ = pty.fork()
    return pid if pid else sleep()

def forked_by_c():
    pid = ctypes.CDLL(None).fork()
    return pid if pid else sleep()

def process(method):
    child = multiprocessing.get_context(method).Process(target=signal.pause)
    child.start()
    return child.pid

def command(**options):
    return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], **options).pid

if __name__ == "__main__":
    handle = lock.take(Path(sys.argv[1]))
    pid = eval(sys.argv[2])
    print(pid, flush=True)
    signal.pause()
"""

CHILDREN = {
    "os.fork": "forked()",
    "pty.fork": "forked_with_a_terminal()",
    "multiprocessing, fork": "process('fork')",
    "multiprocessing, forkserver": "process('forkserver')",
    "multiprocessing, spawn": "process('spawn')",
    "a command that inherits": "command(close_fds=False)",
    "a command with preexec_fn": "command(preexec_fn=os.getpid)",
    "fork of a C library": "forked_by_c()",
}


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_that_outlives_a_killed_process_does_not_keep_the_folder(
    tmp_path, orphans, child, caplog
):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "births.jsonl").write_text("")
    command = [sys.executable, script, folder, CHILDREN[child]]
    parent = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stdout=subprocess.PIPE
    )
    orphan = int(parent.stdout.readline())
    orphans.append(orphan)
    assert condition(folder / "births.jsonl", 0) == "running"
    with pytest.raises(
        UserError, match=rf"{USED}: process {parent.pid} on {socket.gethostname()}$"
    ):
        lock.take(folder)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    os.kill(orphan, 0)  # it lives
    assert condition(folder / "births.jsonl", 0) == "killed"
    handle = lock.take(folder)
    assert lock.holder(folder).pid == os.getpid()
    assert condition(folder / "births.jsonl", 0) == "running"
    with pytest.raises(UserError, match=USED):
        lock.take(folder)
    lock.release(handle)
    assert lock.holder(folder) is None
    assert ("outlived the run" in caplog.text) == (child == "fork of a C library")
    lock.release(lock.take(folder))


@pytest.mark.parametrize("end", ["release", "raise", "return"])
def test_a_child_that_ends_as_its_parent_would_changes_nothing(tmp_path, end):
    """Such as one that a fitness forks, and that leaves by the run's own way out."""
    handle = lock.take(tmp_path)
    name = (tmp_path / ".lock").read_text()

    def leave():
        other = os.open(
            tmp_path / "other", os.O_RDWR | os.O_CREAT
        )  # it may get the lock's old number
        os.write(other, b"mine")
        try:
            if end == "raise":
                raise SystemExit(0)
        finally:
            lock.release(handle)

    child = multiprocessing.get_context("fork").Process(target=leave)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert (tmp_path / ".lock").read_text() == name
    assert (tmp_path / "other").read_text() == "mine"
    assert lock.holder(tmp_path).locked
    lock.release(handle)


def test_children_that_are_forked_while_locks_are_looked_at_have_none(tmp_path, orphans):
    """From other threads, again and again: none of them may end up with the lock."""
    over = threading.Event()

    def look():
        while not over.is_set():
            lock.holder(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(30):
            handle = lock.take(tmp_path)
            pid = os.fork()
            if not pid:
                signal.pause()
                os._exit(0)
            orphans.append(pid)
            lock.release(handle)
    finally:
        over.set()
        for looker in lookers:
            looker.join()
    lock.release(lock.take(tmp_path))
    for pid in orphans:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    orphans.clear()


NONE = [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL]


@pytest.fixture(params=NONE, ids=errno.errorcode.get)
def no_locks(request, monkeypatch):
    """A file system that has no locks: what `flock` says there."""

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def gone():
    """The name of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return child.pid


def test_without_locks_a_file_stands_in_and_it_is_said(tmp_path, no_locks, caplog):
    (tmp_path / "births.jsonl").write_text("")
    handle = lock.take(tmp_path)
    assert f"{tmp_path}: this file system has no locks; .lock.held stands in" in caplog.text
    name = (tmp_path / ".lock.held").read_text()
    assert name.startswith(f"{socket.gethostname()} {os.getpid()} ")
    assert condition(tmp_path / "births.jsonl", 0) == "running"
    with pytest.raises(UserError, match=f"{USED}: process {os.getpid()} on"):
        lock.take(tmp_path)
    assert (tmp_path / ".lock.held").read_text() == name
    lock.release(handle)
    assert [path.name for path in tmp_path.glob(".lock*")] == [".lock"]
    assert lock.holder(tmp_path) is None
    lock.release(lock.take(tmp_path))


def test_without_locks_that_of_a_process_that_has_gone_is_taken_over(tmp_path, no_locks, caplog):
    (tmp_path / "births.jsonl").write_text("")
    this = Process.this()
    for stale in (
        f"{this.host} {gone()}\n",
        f"{this.host} {gone()} {this.kernel} 17\n",
        f"{this.host} {os.getppid()} {this.kernel} 17\n",  # another process has its number by now
    ):
        caplog.clear()
        (tmp_path / ".lock.held").write_text(stale)
        assert condition(tmp_path / "births.jsonl", 0) == "killed"
        handle = lock.take(tmp_path)
        assert "has gone; it is removed" in caplog.text
        lock.release(handle)
        assert [path.name for path in tmp_path.glob(".lock*")] == [".lock"]


@pytest.mark.parametrize(
    "name", ["another-machine 4711", "{host} 4711 another-start/pid:[1] 17", "", "half a na"]
)
def test_without_locks_that_of_a_process_elsewhere_is_left_with_the_way_out(
    tmp_path, no_locks, name
):
    text = name.format(host=socket.gethostname())
    (tmp_path / ".lock.held").write_text(text)
    with pytest.raises(UserError, match=USED) as raised:
        lock.take(tmp_path)
    assert f"; if it has ended, `rm {tmp_path}/.lock.held` and try again" in str(raised.value)
    assert (tmp_path / ".lock.held").read_text() == text
    (tmp_path / ".lock.held").unlink()  # as it says
    lock.release(lock.take(tmp_path))


def test_one_machine_sees_the_locks_and_the_other_does_not(tmp_path, monkeypatch):
    """A disk that two machines mount in unlike ways: each heeds what the other wrote."""
    flock = fcntl.flock

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with_locks = lock.take(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=f"{USED}: process {os.getpid()} on"):
        lock.take(tmp_path)
    assert not (tmp_path / ".lock.held").exists()
    monkeypatch.setattr(fcntl, "flock", flock)
    lock.release(with_locks)
    monkeypatch.setattr(fcntl, "flock", refuse)
    without = lock.take(tmp_path)
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match=f"{USED}: process {os.getpid()} on"):
        lock.take(tmp_path)
    assert (tmp_path / ".lock.held").exists()
    lock.release(without)
    lock.release(lock.take(tmp_path))


def test_what_is_neither_held_nor_missing_is_said_as_it_is(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output error"):
        lock.take(tmp_path)


def test_a_process_that_a_parent_has_not_noticed_is_gone_all_the_same(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    named = Process.parse(f"{socket.gethostname()} {child.pid}")
    assert not named.gone
    child.stdin.close()
    wait_for_end(child.pid)
    assert named.gone  # a zombie: nobody has waited for it
    child.wait()
    assert named.gone
    assert not Process.this().gone
    assert not Process.parse("another-machine 1").gone


# A fitness that has a pool of forked processes, and kills its own run at a moment that it is told.
POOLED = """
import multiprocessing, os, signal
from pathlib import Path
from evomerge.report import report
from evomerge.rundir import snapshots
from fitness.classification import Classification

def number(_):
    return os.getpid()

class Pooled(Classification):
    def __init__(self, data):
        super().__init__(data)
        self.calls, self.pool = 0, None
        moment = Path("moment").read_text() if Path("moment").exists() else ""
        self.last = int(moment) if moment.isdecimal() else None
        if moment == "snapshot":
            # tensors.safetensors is there, state.json is not
            self._die_in(snapshots, "write_synced", 4)
        if moment == "report":
            self._die_in(report, "write", 1)

    def __call__(self, *arguments):
        self._count()
        return super().__call__(*arguments)

    def score_many(self, *arguments):
        self._count()
        return super().score_many(*arguments)

    def _count(self):
        if self.pool is None:
            self.pool = multiprocessing.get_context("fork").Pool(2)
            with open("children", "a") as file:
                file.writelines(f"{child.pid}\\n" for child in self.pool._pool)
        self.pool.map(number, range(2))
        self.calls += 1
        if self.calls == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _die_in(self, module, name, time):
        before, calls = getattr(module, name), []
        def call(*arguments):
            calls.append(1)
            if len(calls) == time:
                os.kill(os.getpid(), signal.SIGKILL)
            return before(*arguments)
        setattr(module, name, call)
"""

MOMENTS = {
    "founders": "2",
    "first births": "40",
    "middle": "200",
    "snapshot": "snapshot",
    "report": "report",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never killed."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(
        "run", pooled_config(folder), "run_dir=run", cwd=folder, path=f"{ROOT}:{folder}"
    )
    told = process.communicate()[1]
    assert process.returncode == 0, told
    return folder / "run"


def pooled_config(folder):
    (folder / "pooled.py").write_text(POOLED)
    fitness = {"_target_": "pooled.Pooled", "data": {"_target_": "fitness.images.SklearnDigits"}}
    population = {
        "_target_": "populations.mnist.Classifiers",
        "data": "${fitness.data}",
        "hidden": [16],
        "sd": 0.1,
    }
    return write_config(
        folder, fitness=fitness, population=population, births=60, save_every=0.001, trackers=[]
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_beside_its_pool_goes_on(tmp_path, orphans, whole, capsys, moment):
    config = pooled_config(tmp_path)
    (tmp_path / "moment").write_text(MOMENTS[moment])
    run, path = tmp_path / "run", f"{ROOT}:{tmp_path}"
    process = start("run", config, "run_dir=run", cwd=tmp_path, path=path)
    process.wait()
    process.stdout.close()  # its children have the other ends, so these do not end
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    orphans += [int(pid) for pid in (tmp_path / "children").read_text().split()]
    for pid in orphans:
        os.kill(pid, 0)  # they live, and go on doing so
    if (run / "births.jsonl").exists():
        assert main(["watch", str(run), "--once"]) == 0
        assert "state     killed" in capsys.readouterr().out
    (tmp_path / "moment").unlink()
    command = (
        ["resume", "run"] if (run / "config.yaml").exists() else ["run", config, "run_dir=run"]
    )
    assert command[0] == "resume" or moment == "founders"
    process = start(*command, cwd=tmp_path, path=path)
    told = process.communicate()[1]
    assert process.returncode == 0, told
    assert_same_run(whole, run)
