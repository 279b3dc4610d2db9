"""Image generators: recipes over the denoisers of real pipelines, expressed and saved."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_pipelines
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline
from mergekit.merge_methods.api import merge_state_dicts
from nested_merges import nested
from safetensors.torch import load_file, save_file
from weight_expansions import expansions

from evomerge.errors import UserError
from evomerge.export import recipe_file
from evomerge.genome.crossover import Crossover
from fitness.painting import Painter
from populations.diffusion import DiffusionModels
from populations.methods import Method

FILE = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return tiny_pipelines.saved(tmp_path_factory.mktemp("seeds"), 3)


def drawn(pipeline, prompts=("a b", "the 3"), **settings):
    pipeline.set_progress_bar_config(disable=True)
    return Painter(**{"steps": 3, "guidance": 2.0, "height": 16, "width": 16} | settings)(
        pipeline, prompts, range(len(prompts))
    )


def on_disk(population, component="unet"):
    paths = [Path(seed) / component / FILE for seed in population.seeds]
    return [
        {f"{component}.{name}": tensor for name, tensor in load_file(path).items()}
        for path in paths
    ]


def child(population, births=4, angle="part"):
    return nested(population, on_disk(population), angle, births=births)[0]


@pytest.mark.parametrize(
    ("angle", "settings"),
    [
        ("tensor", {}),
        ("part", {"cut": "element"}),
        ("whole", {"chromosomes": {"all": "."}}),
        ("part", {"order": "unit"}),
    ],
)
def test_nested_merges_are_the_dense_ones(seeds, angle, settings):
    population = DiffusionModels(seeds, **settings)
    genome, dense = nested(population, on_disk(population), angle)
    expressed = population.express(genome).unet.state_dict()
    assert {f"unet.{name}" for name in expressed} == dense.keys()
    for name, exact in dense.items():
        assert (expressed[name.removeprefix("unet.")].double() - exact).abs().max() <= 1e-6, name


def test_a_merge_is_mergekit_s_of_the_two_state_dicts(tmp_path):
    """Convolutions, norms, and what is no parameter."""
    seeds = tiny_pipelines.saved(tmp_path)
    population = DiffusionModels(seeds)
    a, b = population.founders(np.random.default_rng(0))
    ratio = 0.3
    crossing = Crossover(splits=0, ratio=(ratio, ratio), angle="tensor").draw(
        population.axis, np.random.default_rng(0)
    )
    expressed = population.express(a.cross(b, crossing, population)).unet.state_dict()
    states = [load_file(Path(seed) / "unet" / FILE) for seed in seeds]
    merged = merge_state_dicts(states, "slerp", parameters={"t": ratio}, base=0)
    for name, tensor in merged.items():
        assert (expressed[name] - tensor).abs().max() <= 1e-6, name
    assert len(merged) == len(expressed)


def test_what_is_bred_comes_from_the_seeds_and_the_rest_from_whom_one_says(seeds):
    pipelines = [DiffusionPipeline.from_pretrained(seed, safety_checker=None) for seed in seeds]
    population = DiffusionModels(seeds, components={"vae": 2, "text_encoder": 1})
    genomes = population.founders(np.random.default_rng(0))
    for pipeline, genome in zip(pipelines, genomes, strict=True):
        parts = {
            "unet": pipeline.unet,
            "vae": pipelines[2].vae,
            "text_encoder": pipelines[1].text_encoder,
        }
        expected = DiffusionPipeline.from_pretrained(seeds[0], safety_checker=None, **parts)
        assert torch.equal(drawn(population.express(genome)), drawn(expected))


def test_an_export_draws_the_same_pictures_to_the_bit(seeds, tmp_path):
    population = DiffusionModels(seeds, scheduler="EulerDiscreteScheduler")
    genome = child(population)
    pictures = drawn(population.express(genome))
    population.save(genome, tmp_path)
    loaded = DiffusionPipeline.from_pretrained(tmp_path)
    assert type(loaded) is StableDiffusionPipeline
    assert type(loaded.scheduler).__name__ == "EulerDiscreteScheduler"
    assert torch.equal(drawn(loaded), pictures)
    assert not torch.equal(
        drawn(population.express(population.founders(np.random.default_rng(0))[0])), pictures
    )


def test_pictures_do_not_depend_on_their_company(seeds):
    population = DiffusionModels(seeds)
    pipeline = population.express(child(population))
    painter = Painter(steps=3, guidance=2.0, height=16, width=16)
    prompts, noises = [f"a {n}" for n in range(7)], list(range(7))
    together = painter(pipeline, prompts, noises)
    for batch in (1, 2, 5):
        cut = Painter(steps=3, guidance=2.0, height=16, width=16, batch=batch)(
            pipeline, prompts, noises
        )
        assert (cut - together).abs().max() <= 1e-5
    assert (painter(pipeline, prompts[3:4], noises[3:4]) - together[3]).abs().max() <= 1e-5
    assert (painter(pipeline, prompts, noises[::-1]) - together).abs().max() > 0.01


@pytest.mark.parametrize(
    ("make", "denoiser"), [(tiny_pipelines.sdxl, "unet"), (tiny_pipelines.sd3, "transformer")]
)
@pytest.mark.parametrize("order", ["flat", "unit"])
def test_real_layouts_are_bred(tmp_path, make, denoiser, order):
    """SDXL has two text encoders and added conditions.

    Stable Diffusion 3 has a transformer, and components that are left out.
    """
    words = tiny_pipelines.tokenizer()
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        make(seed, words).save_pretrained(folder)
    population = DiffusionModels(folders, order=order)
    genome, dense = nested(population, on_disk(population, denoiser), "part", births=8)
    pipeline = population.express(genome)
    state = getattr(pipeline, denoiser).state_dict()
    assert (
        max(
            (state[name.partition(".")[2]].double() - exact).abs().max()
            for name, exact in dense.items()
        )
        <= 1e-6
    )
    constant = {
        name: tensor
        for name, tensor in load_file(folders[0] / denoiser / FILE).items()
        if "pos_embed.pos_embed" in name
    }
    assert len(constant) == (denoiser == "transformer")
    assert all(torch.equal(state[name], tensor) for name, tensor in constant.items())
    pictures = drawn(pipeline)
    (tmp_path / "out").mkdir()
    population.save(genome, tmp_path / "out")
    left_out = {
        name: None for name, part in pipeline.components.items() if part is None
    }  # diffusers wants to be told
    assert torch.equal(
        drawn(DiffusionPipeline.from_pretrained(tmp_path / "out", **left_out)), pictures
    )


def test_units_are_heads_mlp_units_and_channels(seeds):
    axis = DiffusionModels(seeds, order="unit").axis
    blocks = {block.parts[0].tensor: block for block in axis.chromosomes[0].blocks}
    place = "unet.mid_block.attentions.0.transformer_blocks.0"
    heads = {
        part.tensor.removeprefix(place): (part.dim, part.width)
        for part in blocks[f"{place}.attn2.to_q.weight"].parts
    }
    assert heads == {f".attn2.{name}.weight": (dim, 4) for name, dim in
                     (("to_q", 0), ("to_k", 0), ("to_v", 0), ("to_out.0", 1))}  # fmt: skip
    gated = blocks[f"{place}.ff.net.0.proj.weight"]
    assert gated.count == 64
    assert [(part.dim, part.width, part.runs) for part in gated.parts] == [
        (0, 1, 2),
        (0, 1, 2),
        (1, 1, 1),
    ]
    channels = blocks["unet.down_blocks.0.resnets.0.conv1.weight"]
    assert channels.count == 8
    assert {part.tensor.split("resnets.0.")[1] for part in channels.parts} == {
        "conv1.weight", "conv1.bias", "time_emb_proj.weight", "time_emb_proj.bias",
        "norm2.weight", "norm2.bias", "conv2.weight"
    }  # fmt: skip


def test_a_unit_of_a_gated_layer_has_its_gate_and_its_value(seeds):
    population = DiffusionModels(seeds[:2], order="unit")
    name = "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight"
    states = [load_file(Path(seed) / "unet" / FILE)[name] for seed in seeds[:2]]
    bounds = population.axis.unit_bounds[0]
    start = next(
        int(bounds[i])
        for i, (block, at) in _units(population.axis)
        if block.parts[0].tensor == f"unet.{name}" and at == 3
    )
    genome = population.founders(np.random.default_rng(0))[0]
    genome = type(genome)(np.array([0, start, population.axis.size]), np.eye(2))
    merged = population.express(genome).unet.state_dict()[name]
    for run in (0, 64):
        assert torch.equal(merged[run : run + 3], states[0][run : run + 3])
        assert torch.equal(merged[run + 3 : run + 64], states[1][run + 3 : run + 64])


def _units(axis):
    """(index of the unit, (its block, its place in the block)) along the first chromosome."""
    index = 0
    for block in axis.chromosomes[0].blocks:
        for at in range(block.count):
            yield index, (block, at)
            index += 1


def test_attention_is_a_chromosome_of_its_own(seeds):
    names = {
        c.name: [block.parts[0].tensor for block in c.blocks]
        for c in DiffusionModels(seeds).axis.chromosomes
    }
    assert names.keys() == {"attention", "rest"}
    assert all("attentions." in name for name in names["attention"])
    assert not any("attentions." in name for name in names["rest"])
    assert [c.name for c in DiffusionModels(seeds, chromosomes={}).axis.chromosomes] == ["all"]


def test_text_encoders_are_bred_where_one_says(seeds):
    population = DiffusionModels(seeds, bred=["unet", "text_encoder"])
    assert {name.split(".")[0] for name in population.axis.shapes} == {"unet", "text_encoder"}
    second = population.express(population.founders(np.random.default_rng(0))[1])
    text_encoder = DiffusionPipeline.from_pretrained(seeds[1]).text_encoder
    expected = DiffusionPipeline.from_pretrained(
        seeds[0], safety_checker=None, unet=second.unet, text_encoder=text_encoder
    )
    assert torch.equal(drawn(second), drawn(expected))


def test_a_seed_may_be_a_denoiser_alone(seeds, tmp_path):
    shutil.copytree(Path(seeds[1]) / "unet", tmp_path / "tuned" / "unet")
    alone, whole = DiffusionModels([seeds[0], tmp_path / "tuned"]), DiffusionModels(seeds[:2])
    genome = whole.founders(np.random.default_rng(0))[1]
    assert torch.equal(drawn(alone.express(genome)), drawn(whole.express(genome)))
    with pytest.raises(ValueError, match=r"components: vae: .*tuned has none; it has no others"):
        DiffusionModels([seeds[0], tmp_path / "tuned"], components={"vae": 1}).axis  # noqa: B018


def test_variants_and_shards(seeds, tmp_path):
    pipeline = DiffusionPipeline.from_pretrained(seeds[1])
    pipeline.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards" / "unet").glob("*.safetensors"))) > 1
    whole, sharded = DiffusionModels(seeds[:2]), DiffusionModels([seeds[0], tmp_path / "shards"])
    genome = child(whole)
    assert torch.equal(drawn(whole.express(genome)), drawn(sharded.express(genome)))
    for number, seed in enumerate(seeds[:2]):
        DiffusionPipeline.from_pretrained(seed).save_pretrained(
            tmp_path / f"v{number}", variant="fp16"
        )
    variant = DiffusionModels([tmp_path / "v0", tmp_path / "v1"], variant="fp16")
    assert torch.equal(drawn(variant.express(genome)), drawn(whole.express(genome)))
    with pytest.raises(
        FileNotFoundError,
        match=r"has no weights: expected .*.safetensors or .*; it has them with variant: fp16",
    ):
        DiffusionModels([tmp_path / "v0", tmp_path / "v1"]).axis  # noqa: B018


def test_a_method_of_mergekit_merges_tensor_by_tensor(seeds):
    ties = Method("ties", {"density": 0.5})
    population = DiffusionModels(seeds[:2], base=seeds[2], method=ties)
    crossing = Crossover(angle="none").draw(population.axis, np.random.default_rng(2))
    a, b = population.founders(np.random.default_rng(0))
    genome = a.cross(b, crossing, population)
    expressed = population.express(genome).unet.state_dict()
    of_base = on_disk(DiffusionModels([seeds[2], seeds[2]]))[0]
    for placement in population.axis.placements(genome.bounds):
        row = genome.coefficients[placement.stretches[0]]
        merged = ties.merge(
            placement.tensor,
            [state[placement.tensor] for state in on_disk(population)],
            row,
            of_base[placement.tensor],
        )
        assert torch.equal(expressed[placement.tensor.removeprefix("unet.")], merged)


def test_a_recipe_rebuilds_a_member(seeds, tmp_path):
    population = DiffusionModels(seeds, components={"vae": 1}, device="cpu")
    genome = child(population)
    recipe_file.write(tmp_path, population, genome)
    recipe_file.rebuild(tmp_path / "recipe.json", tmp_path / "again", {})
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "again")
    assert torch.equal(drawn(loaded), drawn(population.express(genome)))


def test_a_recipe_knows_the_components_that_are_not_bred(tmp_path):
    seeds = tiny_pipelines.saved(tmp_path)
    population = DiffusionModels(seeds, components={"vae": 1}, device="cpu")
    recipe_file.write(tmp_path, population, child(population))
    named = {
        seed["part"]: seed["name"]
        for seed in json.loads((tmp_path / "recipe.json").read_text())["seeds"]
        if "part" in seed
    }
    assert named == {"vae": seeds[1]} | dict.fromkeys(
        ["scheduler", "text_encoder", "tokenizer"], seeds[0]
    )
    tensors(lambda state: state["decoder.conv_out.bias"].add_(1), "vae")(Path(seeds[1]))
    with pytest.raises(
        UserError, match=r"it was made of vae of .*seed1 with SHA-256 .*: other weights"
    ):
        recipe_file.rebuild(tmp_path / "recipe.json", tmp_path / "again", {})


def test_settings_that_mean_the_same_are_the_same(seeds, tmp_path):
    shutil.copytree(seeds[1], tmp_path / "other")
    change = {
        "upcast_attention": None,
        "only_cross_attention": [False, False],
        "layers_per_block": [1, 1],
    }
    edited("unet/config.json", lambda config: config.update(change))(tmp_path / "other")
    genome = child(DiffusionModels(seeds[:2]))
    expected = drawn(DiffusionModels(seeds[:2]).express(genome))
    assert torch.equal(
        drawn(DiffusionModels([seeds[0], tmp_path / "other"]).express(genome)), expected
    )


def test_the_base_is_held_against_the_seeds(seeds, tmp_path):
    ties = Method("ties", {"density": 0.5})
    for change, message in (
        (
            edited("unet/config.json", lambda config: config.update(act_fn="gelu")),
            "base: expected one architecture; unet: act_fn",
        ),
        (BAD["another prediction"][0], "base: expected denoisers that predict the same"),
    ):
        shutil.copytree(seeds[2], tmp_path / "base", dirs_exist_ok=True)
        change(tmp_path / "base")
        refused(message, seeds[:2], base=tmp_path / "base", method=ties)


def test_a_decoder_that_ran_out_of_memory_decodes_again(tmp_path):
    """SDXL's decodes in float32, and stays in it where decoding fails."""
    words = tiny_pipelines.tokenizer()
    pipeline = tiny_pipelines.sdxl(0, words).to(torch.float16)
    assert pipeline.vae.config.force_upcast
    expected = drawn(pipeline, "abcde", batch=2)
    decode = pipeline.vae.decode

    def limited(latents, *arguments, **options):
        if len(latents) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return decode(latents, *arguments, **options)

    pipeline.vae.decode = limited
    assert torch.equal(drawn(pipeline, "abcde", batch=5), expected)
    assert pipeline.vae.dtype == torch.float16


def test_a_scheduler_that_draws_from_torch_itself_is_repeatable(tmp_path):
    for seed, name in enumerate("ab"):
        tiny_pipelines.sd3(seed, tiny_pipelines.tokenizer()).save_pretrained(tmp_path / name)
    population = DiffusionModels(
        [tmp_path / "a", tmp_path / "b"], scheduler="FlowMatchLCMScheduler"
    )
    pipeline = population.express(population.founders(np.random.default_rng(0))[0])
    torch.manual_seed(1)
    first, state = drawn(pipeline), torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(drawn(pipeline), first)
    assert not torch.equal(torch.get_rng_state(), state), "torch's own state is as it was"


def test_settings_travel_and_models_do_not(seeds):
    population = DiffusionModels(seeds, order="unit")
    genome = child(population)
    expected = drawn(population.express(genome))
    sent = pickle.dumps(population)
    assert len(sent) < 5000
    assert torch.equal(drawn(pickle.loads(sent).express(genome)), expected)


def test_types_and_the_card(seeds):
    population = DiffusionModels(seeds, dtype="bfloat16")
    pipeline = population.express(population.founders(np.random.default_rng(0))[1])
    assert {pipeline.unet.dtype, pipeline.vae.dtype, pipeline.text_encoder.dtype} == {
        torch.bfloat16
    }
    assert drawn(pipeline).dtype == torch.float32
    card = population.card()
    assert [seed["name"] for seed in card["seeds"]] == [Path(seed).name for seed in seeds]
    assert card["others"] == []
    assert (card["library_name"], card["pipeline_tag"]) == ("diffusers", "text-to-image")


def edited(file, change):
    """What changes a JSON file of a pipeline."""

    def apply(folder):
        path = folder / file
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def tensors(change, component="unet"):
    def apply(folder):
        state = load_file(folder / component / FILE)
        change(state)
        save_file(state, folder / component / FILE)

    return apply


def pickled(component, stem):
    def apply(folder):
        for path in (folder / component).glob("*.safetensors"):
            path.unlink()
        torch.save({}, folder / component / f"{stem}.bin")

    return apply


def truncated(folder):
    path = folder / "unet" / FILE
    path.write_bytes(path.read_bytes()[:-7])


def other_unet(**settings):
    def apply(folder):
        tiny_pipelines.unet(**settings).save_pretrained(folder / "unet")

    return apply


def removed(name):
    def apply(folder):
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()

    return apply


BAD = {
    "another class of pipeline": (
        edited(
            "model_index.json", lambda index: index.update(_class_name="StableDiffusionXLPipeline")
        ),
        "seeds: expected pipelines of one class; .*seed0 is a StableDiffusionPipeline, "
        ".*bad a StableDiffusionXLPipeline",
    ),
    "no denoiser": (
        removed("unet"),
        "seeds: .*bad: its component 'unet' is missing: there is no unet/config.json",
    ),
    "another shape": (
        other_unet(block_out_channels=(8, 32)),
        r"unet: block_out_channels is \[8, 16\] in .*seed0 and \[8, 32\] in",
    ),
    "another depth": (other_unet(layers_per_block=2), "layers_per_block is 1 in .* and 2 in"),
    "another kind of denoiser": (
        edited("unet/config.json", lambda config: config.update(_class_name="UNet2DModel")),
        "unet: its class is UNet2DConditionModel in .*seed0 and UNet2DModel in .*bad",
    ),
    "another activation": (
        edited("unet/config.json", lambda config: config.update(act_fn="gelu")),
        "act_fn is silu in .* and gelu in",
    ),
    "a tensor that is missing": (
        tensors(lambda state: state.pop("conv_in.bias")),
        "expected a tensor 'unet.conv_in.bias' of shape",
    ),
    "a tensor of another shape": (
        tensors(lambda state: state.update({"conv_in.bias": torch.ones(9)})),
        r"expected 'unet.conv_in.bias' of shape \(8,\), got \(9,\)",
    ),
    "integers for weights": (
        tensors(lambda state: state.update({"conv_in.bias": torch.ones(8, dtype=torch.int8)})),
        "expected floating-point weights, 'unet.conv_in.bias' is torch.int8",
    ),
    "not a number": (
        tensors(lambda state: state["conv_in.bias"].fill_(float("nan"))),
        "seeds: .*bad: 'unet.conv_in.bias' has numbers that are not finite",
    ),
    "a file that is not whole": (truncated, "not a whole safetensors file"),
    "a pickled denoiser": (
        pickled("unet", "diffusion_pytorch_model"),
        "expected safetensors, got pickled weights",
    ),
    "another prediction": (
        edited(
            "scheduler/scheduler_config.json",
            lambda config: config.update(prediction_type="v_prediction"),
        ),
        r"expected denoisers that predict the same, their schedulers say epsilon \(.*seed0\) "
        r"and v_prediction \(.*bad\)",
    ),
    "settings that are no JSON": (
        lambda folder: (folder / "unet" / "config.json").write_text("{"),
        "unet/config.json cannot be read",
    ),
    "an index that is a list": (
        lambda folder: (folder / "model_index.json").write_text("[]"),
        "model_index.json: expected an object",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_seed_is_refused(seeds, tmp_path, what):
    spoil, message = BAD[what]
    shutil.copytree(seeds[1], tmp_path / "bad")
    spoil(tmp_path / "bad")
    refused(message, [seeds[0], tmp_path / "bad"])


def refused(message, seeds, **settings):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        DiffusionModels(seeds, **settings).founders(np.random.default_rng(0))
    assert "\n" not in str(raised.value)


BAD_WHOLE = {
    "a component that is missing": (
        removed("vae"),
        "its component 'vae' is missing: there is no folder",
    ),
    "a component without weights": (
        lambda folder: (folder / "vae" / FILE).unlink(),
        "seeds: .*first: vae has no weights: expected diffusion_pytorch_model.safetensors or",
    ),
    "a pickled text encoder": (
        pickled("text_encoder", "pytorch_model"),
        "text_encoder: expected safetensors, got pickled weights",
    ),
    "a denoiser of no known class": (
        edited("unet/config.json", lambda config: config.update(_class_name="Mine")),
        "seeds: .*first: unet cannot be made: "
        "neither diffusers nor transformers has its class Mine",
    ),
}


@pytest.mark.parametrize("what", BAD_WHOLE)
def test_a_bad_pipeline_is_refused(seeds, tmp_path, what):
    spoil, message = BAD_WHOLE[what]
    for name in ("first", "second"):
        shutil.copytree(seeds[0], tmp_path / name)
        spoil(tmp_path / name)
    refused(message, [tmp_path / "first", tmp_path / "second"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bred": ["nose"]}, "bred: .*seed0 has no component 'nose'; it has"),
        ({"components": {"nose": 1}}, "components: .*seed0 has no other component 'nose'"),
        ({"components": {"unet": 1}}, "no other component 'unet'"),
        (
            {"scheduler": "Mine"},
            r"scheduler: expected one that takes the settings of a DDIMScheduler "
            r"\(DDIM.*, got 'Mine'",
        ),
        (
            {"scheduler": "FlowMatchEulerDiscreteScheduler"},
            "scheduler: expected one that takes the settings of a DDIMScheduler",
        ),
        ({"order": "unit", "units": []}, "units"),
        (
            {"base": "nowhere", "method": Method("ties", {"density": 0.5})},
            "base: expected a folder, or owner/name of the hub",
        ),
        ({"device": "cuda:77"}, "device: 'cuda:77' cannot be used"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(seeds, settings, message):
    if "units" in settings:
        population = DiffusionModels(seeds, **settings)
        assert [c.name for c in population.axis.chromosomes] == ["units", "rest"]
        return
    refused(message, seeds, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": ["one"]}, "seeds: expected at least 2 models"),
        ({"bred": "unet"}, r"bred: expected a list of components such as \[unet\], got 'unet'"),
        (
            {"components": {"vae": 2}},
            "components: vae: expected the place of a seed from 0 to 1, got 2",
        ),
        ({"dtype": "int8"}, "dtype: expected 'auto' or"),
        (
            {"order": "unit", "cut": "row"},
            "order: cut and chromosomes are settings of the flat axis",
        ),
        ({"device": "gpu"}, "device: expected one that torch knows"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DiffusionModels(**{"seeds": ["one", "two"]} | settings)


def test_no_pipeline_is_said(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    refused(
        "seeds: expected a pipeline of diffusers among them, none has a model_index.json",
        [tmp_path / "a", tmp_path / "b"],
    )
    refused(
        "seeds: expected a folder, or owner/name of the hub, there is no folder",
        [tmp_path / "a", tmp_path / "none" / "x"],
    )


def test_a_safety_checker_is_left_out_unless_it_is_asked_for(tmp_path):
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessorPil

    words, folders = tiny_pipelines.tokenizer(), [tmp_path / "a", tmp_path / "b"]
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
    }
    config = CLIPConfig(
        text_config=tiny_pipelines.text_config(words),
        vision_config=vision | {"patch_size": 8},
        projection_dim=8,
    )
    size = {"shortest_edge": 16}, {"height": 16, "width": 16}
    for seed, folder in enumerate(folders):
        pipeline = tiny_pipelines.stable_diffusion(seed, tokenizer=words)
        pipeline.register_modules(
            safety_checker=StableDiffusionSafetyChecker(config),
            feature_extractor=CLIPImageProcessorPil(size=size[0], crop_size=size[1]),
        )
        pipeline.save_pretrained(folder)
    without = DiffusionModels(folders)
    assert without.express(without.founders(np.random.default_rng(0))[0]).safety_checker is None
    beside = DiffusionModels(folders, safety_checker=True)
    assert beside.express(beside.founders(np.random.default_rng(0))[0]).safety_checker is not None
    shutil.rmtree(folders[0] / "safety_checker")
    without = DiffusionModels(folders)
    assert without.express(without.founders(np.random.default_rng(0))[0]).safety_checker is None
    refused("its component 'safety_checker' is missing", folders, safety_checker=True)


def test_the_scheduler_keeps_the_pipeline_s_settings(seeds):
    population = DiffusionModels(seeds, scheduler="DPMSolverMultistepScheduler")
    pipeline = population.express(population.founders(np.random.default_rng(0))[0])
    assert type(pipeline.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert pipeline.scheduler.config.beta_end == DDIMScheduler().config.beta_end


def test_no_weight_of_a_pipeline_is_expanded_for_each_picture(seeds):
    population = DiffusionModels(seeds)
    pipeline = population.express(child(population))
    for part in (pipeline.unet, pipeline.text_encoder, pipeline.vae):
        layers = [module for module in part.modules() if isinstance(module, torch.nn.Linear)]
        with expansions(part) as expanded:
            for layer in layers:
                layer(torch.randn(4, 6, layer.in_features)[:, -1:])
        assert layers
        assert expanded == []
