"""A processor that has to emulate a number type is seen and told of, and a config can avoid it."""

import logging

import pytest
import tiny_llama
import torch
import yaml
from transformers import AutoModelForCausalLM

from evomerge.cli import main
from populations.dtypes import computes_in, native
from populations.llm import LanguageModels

LAPTOP = {"avx2": True, "f16c": True}
SERVER = {"avx2": True, "avx512_f": True, "avx512_bw": True}
ARM = {"bf16": True, "fp16_arith": True}


@pytest.fixture
def on(monkeypatch):
    """Puts another processor in, and takes GPUs out."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def put_in(there):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: there, raising=False)

    return put_in


@pytest.fixture
def seeds(tmp_path):
    """Two seeds of bfloat16."""
    for number in range(2):
        folder = tmp_path / str(number)
        tiny_llama.save(folder, seed=number)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        model.save_pretrained(folder)
    return [tmp_path / "0", tmp_path / "1"]


@pytest.mark.parametrize(
    ("there", "bfloat16", "float16"),
    [(LAPTOP, False, False), (SERVER, True, False), (ARM, True, True)],
)
def test_what_a_processor_computes_in(on, there, bfloat16, float16):
    on(there)
    assert computes_in(torch.float32)
    assert computes_in(torch.bfloat16) == bfloat16
    assert computes_in(torch.float16) == float16
    assert native() == ("bfloat16" if bfloat16 else "float32")
    assert native("float16") == ("float16" if float16 else "float32")


@pytest.mark.parametrize(
    ("machine", "widest", "bfloat16"),
    [("x86_64", "AVX2", False), ("AMD64", "AVX512", True), ("aarch64", "DEFAULT", True)],
)
def test_an_older_torch_tells_the_widest_vectors(monkeypatch, machine, widest, bfloat16):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: widest)
    assert computes_in(torch.bfloat16) == bfloat16


@pytest.mark.parametrize(
    ("there", "dtype", "warned"),
    [
        (LAPTOP, "auto", True),
        (LAPTOP, "bfloat16", True),
        (LAPTOP, "float32", False),
        (SERVER, "auto", False),
    ],
)
def test_a_run_that_begins_says_that_its_type_is_emulated(on, seeds, caplog, there, dtype, warned):
    on(there)
    caplog.set_level(logging.WARNING, "populations")
    LanguageModels(seeds, dtype=dtype, device="cpu").founders(None)
    lines = [record.getMessage() for record in caplog.records]
    if warned:
        [line] = lines
        assert "no arithmetic for bfloat16" in line
        assert "dtype=float32" in line
    else:
        assert lines == []


def test_what_native_comes_to_is_kept_with_the_run(on, seeds, tmp_path):
    """A run that goes on, or a member that is made again, on another machine has the same type."""
    on(LAPTOP)
    call = {
        "population": {
            "_target_": "populations.llm.LanguageModels",
            "seeds": [str(seed) for seed in seeds],
            "dtype": {"_target_": "populations.dtypes.native"},
        },
        "fitness": {
            "_target_": "fitness.questions.QuestionAnswering",
            "data": {"_target_": "fitness.skills.Sums", "train": 2, "test": 2},
            "max_new_tokens": 2,
        },
        "births": 1,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(call))
    assert main(["run", str(path), f"run_dir={tmp_path / 'run'}"]) == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["population"]["dtype"] == "float32"
    on(SERVER)
    assert main(["resume", str(tmp_path / "run"), "births=2"]) == 0
    best = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "best", dtype="auto")
    assert best.dtype == torch.float32
