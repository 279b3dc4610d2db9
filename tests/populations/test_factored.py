"""Adapters as factors over one base: held against sums of whole models in float64."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_llama
import torch
from safetensors.torch import load_file, save_file
from tiny_adapters import adapter
from transformers import AutoModelForCausalLM

from evomerge.genome.recipe import Recipe
from populations.express import combine as module
from populations.express.combine import combine_factored
from populations.express.factored import Factored, Factors, LowRank
from populations.express.fused_torch import combine_at_once
from populations.llm import LanguageModels
from populations.seeds import digests
from populations.seeds.adapters import Adapted
from populations.seeds.checkpoints import Checkpoint

ROWS, COLUMNS = 60, 26
EDGES = {0: [0, 7, 31, 60], 1: [0, 5, 6, 26], None: [0, 30, 40, 700, 1560]}


def example(dtype):
    """Five seeds over two whole tensors, the second and the last with changes."""
    draw = torch.Generator().manual_seed(0)
    wholes = [torch.randn(ROWS, COLUMNS, generator=draw).to(dtype) for _ in range(2)]
    changes = {}
    for seed, rank, scale in ((1, 2, 0.5), (3, 1, 3.0), (4, 6, 1 / 3)):
        left = torch.randn(ROWS, rank, generator=draw)
        changes[seed] = LowRank(left, torch.randn(rank, COLUMNS, generator=draw), scale)
    return Factored(wholes, np.array([0, 0, 1, 1, 0]), Factors.stacked(changes))


def in_float64(factored):
    """(K, rows, columns) the seeds, from the parts and not from `tensors`."""
    seeds = []
    for seed, place in enumerate(factored.standing):
        ranks = torch.from_numpy(np.flatnonzero(factored.factors.seeds == seed))
        scales = torch.from_numpy(factored.factors.scales)[ranks]
        left = factored.factors.left.double()[:, ranks] * scales
        product = left @ factored.factors.right.double()[ranks]
        seeds.append(factored.wholes[place].double() + product)
    return torch.stack(seeds)


def by_hand(seeds, coefficients, edges, dim):
    """The sum with a coefficient for each number, in float64."""
    lengths = torch.from_numpy(np.diff(edges))
    each = torch.from_numpy(coefficients).repeat_interleave(lengths, dim=0)  # (entries, K)
    shape = {0: (-1, ROWS, 1), 1: (-1, 1, COLUMNS), None: (-1, ROWS, COLUMNS)}[dim]
    return (each.T.reshape(shape) * seeds).sum(0)


def assert_rounded_once(out, exact):
    """No number is further from float64 than a rounding to its type, and a sum in float32, is."""
    half = torch.finfo(out.dtype).eps / 2 * 2.0 ** exact.abs().log2().floor()
    assert ((out.double() - exact).abs() <= half + 2e-6).all()


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("stretches", ["several", "one"])
def test_sums_are_those_of_whole_seeds_rounded_once(dim, dtype, fused, stretches, monkeypatch):
    monkeypatch.setattr(module, "CHANGED", 7 * COLUMNS + 3)  # the stretches begin within pieces
    if not fused:
        monkeypatch.setattr(module, "_numba_loop", lambda: None)
    factored = example(dtype)
    edges = np.array(EDGES[dim])
    if stretches == "one":
        edges = edges[[0, -1]]
    coefficients = np.random.default_rng(0).normal(size=(len(edges) - 1, 5))
    out = torch.full((ROWS, COLUMNS), torch.nan, dtype=dtype)
    combine_factored(out, factored, coefficients, edges, dim)
    assert_rounded_once(out, by_hand(in_float64(factored), coefficients, edges, dim))


def test_a_type_of_the_seeds_that_is_not_the_models_is_rounded_once_as_well():
    factored = example(torch.float32)
    out = torch.empty(ROWS, COLUMNS, dtype=torch.bfloat16)
    coefficients = np.full((1, 5), 0.2)
    combine_factored(out, factored, coefficients, np.array([0, ROWS]))
    exact = by_hand(in_float64(factored), coefficients, np.array([0, ROWS]), 0)
    assert_rounded_once(out, exact)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_sums_on_a_gpu_are_those_of_whole_seeds(dim, place):
    factored = example(torch.bfloat16).moved(torch.device(place), torch.bfloat16)
    edges = np.array(EDGES[dim])
    coefficients = np.random.default_rng(0).normal(size=(len(edges) - 1, 5))
    out = torch.empty(ROWS, COLUMNS, dtype=torch.bfloat16, device="cuda")
    combine_factored(out, factored, coefficients, edges, dim)
    exact = by_hand(in_float64(example(torch.bfloat16)), coefficients, edges, dim)
    assert_rounded_once(out.cpu(), exact)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU")
def test_what_is_compiled_for_a_gpu_takes_a_change_in_float32_beside_seeds_in_bfloat16():
    factored = example(torch.bfloat16)
    edges = np.array(EDGES[0])
    coefficients = np.random.default_rng(0).normal(size=(3, 5))
    change = factored.factors.summed(
        factored.factors.weights(coefficients), edges, 0, slice(0, ROWS)
    )
    weights = np.column_stack([factored.weights(coefficients), np.ones(3)]).astype(np.float32)
    out = torch.empty(ROWS, COLUMNS, dtype=torch.bfloat16)
    combine_at_once(out, [*factored.wholes, change], weights, edges * COLUMNS, 1, COLUMNS)
    assert_rounded_once(out, by_hand(in_float64(factored), coefficients, edges, 0))


def test_whole_seeds_are_not_rounded_and_are_what_is_summed():
    factored = example(torch.bfloat16)
    exact = in_float64(factored)
    for seed, tensor in enumerate(factored.tensors()):
        assert torch.allclose(tensor.double(), exact[seed], rtol=1e-6, atol=1e-6)
    assert factored.tensors()[0].data_ptr() == factored.wholes[0].data_ptr()


def test_a_seed_without_a_share_is_not_read_and_shares_of_1_leave_the_base_as_it_is():
    factored = example(torch.bfloat16)
    factored.factors.left[:, :2] = torch.nan
    factored.wholes[1].fill_(torch.nan)
    out = torch.empty(ROWS, COLUMNS, dtype=torch.bfloat16)
    edges = np.array([0, ROWS])
    combine_factored(out, factored, np.array([[0.25, 0, 0, 0, 0.75]]), edges)
    assert out.isfinite().all()
    plain = Factored(factored.wholes, factored.standing)
    combine_factored(out, plain, np.array([[0.1, 0.2, 0, 0, 0.7]]), edges)
    assert torch.equal(out, factored.wholes[0])


def test_on_a_device_the_base_of_a_change_keeps_its_type():
    factored = example(torch.float32)
    moved = factored.moved(torch.device("cpu"), torch.bfloat16)
    assert {whole.dtype for whole in moved.wholes} == {torch.float32}
    assert moved.size_in(torch.bfloat16) == 4 * (2 * ROWS * COLUMNS + 9 * (ROWS + COLUMNS))
    plain = Factored(factored.wholes, factored.standing)
    assert plain.moved(torch.device("cpu"), torch.bfloat16).wholes[0].dtype == torch.bfloat16
    assert plain.size_in(torch.bfloat16) == 2 * 2 * ROWS * COLUMNS


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def kin(request, tmp_path_factory):
    """A base, two adapters of it, and a fine-tune; and all four in float64."""
    folder = tmp_path_factory.mktemp("kin")
    tiny_llama.save(folder / "base")
    tiny_llama.save(folder / "tuned", seed=5)
    for name in ("base", "tuned"):
        model = AutoModelForCausalLM.from_pretrained(folder / name)
        model.to(getattr(torch, request.param)).save_pretrained(folder / name)
    base = load_file(folder / "base" / "model.safetensors")
    plain = {name: tensor.double() for name, tensor in base.items()}
    states = [plain]
    for seed, settings in ((1, {}), (2, {"target_modules": ["down_proj", "q_proj"], "r": 3})):
        path = folder / f"adapter{seed}"
        adapter(path, folder / "base", seed, **settings)
        state = dict(plain)
        factors = load_file(path / "adapter_model.safetensors")
        for name, a in factors.items():
            if "lora_A" in name:
                b = factors[name.replace("lora_A", "lora_B")].double()
                place = name.removeprefix("base_model.model.").replace("lora_A.", "")
                state[place] = state[place] + 6 / a.shape[0] * b @ a.double()
        states.append(state)
    tuned = load_file(folder / "tuned" / "model.safetensors")
    states.append({name: tensor.double() for name, tensor in tuned.items()})
    seeds = [str(folder / name) for name in ("base", "adapter1", "adapter2", "tuned")]
    return seeds, states


def drawn(axis, count, seed=0):
    """A recipe of any coefficients, cut where the axis may be cut, if only within one tensor."""
    rng = np.random.default_rng(seed)
    cuts = set()
    for places in axis.cuts:
        cuts.update(rng.choice(np.asarray(places), min(9, len(places)), replace=False).tolist())
    bounds = np.array([0, *sorted(cuts - {0}), axis.size])
    return Recipe(bounds, rng.normal(size=(len(bounds) - 1, count)))


@pytest.mark.parametrize(
    "axis", [{}, {"cut": "row"}, {"cut": "element"}, {"order": "unit"}], ids=str
)
def test_a_member_is_the_sum_of_its_seeds_in_every_order(kin, axis):
    seeds, states = kin
    population = LanguageModels(seeds, **axis)
    genome = drawn(population.axis, len(seeds))
    # Along the axis every number has its coefficients, whatever tensor it is of.
    flat = []
    for state in states:
        flat.append(torch.cat([state[name].reshape(-1) for name in population.axis.shapes]))
    lengths = torch.from_numpy(np.diff(genome.bounds))
    each = torch.from_numpy(genome.coefficients).repeat_interleave(lengths, dim=0)
    order = population.axis.order
    places = torch.arange(population.axis.size) if order is None else torch.from_numpy(order)
    exact = torch.empty(population.axis.size, dtype=torch.float64)
    exact[places] = (each * torch.stack(flat, dim=1)[places]).sum(1)
    population.express(genome)
    slots = population._slots
    out = torch.cat([slots[name].detach().reshape(-1) for name in population.axis.shapes])
    assert_rounded_once(out, exact)


def test_the_base_is_kept_once_and_each_adapter_as_its_factors(kin):
    seeds, _ = kin
    base = load_file(seeds[0] + "/model.safetensors")
    factors = [load_file(f"{seed}/adapter_model.safetensors") for seed in seeds[1:3]]
    size_of_base = sum(tensor.nbytes for tensor in base.values())
    numbers = sum(tensor.numel() for state in factors for tensor in state.values())
    population = LanguageModels(seeds[:3])
    assert population.footprint()["seeds"] == size_of_base + 4 * numbers
    assert LanguageModels(seeds).footprint()["seeds"] == 2 * size_of_base + 4 * numbers
    # Of all that stays in memory, the sum is that of the distinct tensors.
    kept = {}
    for name in population.axis.shapes:
        factored = population._kept.factored(name)
        for tensor in factored.wholes:
            kept[tensor.data_ptr()] = tensor.nbytes
        if factored.factors is not None:
            for tensor in (factored.factors.left, factored.factors.right):
                kept[tensor.data_ptr()] = tensor.nbytes
    assert sum(kept.values()) == size_of_base + 4 * numbers


def test_the_files_of_a_base_are_read_once_for_all_digests(kin, monkeypatch):
    seeds, _ = kin
    read = []
    add = digests._add

    def noting(state, path):
        read.append(path)
        add(state, path)

    monkeypatch.setattr(digests, "_add", noting)
    sources = LanguageModels(seeds).sources()
    assert len(read) == len(set(read)) == 6  # two whole models, and two files of each adapter
    for seed, source in zip(seeds, sources, strict=True):
        content = b""
        if "adapter" in seed:
            content += Path(seeds[0], "model.safetensors").read_bytes()
            content += Path(seed, "adapter_config.json").read_bytes()
            content += Path(seed, "adapter_model.safetensors").read_bytes()
        else:
            content += Path(seed, "model.safetensors").read_bytes()
        assert source["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_module_may_have_embedding_in_its_name(tmp_path):
    """Factors of an embedding are the other way round, and those of a layer of such a name are not."""
    draw = torch.Generator().manual_seed(0)
    a, b, whole = (torch.randn(4, 4, generator=draw) for _ in range(3))
    save_file({"embedding_proj.weight": whole}, tmp_path / "model.safetensors")
    (tmp_path / "adapter").mkdir()
    start = "base_model.model.embedding_proj"
    factors = {f"{start}.lora_A.weight": a, f"{start}.lora_B.weight": b}
    save_file(factors, tmp_path / "adapter" / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 2}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    adapted = Adapted(tmp_path / "adapter", Checkpoint.open(tmp_path))
    assert torch.allclose(adapted.tensor("embedding_proj.weight"), whole + 0.5 * b @ a, atol=1e-6)


def test_inner_products_are_those_of_the_seeds_that_are_summed(kin):
    seeds, states = kin
    population = LanguageModels(seeds, cut="element")
    flat = []
    for state in states:
        flat.append(torch.cat([state[name].reshape(-1) for name in population.axis.shapes]))
    rows = torch.stack(flat)
    bounds = np.array([0, 5000, 9001, population.axis.size])
    for gram, begin, end in zip(
        population.grams.over(bounds), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True
    ):
        exact = (rows[:, begin:end] @ rows[:, begin:end].T).numpy()
        np.testing.assert_allclose(gram, exact, rtol=1e-6, atol=1e-5)


def test_an_adapter_alone_is_what_peft_merges(tmp_path):
    tiny_llama.save(tmp_path / "base")
    folder, merged = adapter(tmp_path / "adapter", tmp_path / "base")
    other, _ = adapter(tmp_path / "other", tmp_path / "base", seed=2)
    population = LanguageModels([other, folder, str(tmp_path / "base")])
    population.express(population.founders(np.random.default_rng(0))[1])
    expected = merged.state_dict()
    for name, slot in population._slots.items():
        assert torch.allclose(slot, expected[name], atol=1e-6), name
    # What no adapter changes is the base's to the bit.
    norm = load_file(tmp_path / "base" / "model.safetensors")["model.norm.weight"]
    assert torch.equal(population._slots["model.norm.weight"], norm)


@pytest.mark.parametrize("place", ["disk", "device"])
def test_what_is_saved_is_the_resident_and_another_process_would_make_it_again(
    kin, tmp_path, place
):
    seeds, _ = kin
    population = LanguageModels(seeds, cut="element")
    genome = drawn(population.axis, len(seeds))
    population.express(genome)
    resident = {name: slot.detach().clone() for name, slot in population._slots.items()}
    again = LanguageModels(seeds, cut="element", seed_device=place)
    again.express(again.founders(np.random.default_rng(0))[2])
    again.save(genome, tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    for name, tensor in resident.items():
        assert torch.equal(saved[name], tensor), name


@pytest.mark.whole
def test_mergekit_makes_the_same_of_a_base_in_bfloat16_by_the_command_in_its_file(tmp_path):
    tiny_llama.save(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    model.to(torch.bfloat16).save_pretrained(tmp_path / "base")
    seeds = [adapter(tmp_path / str(seed), tmp_path / "base", seed)[0] for seed in (1, 2)]
    population = LanguageModels(seeds, dtype="float32")
    genome = Recipe(np.array([0, population.axis.size]), np.array([[0.4, 0.7]]))
    (tmp_path / "out").mkdir()
    population.save(genome, tmp_path / "out")
    command, *arguments = (tmp_path / "out" / "mergekit.yaml").open().readline()[1:].split()
    command = str(Path(sys.executable).with_name(command))
    subprocess.run([command, *arguments], cwd=tmp_path / "out", check=True, capture_output=True)
    ours = load_file(tmp_path / "out" / "model.safetensors")
    (path,) = (tmp_path / "out" / "OUT").glob("*.safetensors")
    theirs = load_file(path)
    for name, tensor in ours.items():
        assert torch.allclose(theirs[name], tensor, rtol=0, atol=1e-6), name


def test_an_adapter_that_lacks_rows_is_added_up_before_it_is_lent_some(tmp_path):
    tiny_llama.save(tmp_path / "base")
    folder, merged = adapter(
        tmp_path / "adapter", tmp_path / "base", target_modules=["embed_tokens", "q_proj"]
    )
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    size = model.config.vocab_size
    model.resize_token_embeddings(size + 2)
    model.save_pretrained(tmp_path / "longer")
    tokenizer = tiny_llama.tokenizer()
    tokenizer.add_tokens(["<one>", "<two>"])
    tokenizer.save_pretrained(tmp_path / "longer")
    seeds = [folder, str(tmp_path / "base"), str(tmp_path / "longer")]
    population = LanguageModels(seeds, vocabulary="trailing")
    population.express(population.founders(np.random.default_rng(0))[0])
    name = "model.embed_tokens.weight"
    slot = population._slots[name]
    assert torch.allclose(slot[:size], merged.state_dict()[name], atol=1e-6)
    assert torch.equal(slot[size:], model.state_dict()[name][size:])
    # Its other matrices are factors as everywhere.
    assert population._kept.factored("model.layers.0.self_attn.q_proj.weight").factors is not None
    assert population._kept.factored(name).factors is None
