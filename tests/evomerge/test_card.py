"""Model cards: what heads inherit, that no text breaks them, intervals, what real runs write."""

import json
import re

import numpy as np
import pytest
import yaml
from card_checks import Page, checked
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from whole_runs import small_run

from evomerge.cli import main
from evomerge.config.labels import label, titled
from evomerge.export import card
from evomerge.export.card_text import MERGEKIT
from evomerge.export.licences import inherited
from evomerge.export.markdown import details, fenced, line, link, plain, table
from evomerge.export.measured import Score, measured
from evomerge.export.published import published, without_places
from evomerge.export.subject import Subject
from evomerge.genome.recipe import Recipe
from evomerge.intervals import interval
from evomerge.rundir.births import read_births
from evomerge.rundir.snapshots import read_snapshot

NASTY = [
    "</details><script>alert(1)</script>",
    "a|b\\|c\\",
    "x\n---\n- y: z",
    "---",
    "``` `code` ````",
    "[x](javascript:alert(1))",
    "![p](http://x/y.png) <img src=x onerror=1>",
    "&lt;b&gt; *_**# ~~gone~~ $1$",
    "\u202eevil\x00",
    "1. - + > first",
    "half \ud83d a character",
]


def subject(**changes):
    """A child of two seeds, in a run that never was."""
    one, other = (
        {"birth": 0, "id": -1, "founder": 0, "train": 0.5},
        {"birth": 0, "id": 0, "founder": 1, "train": 0.4},
    )
    given = {
        "run": "mine",
        "id": 7,
        "genome": Recipe(np.array([0, 6, 8]), np.array([[0.5, 0.5], [1.5, -0.5]])),
        "population": "mine.Population",
        "facts": {
            "pipeline_tag": "text-generation",
            "tags": ["merge"],
            "seeds": [{"name": "a"}, {"name": "b"}],
        },
        "config": "# evomerge run mine.yaml\n",
        "call": {"fitness": {"_target_": "mine.Fitness"}, "seed": 3},
        "births": 9,
        "ancestors": {7: {"birth": 7, "parents": [-1, 0], "train": 0.75}, -1: one, 0: other},
        "founders": [one, other],
        "scores": [
            Score("train", 0.75, 4, (0.3, 0.95)),
            Score("test", 0.5, 2),
            Score("test", 1.0, 1, group="0: mine"),
        ],
    }
    return Subject(**given | changes)


def written(folder, **changes):
    card.write(folder, subject(**changes))
    return checked(folder / "README.md")


def test_the_head_has_the_hubs_words(tmp_path):
    seeds = [
        {
            "name": "o/a",
            "repository": "o/a",
            "revision": "c0ffee",
            "license": ["mit"],
            "language": ["en", "no"],
            "base_model": ["o/base"],
        },
        {
            "name": "b",
            "license": ["mit"],
            "base_model": ["o/base", "o/more"],
            "datasets": ["o/data"],
            "language": ["no", "ja"],
        },
        {"name": "b2", "license": ["mit"]},
    ]
    facts = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["merge"],
        "seeds": seeds,
    }
    (tmp_path / MERGEKIT).write_text("# mergekit-yaml mergekit.yaml OUT\n")
    head, page = written(tmp_path, facts=facts)
    index = head.pop("model-index")
    assert head == {
        "base_model": ["o/a", "o/base", "o/more"],
        "base_model_relation": "merge",
        "license": "mit",
        "language": ["en", "no", "ja"],
        "datasets": ["o/data"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["merge", "mergekit", "evomerge"],
    }
    assert index[0]["name"] == "mine, member 7"
    assert [
        (r["dataset"]["split"], r["dataset"].get("config"), r["metrics"][0]["value"])
        for r in index[0]["results"]
    ] == [
        ("train", None, 0.75),
        ("test", None, 0.5),
        ("test", "0: mine", 1.0),
    ]
    assert "https://huggingface.co/o/a/tree/c0ffee" in page.links
    assert {"o/a", "b (a folder, from o/base, o/more)", "0.3000 to 0.9500"} <= set(page.cells)


def test_a_folder_that_names_no_base_is_none_of_the_hubs_models(tmp_path):
    head, page = written(tmp_path, facts={"seeds": [{"name": "gpt2"}, {"name": "b"}]})
    assert not {"base_model", "base_model_relation"} & head.keys()
    assert "gpt2 (a folder)" in page.cells


def test_seeds_have_their_shares_and_what_they_scored_alone(tmp_path):
    _, page = written(tmp_path)
    assert page.cells[page.cells.index("a (a folder)") :][:4] == [
        "a (a folder)",
        "not known",
        "0.7500",
        "0.5000",
    ]
    assert page.cells[page.cells.index("b (a folder)") :][:4] == [
        "b (a folder)",
        "not known",
        "0.2500",
        "0.4000",
    ]
    assert (
        "from 2 founders, 0 ancestors between. Parents: -1, 0. The run had 9 births, "
        "with random seed 3." in page.text
    )


@pytest.mark.parametrize(
    ("licences", "head"),
    [
        ([["mit"], ["mit"]], {"license": "mit"}),
        ([["mit"], ["apache-2.0"]], {"license": "other", "license_name": "several-mit-apache-2.0"}),
        (
            [["mit"], ["mit", "gpl-3.0"]],
            {"license": "other", "license_name": "several-mit-gpl-3.0"},
        ),
        ([["mit", "gpl-3.0"], ["gpl-3.0", "mit"]], {"license": ["mit", "gpl-3.0"]}),
        ([["llama9"], ["llama9"]], {"license": "other", "license_name": "llama9"}),
        ([["other"], ["other"]], {"license": "other", "license_name": "several-other"}),
        ([["mit"], []], {}),
        ([["mit"], ["gpl-3.0"], []], {"license": "other", "license_name": "several-mit-gpl-3.0"}),
        ([[], []], {}),
        ([], {}),
    ],
)
def test_a_licence_is_inherited_where_all_have_the_same(tmp_path, licences, head):
    models = [{"name": f"m{k}", "license": of} for k, of in enumerate(licences)]
    found, why = inherited(models)
    assert found == head
    assert ("yours to decide" in why) == (
        len({tuple(sorted(of)) for of in licences}) > 1
        or head.get("license_name") == "several-other"
    )
    written(tmp_path, facts={"seeds": models[:2], "others": models[2:]})
    if "decide" in why:
        assert all(
            f"| m{k} | {', '.join(of) or 'not known'} |" in why for k, of in enumerate(licences)
        )


def test_a_licence_of_its_own_is_inherited_with_its_name_and_place(tmp_path):
    own = {
        "license": ["other"],
        "license_name": "mine-1.0",
        "license_link": "https://huggingface.co/o/a/blob/main/LICENSE",
    }
    assert inherited([{"name": "o/a", **own}, {"name": "o/b", **own}])[0] == own | {
        "license": "other"
    }
    head = inherited([{"name": "o/a", **own}, {"name": "o/b", **own, "license_name": "mine-2.0"}])[
        0
    ]
    assert head == {"license": "other", "license_name": "several-mine-1.0-mine-2.0"}


@pytest.mark.parametrize("text", NASTY)
def test_what_others_wrote_shows_as_text(tmp_path, text):
    facts = {
        "seeds": [
            {"name": text, "license": [text]},
            {"name": "b", "license": ["mit"], "license_link": text},
        ]
    }
    call = {
        "fitness": {"_target_": text},
        "seed": text,
        "strategy": {"_target_": f"x.{text}"},
        "deep": [{"stop": text}],
    }
    scores = [Score("test", 0.5, 2, group=text)]
    config = "\n".join(f"# {part}" for part in text.splitlines())
    _, page = written(
        tmp_path, run=text, population=text, facts=facts, call=call, scores=scores, config=config
    )
    assert f"{line(text)} (a folder)" in page.cells
    assert f"test, {line(text)}" in page.cells
    assert page.text.lstrip().startswith(f"{line(text)}: member 7".lstrip())
    shown = page.text[page.text.index("_target_") :]
    assert shown.index("How to cite") > shown.index("stop")


@given(st.text())
def test_any_text_is_a_cell_and_a_title(text):
    cell = Page(table(["head"], [[f"{plain(text)}."]])).cells[1]
    assert cell == f"{line(text)}.".strip()
    assert Page(f"# x {plain(text)}").text.strip() == f"x {line(text)}".strip()


@given(st.text(alphabet="`~a<>\n/ #-", max_size=30))
def test_any_text_is_a_block_of_code_that_ends_where_it_should(text):
    page = Page(details("title", fenced(text, "yaml")) + "\n# End\n")
    assert page.tags == {"details", "summary", "pre", "code", "h1"}
    assert page.text.endswith("\nEnd\n")
    assert text.rstrip() in page.text


def test_a_link_leads_into_the_web_or_is_none():
    assert link("a", "https://x/y") == "[a](https://x/y)"
    assert link("a", "javascript:alert(1)") == link("a", "https://x) <b>") == link("a", None) == "a"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/models/x", "x"),
        ("~/y/z.yaml", "z.yaml"),
        ("../../home/me/m", "m"),
        ("python /home/me/x.py -v", "python x.py -v"),
        ("/home/me/a,/home/me/b", "a,b"),
        ("file:///home/me/db", "db"),
        ("sqlite:////home/me/db", "db"),
        (r"C:\Users\me\x", "x"),
        ("https://me:pass@host/x/y", "https://host/x/y"),
        ("https://host/x?token=abcd1&a=b", "https://host/x?token=...&a=b"),
        ("Authorization: Bearer abcdef", "Authorization: Bearer ..."),
        ("curl hf_abcdefghijklmnopqr x", "curl ... x"),
    ],
)
def test_a_config_is_published_without_places_of_this_machine(text, shown):
    assert without_places(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "owner/name@main",
        "configs/a.yaml",
        "http://host:5000/a/b",
        "/end",
        "/{q}/a",
        r"(\w+)/",
        "<b>/i</b>",
        "1/2/3",
        "\n",
        "x/../y",
    ],
)
def test_what_is_no_place_stays(text):
    assert without_places(text) == text


def test_a_config_is_published_without_secrets_and_without_who_watched():
    call = {
        "population": {
            "token": "hf_1",
            "tokenizer_source": "union",
            "max_new_tokens": 4,
            "seeds": ["/home/me/a"],
        },
        "fitness": {"headers": ["s3"], "api_key": "k", "key": 3, "password": None, "tokens": 5},
        "trackers": [{"tracking_uri": "file:///home/me/ml"}],
        "workers": {"address": "10.0.0.1:6379"},
        "births": 3,
    }
    shown = published(
        "# /usr/bin/evomerge run '/home/me/c.yaml'\n# python 3.11, evomerge 0.1.0\nbirths: 3\n",
        call,
    )
    assert shown.startswith("# python 3.11, evomerge 0.1.0\n")
    expected = {
        "population": {
            "token": "...",
            "tokenizer_source": "union",
            "max_new_tokens": 4,
            "seeds": ["a"],
        },
        "fitness": {
            "headers": "...",
            "api_key": "...",
            "key": "...",
            "password": None,
            "tokens": 5,
        },
        "births": 3,
    }
    assert yaml.safe_load(shown) == expected


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (3, 8), (79, 80), (500, 1000)])
def test_the_interval_of_right_and_wrong_answers_is_wilsons(right, n):
    scores = np.r_[np.ones(right), np.zeros(n - right)]
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert interval(scores, np.full(n, 3.0)) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


def test_the_interval_of_graded_and_weighted_scores_covers_the_mean():
    """In 2,000 samples of 40 datapoints, ten of them heavier, it misses the mean in about 5 %."""
    rng, weights = np.random.default_rng(0), np.r_[np.full(10, 3.0), np.ones(30)]
    samples = rng.beta(2, 1, (2000, 40))
    ends = np.array([interval(scores, weights) for scores in samples])
    missed = np.mean((ends[:, 0] > 2 / 3) | (ends[:, 1] < 2 / 3))
    assert 0.03 < missed < 0.07
    low, high = interval(np.full(4, 0.7), np.ones(4))
    assert low < 0.6 < 0.8 < high, "equal scores of four are no proof"


def test_a_fitness_is_called_by_its_class_and_what_it_is_made_of():
    sums = {
        "_target_": "fitness.questions.QuestionAnswering",
        "data": {"_target_": "x.Sums"},
        "stop": "\n",
    }
    call = {
        "_target_": "fitness.combined.Combined",
        "parts": [sums, {"_target_": "h.Harness", "task": "arc_easy"}],
    }
    assert label(call) == "Combined (QuestionAnswering (Sums), Harness (arc_easy))"
    assert label(call | {"watched": [sums]}) == label(call)
    names = ["sums", "easy", "capitals"]
    assert label(call | {"watched": [sums], "names": names}) == "Combined (sums, easy)"
    assert label("text") == label(None) == ""
    # what is watched has its places behind those of the parts
    watching = call | {"watched": [sums]}
    assert titled("1", watching) == "1: Harness (arc_easy)"
    assert titled("2", watching) == "2: QuestionAnswering (Sums)"
    assert titled("3", watching) == "3"


def test_a_part_is_a_data_set_of_its_own(tmp_path):
    """On the hub it stands by its name; one without a name by its place and what it is."""
    parts = [{"_target_": "x.Table"}, {"_target_": "q.QuestionAnswering"}]
    fitness = {"_target_": "fitness.combined.Combined", "parts": parts}
    scores = [Score("test", 0.5, 2), Score("test", 1.0, 1, group="sums")]
    head, _ = written(tmp_path, call={"fitness": fitness}, scores=scores)
    whole, part = [result["dataset"] for result in head["model-index"][0]["results"]]
    assert whole["name"] == "Combined (Table, QuestionAnswering)"
    assert "config" not in whole
    assert part == {**whole, "name": "sums", "config": "sums"}
    assert titled("sums", fitness) == "sums"
    assert titled("0", fitness) == "0: Table"


def test_the_card_of_a_real_run_and_of_another_member(tmp_path):
    small_run(tmp_path / "run", births=40)
    best = tmp_path / "run" / "best"
    head, page = checked(best / "README.md")
    assert set(head) == {"pipeline_tag", "tags", "model-index"}, (
        "random founders have no licence to hand down"
    )
    assert head["tags"] == ["evomerge"]
    results = head["model-index"][0]["results"]
    me = json.loads((best / "lineage.json").read_text())[0]
    scores = {
        (r["dataset"]["split"], r["dataset"].get("config")): r["metrics"][0]["value"]
        for r in results
    }
    assert scores["test", None] == pytest.approx(me["test"], abs=1e-6)
    answers = [json.loads(text) for text in (best / "test.jsonl").read_text().splitlines()]
    for digit in "0123456789":
        of = [answer["score"] for answer in answers if str(answer["expected"]) == digit]
        assert scores["test", digit] == pytest.approx(np.mean(of), abs=1e-6)
    low, high = map(
        float,
        re.search(
            r"\| test \| [\d.]+ \| ([\d.]+) to ([\d.]+) \|", (best / "README.md").read_text()
        ).groups(),
    )
    assert low < me["test"] < high

    assert main(["export", str(tmp_path / "run"), str(tmp_path / "same")]) == 0
    assert (tmp_path / "same" / "README.md").read_text() == (best / "README.md").read_text()
    _, data, _ = read_snapshot(tmp_path / "run")
    other = next(id for id in data["state"]["archive"] if id != me.get("id", me["birth"]))
    assert (
        main(["export", str(tmp_path / "run"), str(tmp_path / "other"), "--member", str(other)])
        == 0
    )
    head, page = checked(tmp_path / "other" / "README.md")
    logged = next(
        entry for entry in read_births(tmp_path / "run") if entry.get("id", entry["birth"]) == other
    )
    splits = [
        (r["dataset"]["split"], r["metrics"][0]["value"]) for r in head["model-index"][0]["results"]
    ]
    assert splits == [
        (split, pytest.approx(logged[split], abs=1e-6))
        for split in ("train", "test")
        if split in logged
    ]
    assert page.text.lstrip().startswith(f"run: member {other}")


class Weighing:
    """A fitness whose weights may be of other data, or not to be had."""

    def __init__(self, weights):
        self._weights = weights

    def weights(self, split):
        if self._weights is None:
            raise OSError("no such file")
        return self._weights


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (np.array([1.0, 3.0]), ""),
        (np.ones(3), "expected 2 numbers above 0, got shape (3,)"),
        (np.array([1.0, 0.0]), "expected 2 numbers above 0, 1 are not"),
        (None, "no such file"),
    ],
)
def test_weights_that_are_none_cost_the_interval_and_not_the_card(caplog, weights, says):
    """They are held against the same rules as in the run."""
    entry, row = {"train": 0.5, "test": 0.75}, np.array([0.0, 1.0])
    train, test = measured(entry, None, row, Weighing(weights), None)
    assert (test.split, test.value) == ("test", 0.75)
    assert (test.interval is None) == bool(says)
    assert says in caplog.text
    assert bool(caplog.text) == bool(says)
    assert train.interval is None
