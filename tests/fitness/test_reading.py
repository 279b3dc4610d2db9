"""Prompts that are longer than what reads them, or alike to it, are named once."""

import json

import numpy as np
import pytest
import tiny_judges
import tiny_pipelines
import torch

from fitness.clip import TextSimilarity
from fitness.reading import Reader, readers, warn
from fitness.records import JsonLines
from fitness.text_to_image import TextToImage

SMALL = {"steps": 1, "guidance": 1.0, "height": 16, "width": 16}
LONG = "a b c d e f g h i j k l m n"
"""14 letters, and so 16 tokens with start and end: all that is read."""


@pytest.fixture(scope="module")
def pipelines():
    words = tiny_pipelines.tokenizer()
    made = [
        tiny_pipelines.stable_diffusion(0, tokenizer=words),
        tiny_pipelines.sdxl(0, words),
        tiny_pipelines.sd3(0, words),
    ]
    for pipeline in made:
        pipeline.set_progress_bar_config(disable=True)
    return made


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def scored(pipeline, folder, prompts, **settings):
    (folder / "train.jsonl").write_text(
        "\n" + "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
    )
    fitness = TextToImage(
        JsonLines(folder / "train.jsonl"), lambda prompt, picture: 0.5, **SMALL | settings
    )
    for _ in range(2):
        fitness(pipeline, np.arange(2), "train")


def test_what_is_cut_and_what_becomes_alike_is_named_once(pipelines, tmp_path, caplog):
    scored(pipelines[0], tmp_path, ["a", LONG, f"{LONG} o", f"{LONG} o p", "b", f"{LONG} o"])
    place = f"of train ({tmp_path / 'train.jsonl'}, line"
    assert warnings(caplog) == [
        f"2 of 5 different prompts of train are cut at the 16 tokens that text_encoder can read: "
        f"datapoint 2 {place} 4) has 17, datapoint 3 {place} 5) has 18",
        f"3 different prompts of train are alike in the 16 tokens that are read of them: "
        f"datapoint 1 {place} 3) and datapoint 2 {place} 4) and datapoint 3 {place} 5)",
    ]


def test_what_is_read_whole_is_silent(pipelines, tmp_path, caplog):
    for pipeline in pipelines:
        scored(pipeline, tmp_path, ["a", LONG, "a", "A"])
    assert warnings(caplog) == []


def test_several_encoders_and_many_prompts(pipelines, tmp_path, caplog):
    prompts = [f"{number} {LONG}" for number in range(10)]
    for pipeline in pipelines[1:]:
        caplog.clear()
        scored(pipeline, tmp_path, prompts)
        (warning,) = warnings(caplog)
        assert (
            "10 of 10 different prompts of train are cut at the 16 tokens that text_encoder and "
            "text_encoder_2 can read" in warning
        )
        assert warning.endswith("has 17 and 7 more")


def test_a_negative_prompt_is_read_too(pipelines, tmp_path, caplog):
    scored(pipelines[0], tmp_path, ["a", "b"], negative=f"{LONG} o", guidance=2.0)
    assert warnings(caplog) == [
        "1 of 1 different prompts (negative) are cut at the 16 tokens that text_encoder can read: "
        "negative has 17"
    ]


class Encoder:
    """As a T5 encoder's, its config alone counts."""

    class config:  # noqa: N801
        model_type = "t5"


def test_the_limit_of_an_encoder_without_positions_is_the_call_s(pipelines):
    """Stable Diffusion 3: two of CLIP, and one that is told how much it reads."""
    pipeline = pipelines[2]
    before = pipeline.tokenizer_3, pipeline.text_encoder_3
    pipeline.tokenizer_3, pipeline.text_encoder_3 = pipeline.tokenizer, Encoder()
    try:
        assert [reader.limit for reader in readers(pipeline)] == [16, 16, 256]
        assert [reader.limit for reader in readers(pipeline, {"max_sequence_length": 77})] == [
            16,
            16,
            77,
        ]
    finally:
        pipeline.tokenizer_3, pipeline.text_encoder_3 = before


def test_prompts_that_one_encoder_tells_apart_are_not_alike(caplog):
    words = tiny_pipelines.tokenizer()
    texts, where = [f"{LONG} o", f"{LONG} p"], "prompt {}".format
    warn(texts, [Reader("short", words, 16), Reader("long", words, 64)], where, "of test")
    assert [text.split(":")[0] for text in warnings(caplog)] == [
        "2 of 2 different prompts of test are cut at the 16 tokens that short can read"
    ]
    warn(texts, [Reader("short", words, 16), Reader("other", words, 8)], where, "of test")
    assert (
        "2 different prompts of test are alike in the 16 tokens that are read of them: "
        "prompt 0 and prompt 1" in caplog.text
    )


def test_a_judge_s_limit_counts(pipelines, tmp_path, caplog):
    judge = TextSimilarity(tiny_judges.clip(tmp_path / "clip"))
    limit = judge.reader.limit
    prompts = ["a", " ".join("a" * (limit + 1))]
    (tmp_path / "train.jsonl").write_text(
        "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
    )
    fitness = TextToImage(JsonLines(tmp_path / "train.jsonl"), judge, **SMALL)
    with torch.no_grad():
        fitness(pipelines[0], np.arange(1), "train")
    assert (
        f"1 of 2 different prompts of train are cut at the {limit} tokens that the judge can read"
        in caplog.text
    )


def test_a_pipeline_of_its_own_code_is_left_alone(pipelines):
    class Mine(type(pipelines[0])):
        """May read prompts in pieces."""

    parts = dict(pipelines[0].components.items())
    assert readers(Mine(**parts, requires_safety_checker=False)) == []
    assert len(readers(pipelines[0])) == 1
