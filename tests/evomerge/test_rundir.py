"""The run directory: killed, damaged or out of space, a run goes on as if nothing had been."""

import os
import random
import resource
import shutil
import signal
import time

import pytest
from whole_runs import (
    PATIENCE,
    assert_same_run,
    log_of,
    small_run,
    start,
    wait_for_births,
    write_config,
)

from evomerge import UserError
from evomerge.rundir.checks import free_name
from evomerge.rundir.rundir import RunDir
from evomerge.rundir.snapshots import read_snapshot

pytestmark = pytest.mark.whole

BIRTHS = 2500


def finish(process):
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def test_kill_at_random_moments(tmp_path):
    """Killed with -9 again and again, a run ends as one that never was."""
    config = write_config(tmp_path, births=BIRTHS, lookahead=4, stack=2, save_every=0.2)
    assert finish(start("run", config, f"run_dir={tmp_path}/whole", cwd=tmp_path))[0] == 0
    process = start("run", config, f"run_dir={tmp_path}/killed", cwd=tmp_path)
    moments = random.Random(1)
    for _ in range(3):
        wait_for_births(process, tmp_path / "killed", 2)
        time.sleep(moments.uniform(0.3, 1.5))
        process.kill()
        process.communicate()
        process = start("resume", tmp_path / "killed", cwd=tmp_path)
    code, _, err = finish(process)
    assert code == 0, err
    assert len(log_of(tmp_path / "killed")) == 2 + BIRTHS
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_cleanly(tmp_path, number):
    config = write_config(tmp_path, births=10**6)
    process = start("run", config, f"run_dir={tmp_path}/run", cwd=tmp_path)
    wait_for_births(process, tmp_path / "run", 20)
    process.send_signal(number)
    code, _, err = finish(process)
    assert code == 128 + number
    assert "evomerge resume" in err
    assert "Traceback" not in err
    decided = read_snapshot(tmp_path / "run")[1]["state"]["counters"]["decided"]
    assert decided == log_of(tmp_path / "run")[-1]["birth"] > 0


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "tensors": lambda folder: damage(folder / "tensors.safetensors"),
    "state": lambda folder: damage(folder / "state.json"),
    "truncated": lambda folder: (folder / "state.json").write_bytes(b""),
    "no tensors": lambda folder: (folder / "tensors.safetensors").unlink(),
    "missing": shutil.rmtree,
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_snapshot_falls_back_to_the_one_before(tmp_path, caplog, how):
    small_run(tmp_path / "whole", births=80)
    small_run(tmp_path / "run", births=50)
    small_run(tmp_path / "run", births=60, resume=True)
    DAMAGES[how](tmp_path / "run" / "state" / "latest")
    small_run(tmp_path / "run", births=80, resume=True)
    assert "going on from the snapshot before it" in caplog.text
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_both_snapshots_damaged_is_an_error(tmp_path):
    small_run(tmp_path / "run", births=20)
    for name in ("latest", "previous"):
        damage(tmp_path / "run" / "state" / name / "tensors.safetensors")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(
        UserError, match=r"no snapshot can be read \(latest: tensors.*checksum; previous: tensors"
    ):
        small_run(tmp_path / "run", births=20, resume=True)
    assert before == {path: path.read_bytes() for path in before}


def test_a_log_that_was_cut_short_is_noticed(tmp_path):
    small_run(tmp_path / "run", births=20)
    (tmp_path / "run" / "births.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match=r"births.jsonl is not the log that belongs to it"):
        small_run(tmp_path / "run", births=30, resume=True)


def test_a_full_disk_loses_nothing(tmp_path):
    """The limit on a file's size stands for the disk's end: no more is written, amid a line."""
    config = write_config(tmp_path, births=1_000_000, save_every=0.2)
    process = start("run", config, f"run_dir={tmp_path}/run", cwd=tmp_path)
    wait_for_births(process, tmp_path / "run", 49)
    # How soon a snapshot is due depends on how fast the machine writes one.
    while not saved_births(tmp_path):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    end = (tmp_path / "run" / "births.jsonl").stat().st_size + 100_000
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (end, end))
    code, _, err = finish(process)
    assert code == 1
    assert "cannot be written" in err
    assert "evomerge resume" in err
    assert "Traceback" not in err
    # the resume goes on behind the newest snapshot, and leaves no birth out
    process = start("resume", tmp_path / "run", cwd=tmp_path)
    wait_for_births(process, tmp_path / "run", saved_births(tmp_path) + 1000)
    process.terminate()
    code, _, err = finish(process)
    assert code == 128 + signal.SIGTERM, err
    births = [entry["birth"] for entry in log_of(tmp_path / "run")]
    assert births == [0, 0, *range(1, births[-1] + 1)]


def saved_births(folder):
    """How many births the newest snapshot has of the run in a folder."""
    return read_snapshot(folder / "run")[1]["state"]["counters"]["decided"]


def test_one_process_at_a_time(tmp_path):
    small_run(tmp_path / "run", births=5)
    run_dir, *_ = RunDir.reopen(tmp_path / "run")
    with pytest.raises(UserError, match="another process is using this run directory"):
        small_run(tmp_path / "run", births=9, resume=True)
    run_dir.close()
    small_run(tmp_path / "run", births=9, resume=True)


def test_a_new_run_does_not_overwrite(tmp_path):
    small_run(tmp_path / "run", births=5)
    with pytest.raises(UserError, match="there is a run in it already"):
        small_run(tmp_path / "run", births=5)
    assert free_name(tmp_path / "run") == tmp_path / "run-2"


def test_a_beginning_that_failed_can_begin_again_but_a_run_without_config_is_kept(tmp_path):
    (tmp_path / "run" / "state").mkdir(parents=True)
    (tmp_path / "run" / "births.jsonl").write_text("half a line")
    small_run(tmp_path / "run", births=5)
    (tmp_path / "run" / "config.yaml").unlink()
    for leftover in ("best", "summary.json", "report.html"):
        path = tmp_path / "run" / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = (tmp_path / "run" / "births.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"has lost its config\.yaml"):
        small_run(tmp_path / "run", births=5)
    assert (tmp_path / "run" / "births.jsonl").read_bytes() == before


def test_a_resume_cuts_the_log_in_a_new_file(tmp_path):
    """Who reads along has the old one open, and so can tell what is not as it was."""
    small_run(tmp_path / "run", births=20)
    log = tmp_path / "run" / "births.jsonl"
    whole = log.read_bytes()
    with open(log, "rb") as before:
        small_run(tmp_path / "run", births=20, resume=True)
        assert os.path.samestat(os.stat(log), os.fstat(before.fileno())), "nothing was to be cut"
        log.write_bytes(whole + b'{"birth": 21}\n{"birth"')
        small_run(tmp_path / "run", births=20, resume=True)
        assert not os.path.samestat(os.stat(log), os.fstat(before.fileno()))
        assert before.read() == whole + b'{"birth": 21}\n{"birth"'
    assert log.read_bytes() == whole
    assert not list((tmp_path / "run").glob(".births*"))


def test_a_beginning_that_is_begun_again_has_a_new_log(tmp_path):
    RunDir.create(tmp_path).close()
    (tmp_path / "births.jsonl").write_bytes(b"half a li")
    (tmp_path / ".births.jsonl.new").write_bytes(b"")
    with open(tmp_path / "births.jsonl", "rb") as before:
        RunDir.create(tmp_path).close()
        assert before.read() == b"half a li"
    assert (tmp_path / "births.jsonl").read_bytes() == b""
