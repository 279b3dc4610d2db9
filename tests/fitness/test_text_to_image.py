"""Scores of pictures: what is drawn, what judges say of it, and what users get wrong."""

import base64
import io
import json
import pickle

import numpy as np
import pytest
import tiny_judges
import tiny_pipelines
import torch
from PIL import Image
from transformers import CLIPModel, ViTForImageClassification
from weight_expansions import expansions

from fitness.classifier import ClassProbability
from fitness.clip import ImageSimilarity, TextSimilarity
from fitness.painting import Painter, noise_of
from fitness.pictures import opened, pil
from fitness.records import JsonLines
from fitness.text_to_image import TextToImage

SMALL = {"steps": 2, "guidance": 1.0, "height": 16, "width": 16}


@pytest.fixture(scope="module")
def pipeline():
    made = tiny_pipelines.stable_diffusion(0, tokenizer=tiny_pipelines.tokenizer())
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges")
    return {
        "clip": tiny_judges.clip(folder / "clip"),
        "classifier": tiny_judges.classifier(folder / "classifier"),
    }


@pytest.fixture
def data(tmp_path):
    """Twelve prompts to train, each with a label and a reference picture, and three to test."""
    rng, lines = np.random.default_rng(0), []
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(
            tmp_path / f"{number}.png"
        )
        lines.append(
            {
                "prompt": f"a {number}",
                "label": ["cat", "dog", "owl"][number % 3],
                "image": str(tmp_path / f"{number}.png"),
            }
        )
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "test.jsonl").write_text(
        "".join(json.dumps(line | {"prompt": "the b"}) + "\n" for line in lines[:3])
    )
    return JsonLines(tmp_path / "train.jsonl", tmp_path / "test.jsonl")


def brightness(prompt, image):
    assert isinstance(image, Image.Image)
    return float(np.asarray(image).mean() / 255) if prompt.startswith("a") else 0.0


def test_a_function_of_prompt_and_picture(pipeline, data):
    fitness = TextToImage(data, brightness, **SMALL)
    assert (fitness.size("train"), fitness.size("test"), fitness.size("validation")) == (12, 3, 0)
    scores = fitness(pipeline, np.arange(12), "train")
    pictures = Painter(**SMALL)(
        pipeline, [f"a {n}" for n in range(12)], [noise_of(0, "train", n) for n in range(12)]
    )
    assert scores.dtype == np.float32
    assert scores.tolist() == [np.float32(brightness("a", pil(picture))) for picture in pictures]
    assert fitness(pipeline, np.arange(3), "test").tolist() == [0, 0, 0]


def test_scores_do_not_depend_on_the_batch_or_the_company(pipeline, data, judges):
    for judge in (
        ImageSimilarity(judges["clip"]),
        TextSimilarity(judges["clip"]),
        ClassProbability(judges["classifier"]),
    ):
        whole = TextToImage(data, judge, **SMALL)(pipeline, np.arange(12), "train")
        assert len(set(whole.tolist())) > 6
        for batch in (1, 5):
            fitness = TextToImage(data, judge, batch=batch, **SMALL)
            parts = [
                fitness(pipeline, cut, "train")
                for cut in (np.array([7, 2]), np.array([0, 1, 3, 4, 5, 6, 8, 9, 10, 11]))
            ]
            assert np.abs(parts[0] - whole[[7, 2]]).max() <= 1e-5
            assert np.abs(parts[1] - np.delete(whole, [2, 7])).max() <= 1e-5


def test_noise_comes_from_seed_split_and_datapoint(pipeline, data):
    (data.test).write_text(data.train.read_text())
    one, again, other = (
        TextToImage(data, brightness, seed=seed, **SMALL)(pipeline, np.arange(12), "train")
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert (one != other).all()
    assert (
        one != TextToImage(data, brightness, seed=1, **SMALL)(pipeline, np.arange(12), "test")
    ).all()
    assert (
        len(
            {
                noise_of(seed, split, j)
                for seed in (0, 1)
                for split in ("train", "test")
                for j in range(50)
            }
        )
        == 200
    )


def test_the_cosine_to_a_reference_picture(pipeline, data, judges):
    """By hand, with transformers' own processor and model; a picture is most like itself."""
    judge = ImageSimilarity(judges["clip"])
    references = [opened(record["image"]) for record in data.split("train")]
    pictures = torch.stack(
        [torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255 for image in references]
    )
    records = data.split("train")
    scores = np.array(
        [judge.score(pictures[[i]].repeat(12, 1, 1, 1), [""] * 12, records) for i in range(12)]
    )
    assert (scores.argmax(axis=1) == np.arange(12)).all()
    assert np.allclose(np.diag(scores), 1, atol=1e-6)
    model, processor = CLIPModel.from_pretrained(judges["clip"]), judge.processor
    with torch.no_grad():
        features = model.get_image_features(
            processor(images=references, return_tensors="pt")["pixel_values"]
        ).pooler_output
    features = torch.nn.functional.normalize(features, dim=-1)
    assert np.allclose(scores, ((features @ features.T + 1) / 2).numpy(), atol=1e-5)


def test_arrays_are_references_too(judges):
    judge, rng = ImageSimilarity(judges["clip"]), np.random.default_rng(0)
    grey, colour = (
        rng.integers(0, 256, (16, 16), dtype=np.uint8),
        rng.integers(0, 256, (16, 16, 3), dtype=np.uint8),
    )
    pictures = (
        torch.stack(
            [torch.from_numpy(grey).expand(3, 16, 16), torch.from_numpy(colour).permute(2, 0, 1)]
        )
        / 255
    )
    scores = judge.score(pictures, ["", ""], [{"image": grey}, {"image": colour}])
    assert np.allclose(scores, 1, atol=1e-6)


def test_references_that_are_opened_anew_each_time_are_not_mixed_up(judges):
    """As of a data set that decodes on access: the next one may have the last one's address."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(30)]
    arrays += [array.reshape(8, 32, 3) for array in arrays[:3]]
    pictures = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    lazy, plain = ImageSimilarity(judges["clip"]), [ImageSimilarity(judges["clip"]) for _ in arrays]
    for array, alone in zip(arrays, plain, strict=True):
        expected = alone.score(pictures, [""], [{"image": array}])
        assert lazy.score(pictures, [""], [{"image": Image.fromarray(array)}]) == pytest.approx(
            expected, abs=1e-6
        )
    assert len(lazy._known) == len(arrays)


def test_the_cosine_to_the_prompt(judges):
    judge = TextSimilarity(judges["clip"])
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    scores = judge.score(pictures, ["a b", "the 3", "a b"], [{}] * 3)
    image, text = (
        judge.image_features([pil(picture) for picture in pictures]),
        judge.text_features(["a b"]),
    )
    assert scores[0] == pytest.approx(float((image[0] @ text[0] + 1) / 2), abs=1e-6)
    assert scores[2] == pytest.approx(float((image[2] @ text[0] + 1) / 2), abs=1e-6)


def test_the_probability_of_the_wanted_class(judges):
    judge = ClassProbability(judges["classifier"])
    pictures = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    scores = [
        judge.score(pictures, [""] * 4, [{"label": label}] * 4) for label in ("cat", 1, np.int64(2))
    ]
    assert np.allclose(np.sum(scores, axis=0), 1, atol=1e-6)
    model = ViTForImageClassification.from_pretrained(judges["classifier"])
    with torch.no_grad():
        pixels = judge.processor(
            images=[pil(picture) for picture in pictures], return_tensors="pt"
        )["pixel_values"]
        expected = model(pixel_values=pixels).logits.softmax(-1).numpy()
    assert np.allclose(np.stack(scores, axis=1), expected, atol=1e-6)


def test_labels_of_a_classifier_with_two_classes_of_one_name(tmp_path):
    judge = ClassProbability(tiny_judges.classifier(tmp_path, ("crane", "owl", "crane")))
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert (
        len({float(judge.score(pictures[:1], [""], [{"label": label}])[0]) for label in (0, 1, 2)})
        == 3
    )
    judge.check({"label": "owl"})
    with pytest.raises(ValueError, match="got 'crane'; 2 have that name, so give the number"):
        judge.check({"label": "crane"})


def test_a_model_without_a_head_is_no_judge(tmp_path, judges):
    ViTForImageClassification.from_pretrained(judges["classifier"]).vit.save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match="is no ViTForImageClassification: it has no weights for classifier"
    ):
        ClassProbability(tmp_path).check({"label": 1})


def test_judging_shrinks_its_batch_where_memory_runs_out(judges, caplog):
    pictures = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    judge, records = ClassProbability(judges["classifier"]), [{"label": 1}] * 5
    expected = judge.score(pictures, [""] * 5, records)

    def limit(module, arguments, options):
        if len(options["pixel_values"]) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    judge.network.register_forward_pre_hook(limit, with_kwargs=True)
    assert judge.score(pictures, [""] * 5, records) == pytest.approx(expected, abs=1e-6)
    assert (
        "memory ran out while 5 pictures were judged side by side; from here on 2 are"
        in caplog.text
    )


def test_what_a_report_shows(pipeline, data):
    fitness = TextToImage(data, brightness, **SMALL)
    assert fitness.showcase("train").tolist() == list(range(10))
    assert fitness.showcase("test").tolist() == [0, 1, 2]
    shown = fitness.explain(pipeline, np.array([4, 2]), "train")
    assert [entry["prompt"] for entry in shown] == ["a 4", "a 2"]
    scores = fitness(pipeline, np.array([4, 2]), "train")
    for entry, score in zip(shown, scores, strict=True):
        assert entry["score"] == pytest.approx(float(score), abs=1e-5)
        picture = Image.open(
            io.BytesIO(base64.b64decode(entry["picture"].removeprefix("data:image/png;base64,")))
        )
        assert picture.size == (16, 16)
        assert brightness("a", picture) == pytest.approx(float(score), abs=1e-5)


def test_settings_travel_and_models_do_not(pipeline, data, judges):
    fitness = TextToImage(data, ImageSimilarity(judges["clip"]), **SMALL)
    expected = fitness(pipeline, np.arange(4), "train")
    sent = pickle.dumps(fitness)
    assert len(sent) < 2000
    assert np.array_equal(pickle.loads(sent)(pipeline, np.arange(4), "train"), expected)


def test_a_batch_is_halved_when_memory_runs_out(pipeline, caplog):
    sizes = []

    def limit(module, args, kwargs):
        sizes.append(len(args[0]))
        if len(args[0]) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    expected = Painter(**SMALL)(pipeline, list("abcde"), range(5))
    painter = Painter(**SMALL, batch=8)
    hook = pipeline.unet.register_forward_pre_hook(limit, with_kwargs=True)
    try:
        assert (painter(pipeline, list("abcde"), range(5)) - expected).abs().max() <= 1e-5
    finally:
        hook.remove()
    assert painter.batch == 2
    assert (
        "memory ran out while 5 pictures were drawn side by side; from here on 2 are" in caplog.text
    )
    assert max(sizes[1:]) == 2


def test_a_picture_without_memory_is_an_error(pipeline):
    def refuse(*_):
        raise RuntimeError("not enough memory: you tried to allocate 8 GB")

    hook = pipeline.unet.register_forward_pre_hook(refuse)
    try:
        with pytest.raises(
            MemoryError, match="there is no memory to draw one picture: make it smaller"
        ):
            Painter(**SMALL)(pipeline, ["a"], [0])
    finally:
        hook.remove()


def line(**record):
    return json.dumps({"prompt": "a", "label": 1, "image": "none.png"} | record) + "\n"


BAD = {
    "a broken line": ('{"prompt": "a', brightness, {}, "train.jsonl, line 1: not JSON"),
    "no prompt": (
        '{"text": "a"}\n',
        brightness,
        {},
        "datapoint 0 of train .*line 1.: template: no field 'prompt'; its fields: text",
    ),
    "a template with an unknown field": (
        line(),
        brightness,
        {"template": "{promt}"},
        "template: no field 'promt'",
    ),
    "no reference picture": (
        line(),
        "image",
        {},
        r"line 1\): image: expected a picture, there is no file none.png",
    ),
    "a reference that is no picture": (
        line(image="train.jsonl"),
        "image",
        {},
        "image: expected a picture, train.jsonl is none",
    ),
    "a number for a picture": (
        line(image=3),
        "image",
        {},
        "image: expected a picture: a path, or an array",
    ),
    "no field of the picture": (
        '{"prompt": "a"}\n',
        "image",
        {},
        "image: no field 'image'; its fields: prompt",
    ),
    "no label": ('{"prompt": "a"}\n', "class", {}, "label: no field 'label'; its fields: prompt"),
    "an unknown class": (
        line(label="cow"),
        "class",
        {},
        r"label: expected one of the classifier's 3 classes \(cat, dog, owl\), got 'cow'",
    ),
    "a class out of range": (
        line(label=3),
        "class",
        {},
        "expected one of the classifier's 3 classes",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_record_is_refused_before_anything_is_drawn(tmp_path, monkeypatch, judges, what):
    text, judge, settings, message = BAD[what]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text(text)
    judge = {
        "image": ImageSimilarity(judges["clip"]),
        "class": ClassProbability(judges["classifier"]),
    }.get(judge, judge)
    with pytest.raises(ValueError, match=message) as raised:
        TextToImage(JsonLines(tmp_path / "train.jsonl"), judge, **settings).size("train")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (
            lambda judges: ImageSimilarity("nowhere/at/all"),
            "model: nowhere/at/all cannot be loaded",
        ),
        (
            lambda judges: ImageSimilarity(judges["classifier"]),
            "model: expected a model of type clip, .* is a vit",
        ),
        (
            lambda judges: TextSimilarity(judges["classifier"]),
            "model: expected a model of type clip, .* is a vit",
        ),
    ],
)
def test_a_bad_judge_is_refused_before_anything_is_drawn(data, judges, judge, message):
    with pytest.raises(ValueError, match=message):
        TextToImage(data, judge(judges)).size("train")


class Wrong:
    """A judge that gives what it should not."""

    def __init__(self, scores):
        self.scores = scores

    def check(self, record):
        pass

    def score(self, pictures, prompts, records):
        return self.scores


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (Wrong(np.zeros(3)), r"score: expected a score for each of 2 pictures, got shape \(3,\)"),
        (
            Wrong(np.array([0.5, 1.5])),
            r"datapoint 1 of train .*: score: expected a number in \[0, 1\], got 1.5",
        ),
        (
            Wrong(np.array([np.nan, 0.5])),
            r"datapoint 0 of train .*: score: expected a number in \[0, 1\], got nan",
        ),
        (
            lambda prompt, image: -1,
            r"datapoint 0 of train .*: score: expected a number in \[0, 1\], got -1",
        ),
        (lambda prompt, image: {}["x"], "datapoint 0 of train .*: score raised KeyError: 'x'"),
        (lambda prompt, image: "good", "datapoint 0 of train .*: score raised ValueError"),
    ],
)
def test_a_judge_that_is_wrong_is_said(pipeline, data, score, message):
    with pytest.raises(ValueError, match=message):
        TextToImage(data, score, **SMALL)(pipeline, np.arange(2), "train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps: expected a whole number of at least 1, got 0"),
        ({"batch": 0}, "batch: expected"),
        ({"width": 0.5}, "width: expected"),
        ({"seed": -1}, "seed: expected a number of at least 0"),
        ({"template": "{"}, "template"),
        ({"options": {"generator": 1}}, "options: generator is not for these"),
    ],
)
def test_a_setting_out_of_range_is_refused(data, settings, message):
    with pytest.raises(ValueError, match=message):
        TextToImage(data, brightness, **settings)


def test_what_a_pipeline_does_not_take_is_said(pipeline, data):
    with pytest.raises(
        ValueError, match="StableDiffusionPipeline takes no colour; it takes prompt, height"
    ):
        TextToImage(data, brightness, options={"colour": 1}, **SMALL)(
            pipeline, np.arange(1), "train"
        )


def test_pictures_that_are_not_finite_are_a_failure(data):
    broken = tiny_pipelines.stable_diffusion(0, tokenizer=tiny_pipelines.tokenizer())
    with torch.no_grad():
        broken.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="pictures with numbers that are not finite"):
        TextToImage(data, brightness, **SMALL)(broken, np.arange(2), "train")


def test_a_missing_split_is_said(pipeline, data):
    with pytest.raises(ValueError, match="has no split 'validation'"):
        TextToImage(data, brightness, **SMALL)(pipeline, np.arange(1), "validation")


def test_records_that_have_the_same_in_a_field_are_a_group(data, tmp_path):
    (tmp_path / "kinds.jsonl").write_text(
        "".join(json.dumps({"prompt": f"a {n}", "kind": n % 3}) + "\n" for n in range(7))
    )
    groups = TextToImage(
        JsonLines(tmp_path / "kinds.jsonl"), brightness, group="kind", **SMALL
    ).groups("train")
    assert {name: own.tolist() for name, own in groups.items()} == {
        "0": [0, 3, 6],
        "1": [1, 4],
        "2": [2, 5],
    }
    assert TextToImage(data, brightness, **SMALL).groups("train") == {}
    with pytest.raises(ValueError, match=r"kinds.jsonl.*group: no field 'sort'"):
        TextToImage(JsonLines(tmp_path / "kinds.jsonl"), brightness, group="sort", **SMALL).groups(
            "train"
        )


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (["a", "b"], r"template: prompt: expected a text or a number, got a list of 2, \["),
        ({"en": "a"}, "template: prompt: expected a text or a number, got an object, "),
        (" ", "template: nothing stands in the field 'prompt'$"),
        (True, "template: prompt: expected a text or a number, got true$"),
        (
            "a \udfff",
            r"template: prompt: half a character, '\\udfff' \(a lone surrogate\), stands at "
            r"place 2 of 'a \\udfff'$",
        ),
    ],
)
def test_prompts_that_are_none_are_refused_with_their_line(tmp_path, prompt, words):
    (tmp_path / "train.jsonl").write_text(
        json.dumps({"prompt": "a cat"}) + "\n" + json.dumps({"prompt": prompt}) + "\n"
    )
    with pytest.raises(ValueError, match=f"^datapoint 1 of train .*train.jsonl, line 2.: {words}"):
        TextToImage(JsonLines(tmp_path / "train.jsonl"), brightness, **SMALL).size("train")


@pytest.mark.parametrize(
    ("group", "shown"), [(None, "null"), (["a"], "a list of 1"), ({"a": 1}, "an object")]
)
def test_groups_without_a_name_are_refused(tmp_path, group, shown):
    (tmp_path / "train.jsonl").write_text(json.dumps({"prompt": "a cat", "kind": group}) + "\n")
    fitness = TextToImage(JsonLines(tmp_path / "train.jsonl"), brightness, group="kind", **SMALL)
    with pytest.raises(ValueError, match=f"line 1.: group: kind: expected a name, got {shown}"):
        fitness.groups("train")


@pytest.mark.parametrize("kind", [ImageSimilarity, TextSimilarity, ClassProbability])
def test_a_judge_expands_no_weight_for_each_picture(judges, kind):
    judge = kind(judges["classifier" if kind is ClassProbability else "clip"])
    network = judge.network
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    with expansions(network) as expanded:
        for layer in layers:
            layer(torch.randn(4, 6, layer.in_features)[:, -1:])
    assert layers
    assert expanded == []
