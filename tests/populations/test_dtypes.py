"""A processor that has to emulate a number type is seen, told of, and by "native" avoided."""

import logging

import pytest
import tiny_llama
import torch
from transformers import AutoModelForCausalLM

from populations.llm import LanguageModels
from populations.settings.dtypes import computes_in

LAPTOP = {"avx2": True, "f16c": True}
SERVER = {"avx2": True, "avx512_f": True, "avx512_bw": True}
ARM = {"bf16": True, "fp16_arith": True}


@pytest.fixture
def on(monkeypatch):
    """Puts another processor in."""
    return lambda there: monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: there)


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
    assert computes_in(torch.float32, "cpu")
    assert computes_in(torch.bfloat16, "cpu") == bfloat16
    assert computes_in(torch.float16, "cpu") == float16
    # What a processor lacks says nothing of another device.
    assert computes_in(torch.bfloat16, "mps")


@pytest.mark.parametrize(
    ("there", "dtype", "expected"),
    [
        (LAPTOP, "native", torch.float32),
        (SERVER, "native", torch.bfloat16),
        (LAPTOP, "auto", torch.bfloat16),
        (LAPTOP, "bfloat16", torch.bfloat16),
        (LAPTOP, "float32", torch.float32),
    ],
)
def test_native_is_the_seeds_type_where_there_is_arithmetic_for_it(
    on, seeds, caplog, there, dtype, expected
):
    on(there)
    caplog.set_level(logging.INFO)
    population = LanguageModels(seeds, dtype=dtype, device="cpu")
    genome = population.founders(None)[0]
    assert population.express(genome).model.dtype == expected
    population.express(genome)
    width = population.footprint()["model"] / population.axis.size
    assert width == expected.itemsize

    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    if there is LAPTOP and expected == torch.bfloat16:
        [line] = warned
        assert "no arithmetic for bfloat16" in line
        assert "`dtype: native`" in line
    else:
        assert warned == []


def test_a_torch_that_does_not_tell_is_believed(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert computes_in(torch.bfloat16, "cpu")
