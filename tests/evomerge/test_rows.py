"""What is compared: rows from configs, rows from runs that are there, and the sweep."""

import shutil
from pathlib import Path

import pytest
from whole_runs import write_config

from evomerge import UserError, evolve
from evomerge.cli import main
from evomerge.compare import command
from evomerge.compare.plan import plan, shared
from evomerge.compare.rows import SWEEP
from evomerge.config import calls
from evomerge.evolution import OUTSIDE
from evomerge.strategies.sweep import grid

OUT = Path("out")
FITNESS = {
    "_target_": "fitness.classification.Classification",
    "data": {"_target_": "fitness.images.SklearnDigits", "train": 0.5},
}


def config(folder, name="a.yaml", **changes):
    """A config of this name."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_config(folder, **changes).rename(folder / name)


def planned(*given, overrides=(), vary=None, seeds=(0, 1), out=OUT, points=41):
    return plan(given, overrides, vary=vary or {}, seeds=seeds, out=out, points=points)


def mistakes(*given, **settings):
    """What is said of a comparison that cannot be."""
    with pytest.raises(UserError) as error:
        planned(*given, **settings)
    return str(error.value).splitlines()


def rows_or_mistakes(*given):
    """The rows of a comparison; if it cannot be, none and what is said of it."""
    try:
        return planned(*given).rows, ""
    except UserError as error:
        return {}, str(error)


def names(plan):
    return list(plan.rows)


def paths(runs):
    return [run.path for run in runs]


def edited(run, copy, *changes):
    """A copy of a run whose config.yaml has other values."""
    shutil.copytree(run, copy)
    text = (copy / "config.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (copy / "config.yaml").write_text(text)
    return copy


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A comparison of two configs with two seeds, in `out`; and its plan."""
    folder = tmp_path_factory.mktemp("made")
    settings = {"size": 4, "crossover": {"angle": "whole"}}
    given = [
        config(folder, f"{name}.yaml", births=20, strategy=settings | {"mutation": mutation})
        for name, mutation in (("a", 0.01), ("b", 0.02))
    ]
    ours = planned(*given, out=folder / "out", points=11)
    for run in [*ours.sweep, *(run for runs in ours.rows.values() for run in runs)]:
        evolve(**calls.build(run.call, evolve, outside=OUTSIDE), run_dir=run.path, progress=False)
    return folder, ours


def test_a_row_for_each_config_by_its_name(tmp_path):
    ours = planned(
        config(tmp_path, "b.yaml", births=60),
        config(tmp_path, "a.yaml", births=60),
        seeds=(7, 0, 3),
    )
    assert names(ours) == ["b", "a"]
    for name, runs in [*ours.rows.items(), (SWEEP, ours.sweep)]:
        assert paths(runs) == [OUT / name / seed for seed in ("7", "0", "3")]
        assert [(run.seed, run.call["seed"], run.ours) for run in runs] == [
            (seed, seed, True) for seed in (7, 0, 3)
        ]


def test_nothing_is_run_or_written(tmp_path):
    given = config(tmp_path)
    planned(given, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == [given]


def test_configs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    given = [
        config(tmp_path / folder, name)
        for folder, name in (("one", "a.yaml"), ("two", "a.yaml"), ("two", "b.yaml"))
    ]
    assert names(planned(*given)) == ["one-a", "two-a", "b"]


def test_configs_of_one_name_in_folders_of_one_name_do_not_lose_a_row(tmp_path):
    given = [
        config(tmp_path / above / "same", strategy={"size": size})
        for above, size in (("one", 8), ("two", 9))
    ]
    rows, told = rows_or_mistakes(*given)
    sizes = [runs[0].call["strategy"]["size"] for runs in rows.values()]
    assert "same" in told or sizes == [8, 9]


def test_a_row_for_each_combination_of_values(tmp_path):
    rows = planned(
        config(tmp_path),
        config(tmp_path, "b.yaml"),
        vary={"strategy.size": ["4", "8"], "tile": ["64", "128"]},
    ).rows
    values = [(4, 64), (4, 128), (8, 64), (8, 128)]
    assert list(rows) == [
        *(f"{stem},size={size},tile={tile}" for stem in "ab" for size, tile in values)
    ]
    for (size, tile), stem in zip(values * 2, "aaaabbbb", strict=True):
        [run, _] = rows[f"{stem},size={size},tile={tile}"]
        assert (run.call["strategy"]["size"], run.call["tile"]) == (size, tile)
        assert run.path == OUT / f"{stem},size={size},tile={tile}" / "0"


def test_values_with_a_dot_have_rows_of_their_own(tmp_path):
    rows = planned(config(tmp_path), vary={"strategy.alpha": ["0", "0.5", "1.5"]}).rows
    assert list(rows) == ["a,alpha=0", "a,alpha=0.5", "a,alpha=1.5"]
    assert [runs[0].call["strategy"]["alpha"] for runs in rows.values()] == [0, 0.5, 1.5]


def test_a_row_has_one_folder_in_out_whatever_its_values_are(tmp_path):
    """A path among the values leads neither out of `out` nor deeper into it, a long one is cut.

    None takes another's place.
    """
    values = [
        "[x/a,x/b]",
        "[x-a,x-b]",
        "[../../c,../../d]",
        f"[{'long/' * 60}a,b]",
        f"[{'long/' * 60}a,c]",
    ]
    rows = planned(config(tmp_path), vary={"population.seeds": values}).rows
    assert list(rows) == [f"a,seeds={value}" for value in values]
    assert next(iter(rows.values()))[0].call["population"]["seeds"] == ["x/a", "x/b"]
    folders = [runs[0].path.parent for runs in rows.values()]
    assert len(set(folders)) == 5
    assert all(
        folder.parent == OUT and folder.name != ".." and len(folder.name) < 100
        for folder in folders
    )


def test_overrides_are_for_every_config(tmp_path):
    rows = planned(
        config(tmp_path),
        config(tmp_path, "b.yaml", births=9),
        overrides=["births=50", "strategy.size=5"],
    ).rows
    assert [
        (runs[0].call["births"], runs[0].call["strategy"]["size"])
        for runs in (rows["a"], rows["b"])
    ] == [(50, 5)] * 2


def test_a_config_is_the_whole_call_without_its_place_and_its_seed(tmp_path):
    [run] = planned(config(tmp_path, run_dir="elsewhere", seed=9), seeds=(4,)).rows["a"]
    assert (run.path, run.seed) == (OUT / "a" / "4", 4)
    assert "run_dir" not in run.call
    assert (run.call["retile"], run.call["strategy"]["alpha"], run.call["patience"]) == (
        100,
        1.0,
        None,
    )  # defaults


def test_every_mistake_of_every_row_is_told(tmp_path):
    data = {"_target_": "populations.mnist.Classifiers", "data": "${fitness.data}", "hidden": []}
    given = [
        config(tmp_path, strategy={"sise": 4}),
        config(tmp_path, "b.yaml", population=data, tile=0),
        config(tmp_path, "right.yaml"),
        tmp_path / "c.yaml",
    ]
    told = mistakes(*given)
    assert told[:3] == [
        "a: strategy.sise: unknown key; did you mean 'size'?",
        "b: population.hidden: expected sizes of at least 1, got []",
        "b: tile: expected a number of at least 1, got 0",
    ]
    assert told[3].startswith(f"c: {tmp_path / 'c.yaml'}: there is no such file")
    assert len(told) == 4


def test_every_mistake_of_varied_values_is_told(tmp_path):
    told = mistakes(
        config(tmp_path), vary={"strategy.size": ["8", "1", "many"]}, overrides=["tile=0"]
    )
    assert [line.partition(":")[0] for line in told] == [
        "a,size=8",
        "a,size=1",
        "a,size=1",
        "a,size=many",
        "a,size=many",
    ]
    assert sum("tile: expected a number of at least 1, got 0" in line for line in told) == 3


@pytest.mark.parametrize("births", [None, "many", 2.5])
def test_births_that_are_missing_or_no_number_are_told_like_all_else(tmp_path, births):
    override = [] if births is None else [f"births={births}"]
    given = config(tmp_path)
    if births is None:
        given.write_text(given.read_text().replace('"births": 100', '"tile": 100'))
    told = mistakes(given, overrides=[*override, "strategy.size=1"])
    assert any(
        line.startswith("a: births: ") and "expected a whole number" in line for line in told
    )
    assert any(line.startswith("a: strategy.size: ") for line in told)


def test_different_births_are_told(tmp_path):
    given = [
        config(tmp_path, f"{name}.yaml", births=births)
        for name, births in (("a", 60), ("b", 70), ("c", 60))
    ]
    [told] = mistakes(*given)
    assert told == (
        "births: the rows of a comparison need the same number, a has 60, b has 70, c has 60; "
        "give births=N for all"
    )
    assert planned(*given, overrides=["births=65"]).births == 65


def test_a_comparison_needs_a_birth(tmp_path):
    assert mistakes(config(tmp_path, births=0)) == [
        "births: expected a number of at least 1, got 0"
    ]


def test_different_fitnesses_are_told(tmp_path):
    [told] = mistakes(
        config(tmp_path), config(tmp_path, "b.yaml"), config(tmp_path, "c.yaml", fitness=FITNESS)
    )
    assert (
        told
        == "fitness.data.train: the rows of a comparison need the same, a has 0.8 and c has 0.5"
    )


def test_a_sweep_is_always_there(tmp_path):
    ours = planned(
        config(tmp_path, strategy={"size": 8, "mutation": 0.02}, lookahead=2),
        seeds=(5, 6),
        points=21,
    )
    runs = ours.sweep
    assert paths(runs) == [OUT / SWEEP / "5", OUT / SWEEP / "6"]
    assert runs[0].call["strategy"] == {
        "_target_": "evomerge.Sweep",
        "points": 21,
        "angle": "part",
    }
    assert (runs[0].call["births"], ours.births) == (21, 100)
    of_first = ours.rows["a"][0].call
    same = {
        key: value
        for key, value in runs[0].call.items()
        if key not in ("strategy", "births", "lookahead")
    }
    assert same == {key: of_first[key] for key in same}
    assert {"population", "fitness", "seed", "validate"} < set(same)


@pytest.mark.parametrize(
    ("crossover", "angle"),
    [
        ({"angle": "whole"}, "whole"),
        ({"angle": "none"}, "none"),
        ({}, "part"),
        ({"angle": None}, "part"),
        (None, "part"),
    ],
    ids=str,
)
def test_a_sweep_has_the_angle_of_the_first_rows_crossover(tmp_path, crossover, angle):
    given = [
        config(tmp_path, "b.yaml", strategy={"mutation": 0.01, "crossover": crossover}),
        config(tmp_path, "a.yaml", strategy={"crossover": {"angle": "tensor"}}),
    ]
    assert planned(*given).sweep[0].call["strategy"]["angle"] == angle


@pytest.mark.parametrize("settings", [{"births": 10}, {"patience": 3}], ids=str)
def test_a_sweep_goes_through_all_of_its_grid(tmp_path, settings):
    """Else it would have the first founder's end of it only, which is no match for a search."""
    ours = planned(config(tmp_path, **settings), points=41)
    sweep = ours.sweep[0].call
    assert sweep["births"] >= len(grid(2, sweep["strategy"]["points"]))
    assert sweep["patience"] is None


@pytest.mark.parametrize("name", ["sweep", "best seed"])
def test_the_names_of_the_rows_that_are_always_there_are_taken(tmp_path, name):
    [told] = mistakes(config(tmp_path), config(tmp_path, f"{name}.yaml"))
    assert told.startswith(f"{name}: there is a row of this name already")


@pytest.mark.parametrize("key", ["seed", "run_dir"])
def test_what_a_comparison_sets_itself_cannot_be_given(tmp_path, key):
    for settings in ({"overrides": [f"{key}=3"]}, {"vary": {key: ["3", "4"]}}):
        [told] = mistakes(config(tmp_path), **settings)
        assert told.startswith(f"{key}: a comparison sets it itself")


def test_different_populations_are_allowed_and_said(tmp_path, caplog):
    rows = planned(
        config(tmp_path), config(tmp_path, "b.yaml"), vary={"population.sd": ["0.1", "0.2"]}
    ).rows
    assert len(rows) == 4
    told = [record.getMessage() for record in caplog.records]
    assert [line.partition(",")[0] for line in told] == ["population.sd: a"] * 2
    assert "a,sd=0.1 has 0.1, b,sd=0.2 has 0.2" in told[1]


def test_a_comparisons_own_folder_has_its_rows(made):
    folder, ours = made
    again = planned(folder / "out", out=folder / "elsewhere", points=99)
    assert again.births == ours.births == 20
    assert names(again) == names(ours) == ["a", "b"]
    for theirs, mine in zip(
        [*again.rows.values(), again.sweep], [*ours.rows.values(), ours.sweep], strict=True
    ):
        assert [(run.path, run.call, run.ours) for run in theirs] == [
            (run.path, run.call, False) for run in mine
        ]


def test_a_run_a_folder_of_runs_and_a_config(made, tmp_path):
    folder, _ = made
    given = config(tmp_path, "c.yaml", births=20)
    ours = planned(folder / "out" / "b" / "1", given, folder / "out" / "a", seeds=(8,))
    assert {name: paths(runs) for name, runs in ours.rows.items()} == {
        "c": [OUT / "c" / "8"],
        "b": [folder / "out" / "b" / "1"],
        "a": [folder / "out" / "a" / "0", folder / "out" / "a" / "1"],
    }
    assert paths(ours.sweep) == [OUT / SWEEP / "8"]


def test_runs_alone_have_a_sweep_too(made):
    """Of the seeds that they have."""
    folder, ours = made
    alone = planned(folder / "out" / "b", seeds=(7, 8, 9), points=11)
    assert names(alone) == ["b"]
    assert [(run.path, run.seed, run.ours) for run in alone.sweep] == [
        (OUT / SWEEP / "0", 0, True),
        (OUT / SWEEP / "1", 1, True),
    ]
    assert [run.call["strategy"] for run in alone.sweep] == [
        run.call["strategy"] for run in ours.sweep
    ]
    assert alone.sweep[0].call["strategy"]["angle"] == "whole"


def test_a_sweep_that_is_there_is_the_sweep(made):
    folder, ours = made
    again = planned(folder / "out" / SWEEP, folder / "out" / "b")
    assert names(again) == ["b"]
    assert paths(again.sweep) == paths(ours.sweep)
    assert mistakes(folder / "out" / SWEEP) == [
        "expected at least one config or run to compare, besides a sweep"
    ]


def test_what_there_is_of_a_sweep_is_taken_and_the_rest_made(made):
    folder, ours = made
    sweep = planned(folder / "out" / "a", folder / "out" / SWEEP / "1", points=11).sweep
    assert [(run.path, run.ours) for run in sweep] == [
        (OUT / SWEEP / "0", True),
        (folder / "out" / SWEEP / "1", False),
    ]
    assert sweep[0].call == ours.sweep[0].call


def test_the_same_founders_are_swept_once(made, tmp_path):
    """A copy with another random seed stands for a run whose founders do not depend on it."""
    folder, ours = made
    assert shared(ours) == list(ours.sweep)  # random founders are other ones
    run = folder / "out" / "a" / "0"
    edited(run, tmp_path / "x" / "0")
    edited(run, tmp_path / "x" / "4", ("seed: 0", "seed: 4"))
    edited(folder / "out" / "a" / "1", tmp_path / "x" / "5", ("seed: 1", "seed: 5"))
    sweep = shared(planned(tmp_path))
    assert [(run.path, run.seed) for run in sweep] == [
        (OUT / SWEEP / "0", 0),
        (OUT / SWEEP / "0", 4),
        (OUT / SWEEP / "5", 5),
    ]


def test_founders_that_are_not_known_yet_are_swept_for_each_seed(tmp_path):
    ours = planned(config(tmp_path))
    assert shared(ours) == list(ours.sweep)
    assert len(set(paths(ours.sweep))) == 2


def test_runs_are_one_row_whatever_does_not_change_them(made, tmp_path):
    """Seed, workers, save_every, patience and hours.

    The row has the name of the first, without its number.
    """
    run = made[0] / "out" / "a" / "0"
    edited(run, tmp_path / "mine-2")
    edited(run, tmp_path / "mine-3", ("seed: 0", "seed: 5"), ("threads: 1", "threads: 2"))
    edited(
        run,
        tmp_path / "other",
        ("save_every: 10.0", "save_every: 3.0"),
        ("patience: null", "patience: 30"),
        ("seed: 0", "seed: 6"),
    )
    rows = planned(tmp_path).rows
    assert {name: paths(runs) for name, runs in rows.items()} == {
        "mine": [tmp_path / "mine-2", tmp_path / "mine-3", tmp_path / "other"]
    }
    assert [run.seed for run in rows["mine"]] == [0, 5, 6]


def test_runs_are_rows_of_their_own_if_anything_else_differs(made, tmp_path):
    run = made[0] / "out" / "a" / "0"
    edited(run, tmp_path / "one" / "x" / "0")
    edited(run, tmp_path / "two" / "x" / "0", ("alpha: 1.0", "alpha: 0.5"))
    edited(run, tmp_path / "two" / "x-1", ("births: 20", "births: 30"))
    assert names(planned(tmp_path)) == ["x", "x-2", "x-3"]


def test_a_run_that_is_named_twice_counts_once(made):
    folder, _ = made
    runs = planned(folder / "out" / "a", folder / "out" / "a" / "0").rows["a"]
    assert sorted(paths(runs)) == [folder / "out" / "a" / "0", folder / "out" / "a" / "1"]


def test_a_run_shorter_than_the_births_is_told(made, tmp_path):
    folder, _ = made
    given = config(tmp_path, "c.yaml", births=30)
    run = folder / "out" / "a" / "0"
    assert mistakes(given, run) == [
        f"births: the run in {run} has 20, the others 30; resume it with births=30"
    ]
    ours = planned(given, run, overrides=["births=15"])  # the first 15 of a longer one will do
    assert (ours.births, ours.rows["a"][0].call["births"]) == (15, 20)


def test_runs_are_compared_as_far_as_the_shortest_goes(made, tmp_path):
    folder, _ = made
    edited(folder / "out" / "b" / "0", tmp_path / "long", ("births: 20", "births: 50"))
    assert planned(tmp_path, folder / "out" / "a").births == 20


def test_a_run_with_another_fitness_is_told(made, tmp_path):
    folder, _ = made
    [told] = mistakes(config(tmp_path, "c.yaml", births=20, fitness=FITNESS), folder / "out" / "a")
    assert (
        told
        == "fitness.data.train: the rows of a comparison need the same, c has 0.5 and a has 0.8"
    )


def test_a_sweep_with_another_fitness_is_told(made, tmp_path):
    folder, _ = made
    [told] = mistakes(
        config(tmp_path, "c.yaml", births=20, fitness=FITNESS), folder / "out" / SWEEP
    )
    assert told.startswith("fitness.data.train: ")


def test_a_run_and_a_config_of_one_name_are_told_apart(made, tmp_path):
    folder, ours = made
    rows = planned(config(tmp_path, births=20), folder / "out" / "a").rows
    assert list(rows) == ["a", "a-2"]
    assert [run.ours for run in rows["a"]] == [True, True]
    assert paths(rows["a-2"]) == paths(ours.rows["a"])


def test_one_run_in_two_places_is_told(made, tmp_path):
    """It would count as two that are independent of each other."""
    run = made[0] / "out" / "a" / "0"
    edited(run, tmp_path / "x-1")
    edited(run, tmp_path / "x-2")
    [told] = mistakes(tmp_path)
    assert told.startswith(
        f"{tmp_path / 'x-2'}: it is the same run as {tmp_path / 'x-1'}, "
        "with the same random seed, 0"
    )


def test_what_cannot_be_compared_is_told(made, tmp_path):
    folder, _ = made
    (tmp_path / "empty").mkdir()
    assert mistakes(tmp_path / "empty") == [f"{tmp_path / 'empty'}: there is no run in it"]
    only_runs = "expected a config to override, there are only runs"
    assert mistakes(folder / "out", overrides=["tile=5"]) == [f"tile=5: {only_runs}"]
    assert mistakes(folder / "out", vary={"tile": ["5"]}) == [f"tile: {only_runs}"]


def test_a_config_that_is_no_runs_is_told(made, tmp_path):
    """A damaged one, or one of something else."""
    folder, _ = made
    edited(folder / "out" / "a" / "0", tmp_path / "x", ("births: 20\n", ""))
    [told] = mistakes(tmp_path / "x")
    assert (
        told
        == f"{tmp_path / 'x'}: expected a run directory, its config.yaml is not the call of a run"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"seeds": [0, 1, 2, 3, 4], "at": [], "reach": [], "vary": {}}),
        (["--seeds", "7", "--seeds", "8", "births=3"], {"seeds": [7, 8]}),
        (["--at", "5", "--at", "6", "7"], {"at": [5, 6, 7]}),
        (["--reach", "0.5", "--reach", "0.6"], {"reach": [0.5, 0.6]}),
        (["--vary", "a=1", "--vary", "b=2", "--vary", "a=3"], {"vary": {"a": ["1", "3"], "b": ["2"]}}),
    ],
)  # fmt: skip
def test_an_option_that_is_given_again_adds_to_what_it_was_given(
    tmp_path, monkeypatch, words, expected
):
    asked = {}

    def noted(_paths, overrides, **settings):
        asked.update(settings, overrides=overrides)
        return "", True

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "compare", noted)
    assert main(["compare", "skills.yaml", *words]) == 0
    assert {name: asked[name] for name in expected} == expected
    assert asked["overrides"] == [word for word in words if word.startswith("births")]
