"""What a run keeps of its beginning."""

import numpy as np
import pytest
from faulty_parts import Weighted
from whole_runs import DIGITS, small_run

from evomerge.datapoints import group_codes
from evomerge.genome.axis import Axis
from evomerge.genome.groups import Stretch, stretches_along
from evomerge.report.record import Record
from evomerge.rundir.births import read_births
from evomerge.rundir.founders import Founding
from evomerge.rundir.places import FOUNDERS
from evomerge.rundir.snapshots import read_snapshot
from fitness.classification import Classification
from fitness.images import SklearnDigits


def test_rows_are_what_the_log_has_the_means_of(tmp_path):
    """Founders' and the best's, with weights, before a resume and after it."""
    small_run(tmp_path, births=20, fitness=Weighted(DIGITS, first=100.0))
    small_run(tmp_path, births=60, fitness=Weighted(DIGITS, first=100.0), resume=True)
    kept, log = Founding.read(tmp_path), read_births(tmp_path)
    best = [entry for entry in log if entry.get("best")][-1]
    assert best["birth"] > 0
    for split in ("train", "test"):
        means = np.average(
            kept.scores[split].astype(np.float64), axis=1, weights=kept.weights[split]
        )
        assert means == pytest.approx([entry[split] for entry in log if "founder" in entry])
        row = read_snapshot(tmp_path)[2][f"best.{split}"].numpy()
        assert np.average(row.astype(np.float64), weights=kept.weights[split]) == pytest.approx(
            best[split]
        )


def test_groups_are_those_of_the_fitness(tmp_path):
    small_run(
        tmp_path, births=0, fitness=Classification(SklearnDigits(validation=0.1)), validate=True
    )
    kept = Founding.read(tmp_path)
    assert kept.groups.keys() == kept.scores.keys() == {"train", "validation", "test"}
    for name, own in Classification(SklearnDigits(validation=0.1)).groups("validation").items():
        assert np.array_equal(
            np.flatnonzero(kept.groups["validation"] == kept.names.index(name)), own
        )


def test_groups_that_overlap_or_cannot_be_told():
    class Overlapping:
        def groups(self, split):
            return {"first": [0, 1], "second": [1, 2]}

    codes, names = group_codes(Overlapping(), {"train": 4, "test": 0})
    assert names == ("first", "second")
    assert codes["train"].tolist() == [0, 0, 1, -1]
    assert (
        group_codes(Overlapping(), {"train": 1}) == group_codes(object(), {"train": 1}) == ({}, ())
    )


def test_the_axis_by_chromosome_and_layer():
    shapes = {"embed": (3,), "layers.0.attn": (2, 2), "layers.0.mlp": (5,), "layers.1.attn": (4,)}
    assert stretches_along(Axis.flat(shapes, chromosomes={"attention": "attn"})) == (
        Stretch("attention", "layers.0", 0, 4),
        Stretch("attention", "layers.1", 4, 8),
        Stretch("rest", "embed", 8, 11),
        Stretch("rest", "layers.0", 11, 16),
    )


def test_a_beginning_that_failed_can_begin_again(tmp_path):
    small_run(tmp_path / "run", births=10)
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in (FOUNDERS, f".{FOUNDERS}.new"):
        (begun / name).write_bytes((tmp_path / "run" / FOUNDERS).read_bytes())
    small_run(begun, births=10)
    assert (begun / FOUNDERS).read_bytes() == (tmp_path / "run" / FOUNDERS).read_bytes()


@pytest.mark.parametrize("content", [b"", b"no such thing", None])
def test_a_run_goes_on_without(tmp_path, content, caplog):
    """As runs do that are older than it."""
    small_run(tmp_path, births=10)
    (tmp_path / FOUNDERS).unlink() if content is None else (tmp_path / FOUNDERS).write_bytes(
        content
    )
    small_run(tmp_path, births=20, resume=True)
    assert ("cannot be read" in caplog.text) == (content is not None)
    assert Record.read(tmp_path).ended == 20
