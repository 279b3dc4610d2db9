"""`evomerge merge`: what it writes is what it runs, and whoever makes a mistake is left with nothing but a line."""

import json
import shutil
from pathlib import Path

import peft
import pytest
import tiny_llama
import yaml
from transformers import AutoModelForCausalLM
from whole_runs import log_of

from evomerge.cli import main
from evomerge.config import config

SUMS = [{"question": f"{n}+{n}?", "answer": str(2 * n)} for n in range(10)]
WORDS = [{"prompt": f"say {n}", "completion": f"w{n}"} for n in range(5)]
FEW = ["--births", "2", "--max-new-tokens", "4"]
BOTH = ["mine/a", "mine/b", "--data", "sums.jsonl", "words.jsonl"]


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """Two fine-tunes of one base, the same with a chat template, an adapter, and files."""
    folder = tmp_path_factory.mktemp("brought")
    tiny_llama.tuned(folder / "mine", ["a", "b"])
    tiny_llama.tuned(folder / "chatty", ["a", "b"], chat=tiny_llama.CHAT)
    for name in ("one", "other"):
        model = AutoModelForCausalLM.from_pretrained(folder / "mine" / "base")
        settings = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        adapted = peft.get_peft_model(model, settings)
        adapted.peft_config["default"].base_model_name_or_path = "/nowhere"
        adapted.save_pretrained(folder / "adapters" / name)
    written(folder / "sums.jsonl", SUMS)
    written(folder / "words.jsonl", WORDS)
    return folder


@pytest.fixture
def here(brought, tmp_path, monkeypatch):
    """A working directory with what was brought."""
    for path in brought.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def merge(*words, code=0):
    """Runs the command; it has to end with this code."""
    assert main(["merge", *words]) == code


def refused(capsys, *words):
    """The lines in which a command is refused, which leaves nothing behind."""
    before = set(Path.cwd().rglob("*"))
    capsys.readouterr()
    merge(*words, code=2)
    assert set(Path.cwd().rglob("*")) == before
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert all(line.startswith("evomerge: ") for line in lines), lines
    return [line.removeprefix("evomerge: ") for line in lines]


def parts(path="out/merge.yaml"):
    """The parts of the fitness that a config has, without their classes and data."""
    call = yaml.safe_load(Path(path).read_text())
    return call["fitness"].get("parts", [call["fitness"]])


def test_what_is_written_is_what_is_run(here, capsys):
    merge(*BOTH, *FEW, "--out", "out")
    said = capsys.readouterr().out
    assert "sums: 8 to train, 2 to test; question -> answer; read as" in said
    assert "words: 4 to train, 1 to test; prompt -> completion" in said
    table = said[said.index("test ") : said.index("\n\n")].splitlines()
    assert [line.split()[0] for line in table] == ["test", "sums", "words", "all"]
    assert table[0].split()[1:] == ["a", "b", "merged"]
    assert "No model that was given is ever right on words. The report shows" in said
    for line in ("out/run/best", "evomerge resume out/run births=6", "out/merge.yaml seed=1"):
        assert line in said
    AutoModelForCausalLM.from_pretrained("out/run/best")

    # as it is, it is a config of `run` and of `check`
    assert main(["run", "out/merge.yaml", "run_dir=again"]) == 0
    assert log_of(here / "out" / "run") == log_of(here / "again")
    assert main(["check", "out/merge.yaml", "--seconds", "1"]) == 0
    assert main(["resume", "out/run", "births=3"]) == 0
    assert list(refused(capsys, *BOTH, "--out", "out")) == [
        "out/run: there is a run in it already; go on with `evomerge resume out/run`, "
        "or name another run_dir"
    ]  # fmt: skip


def test_what_must_not_be_forgotten_is_scored_before_and_after(here, capsys):
    """It is asked as the skills are, all of it, and nothing is trained or chosen by it."""
    written(here / "facts.jsonl", [{"q": f"fact {n}", "a": "x"} for n in range(3)])
    words = ["mine/a", "mine/b", "--data", "sums.jsonl", "--watch", "facts.jsonl", *FEW]
    fields = ["--answer", "answer", "a", "--template", "{question} ", "{q} "]
    merge(*words, *fields, "--out", "out")
    said = capsys.readouterr().out
    assert "facts: 3 only watched; the answer is the field 'a'" in said
    # a guard that nobody passes guards nothing
    assert "No model that was given is ever right on facts." in said
    table = [line.split() for line in said[said.index("test ") : said.index("\n\n")].splitlines()]
    assert [line[0] for line in table] == ["test", "sums", "facts"]
    assert table[2][1] == "(watched)"
    assert len(table[2]) == 5

    fitness = yaml.safe_load(Path("out/merge.yaml").read_text())["fitness"]
    assert [part["answer"] for part in fitness["parts"]] == ["answer"]
    assert [part["answer"] for part in fitness["watched"]] == ["a"]
    births = log_of(here / "out" / "run")
    founders = [entry for entry in births if "founder" in entry]
    assert all(set(entry["watched"]) == {"facts"} for entry in founders)
    # it counts for nothing: without it the same members have the same scores
    merge(
        "mine/a",
        "mine/b",
        "--data",
        "sums.jsonl",
        *FEW,
        "--template",
        "{question} ",
        "--out",
        "alone",
    )
    assert [entry["train"] for entry in log_of(here / "alone" / "run")] == [
        entry["train"] for entry in births
    ]  # fmt: skip


def test_what_is_watched_need_not_be_told_how_it_is_asked(here, capsys):
    """It has the fields that it has."""
    written(here / "facts.jsonl", [{"prompt": "Paris?", "completion": "France"}] * 4)
    lengths = ["--max-new-tokens", "4", "5", "6", "--births", "1", "--limit", "3"]
    merge(*BOTH, *lengths, "--watch", "facts.jsonl", "--out", "out", "--dry-run")
    assert "facts: 3 only watched; prompt -> completion" in capsys.readouterr().out
    fitness = yaml.safe_load(Path("out/merge.yaml").read_text())["fitness"]
    [facts] = fitness["watched"]
    assert (facts["template"], facts["data"]["train"]["stop"]) == ("{prompt}", 3)
    assert facts["max_new_tokens"] == 6

    [line] = refused(capsys, *BOTH, "--watch", "sums.jsonl")
    assert line == "sums.jsonl: the same file is given more than once"
    assert refused(capsys, "mine/a", "mine/b", "--watch", "facts.jsonl") == [
        "--data: expected a file of questions with answers for each skill, "
        "or tasks of lm-eval (--tasks); there is neither"
    ]
    [line] = refused(capsys, *BOTH, "--watch", "facts.jsonl", "--max-new-tokens", *"1234")
    assert "one for each of 3, those of --watch last, got 4" in line


def test_a_dry_run_writes_the_config_and_nothing_else(here, capsys):
    merge(*BOTH, *FEW, "--out", "out", "--dry-run")
    assert [path.name for path in Path("out").iterdir()] == ["merge.yaml"]
    text = Path("out/merge.yaml").read_text()
    assert "evomerge run out/merge.yaml births=6" in text
    # the same again is no other config; another one is in the way
    merge(*BOTH, *FEW, "--out", "out", "--dry-run")
    [line] = refused(capsys, *BOTH, *FEW, "--seed", "1", "--out", "out")
    assert line.startswith("out/merge.yaml: it is there and says something else; `evomerge run")
    merge(*BOTH, *FEW, "--out", "out")
    assert Path("out/merge.yaml").read_text() == text
    assert Path("out/run/best/model.safetensors").exists()


def test_overrides_stand_in_the_config_wherever_they_are_given(here):
    words = ["mine/a", "births=7", "mine/b", "--data", "sums.jsonl", "tile=5", "--out", "out"]
    merge(*words, "--dry-run", "strategy.size=3", "population.chromosomes={attention: self_attn}")
    call = config.load(Path("out/merge.yaml"))
    assert (call["births"], call["tile"], call["strategy"]["size"]) == (7, 5, 3)
    assert call["population"]["chromosomes"] == {"attention": "self_attn"}
    assert call["population"]["seeds"] == ["mine/a", "mine/b"]


def test_overrides_stand_behind_texts_too(here):
    words = ["--template", "{question}=", "births=7", "--max-new-tokens", "3", "tile=5"]
    merge(
        "mine/a", "mine/b", "--data", "sums.jsonl", *words,
        "--stop", "births", "tokens=5", "strategy.size=3", "--out", "out", "--dry-run",
    )  # fmt: skip
    call = config.load(Path("out/merge.yaml"))
    assert (call["births"], call["tile"], call["strategy"]["size"]) == (7, 5, 3)
    [part] = parts()
    assert (part["template"], part["max_new_tokens"]) == ("{question}=", 3)
    assert part["stop"] == ["births", "tokens=5"]


def test_an_option_that_is_given_again_adds_to_what_it_was_given(here):
    merge(
        "mine/a", "mine/b", "--data", "sums.jsonl", "--data", "words.jsonl",
        "--stop", ";", "--stop", ".", "--max-new-tokens", "3", "--max-new-tokens", "4",
        "--out", "out", "--dry-run",
    )  # fmt: skip
    first, second = parts()
    assert first["data"]["train"]["path"] == "sums.jsonl"
    assert second["data"]["train"]["path"] == "words.jsonl"
    assert first["stop"] == second["stop"] == [";", "."]
    assert (first["max_new_tokens"], second["max_new_tokens"]) == (3, 4)


@pytest.mark.parametrize(
    "text",
    ["Use ${HOME}, {x} and \\\\${y}.", "an odd line\u2028ends\x85 here", "ünï \U0001f389: # 'no'", "1e5", "half \\ud83d", "a\nb\t "],
)  # fmt: skip
def test_whatever_stands_in_a_file_stands_in_the_config(here, text):
    talk = [{"role": "system", "content": text}, {"role": "user", "content": "a"}]
    record = {"messages": [*talk, {"role": "assistant", "content": "b"}]}
    written(here / "talks.jsonl", [record] * 3)
    merge("chatty/a", "chatty/b", "--data", "talks.jsonl", "--out", "out", "--dry-run")
    assert config.load(Path("out/merge.yaml"))["fitness"]["system"] == text


def test_the_report_has_the_names_that_are_printed(here, capsys):
    for folder in ("first", "second"):
        (here / folder).mkdir()
        written(here / folder / "sums.jsonl", SUMS)
    written(here / "2024.jsonl", WORDS)
    files = ["first/sums.jsonl", "second/sums.jsonl", "2024.jsonl"]
    merge("mine/a", "mine/b", "--data", *files, *FEW, "--out", "out")
    names = ["first/sums", "second/sums", "2024.jsonl"]
    assert config.load(Path("out/merge.yaml"))["fitness"]["names"] == names
    printed = capsys.readouterr().out
    report = Path("out/run/report.html").read_text()
    for name in names:
        assert f"\n{name}" in printed
        assert f">{name}" in report
    # Names that need not be said are not: what is watched would have to have one, too.
    merge(*BOTH, "--out", "plain", "--dry-run")
    assert "names" not in config.load(Path("plain/merge.yaml"))["fitness"]


def test_options_stand_in_the_config(here):
    written(here / "more.jsonl", SUMS[:3])
    written(here / "last.jsonl", [{"prompt": "a", "completion": "b"}] * 3)
    merge(
        *BOTH, "--test", "more.jsonl", "last.jsonl", "--limit", "2", "--template", r"Q: {question}\nA:", "{prompt}",
        "--score", "numeric", "exact", "--max-new-tokens", "3", "--stop", r"\n", ";", "--batch", "5",
        "--dtype", "float32", "--device", "cpu", "--out", "out", "--dry-run",
    )  # fmt: skip
    first, second = parts()
    assert first["data"]["train"] == {"path": "sums.jsonl", "stop": 2}
    assert first["data"]["test"] == {"path": "more.jsonl", "stop": 2}
    assert (first["template"], first["score"]) == ("Q: {question}\nA:", "fitness.matching.numeric")
    assert (second["template"], second["score"]) == ("{prompt}", "fitness.matching.exact")
    for part in (first, second):
        assert (part["max_new_tokens"], part["stop"], part["batch"]) == (3, ["\n", ";"], 5)
    population = config.load(Path("out/merge.yaml"))["population"]
    assert (population["dtype"], population["device"]) == ("float32", "cpu")


def test_a_chat_template_is_used_where_all_have_it(here, capsys):
    merge("chatty/a", "chatty/b", "--data", "sums.jsonl", *FEW, "--out", "out")
    [part] = parts()
    assert (part["chat"], part["template"]) == (True, "{question}")
    assert "stop" not in part
    assert (
        "Questions go into the chat template: all models have the same" in capsys.readouterr().out
    )
    for number, words in enumerate((["--no-chat"], ["--template", "{question}"])):
        merge(
            "chatty/a",
            "chatty/b",
            "--data",
            "sums.jsonl",
            *words,
            "--out",
            str(number),
            "--dry-run",
        )
        assert "chat" not in parts(f"{number}/merge.yaml")[0]
    [line] = refused(capsys, "mine/a", "chatty/b", "--data", "sums.jsonl")
    assert line.startswith("--chat: chatty/b has a chat template, mine/a has none; say --chat")


def test_conversations_bring_their_system(here, capsys):
    talk = [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}],
        [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "c?"}, {"from": "gpt", "value": "d"}],
    ]  # fmt: skip
    written(here / "talk.jsonl", [{"messages": turns} for turns in talk])
    merge("chatty/a", "chatty/b", "--data", "talk.jsonl", *FEW, "--out", "out")
    [part] = parts()
    assert part["data"]["_target_"] == "fitness.conversations.Conversations"
    assert (part["chat"], part["system"]) == (True, "Be brief.")
    asked = json.loads(Path("out/run/best/test.jsonl").read_text().splitlines()[0])
    assert (asked["prompt"], asked["expected"]) == ("c?", "d")
    [line] = refused(capsys, "mine/a", "mine/b", "--data", "talk.jsonl")
    assert line.startswith("talk.jsonl: it has a system's message")


def test_adapters_stand_on_the_base(here, capsys):
    adapters = ["adapters/one", "adapters/other", "--data", "sums.jsonl"]
    merge(*adapters, "--base", "mine/base", *FEW, "--out", "out")
    assert config.load(Path("out/merge.yaml"))["population"]["adapter_base"] == "mine/base"
    one, other = refused(capsys, *adapters)
    assert one.startswith("adapters/one: the adapter's base /nowhere cannot be had")
    assert other.startswith("adapters/other: ")
    [line] = refused(capsys, *BOTH, "--base", "mine/base")
    assert line.startswith("--base: expected a LoRA adapter among the models, or a --method")


def test_a_method_takes_differences_from_the_base(here):
    merge(*BOTH, "--method", "ties", "--base", "mine/base", "--out", "out", "--dry-run")
    call = config.load(Path("out/merge.yaml"))
    assert call["population"]["base"] == "mine/base"
    assert call["population"]["method"]["parameters"] == {"density": 0.5}
    assert call["strategy"]["crossover"]["angle"] == "none"


def test_tasks_of_lm_eval(here, capsys):
    pytest.importorskip("lm_eval", reason="needs lm-eval: pip install 'evomerge[lm-eval]'")
    folder = here / "tasks"
    folder.mkdir()
    written(folder / "test.json", [{"text": f"{n}+1", "right": str(n + 1)} for n in range(6)])
    task = {
        "task": "ours",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(folder / "test.json")},
            "cache_dir": str(folder / "cache"),
        },
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{text}}=",
        "doc_to_target": "right",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean"}],
    }
    (folder / "ours.yaml").write_text(yaml.safe_dump(task))
    merge(*BOTH, "--tasks", "ours", "--task-path", "tasks", *FEW, "--out", "out")
    *_, harness = parts()
    assert (harness["task"], harness["train"], harness["test"]) == ("ours", "test[:5]", "test[5:]")
    assert "ours: 5 to train (test[:5]), 1 to test (test[5:]); a task of lm-eval" in (
        capsys.readouterr().out
    )
    (here / "ours.jsonl").symlink_to("sums.jsonl")
    words = ["--data", "ours.jsonl", "--tasks", "ours", "--task-path", "tasks", *FEW, "--dry-run"]
    merge("mine/a", "mine/b", *words, "--out", "both")
    assert config.load(Path("both/merge.yaml"))["fitness"]["names"] == ["ours", "ours of lm-eval"]
    lines = refused(capsys, *BOTH, "--tasks", "our", "--task-path", "tasks")
    assert lines == ["--tasks our: task: lm-eval has no task 'our'; the nearest are 'ours'"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine/a", "--data", "sums.jsonl"], ["MODEL: expected two models or more, got mine/a"]),
        (["mine/a", "mine/../mine/a"], ["--data: expected a file of questions with", "mine/../mine/a: the same model is given more than once"]),
        (["mine/a", "./b", "--data", "sums.jsonl", "no.jsonl", "mine"], ["no.jsonl: there is no such file", "mine: expected a file of JSON lines, this is a folder", "./b: expected a folder with a model"]),
        ([*BOTH, "--test", "sums.jsonl"], ["--test: expected as many files as --data has, 2, got 1", "sums.jsonl: the same file"]),
        ([*BOTH, "--split", "1", "--limit", "0", "--batch", "0", "--births", "-1"], ["--limit: expected at least 1, got 0", "--batch: ", "--split: expected a share between 0 and 1, got 1", "--births: expected at least 0"]),
        ([*BOTH, "--score", "exact", "numeric", "gsm8k"], ["--score: expected one for all files, or one for each of 2, got 3"]),
        ([*BOTH, "--score", "gsm8k"], ["sums: datapoint 0 of train (sums.jsonl, line 1): answer: expected '####'", "words: datapoint 0"]),
        ([*BOTH, "--answer", "reply"], ["sums: datapoint 0 of train (sums.jsonl, line 1): answer: no field 'reply'", "words: "]),
        ([*BOTH, "--max-new-tokens", "0", "few"], ["--max-new-tokens: expected a whole number of at least 1, got '0'", "--max-new-tokens: expected a whole number of at least 1, got 'few'"]),
        ([*BOTH, "--task-path", "mine"], ["--task-path: expected --tasks"]),
        (["mine/a", "mine/b", "--tasks", "ours", "--template", "{a}", "--stop", "b", "c"], ["--template: expected --data", "--stop: expected --data"]),
        (["mine/a", "adapters/one", "--data", "sums.jsonl"], ["adapters/one: the adapter's base /nowhere cannot be had: expected a folder, or owner/name of the hub, there is no folder /nowhere; set --base to a folder"]),
        ([*BOTH, "--method", "ties"], ["--method: ties takes differences from a base; --base names it"]),
        ([*BOTH, "--method", "ties", "--base", "./no"], ["--base: ./no: expected a folder with a model"]),
        ([*BOTH, "--base", "mine/base", "--method", "linear"], ["--base: linear takes no base"]),
        ([*BOTH, "--base", "mine/base", "--method", "linnear"], ["population.method: name: mergekit has no merge method 'linnear'; did you mean 'linear'?"]),
        ([*BOTH, "--chat"], ["--chat: no model has a chat template"]),
        ([*BOTH, "--system", "Be brief."], ["--system: a system's message needs --chat"]),
        ([*BOTH, "--dtype", "float8"], ["population.dtype: expected"]),
        ([*BOTH, "strategy.sise=3", "tile=0"], ["strategy.sise: unknown key; did you mean 'size'?", "tile: expected a number of at least 1"]),
        ([*BOTH, "run_dir=here"], ["run_dir=here: a merge has its run in its own folder; give --out"]),
        ([*BOTH, "--out", "sums.jsonl"], ["sums.jsonl: expected a folder, this is a file"]),
        (["mine/a", "mine/b", "--data", "odd.jsonl", "one.jsonl", "broken.jsonl"], ["odd.jsonl: no field is known to be the question; its fields: text, label", "one.jsonl: expected two or more to divide", "broken.jsonl, line 2: not JSON"]),
    ],
)  # fmt: skip
def test_all_mistakes_are_said_at_once_and_nothing_is_left(here, capsys, words, said):
    written(here / "odd.jsonl", [{"text": "a", "label": 1}] * 3)
    written(here / "one.jsonl", SUMS[:1])
    (here / "broken.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question"\n')
    lines = refused(capsys, *words)
    assert len(lines) == len(said), lines
    for line, beginning in zip(lines, said, strict=True):
        assert line.startswith(beginning)


def test_models_that_do_not_fit_are_refused_before_a_weight_is_read(here, capsys):
    tiny_llama.save(here / "wide", hidden_size=64)
    [line] = refused(capsys, "mine/a", "wide", "--data", "sums.jsonl")
    assert line.startswith("population: ")
    shutil.rmtree(here / "wide")


def test_test_questions_that_are_trained_on_are_said(here, capsys):
    written(here / "twice.jsonl", [SUMS[0]] * 5)
    merge("mine/a", "mine/b", "--data", "twice.jsonl", "--out", "out", "--dry-run")
    assert "twice: 1 of 1 test questions are among those that are trained on" in (
        capsys.readouterr().err
    )
