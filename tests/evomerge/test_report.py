"""The report: one page that needs nothing else, of any run in any state.

It says what the run's files say.
"""

import json
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import headless
import numpy as np
import pytest
import yaml
from faulty_parts import Faulty
from whole_runs import DIGITS, small_run

from evomerge import Crossover, NaturalNiches, UserError
from evomerge.genome.groups import Stretch
from evomerge.report import report
from evomerge.report.record import Record
from evomerge.report.sections import progress
from evomerge.report.sections.answers import FEWER, SHOWN
from evomerge.rundir.births import read_births
from evomerge.rundir.founders import Founding
from evomerge.rundir.snapshots import read_snapshot
from evomerge.words import figure
from fitness.classification import Classification
from populations.mnist import Classifiers

pytestmark = pytest.mark.whole

VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE_NAME = "<b>me&you"
HOSTILE = (
    "<script>document.title=('\"&amp;')</script><img src=x onerror=document.title=1> "
    "$\\frac{1}{$ ]]>"
)


class Page(HTMLParser):
    """A page as a reader's browser takes it apart; fails where tags do not match."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text()
        self.tags, self.attributes, self.texts, self.headings, self._open = [], [], [], [], []
        self.feed(self.source)
        self.close()
        assert not self._open
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())
            self.headings += [data] if self._open[-1] in ("h2", "h3") else []


class Mute(Classification):
    """Explains nothing."""

    explain = None

    def __getattribute__(self, name):
        if name == "explain":
            raise AttributeError(name)
        return super().__getattribute__(name)


class Talkative(Classification):
    """Explains in text that a page would run if it let it."""

    def explain(self, model, datapoints, split):
        return [
            {"prompt": HOSTILE, "<b>expected": j, "answer": {"text": HOSTILE}}
            for j in datapoints.tolist()
        ]


class Chatty(Classification):
    """Has few labels, which are no numbers."""

    def explain(self, model, datapoints, split):
        told = super().explain(model, datapoints, split)
        return [
            {
                "expected": HOSTILE[: 20 + entry["expected"]],
                "answer": HOSTILE[: 20 + entry["answer"]],
            }
            for entry in told
        ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that has ended."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    small_run(path, births=300)
    return path


def copy_of(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


@pytest.fixture(scope="module")
def page(finished):
    """Its report, as it was drawn at the end."""
    return Page(finished / "report.html")


def test_needs_nothing_else(page):
    """No script, nothing from elsewhere, every id once, every reference to an id that is there."""
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    references = [
        value
        for name, value in page.attributes
        if name in ("src", "href", "xlink:href", "action", "srcset")
    ]
    assert len(references) > 20
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert "://" not in re.sub("<pre>.*</pre>", "", page.source, flags=re.DOTALL)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 20
    assert {reference[1:] for reference in references if reference.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", page.source)) <= set(ids)


def test_has_every_part(page):
    assert page.headings == [
        *("What was bred", "The best and the founders", "Scores", "Mean score, test", "By group"),
        *(
            "Progress",
            "Score",
            "Coverage and entropy",
            "The members alive",
            "Competitive fitness",
            "Who solves what",
        ),
        *(
            "Where the best comes from",
            "Family tree",
            "Split points",
            "Along the axis",
            "Layer by layer",
        ),
        *(
            "What breeding won and lost",
            "Won",
            "Lost",
            "What the best gets wrong",
            "Confusion",
            "Wrong answers",
        ),
        *("What it cost", "Datapoints scored", "Time of a birth", "How it was run"),
    ]
    assert page.tags.count("figcaption") == page.tags.count("figure") == 18


def test_is_the_same_twice(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "finished")
    assert report.write(run).read_bytes() == (finished / "report.html").read_bytes()


def test_run_of_before_founders_were_kept(finished, tmp_path):
    """Nothing is told that such a run does not know."""
    run = copy_of(finished, tmp_path)
    (run / "founders.safetensors").unlink()
    page = Page(report.write(run))
    assert {"Scores", "Family tree", "Confusion"} <= set(page.headings)
    assert not {"By group", "Split points", "Along the axis", "Layer by layer", "Won"} & set(
        page.headings
    )
    assert "There are no intervals" in page.text


def test_numbers_are_the_summary(finished, page):
    summary = json.loads((finished / "summary.json").read_text())
    told = dict(
        zip(
            re.findall("<dt>(.*?)</dt>", page.source),
            re.findall("<dd>(.*?)</dd>", page.source),
            strict=True,
        )
    )
    assert told == {
        "best, test": f"{summary['best']['test']:.3f}",
        "best, train": f"{summary['best']['train']:.3f}",
        "births": "300",
        "births a second": figure(summary["births_per_second"]),
        "coverage": f"{summary['coverage']:.3f}",
        "entropy": f"{summary['entropy']:.3f}",
        "datapoints scored": f"{100 * summary['share_scored']:.0f} %",
        "failed births": "0",
    }
    assert "ended after 300 births" in page.text


def test_mean_alive_ends_at_the_snapshot(finished):
    _, data, tensors = read_snapshot(finished)
    rows = {
        member["id"]: row
        for member, row in zip(data["state"]["members"], tensors["scores"].numpy(), strict=True)
    }
    mean = np.mean([rows[id].mean(dtype=np.float64) for id in data["state"]["archive"]])
    assert progress._mean_alive(Record.read(finished)).values[-1] == pytest.approx(mean)


def test_no_births(tmp_path):
    small_run(tmp_path / "run", births=0)
    page = Page(tmp_path / "run" / "report.html")
    assert "no child has beaten it yet" in page.text
    assert "ended after 0 births" in page.text
    assert "Coverage and entropy" not in page.headings


def test_one_parent_and_no_answers(tmp_path):
    """Without crossover there are no ratios, without `explain` there are no answers to show."""
    strategy = NaturalNiches(size=8, mutation=0.05, crossover=None)
    small_run(tmp_path / "run", births=60, strategy=strategy, fitness=Mute(DIGITS))
    page = Page(tmp_path / "run" / "report.html")
    assert "Family tree" in page.headings
    assert "number on a line" not in page.text
    assert not {"What the best gets wrong", "Confusion", "Wrong answers"} & set(page.headings)


def test_several_chromosomes(tmp_path):
    population = Classifiers(DIGITS, hidden=(16,), sd=0.1, chromosomes={"first": r"^0\."})
    strategy = NaturalNiches(
        size=8, crossover=Crossover(splits=2, ratio=(-0.3, 1.3), angle="whole"), mutation=0.05
    )
    small_run(tmp_path / "run", births=60, population=population, strategy=strategy)
    page, best = Page(tmp_path / "run" / "report.html"), Record.read(tmp_path / "run").bests[-1]
    low, high = sorted(f"{ratio:.2f}" for ratio in best["ratios"])
    assert f"{low}\N{EN DASH}{high}" in page.texts
    assert "up to the first split point" in page.text


def test_failed_births(tmp_path):
    small_run(
        tmp_path / "run",
        births=30,
        fitness=Faulty(DIGITS, "raises", good=40, every=60),
        foresee=False,
    )
    failures = [entry for entry in read_births(tmp_path / "run") if "failure" in entry]
    assert len(failures) > 3
    page = Page(tmp_path / "run" / "report.html")
    assert page.text.count("the file of answers has no such key") == len(
        {entry["failure"] for entry in failures}
    )
    assert f"{len(failures)} in all" in page.text


def test_not_ended(finished, tmp_path):
    """A run that was killed: no summary, no best, half a line, births that no snapshot has."""
    run = copy_of(finished, tmp_path)
    (run / "summary.json").unlink()
    shutil.rmtree(run / "best")
    with open(run / "births.jsonl", "a") as log:
        entry = read_births(run)[-1]
        log.write(
            json.dumps(entry | {"birth": 301, "admitted": False}) + "\n" + json.dumps(entry)[:40]
        )
    page = Page(report.write(run))
    assert "not ended: 301 of 300 births so far" in page.text
    assert "the more a member after birth 300 solves" in page.text
    assert "Confusion" not in page.headings


def test_killed_before_the_first_snapshot(finished, tmp_path):
    run = copy_of(finished, tmp_path)
    for folder in ("state", "best"):
        shutil.rmtree(run / folder)
    (run / "summary.json").unlink()
    (run / "births.jsonl").write_text("")
    page = Page(report.write(run))
    assert "The members alive" not in page.headings
    assert page.headings == ["What was bred", "How it was run"]


def test_text_of_others_stays_text(tmp_path):
    """What a fitness, a failure, a config or a name says is shown, not run."""
    run = tmp_path / "<b>me&you"
    small_run(run, births=30, fitness=Talkative(DIGITS))
    (run / "config.yaml").write_text((run / "config.yaml").read_text() + f"# {HOSTILE}\n")
    with open(run / "births.jsonl", "a") as log:
        log.write(
            json.dumps(read_births(run)[-1] | {"birth": 31, "admitted": False, "failure": HOSTILE})
            + "\n"
        )
    page = Page(report.write(run))
    assert not {"script", "img"} & set(page.tags)
    changed = len((run / "best" / "changes.jsonl").read_text().splitlines())
    assert changed > 0
    assert page.text.count(HOSTILE) == FEWER + changed + 2  # prompts, the failure, the config
    assert "<b>me&you" in page.texts
    assert {"<b>expected", "prompt"} <= set(page.texts)
    assert "Confusion" not in page.headings


def test_labels_of_others_stay_text(tmp_path):
    small_run(tmp_path / "run", births=30, fitness=Chatty(DIGITS))
    page = Page(tmp_path / "run" / "report.html")
    assert "script" not in page.tags
    assert "<script>docum…" in page.texts
    assert "Confusion" in page.headings


class Halved(Classification):
    """Has half a character in all that it says, as records of a user's own may."""

    def explain(self, model, datapoints, split):
        told = super().explain(model, datapoints, split)
        return [
            {"expected": f"\ud83d {entry['expected']}", "answer": f"\udc00 {entry['answer']}"}
            for entry in told
        ]


class Unlabelled(Halved):
    """Likewise, in text that is no label."""

    def explain(self, model, datapoints, split):
        return [
            {"prompt": f"\ud83d {j}", "answer": {"\udfff": [f"\udc00 {j}"]}}
            for j in datapoints.tolist()
        ]


@pytest.mark.parametrize("kind", [Halved, Unlabelled])
def test_half_a_character_costs_no_report(tmp_path, kind, caplog):
    """Not in labels, text, reasons, nor in the name of a directory that is not UTF-8."""
    small_run(tmp_path / "mine", births=30, fitness=kind(DIGITS))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert "\\ud83d " in Page(tmp_path / "mine" / "report.html").text
    run = (tmp_path / "mine").rename(tmp_path / "mine\udcff")
    with open(run / "births.jsonl", "a") as log:
        log.write(
            json.dumps(
                read_births(run)[-1] | {"birth": 31, "admitted": False, "failure": "bad \udbff"}
            )
            + "\n"
        )
    page = Page(report.write(run))
    assert ("Confusion" in page.headings) == (kind is Halved)
    for shown in ("\\ud83d ", "\\udbff", "mine\\udcff"):
        assert shown in page.text
    assert (run / "best" / "README.md").read_text(encoding="utf-8")


def test_long_run_is_a_small_page(finished, tmp_path):
    """50,000 births, large pictures and as many reasons to fail do not make a large page."""
    run, rng = copy_of(finished, tmp_path), random.Random(0)
    last = next(entry for entry in reversed(read_births(run)) if not entry["admitted"])
    with open(run / "births.jsonl", "a") as log:
        for birth in range(301, 50_001):
            noise = {
                "birth": birth,
                "seconds": rng.random(),
                "scored": rng.random(),
                "coverage": rng.random(),
            }
            log.write(
                json.dumps(last | noise | ({"failure": f"reason {birth}"} if birth % 2 else {}))
                + "\n"
            )
    picture = np.random.default_rng(0).integers(0, 256, (300, 300)).tolist()
    answers = [
        {"datapoint": j, "score": 0.0, "text": "long " * 10_000, "picture": picture}
        for j in range(SHOWN)
    ]
    (run / "best" / "test.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in answers))
    changed = [
        json.loads(line) for line in (run / "best" / "changes.jsonl").read_text().splitlines()
    ]
    for line in changed:
        line["best"]["picture"], line["founder"]["picture"] = picture, picture[::-1]
    (run / "best" / "changes.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in changed)
    )
    page = Page(report.write(run))
    assert page.tags.count("img") == SHOWN + 2 * len(changed)
    assert len(page.source.encode()) < 2_000_000
    assert "50,000" in page.text


@pytest.mark.skipif(
    headless.FOUND is None, reason=f"no browser is installed: {', '.join(headless.NAMES)}"
)
def test_in_a_browser(finished, tmp_path):
    """Nothing is missing or said, nothing is wider than a telephone, and text of others is text."""
    run = shutil.copytree(finished, tmp_path / HOSTILE_NAME)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["population"]["seeds"] = [f"hub/{HOSTILE}", f"hub/{'W' * 300}"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    kept = Founding.read(run)
    stretches = tuple(
        Stretch(HOSTILE, HOSTILE + "W" * 300, start, stop) for *_, start, stop in kept.stretches
    )
    replace(kept, names=(HOSTILE, "W" * 300, *kept.names[2:]), stretches=stretches).keep(run)
    for name in ("test.jsonl", "changes.jsonl"):
        lines = (
            (run / "best" / name).read_text().replace('"expected"', json.dumps(HOSTILE + "W" * 300))
        )
        (run / "best" / name).write_text(lines)
    with open(run / "births.jsonl", "a") as log:
        log.write(
            json.dumps(
                read_births(run)[-1]
                | {"birth": 301, "admitted": False, "failure": HOSTILE + "W" * 300}
            )
            + "\n"
        )
    page = report.write(run)
    for width in (320, 400, 1200):
        seen = headless.look(page, width, tmp_path)
        assert seen["title"] == f"{HOSTILE_NAME}: evomerge"
        assert not seen["console"]
        assert not seen["missing"]
        assert not seen["wide"]
        assert seen["scroll"] <= seen["inner"] == width
        assert not seen["scripts"]
        assert seen["images"] == len(re.findall("<img ", page.read_text())) > 20
        assert seen["text"].count(HOSTILE) > 20


@pytest.mark.skipif(
    headless.FOUND is None, reason=f"no browser is installed: {', '.join(headless.NAMES)}"
)
def test_a_browser_would_tell(tmp_path):
    (tmp_path / "page.html").write_text(
        "<title>a</title><main><p style='width:500px'>b</p></main>"
        "<img src=x onerror=document.title='c'>"
    )
    seen = headless.look(tmp_path / "page.html", 400, tmp_path)
    assert (seen["title"], seen["images"]) == ("c", 1)
    assert seen["scroll"] > seen["inner"] == 400
    assert seen["missing"]
    assert seen["wide"]
    (tmp_path / "page.html").write_text("<main><script>nowhere()</script></main>")
    seen = headless.look(tmp_path / "page.html", 400, tmp_path)
    assert seen["console"]
    assert seen["scripts"]


def test_drawing_is_imported_late():
    code = (
        "import sys, evomerge.report.report; "
        "sys.exit(bool({'matplotlib', 'scipy', 'PIL'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_run(tmp_path):
    with pytest.raises((UserError, FileNotFoundError)):
        report.write(tmp_path)
