"""Language models: recipes on real checkpoints, expressed and saved."""

import json
import pickle
import shlex
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import tiny_llama
import torch
from nested_merges import nested
from safetensors.torch import load_file
from tiny_families import family
from transformers import AutoModelForCausalLM, AutoTokenizer
from weight_expansions import expansions

from evomerge import memory
from evomerge.export import recipe_file
from evomerge.genome.crossover import Crossover
from populations.llm import LanguageModel, LanguageModels
from populations.methods import Method
from populations.units import Units

WORDS = torch.tensor([[5, 17, 30, 8], [9, 9, 40, 6]])


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    return tiny_llama.tuned(
        tmp_path_factory.mktemp("seeds"), ["one", "two", "three", "four"], sd=0.1
    )


def logits(model):
    with torch.inference_mode():
        return model(WORDS).logits


def on_disk(population):
    return [load_file(Path(seed) / "model.safetensors") for seed in population.seeds]


@pytest.mark.parametrize(
    ("angle", "settings"),
    [
        ("tensor", {"chromosomes": {"attention": "self_attn"}}),
        ("part", {"chromosomes": {"attention": "self_attn"}}),
        ("whole", {"chromosomes": {"attention": "self_attn"}}),
        ("tensor", {"cut": "row"}),
        ("part", {"cut": "element"}),
        ("whole", {"cut": "layer"}),
        ("part", {"order": "unit"}),
        ("whole", {"order": "unit"}),
    ],
)
def test_forty_nested_merges_of_four_seeds_are_the_dense_ones(four, angle, settings):
    population = LanguageModels(four, **settings)
    genome, dense = nested(population, on_disk(population), angle)
    for dtype in (torch.float32, torch.bfloat16):
        expressed = (
            LanguageModels(four, dtype=str(dtype).removeprefix("torch."), **settings)
            .express(genome)
            .model.state_dict()
        )
        for name, exact in dense.items():
            if dtype == torch.float32:
                assert (expressed[name].double() - exact).abs().max() <= 1e-6, name
            else:
                unit = torch.finfo(dtype).eps * exact.abs().clamp(min=1e-30)
                assert ((expressed[name].double() - exact).abs() <= unit).all(), name


def test_a_founder_is_its_seed_to_the_bit(four):
    population = LanguageModels(four)
    for seed, genome in zip(four, population.founders(np.random.default_rng(0)), strict=True):
        alone = AutoModelForCausalLM.from_pretrained(seed)
        assert torch.equal(logits(population.express(genome).model), logits(alone))


def test_the_model_stays_where_it_is(four):
    population = LanguageModels(four)
    first, second = population.founders(np.random.default_rng(0))[:2]
    resident = population.express(first)
    assert isinstance(resident, LanguageModel)
    addresses = {name: tensor.data_ptr() for name, tensor in resident.model.state_dict().items()}
    assert population.express(second).model is resident.model
    assert {
        name: tensor.data_ptr() for name, tensor in resident.model.state_dict().items()
    } == addresses


def test_units_are_heads_and_mlp_units(four):
    population = LanguageModels(four, order="unit")
    blocks = population.axis.chromosomes[0].blocks
    assert [block.count for block in blocks] == [
        2,
        2,
        48,
        48,
    ]  # two layers: groups of heads, then MLP units
    heads = {part.tensor.split(".")[-2]: (part.dim, part.width) for part in blocks[0].parts}
    assert heads == {"q_proj": (0, 16), "k_proj": (0, 8), "v_proj": (0, 8), "o_proj": (1, 16)}
    assert [c.name for c in population.axis.chromosomes] == ["units", "rest"]
    named = LanguageModels(
        four, order="unit", units=[Units(r"(gate|up)_proj\.weight", r"down_proj\.weight")]
    )
    assert [block.count for block in named.axis.chromosomes[0].blocks] == [48, 48]


def test_tied_weights_are_one_tensor(tmp_path):
    seeds = tiny_llama.tuned(tmp_path, "ab", tie_word_embeddings=True)
    population = LanguageModels(seeds)
    names = [name for name in population.axis.shapes if "embed" in name or "head" in name]
    assert names == ["model.embed_tokens.weight"]
    genome, _ = nested(population, on_disk(population), "part", births=3)
    model = population.express(genome).model
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def built_by_mergekit(folder):
    """Runs the command that stands above a member's mergekit.yaml, where that lies, into OUT."""
    first = (folder / "mergekit.yaml").read_text().partition("\n")[0]
    program, *arguments = shlex.split(first.removeprefix("# "))
    command = [Path(sys.executable).with_name(program), *arguments]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


@pytest.mark.whole
@pytest.mark.parametrize("tie", [True, False])
def test_a_saved_member_answers_as_in_the_run_and_mergekit_builds_it(tmp_path, tie, monkeypatch):
    """Although the seeds are named from the working directory, which is another one by then."""
    (tmp_path / "a+b@c").mkdir()
    tiny_llama.tuned(tmp_path / "a+b@c", "ab", tie_word_embeddings=tie)
    monkeypatch.chdir(tmp_path / "a+b@c")
    seeds = ["a", "./b"]
    population = LanguageModels(seeds)
    genome, _ = nested(population, on_disk(population), "tensor", births=10)
    (tmp_path / "out").mkdir()
    population.save(genome, tmp_path / "out")
    expressed = population.express(genome)
    loaded, tokenizer = (
        kind.from_pretrained(tmp_path / "out") for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    prompts = [f"{i} + {j} = " for i in range(10) for j in range(5)]
    for prompt in prompts:
        ours = expressed.tokenizer(prompt, return_tensors="pt").input_ids
        theirs = tokenizer(prompt, return_tensors="pt").input_ids
        greedy = {"max_new_tokens": 8, "do_sample": False}
        assert torch.equal(
            expressed.model.generate(ours, **greedy), loaded.generate(theirs, **greedy)
        )
    built_by_mergekit(tmp_path / "out")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "OUT").state_dict()
    for name, tensor in expressed.model.state_dict().items():
        assert (merged[name] - tensor).abs().max() <= 1e-6, name


def test_a_recipe_names_its_seeds_and_says_where_mergekit_cannot_follow(four, tmp_path):
    population = LanguageModels(four, order="unit")
    genome, dense = nested(population, on_disk(population), "part", births=4)
    population.save(genome, tmp_path)
    assert not (tmp_path / "mergekit.yaml").exists()
    recipe_file.write(tmp_path, population, genome)
    written = json.loads((tmp_path / "recipe.json").read_text())
    assert [seed["name"] for seed in written["seeds"]] == four
    assert all(len(seed["sha256"]) == 64 for seed in written["seeds"])
    stored = [load_file(Path(seed) / "model.safetensors") for seed in four]
    for name, exact in dense.items():
        entry = written["tensors"][name]
        tensors = [state[name].double() for state in stored]
        flat = tensors if entry["dim"] is not None else [tensor.reshape(-1) for tensor in tensors]
        parts = [
            sum(
                c * t.narrow(entry["dim"] or 0, start, stop - start)
                for c, t in zip(row, flat, strict=True)
            )
            for row, start, stop in zip(
                entry["coefficients"], entry["edges"][:-1], entry["edges"][1:], strict=True
            )
        ]
        assert torch.allclose(
            torch.cat(parts, entry["dim"] or 0).view(exact.shape), exact, atol=1e-9
        ), name


def test_added_rows_come_from_the_seeds_that_have_them(tmp_path):
    first, second = tiny_llama.tuned(tmp_path, "ab")
    longer = tiny_llama.tiny_llama(seed=0)
    longer.tokenizer.add_tokens(["[more]"])
    longer.model.resize_token_embeddings(len(longer.tokenizer))
    longer.model.save_pretrained(second)
    longer.tokenizer.save_pretrained(second)
    with pytest.raises(ValueError, match="expected one size of vocabulary, got"):
        LanguageModels([first, second]).axis  # noqa: B018
    population = LanguageModels([first, second], vocabulary="trailing")
    halves = Crossover(splits=0, ratio=(0.5, 0.5), angle="none")
    a, b = population.founders(np.random.default_rng(0))
    genome = a.cross(b, halves.draw(population.axis, np.random.default_rng(0)), population)
    expressed = population.express(genome)
    added = longer.model.lm_head.weight[-1]
    assert torch.allclose(expressed.model.lm_head.weight[-1], added, atol=1e-7)
    assert torch.allclose(
        expressed.model.lm_head.weight[0],
        (a_row(first) + longer.model.lm_head.weight[0]) / 2,
        atol=1e-7,
    )
    assert expressed.tokenizer.convert_tokens_to_ids("[more]") == len(longer.tokenizer) - 1
    (tmp_path / "out").mkdir()
    population.save(genome, tmp_path / "out")
    assert not (tmp_path / "out" / "mergekit.yaml").exists()
    assert torch.equal(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), logits(expressed.model)
    )


def with_tokens(folder, added, rows, fill=None):
    """A fine-tune with these tokens more, and an embedding of so many rows, is written."""
    longer = tiny_llama.tiny_llama(seed=0)
    longer.tokenizer.add_tokens(added)
    longer.model.resize_token_embeddings(rows)
    if fill is not None:
        for weight in (longer.model.lm_head.weight, longer.model.model.embed_tokens.weight):
            weight[PLAIN:] = fill + torch.arange(rows - PLAIN)[:, None]
    longer.model.save_pretrained(folder)
    longer.tokenizer.save_pretrained(folder)
    return longer.model


PLAIN = len(tiny_llama.CHARACTERS) + 4


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("padded", [PLAIN + 2, PLAIN + 7, 128])
def test_padding_of_an_embedding_is_no_row_of_the_vocabulary(tmp_path, order, padded):
    """One seed has no token more but a padded embedding, one has a token more, one two and padding.

    Whoever has a token gives its row.
    """
    with_tokens(tmp_path / "none", [], padded, fill=1000)
    with_tokens(tmp_path / "one", ["[x]"], PLAIN + 1, fill=10)
    with_tokens(tmp_path / "two", ["[x]", "[y]"], PLAIN + 3, fill=20)
    seeds = [str(tmp_path / ["none", "one", "two"][k]) for k in order]
    population = LanguageModels(seeds, vocabulary="trailing")
    founders = population.founders(np.random.default_rng(0))
    rows = {
        Path(s).name: population.express(f).model.lm_head.weight[PLAIN:, 0].tolist()
        for s, f in zip(seeds, founders, strict=True)
    }
    assert rows["none"][:2] == [15, 21]
    assert rows["one"][:2] == [10, 21]
    assert rows["two"][:2] == [20, 21]
    assert population.express(founders[0]).tokenizer.convert_tokens_to_ids("[y]") == PLAIN + 1
    assert rows["none"][2:] == [1000 + k for k in range(2, padded - PLAIN)] + [22] * (
        padded == PLAIN + 2
    )
    (tmp_path / "out").mkdir()
    population.save(founders[0], tmp_path / "out")
    assert not (tmp_path / "out" / "mergekit.yaml").exists(), "mergekit would take the padding"


def test_a_token_that_a_seed_does_not_have_though_it_has_later_ones(tmp_path):
    """A hole in the numbers of its tokens."""
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    with_tokens(second, ["[x]", "[y]"], PLAIN + 2, fill=20)
    with_tokens(first, ["[x]", "[y]"], PLAIN + 2, fill=1000)
    path = Path(first) / "tokenizer.json"
    written = json.loads(path.read_text())
    written["added_tokens"] = [
        token for token in written["added_tokens"] if token["content"] != "[x]"
    ]
    written["model"]["vocab"] |= {"[y]": PLAIN + 1}
    path.write_text(json.dumps(written))
    for name in ("tokenizer_config.json", "added_tokens.json"):
        if (Path(first) / name).exists():
            settings = json.loads((Path(first) / name).read_text())
            settings.pop("added_tokens_decoder", None)
            (Path(first) / name).write_text(json.dumps(settings))
    population = LanguageModels([first, second], vocabulary="trailing")
    expressed = population.express(population.founders(np.random.default_rng(0))[0]).model
    assert expressed.lm_head.weight[PLAIN:, 0].tolist() == [20, 1001]


def test_the_base_of_a_method_lacks_what_pads_it(tmp_path):
    with_tokens(tmp_path / "base", [], 128, fill=1000)
    with_tokens(tmp_path / "a", ["[x]"], PLAIN + 1, fill=10)
    with_tokens(tmp_path / "b", ["[x]"], PLAIN + 1, fill=20)
    settings = {
        "base": str(tmp_path / "base"),
        "method": Method("task_arithmetic"),
        "vocabulary": "trailing",
    }
    with pytest.raises(
        ValueError, match=r"base: .*base: expected 'model.embed_tokens.weight' of shape"
    ):
        LanguageModels([str(tmp_path / "a"), str(tmp_path / "b")], **settings).axis  # noqa: B018
    with_tokens(tmp_path / "b", ["[x]"], 128, fill=20)
    population = LanguageModels([str(tmp_path / "a"), str(tmp_path / "b")], **settings)
    expressed = population.express(population.founders(np.random.default_rng(0))[0]).model
    assert expressed.lm_head.weight[PLAIN, 0] == 10, (
        "its difference to the base is to that of the seeds, 15"
    )


def a_row(seed):
    return load_file(Path(seed) / "model.safetensors")["lm_head.weight"][0]


def test_a_method_of_mergekit_merges_tensor_by_tensor(four):
    base = str(Path(four[0]).with_name("base"))
    ties = Method("ties", {"density": 0.5})
    population = LanguageModels(four, base=base, method=ties)
    crossing = Crossover(angle="none").draw(population.axis, np.random.default_rng(2))
    a, b = population.founders(np.random.default_rng(0))[:2]
    genome = a.cross(b, crossing, population)
    expressed = population.express(genome).model.state_dict()
    stored, of_base = (
        [load_file(Path(seed) / "model.safetensors") for seed in four],
        load_file(Path(base) / "model.safetensors"),
    )
    for placement in population.axis.placements(genome.bounds):
        row = genome.coefficients[placement.stretches[0]]
        merged = ties.merge(
            placement.tensor,
            [state[placement.tensor] for state in stored],
            row,
            of_base[placement.tensor],
        )
        assert torch.equal(expressed[placement.tensor], merged)
    assert population.linear
    assert not LanguageModels(four).linear


def test_what_a_method_leaves_of_the_seeds_is_kept_where_seeds_may_be(four, caplog):
    caplog.set_level("INFO", "populations")
    base = str(Path(four[0]).with_name("base"))
    method = Method("dare_ties", {"density": 0.5})
    made, needed = [], []
    for place in ("disk", "auto"):
        population = LanguageModels(four, base=base, method=method, seed_device=place)
        a, b = population.founders(np.random.default_rng(0))[:2]
        crossing = Crossover(angle="none").draw(population.axis, np.random.default_rng(2))
        for genome in (a, b, a.cross(b, crossing, population)):
            expressed = population.express(genome).model
        made.append({name: tensor.clone() for name, tensor in expressed.state_dict().items()})
        needed.append(population.footprint()["seeds"])
    assert all(torch.equal(tensor, made[1][name]) for name, tensor in made[0].items())
    # The base and four seeds, and beside them four task vectors.
    model = population.footprint()["model"]
    assert needed == [5 * model, 9 * model]
    size = f"{4 * model / 1e9:.3g} GB"
    vectors = [line for line in caplog.messages if line.startswith("task vectors")]
    assert vectors == [
        f"task vectors of 4 seeds for dare_ties, {size}, are made anew for each birth: "
        "nothing of the seeds is in memory",
        f"task vectors of 4 seeds for dare_ties, {size}, are made once and kept: beside the model",
    ]


def test_without_room_for_them_nothing_is_kept(four, caplog, monkeypatch):
    caplog.set_level("INFO", "populations")
    monkeypatch.setattr(memory, "free", lambda: 1000)
    base = str(Path(four[0]).with_name("base"))
    population = LanguageModels(four, base=base, method=Method("task_arithmetic"), device="cpu")
    population.express(population.founders(np.random.default_rng(0))[0])
    assert "are made anew for each birth" in caplog.text


def test_seeds_in_shards_and_in_another_type(four, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(four[1])
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    tiny_llama.tokenizer().save_pretrained(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    model.bfloat16().save_pretrained(tmp_path / "half")
    tiny_llama.tokenizer().save_pretrained(tmp_path / "half")
    whole, sharded = LanguageModels(four[:2]), LanguageModels([four[0], str(tmp_path / "shards")])
    genome, _ = nested(whole, on_disk(whole), "part", births=5)
    assert torch.equal(logits(whole.express(genome).model), logits(sharded.express(genome).model))
    mixed = LanguageModels([four[0], str(tmp_path / "half")])
    assert torch.allclose(
        logits(mixed.express(genome).model), logits(whole.express(genome).model), atol=0.1
    )
    assert next(mixed.express(genome).model.parameters()).dtype == torch.float32


def test_settings_travel_and_models_do_not(four):
    population = LanguageModels(four, order="unit")
    genome, _ = nested(population, on_disk(population), "part", births=3)
    expected = logits(population.express(genome).model)
    sent = pickle.dumps(population)
    assert len(sent) < 5000
    assert torch.equal(logits(pickle.loads(sent).express(genome).model), expected)


def test_a_chat_template_is_a_text_or_a_file(four, tmp_path):
    (tmp_path / "chat.jinja").write_text(tiny_llama.CHAT)
    for given in (tiny_llama.CHAT, str(tmp_path / "chat.jinja")):
        population = LanguageModels(four, chat_template=given)
        tokenizer = population.express(population.founders(np.random.default_rng(0))[0]).tokenizer
        assert (
            tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
            == "<|user|>hi\n"
        )


def test_where_seeds_are_kept_changes_nothing_for_a_method(tmp_path):
    seeds = tiny_llama.tuned(tmp_path, "ab")
    for seed in seeds:
        tiny_llama.rewritten(
            lambda state: state.update({n: t.bfloat16() for n, t in state.items()})
        )(Path(seed))
    crossing = Crossover(angle="none", ratio=(0.3, 0.3), splits=0).draw(
        LanguageModels(seeds).axis, np.random.default_rng(0)
    )
    made = []
    for place in ("disk", "device"):
        population = LanguageModels(
            seeds, method=Method("linear"), dtype="float32", seed_device=place
        )
        a, b = population.founders(np.random.default_rng(0))
        made.append(logits(population.express(a.cross(b, crossing, population)).model))
    plain = LanguageModels(seeds, dtype="float32")
    assert torch.equal(*made)
    assert torch.allclose(
        made[0], logits(plain.express(a.cross(b, crossing, plain)).model), atol=1e-5
    )


@pytest.mark.whole
def test_mergekit_builds_what_is_stored_twice_or_named_twice(tmp_path):
    seeds = tiny_llama.tuned(tmp_path, "ab", tie_word_embeddings=True)
    for seed in seeds:
        tiny_llama.rewritten(
            lambda state: state.update(
                {"lm_head.weight": state["model.embed_tokens.weight"].clone()}
            )
        )(Path(seed))
    population = LanguageModels([*seeds, seeds[0]])
    genome, _ = nested(population, on_disk(population), "tensor", births=6)
    (tmp_path / "out").mkdir()
    population.save(genome, tmp_path / "out")
    command = [
        Path(sys.executable).with_name("mergekit-yaml"),
        tmp_path / "out" / "mergekit.yaml",
        tmp_path / "mergekit",
    ]
    subprocess.run(command, check=True, capture_output=True)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "mergekit")
    assert torch.allclose(logits(merged), logits(population.express(genome).model), atol=1e-4)


def test_gram_matrices_that_were_kept_are_as_those_that_are_taken(tmp_path):
    """Where a split falls inside a tensor, a part of it is read from where the seeds are kept."""
    settings = {"cut": "element", "dtype": "bfloat16", "seed_device": "device"}
    seeds = tiny_llama.tuned(tmp_path, "ab")
    first, second = LanguageModels(seeds, **settings), LanguageModels(seeds, **settings)
    second.restore_grams(first.grams.units)
    bounds = np.array([0, 1001, 5555, first.axis.size])
    assert np.array_equal(first.grams.over(bounds), second.grams.over(bounds))
    with pytest.raises(ValueError, match=r"grams: expected shape \(\d+, 2, 2\), got \(3, 2, 2\)"):
        second.restore_grams(np.zeros((3, 2, 2)))


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text", "opt", "bloom"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_weight_is_expanded_for_each_row_of_a_batch(tmp_path, name, dtype):
    """As torch does with frozen weights where inputs are strided.

    The last of the hidden states before the head is such an input.
    """
    made = family(name)
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    population = LanguageModels([tmp_path, tmp_path], dtype=dtype)
    model = population.express(population.founders(np.random.default_rng(0))[0]).model
    assert model(input_ids=torch.tensor([[5]])).logits.grad_fn is None
    words = torch.tensor([[5, 17, 30, 8], [9, 9, 40, 6], [7, 8, 9, 10]])
    with expansions(model) as expanded:
        ours = model.generate(
            input_ids=words,
            attention_mask=torch.ones_like(words),
            max_new_tokens=3,
            do_sample=False,
        )
    assert expanded == []
    alone = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    with expansions(alone.requires_grad_(False)) as expanded:
        alone.generate(
            input_ids=words,
            attention_mask=torch.ones_like(words),
            max_new_tokens=1,
            do_sample=False,
        )
    assert expanded, "the same model, barely frozen: else this test would show nothing"
    alone.requires_grad_(True)
    theirs = alone.generate(
        input_ids=words, attention_mask=torch.ones_like(words), max_new_tokens=3, do_sample=False
    )
    assert torch.equal(ours, theirs)
