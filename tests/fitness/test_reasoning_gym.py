"""Questions of reasoning-gym: scored by its own scorers, drawn alike in every process, never in two splits."""

import importlib
import inspect
import json
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from tiny_llama import tiny_llama

from evomerge.testing import check_fitness
from fitness import reasoning_gym_library
from fitness.reasoning_gym import OwnScorer, Puzzles, ReasoningGym
from fitness.reasoning_gym_library import MAY_NOT_END, RUNS_ANSWERS
from fitness.reasoning_gym_questions import Puzzle, split_of

pytest.importorskip(
    "reasoning_gym", reason="reasoning-gym is not installed: pip install '.[reasoning-gym]'"
)

# one of each kind: texts, numbers, lists, grids, many right answers, partial credit, none named
TWELVE = {
    "calendar_arithmetic": {"tasks": ["weekday_of_date"]},
    "chain_sum": {},
    "family_relationships": {"max_family_size": 5},
    "fraction_simplification": {},
    "graph_color": {},
    "leg_counting": {"max_animals": 3},
    "letter_counting": {},
    "number_filtering": {"max_numbers": 4},
    "propositional_logic": {},
    "spell_backward": {"max_word_len": 5},
    "time_intervals": {"max_time_difference_seconds": 3600},
    "word_sequence_reversal": {"max_words": 5},
}
SIZES = {"train": 3, "test": 2, "validation": 2, "lessons": 2}
HASHED = ("isomorphic_strings", "word_ladder")
"""Their questions differ with Python's hash of a text."""


@pytest.fixture(scope="module")
def twelve():
    return ReasoningGym(TWELVE, **SIZES)


def answering(fitness, answer):
    """A fitness whose model gives to each puzzle what the function says."""

    def respond(model, datapoints, split):
        records = fitness.data.split(split)
        return [answer(records[index]["answer"]) for index in datapoints]

    fitness._respond = respond
    return fitness


def own(puzzle):
    return puzzle.entry["answer"] or "A, B"


@pytest.mark.parametrize(
    "answer",
    [
        own,
        lambda puzzle: f"  {own(puzzle)}\n",
        lambda puzzle: f"The answer is {own(puzzle)}.",
        lambda puzzle: own(puzzle)[:-1],
        lambda puzzle: "7",
        lambda puzzle: "00:10:00",
        lambda puzzle: "",
    ],
    ids=["right", "spaced", "wordy", "cut", "number", "time", "nothing"],
)
def test_scores_are_reasoning_gyms_own(answer):
    from reasoning_gym import create_dataset

    fitness = answering(ReasoningGym(TWELVE, **SIZES), answer)
    scores = fitness(None, np.arange(fitness.size("train")), "train")
    assert scores.dtype == np.float32
    theirs = []
    for record in fitness.data.split("train"):
        puzzle = record["answer"]
        # the question as the package itself gives it, made anew
        dataset = create_dataset(
            puzzle.dataset, seed=puzzle.seed, size=1000, **TWELVE[puzzle.dataset]
        )
        entry = dataset[puzzle.place]
        assert entry["question"] == record["question"]
        theirs.append(dataset.score_answer(answer(puzzle).strip() or None, entry))
    assert scores.tolist() == np.array(theirs, dtype=np.float32).tolist()


def test_the_twelve_tell_right_from_wrong(twelve):
    whole = np.arange(twelve.size("train"))
    right = answering(ReasoningGym(TWELVE, **SIZES), own)(None, whole, "train")
    wrong = answering(ReasoningGym(TWELVE, **SIZES), lambda puzzle: "zzz")(None, whole, "train")
    for name, places in twelve.groups("train").items():
        if name not in ("graph_color", "propositional_logic"):
            assert right[places].tolist() == [1, 1, 1]
            assert wrong[places].max() < 0.1


def test_sizes_are_of_each_dataset_and_groups_are_datasets(twelve):
    assert [twelve.size(split) for split in SIZES] == [36, 24, 24, 24]
    assert twelve.size("dev") == 0
    groups = twelve.groups("train")
    assert list(groups) == list(TWELVE)
    assert np.concatenate(list(groups.values())).tolist() == list(range(36))
    assert ReasoningGym("leg_counting", validation=0).groups("validation") == {}


def test_what_is_shown_is_a_text(twelve):
    fitness = answering(ReasoningGym(TWELVE, **SIZES), lambda puzzle: "zzz")
    entries = fitness.explain(None, np.arange(36), "train")
    assert json.loads(json.dumps(entries)) == entries
    expected = {name: entries[places[0]] for name, places in fitness.groups("train").items()}
    assert expected["graph_color"]["expected"] == "(any that is right)"
    assert re.fullmatch(r"\d+", expected["leg_counting"]["expected"])
    assert expected["leg_counting"]["answer"] == "zzz"


def test_no_question_is_in_two_splits_whatever_seed_and_sizes():
    sums = {"products": {"max_digits": 1}}  # 100 questions in all
    seen = {}
    for seed in (0, 1, 7):
        for split in SIZES:
            for record in Puzzles(sums, SIZES | {"test": 12}, seed).split(split):
                assert seen.setdefault(record["question"], split) == split
                assert split_of(record["question"]) == split
    drawn = [record["question"] for record in Puzzles(sums, {"test": 12}, 0).split("test")]
    assert len(set(drawn)) == 12, "no question stands there twice"


def test_a_question_does_not_depend_on_the_sizes():
    """Also where reasoning-gym draws other questions for another size, as acre does."""
    names = {"acre": {}, "leg_counting": {}}
    few, many = (
        Puzzles(names, {"train": size, "test": other}, 5) for size, other in ((2, 4), (5, 1))
    )
    assert few.split("train")[:2] == many.split("train")[:2]
    assert few.split("train")[2:] == many.split("train")[5:7]
    assert few.split("test")[0] == many.split("test")[0]


def test_seeds_draw_questions_of_their_own():
    """In reasoning-gym itself the questions of seeds 1 and 2 are the same but for one."""
    drawn = [
        {
            record["question"]
            for record in Puzzles({"leg_counting": {}}, {"test": 20}, seed).split("test")
        }
        for seed in (1, 2)
    ]
    assert not drawn[0] & drawn[1]


@pytest.mark.whole
@pytest.mark.parametrize("name", HASHED)
def test_questions_that_differ_from_process_to_process_are_refused(name):
    program = (
        "from fitness.reasoning_gym import Puzzles\n"
        f"puzzles = Puzzles({{{name!r}: {{}}}}, {{'test': 2}}, 0)\n"
        "try:\n    print([record['question'] for record in puzzles.split('test')])\n"
        "except ValueError as error:\n    print(error)\n"
    )
    printed = {}
    for seed in "01":
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        printed[seed] = ended.stdout
    assert printed["0"].startswith("[")
    assert printed["1"].startswith(f"datasets: the questions of {name!r} depend on the number")


def test_the_callers_own_draws_go_on():
    """pool_matrix sets the seed of numpy's own generator."""
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    Puzzles({"pool_matrix": {}}, {"test": 1}, 0).split("test")
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_what_a_dataset_prints_is_in_nobodys_output(capfd):
    """`evomerge run` prints a summary that others read; bf prints a dot for each question."""
    assert ReasoningGym("bf", train=2, test=1).size("train") == 2
    assert capfd.readouterr().out == ""


def test_a_model_is_asked_and_scored():
    fitness = ReasoningGym(
        {"spell_backward": {"max_word_len": 4}},
        train=3,
        template="{dataset}: {question}\nA:",
        max_new_tokens=4,
        batch=2,
    )
    llama = tiny_llama()
    scores = fitness(llama, np.array([2, 0]), "train")
    entries = fitness.explain(llama, np.array([2, 0]), "train")
    assert scores.shape == (2,)
    assert scores.tolist() == [np.float32(entry["score"]) for entry in entries]
    assert entries[0]["prompt"].startswith("spell_backward: Spell this word backward")
    assert entries[0]["prompt"].endswith("\nA:")


def test_what_is_extracted_is_scored(monkeypatch):
    """A model that was taught to think aloud says its answer between marks."""
    fitness = ReasoningGym(
        {"spell_backward": {"max_word_len": 4}}, train=2, extract="<answer>(.*?)</answer>"
    )
    right = [record["answer"].entry["answer"] for record in fitness.data.split("train")]
    said = [f"Well, {right[0]}.\n<answer> {right[0]} </answer>", right[1]]
    monkeypatch.setattr(fitness._generator, "encode", lambda *arguments, **settings: [[1], [2]])
    monkeypatch.setattr(fitness._generator, "respond", lambda language, prompts: said)
    assert fitness(tiny_llama(), np.arange(2), "train").tolist() == [1, 0]


def test_an_answer_at_which_the_scorer_fails_scores_nothing():
    from reasoning_gym import create_dataset

    numbers = create_dataset("prime_factorization", seed=1, size=3)
    puzzle = Puzzle("prime_factorization", 1, 0, numbers[0])
    with pytest.raises(ValueError, match="invalid literal"):
        numbers.score_answer("two times three", puzzle.entry)
    assert OwnScorer({"prime_factorization": {}})("", "two times three", puzzle) == 0


def test_parts_of_a_score_that_add_up_to_more_than_1_by_rounding_are_1():
    """One more letter behind a word of nine would end the birth: nine ninths are 1 and a bit."""
    fitness = ReasoningGym({"spell_backward": {"min_word_len": 9, "max_word_len": 9}}, 3, 1)
    wordy = answering(fitness, lambda puzzle: f"{own(puzzle)}s")
    assert wordy(None, np.arange(3), "train").tolist() == [1, 1, 1]


def test_every_dataset_that_is_not_refused_takes_its_defaults():
    """Some have nothing to validate, and were taken for wrong."""
    from reasoning_gym.factory import DATASETS

    for name in sorted(set(DATASETS) - RUNS_ANSWERS - MAY_NOT_END - {"composite"}):
        assert reasoning_gym_library.configured(name, {}, 7).seed == 7, name


def test_it_keeps_the_rules_of_a_fitness():
    datasets = {"spell_backward": {"max_word_len": 4}, "leg_counting": {"max_animals": 3}}
    check_fitness(ReasoningGym(datasets, train=3, test=2, max_new_tokens=4), tiny_llama())


def test_settings_travel_and_nothing_else(twelve):
    assert twelve.size("train")
    sent = pickle.dumps(twelve)
    assert len(sent) < 3000
    arrived = pickle.loads(sent)
    # not all of an entry: time_intervals notes the day on which it was drawn
    for there, here in zip(arrived.data.split("test"), twelve.data.split("test"), strict=True):
        assert there["question"] == here["question"]
        assert there["answer"][:3] == here["answer"][:3]
        assert there["answer"].entry["answer"] == here["answer"].entry["answer"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"datasets": []}, "datasets: expected at least one name, got none"),
        ({"datasets": [{"leg_counting": {}}]}, "datasets: expected names, or a mapping"),
        ({"datasets": ["leg_counting"] * 2}, "datasets: 'leg_counting' stands there twice"),
        (
            {"datasets": {"leg_counting": 3}},
            "datasets.leg_counting: expected settings by name, got 3",
        ),
        ({"train": -1}, "train: expected a number of questions of at least 0, got -1"),
        ({"seed": 4001}, "seed: expected a number from 0 to 4000, got 4001"),
        ({"template": "Go on"}, "template: expected a field in braces"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ReasoningGym(**{"datasets": "leg_counting"} | settings)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ("leg_count", "reasoning-gym has no dataset 'leg_count', did you mean leg_counting"),
        ("composite", "composite is several in one; name those instead"),
        ("countdown", "'countdown' is scored by running the model's answer as Python code"),
        ("rubiks_cube", "'rubiks_cube' has a scorer that need not end"),
        ("coin_flip", "'coin_flip' has a scorer that need not end"),
        (
            {"leg_counting": {"max_animal": 3}},
            "datasets.leg_counting: no setting 'max_animal', did you mean max_animals",
        ),
        ({"leg_counting": {"size": 3}}, "datasets.leg_counting.size: sizes and the seed are set"),
        (
            {"leg_counting": {"max_animals": -1}},
            "datasets.leg_counting: reasoning-gym refuses this configuration: max_animals must be",
        ),
        (
            {"aiw": {"task_types": ["siblings"]}},
            "datasets.aiw: no question could be drawn with this configuration",
        ),
        (
            {"products": {"max_digits": 1}},
            "test: expected 100 questions of 'products', which gives",
        ),
    ],
)
def test_what_reasoning_gym_does_not_have_is_refused_by_name(datasets, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ReasoningGym(datasets).size("train")


def test_a_stop_within_an_answer_is_refused():
    fitness = ReasoningGym({"word_sequence_reversal": {}}, train=2, test=2, stop=", ")
    with pytest.raises(
        ValueError,
        match=r"\(word_sequence_reversal, seed 0, question \d+\): answer: .*, where stop",
    ):
        fitness.size("train")


def test_a_question_whose_own_answer_scores_nothing_is_refused():
    from reasoning_gym import create_dataset

    entry = create_dataset("leg_counting", seed=1, size=1)[0]
    scorer = OwnScorer({"leg_counting": {}})
    scorer.check(Puzzle("leg_counting", 1, 0, entry))
    scorer._made["leg_counting"].score_answer = lambda answer, entry: 0.0
    with pytest.raises(ValueError, match=r"gives its own answer '.*' the score 0.0"):
        scorer.check(Puzzle("leg_counting", 1, 0, entry))


def test_without_the_package_a_user_reads_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    reasoning_gym_library._datasets.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'evomerge\[reasoning-gym\]'"):
        ReasoningGym("leg_counting").size("train")
    reasoning_gym_library._datasets.cache_clear()


def test_all_scorers_that_run_an_answer_are_refused():
    """A model's answer could do anything to the machine: every scorer that runs one must be known."""
    from reasoning_gym.factory import DATASETS

    runs = re.compile(
        r"(?<![\w.])(eval|exec)\(|(sympy|sp)\.(parse_expr|sympify)\(|(?<![\w.])parse_expr\("
    )
    found = set()
    for name, (dataset, _) in DATASETS.items():
        scorer = inspect.getsource(dataset.score_answer)
        module = importlib.import_module(dataset.__module__)
        # a scorer may call what stands beside it in its module
        for called in re.findall(r"(?<![\w.])(\w+)\(", scorer):
            there = getattr(module, called, None)
            if inspect.isfunction(there):
                scorer += inspect.getsource(there)
        if runs.search(scorer):
            found.add(name)
    # these run what reasoning-gym wrote itself, or have a parser of that name
    assert found - RUNS_ANSWERS <= {"bitwise_arithmetic", "number_sorting", "propositional_logic"}
    assert found >= RUNS_ANSWERS
    assert not MAY_NOT_END & found
