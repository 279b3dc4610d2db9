"""How a run begins, goes on and lets go."""

import os
from pathlib import Path

import pytest
from whole_runs import DIGITS, small_run

from evomerge import Local, NaturalNiches, UserError
from evomerge.strategies.strategy import Birth
from fitness.classification import Classification
from populations.mnist import Classifiers


class Wandering(Classification):
    """It changes the working directory while it scores."""

    def __call__(self, model, datapoints, split):
        os.chdir("/")
        return super().__call__(model, datapoints, split)


class Noted(Classifiers):
    """A member is saved with a file that is named from where the run began."""

    def save(self, genome, directory):
        super().save(genome, directory)
        (directory / "note.txt").write_text(Path("note.txt").read_text())


def test_files_are_named_from_where_the_run_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("here")
    fitness = Wandering(DIGITS)
    fitness.score_many = None
    population = Noted(DIGITS, hidden=(8,))
    small_run(tmp_path / "run", births=3, population=population, fitness=fitness)
    assert (tmp_path / "run" / "best" / "note.txt").read_text() == "here"
    assert (tmp_path / "run" / "report.html").is_file()


class Copying:
    """A strategy that makes its children itself, and learns nothing."""

    stops = 0

    def __init__(self, fails=False):
        self.fails = fails

    def fit(self, population, fitness):
        pass

    def archive(self, weights, fitness):
        return NaturalNiches(size=4).archive(weights, fitness)

    def begin(self, population, fitness, founders, seed):
        return self

    def plan(self, number, view, population, seed):
        parent = view.members[-1]
        return Birth(number, (parent.id,), made=parent.genome.mutate(0.01, number))

    def stop(self):
        type(self).stops += 1


class Forgetful(Copying):
    """It learns, and does not come to the same child again."""

    calls = 0

    def tell(self, entry):
        if self.fails:
            raise ValueError("it cannot be told")

    def plan(self, number, view, population, seed):
        type(self).calls += 1
        parent = view.members[-1]
        return Birth(number, (parent.id,), made=parent.genome.mutate(0.01, self.calls))


def test_a_strategy_that_makes_children_and_learns_nothing_goes_on(tmp_path):
    """A child was planned from an older archive than the one at hand: it is not asked for again."""
    settings = {"strategy": Copying(), "lookahead": 4, "run_dir": tmp_path / "run"}
    small_run(births=10, **settings)
    archive = small_run(births=20, resume=True, **settings)
    assert max(member.id for member in archive.members) > 10


def test_a_planner_is_let_go_of_where_a_resume_is_refused(tmp_path):
    settings = {"strategy": Forgetful(), "lookahead": 4, "run_dir": tmp_path / "run"}
    small_run(births=10, **settings)
    stops = Forgetful.stops
    with pytest.raises(UserError, match="it does not come to birth 11 again as it was"):
        small_run(births=20, resume=True, **settings)
    assert Forgetful.stops == stops + 1


class Ended(Local):
    """Workers that note when they are stopped, and say nothing of themselves."""

    def __init__(self, events):
        super().__init__()
        self.events = events

    def status(self):
        return None

    def stop(self):
        self.events.append("workers")
        super().stop()


class Slow:
    """A tracker that notes when it ends."""

    def __init__(self, events):
        self.events = events

    def begin(self, path, call, birth):
        pass

    def put(self, birth, numbers):
        pass

    def end(self):
        self.events.append("tracker")


class Tripping(Classification):
    """It fails on the test split, but for founders."""

    scored = 0

    def score_many(self, models, datapoints, split):
        raise ValueError("it cannot")

    def __call__(self, model, datapoints, split):
        type(self).scored += 1
        if self.scored > 40:
            raise ValueError("it cannot")
        return super().__call__(model, datapoints, split)


def test_workers_are_let_go_of_before_trackers_are_waited_for(tmp_path):
    events = []
    settings = {"workers": Ended(events), "trackers": [Slow(events)], "failures": 2}
    with pytest.raises(UserError, match="2 births in a row failed"):
        small_run(tmp_path / "run", births=200, fitness=Tripping(DIGITS), **settings)
    assert events == ["workers", "tracker"]


def test_workers_that_say_nothing_of_themselves_cost_no_member(tmp_path):
    small_run(tmp_path / "run", births=3, workers=Ended([]), trackers=[])
    assert (tmp_path / "run" / "best").is_dir()


def test_what_is_no_list_of_trackers_is_told_before_a_founder_is_scored(tmp_path):
    fitness = Classification(DIGITS)
    fitness.score_many = None
    with pytest.raises(UserError, match="trackers: expected a list of trackers, got 5"):
        small_run(tmp_path / "run", births=3, trackers=5, fitness=fitness)
    assert not (tmp_path / "run").exists()
