"""What the best gets wrong, as the run's files say it."""

import json
import re

import numpy as np
from whole_runs import small_run

from evomerge.report.record import Record
from evomerge.report.sections import answers


def test_confusion_counts_the_answers(tmp_path):
    small_run(tmp_path, births=20)
    told = [
        json.loads(line) for line in (tmp_path / "best" / "test.jsonl").read_text().splitlines()
    ]
    counts = np.zeros((10, 10), dtype=int)
    for entry in told:
        counts[entry["expected"], entry["answer"]] += 1
    drawn = re.findall(r">(\d+)</text>", answers.cards(Record.read(tmp_path))[0])
    labels = [str(label) for label in (*range(10), *range(10))]
    assert sorted(drawn) == sorted([*labels, *(str(count) for count in counts.ravel() if count)])
