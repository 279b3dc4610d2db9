"""births.jsonl: each line is as the schema says, which the docs have; all lines are one table."""

import json
import re
import sys
from importlib.util import find_spec

import pandas as pd
import pytest
from evotorch.operators import GaussianMutation
from faulty_parts import Faulty
from ray_runs import Unlucky, Vectors
from whole_runs import DIGITS, ROOT, log_of, small_run

from evomerge import (
    Crossover,
    NaturalNiches,
    Operator,
    Ray,
    Search,
    Sweep,
    UserError,
    births_dataframe,
)
from evomerge.evotorch import MAPElites
from evomerge.rundir.births import FIELDS, KINDS, read_births
from fitness.classification import Classification
from fitness.combined import Combined
from fitness.images import SklearnDigits
from populations.mnist import Classifiers

ASIDE = SklearnDigits(validation=0.25)
MAP_ELITES = Search(
    MAPElites,
    {"re_evaluate": False},
    (Operator(GaussianMutation, {"stdev": 0.05}),),
    features={"low": list("01234")},
)
KINDS_OF_RUNS = {
    "niches": {},
    "immigrants": {
        "strategy": NaturalNiches(
            size=8, mutation=0.01, immigrants=0.3, crossover=Crossover(splits=2)
        )
    },
    "mutants": {"strategy": NaturalNiches(size=8, mutation=0.01, crossover=None)},
    "search": {"strategy": MAP_ELITES},
    "sweep": {"strategy": Sweep(points=12, angle="none")},
    "failures": {"fitness": Faulty(DIGITS, "raises", good=20, every=7), "tile": 2000},
    "watching": {
        "fitness": Combined([Classification(DIGITS)], watched=[Classification(DIGITS)]),
    },
    "validated": {
        "fitness": Classification(ASIDE),
        "population": Classifiers(ASIDE, hidden=(16,), sd=0.1),
        "validate": True,
    },
}


pytestmark = [pytest.mark.ray] if find_spec("ray") is not None else []


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """A run of every kind."""
    folder = tmp_path_factory.mktemp("runs")
    for name, settings in KINDS_OF_RUNS.items():
        small_run(folder / name, births=60, **settings)
    if find_spec("ray") is not None:
        request.getfixturevalue("cluster")
        (folder / "switch").touch()
        small_run(
            folder / "lost",
            births=20,
            population=Vectors(),
            fitness=Unlucky("dies", str(folder / "switch")),
            strategy=NaturalNiches(size=8),
            workers=Ray(2, retries=2),
            lookahead=4,
            tile=8,
        )
    return {path.name: path for path in folder.iterdir() if path.is_dir()}


def test_every_line_of_every_run_is_as_the_schema_says(runs):
    fields = {field.name: field for field in FIELDS}
    for run in runs.values():
        for entry in read_births(run):
            for name, value in entry.items():
                assert name in fields
                assert fields[name].lines in ("all", "founders" if "founder" in entry else "births")
                assert fields[name].fits(value), f"{name}: {value!r} is no {fields[name].type}"


def test_every_field_of_the_schema_occurs(runs):
    told = {
        (name, "founder" in entry)
        for run in runs.values()
        for entry in read_births(run)
        for name in entry
    }
    lacking = set() if "lost" in runs else {"lost", "attempts"}
    of = {"founders": [True], "births": [False], "all": [True, False]}
    assert told == {
        (field.name, founder)
        for field in FIELDS
        for founder in of[field.lines]
        if field.name not in lacking
    }


@pytest.mark.parametrize("name", [*KINDS_OF_RUNS, "lost"])
def test_a_run_is_one_table_whose_columns_do_not_depend_on_the_run(runs, name):
    if name not in runs:
        pytest.skip("Ray is not installed: pip install 'evomerge[ray]'")
    frame, log = births_dataframe(runs[name]), read_births(runs[name])
    assert dict(frame.dtypes.astype(str)) == {
        field.name: KINDS[field.type].dtype for field in FIELDS if field.name != "id"
    }
    founders = [entry["id"] for entry in log if "founder" in entry]
    assert frame.index.tolist() == [
        *founders,
        *(entry["birth"] for entry in log if "founder" not in entry),
    ]
    assert frame.index[frame.founder.notna()].tolist() == founders
    for (_, row), entry in zip(frame.drop(columns="time").iterrows(), log, strict=True):
        there = {
            name: value
            for name, value in row.items()
            if isinstance(value, list | dict) or not pd.isna(value)
        }
        fillers = {
            field.name: field.absent
            for field in FIELDS
            if field.absent is not None and field.name not in entry
        }
        assert {name: value for name, value in there.items() if name not in fillers} == {
            name: value for name, value in entry.items() if name not in ("id", "time")
        }
        assert all(there.get(name, filler) == filler for name, filler in fillers.items())
    assert (
        frame.time - pd.to_datetime([entry["time"] for entry in log], unit="s", utc=True)
    ).abs().max() < pd.Timedelta("1ms")
    assert frame.time.is_monotonic_increasing
    assert frame.best.dtype == "boolean"
    assert frame.best.notna().all()


def test_a_run_that_has_just_begun_has_the_same_columns(tmp_path, runs):
    (tmp_path / "births.jsonl").write_text("")
    empty, frame = births_dataframe(tmp_path), births_dataframe(runs["niches"])
    assert len(empty) == 0
    assert dict(empty.dtypes) == dict(frame.dtypes)
    assert (
        (empty.index.name, empty.index.dtype)
        == (frame.index.name, frame.index.dtype)
        == ("id", "int64")
    )


def test_a_last_line_that_is_not_whole_yet_waits_and_the_log_alone_will_do(tmp_path, runs):
    log = (runs["search"] / "births.jsonl").read_bytes()
    (tmp_path / "copy.jsonl").write_bytes(log[:-20])
    pd.testing.assert_frame_equal(
        births_dataframe(tmp_path / "copy.jsonl"), births_dataframe(str(runs["search"])).iloc[:-1]
    )


def test_what_an_archive_of_ones_own_says_is_a_column(tmp_path, runs):
    lines = [
        entry | ({"taste": ["sweet"]} if entry["birth"] == 7 else {})
        for entry in read_births(runs["niches"])
    ]
    (tmp_path / "births.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    frame = births_dataframe(tmp_path)
    assert frame.taste[7] == ["sweet"]
    assert frame.taste.notna().sum() == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"run: not a run directory, it has no births.jsonl"),
        (
            '{"birth": 1}\n{"birth"\n',
            r"births.jsonl: line 2 is damaged, expected a JSON object, got '\{\"birth\"'",
        ),
        ('{"birth": 1}\n[1]\n', "line 2 is damaged"),
        ("\xff\xfe\n", "line 1 is damaged"),
        (
            '{"birth": 1, "train": "good"}\n',
            "line 1: train: expected a number of at most 64 bits, got 'good'",
        ),
        (
            '{"birth": 1, "worker": true}\n',
            "line 1: worker: expected a whole number of at most 64 bits, got True",
        ),
        (
            '{"birth": 1, "splits": [1]}\n',
            r"line 1: splits: expected a list of lists of whole numbers, got \[1\]",
        ),
        (
            '{"birth": 1}\n{"birth": 100000000000000000000000}\n',
            "line 2: birth: expected a whole number of at most 64 bits, got 1000",
        ),
        (
            '{"birth": 1, "time": 1e300}\n',
            r"time: expected a time in seconds since 1970, got 1e\+300",
        ),
        ('{"birth": 1, "time": NaN}\n', "time: expected a time in seconds since 1970, got nan"),
        ('{"birth": 1, "admitted": 1}\n', "admitted: expected true or false, got 1"),
        ('{"birth": 1, "failure": 1}\n', "failure: expected text, got 1"),
        (
            '{"birth": 1, "coverage": null}\n',
            "coverage: expected a number of at most 64 bits, got None",
        ),
        ('{"id": 1}\n', "line 1: it has no birth"),
    ],
)
def test_what_is_wrong_with_a_log_is_said(tmp_path, content, told):
    (tmp_path / "run").mkdir()
    if content is not None:
        (tmp_path / "run" / "births.jsonl").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=told):
        births_dataframe(tmp_path / "run")
    with pytest.raises(UserError, match="runn: there is no such run directory"):
        births_dataframe(tmp_path / "runn")


def test_what_only_json_can_have_is_in_the_table(tmp_path):
    (tmp_path / "births.jsonl").write_text(
        r'{"birth": 1, "failure": "no \udce9.png", "coverage": NaN, "time": 9.2e9}' + "\n"
    )
    [row] = births_dataframe(tmp_path).itertuples()
    assert (row.failure, row.time.year) == ("no ?.png", 2261)
    assert pd.isna(row.coverage)


def test_without_pandas_it_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        UserError, match=r"pandas is not installed: pip install 'evomerge\[pandas\]'"
    ):
        births_dataframe(tmp_path)


def test_the_docs_have_the_schema():
    table = "| field | type | lines of | meaning |\n|---|---|---|---|\n"
    table += "".join(
        f"| {field.name} | {field.type} | {field.lines} | {field.meaning} |\n" for field in FIELDS
    )
    assert table in (ROOT / "docs" / "run_directory.md").read_text()


def test_the_program_in_the_docs_runs(runs, monkeypatch, capsys):
    [code] = re.findall(
        r"^```python\n(.*?)^```",
        (ROOT / "docs" / "run_directory.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    exec(compile(code.replace("runs/digits", str(runs["niches"])), "docs", "exec"), {})
    last = log_of(runs["niches"])[-1]
    assert f"birth 60: coverage {last['coverage']:.3f}" in capsys.readouterr().out
