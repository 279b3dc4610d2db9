"""Express: the compiled loop and torch's pieces against sums in float64."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe
from populations.express import combine as module
from populations.express.combine import combine, express
from populations.express.factored import Factored
from populations.express.fused_torch import combine_at_once, compiled_sum

CUTS = [
    ((5000,), 0),
    ((70, 130), 0),
    ((70, 130), 1),
    ((6, 10, 20), 1),
    ((70, 130), None),
    ((), 0),
    ((200_000,), 0),
]


def seeds_of(shape, dtype, count=3):
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=draw).to(dtype) for _ in range(count)]


def stretches_of(shape, dim, count=3, n=4):
    rng = np.random.default_rng(1)
    size = 1 if not shape else int(np.prod(shape)) if dim is None else shape[dim]
    inner = rng.choice(np.arange(1, size), min(n - 1, size - 1), replace=False) if size > 1 else []
    edges = np.array([0, *sorted(inner), size])
    return edges, rng.normal(size=(len(edges) - 1, count))


def expected(seeds, coefficients, edges, dim):
    """In float64."""
    flat = [
        seed.double().reshape(-1) if dim is None or not seed.dim() else seed.double()
        for seed in seeds
    ]
    parts = [
        sum(
            c * seed.narrow(dim or 0, start, stop - start)
            for c, seed in zip(row, flat, strict=True)
        )
        for row, start, stop in zip(
            coefficients.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True
        )
    ]
    return torch.cat(parts, dim or 0).reshape(seeds[0].shape)


@pytest.mark.parametrize(("shape", "dim"), CUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fused", [True, False])
def test_sums_are_those_of_float64(shape, dim, dtype, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(module, "_numba_loop", lambda: None)
        monkeypatch.setattr(module, "PIECE", 1000)
    seeds = seeds_of(shape, dtype)
    edges, coefficients = stretches_of(shape, dim)
    out = torch.full(shape, torch.nan, dtype=dtype)
    combine(out, seeds, coefficients, edges, dim)
    exact = expected(seeds, coefficients, edges, dim)
    if dtype == torch.float32:
        assert torch.allclose(out.double(), exact, rtol=1e-6, atol=1e-6)
    else:  # within one unit in the last place
        step = torch.finfo(dtype).eps * exact.abs().clamp(min=torch.finfo(dtype).tiny * 2)
        assert ((out.double() - exact).abs() <= step).all()


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU")
@pytest.mark.parametrize("dim", [0, 1])
def test_what_is_compiled_for_a_gpu_is_the_same_sum(dim):
    """Compiled for the processor here: the same code, another back end."""
    out, seeds = torch.empty(70, 130, dtype=torch.bfloat16), seeds_of((70, 130), torch.bfloat16)
    edges, coefficients = stretches_of((70, 130), dim)
    rows, inner = (1, 130) if dim == 0 else (70, 1)
    for rest in (coefficients, coefficients[:1]):
        at = edges if len(rest) > 1 else edges[[0, -1]]
        combine_at_once(out, seeds, rest.astype(np.float32), at * inner, rows, inner)
        exact = expected(seeds, rest, at, dim)
        assert ((out.double() - exact).abs() <= torch.finfo(out.dtype).eps * exact.abs()).all()


def test_where_nothing_can_be_compiled_that_is_said(monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    assert compiled_sum.__wrapped__("cpu") is None
    assert "torch.compile does not work here (RuntimeError)" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("shape", "dim"), CUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_sums_on_a_gpu_are_those_of_float64(shape, dim, dtype, place):
    seeds = seeds_of(shape, dtype)
    edges, coefficients = stretches_of(shape, dim)
    out = torch.full(shape, torch.nan, dtype=dtype, device="cuda")
    combine(out, [seed.to(place) for seed in seeds], coefficients, edges, dim)
    exact = expected(seeds, coefficients, edges, dim)
    step = max(torch.finfo(dtype).eps, 2e-6) * exact.abs().clamp(min=1e-2)
    assert ((out.cpu().double() - exact).abs() <= step).all()


def test_both_ways_agree_to_the_bit_in_bfloat16(monkeypatch):
    seeds = seeds_of((300, 500), torch.bfloat16, 2)
    edges, coefficients = stretches_of((300, 500), 1, 2)
    compiled, pieces = (
        torch.empty(300, 500, dtype=torch.bfloat16),
        torch.empty(300, 500, dtype=torch.bfloat16),
    )
    combine(compiled, seeds, coefficients, edges, 1)
    monkeypatch.setattr(module, "_numba_loop", lambda: None)
    combine(pieces, seeds, coefficients, edges, 1)
    assert (
        compiled != pieces
    ).float().mean() < 1e-3  # the compiled loop adds with one rounding less
    assert torch.allclose(compiled.float(), pieces.float(), rtol=2**-7, atol=0)


def test_rounds_to_nearest_even_and_keeps_what_is_no_number():
    values = torch.tensor(
        [
            1.0,
            1.00390625,
            1.01171875,
            3.4e38,
            float("inf"),
            float("-inf"),
            float("nan"),
            -0.0,
            1e-40,
        ]
    )
    out = torch.empty(9, dtype=torch.bfloat16)
    combine(out, [values.bfloat16(), values.bfloat16()], np.array([[1.0, 0.0]]), np.array([0, 9]))
    assert torch.equal(out.nan_to_num(nan=7), values.bfloat16().nan_to_num(nan=7))
    halves = [
        torch.tensor([1.0] * 4, dtype=torch.bfloat16),
        torch.tensor([1, 3, 5, 7], dtype=torch.bfloat16),
    ]
    combine(out[:4], halves, np.array([[1.0, 2.0**-8]]), np.array([0, 4]))
    assert torch.equal(out[:4], (1 + torch.tensor([1.0, 3, 5, 7]) / 256).bfloat16())


def test_a_seed_alone_is_copied_to_the_bit_and_the_others_are_not_read():
    seeds = seeds_of((100, 30), torch.bfloat16)
    seeds[0].fill_(torch.nan)
    out = torch.zeros(100, 30, dtype=torch.bfloat16)
    combine(out, seeds, np.array([[0.0, 1.0, 0.0]]), np.array([0, 100]))
    assert torch.equal(out, seeds[1])
    combine(out, seeds, np.zeros((1, 3)), np.array([0, 100]))
    assert not out.any()


def test_types_that_differ_are_added_up_in_float32():
    half, full = torch.full((64,), 0.1, dtype=torch.float16), torch.full((64,), 0.1)
    out = torch.empty(64)
    combine(out, [half, full], np.array([[1.0, 1.0]]), np.array([0, 64]))
    assert torch.equal(out, half.float() + full)


def test_threads_do_not_matter():
    seeds = seeds_of((400_000,), torch.float32)
    edges, coefficients = stretches_of((400_000,), 0)
    outs = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        outs.append(torch.empty(400_000))
        combine(outs[-1], seeds, coefficients, edges)
        torch.set_num_threads(before)
    assert torch.equal(*outs)


def test_a_whole_model_is_filled_in_place():
    shapes = {"a": (6, 4), "b": (4, 6), "c": (5,)}
    axis = Axis.unit(shapes, [(["a"], ["b"])])
    seeds = {name: seeds_of(shape, torch.float32, 2) for name, shape in shapes.items()}
    slots = {name: torch.full(shape, torch.nan) for name, shape in shapes.items()}
    addresses = {name: slot.data_ptr() for name, slot in slots.items()}
    genome = Recipe(np.array([0, 16, 48, 53]), np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0]]))
    express(slots, lambda name: Factored.plain(seeds[name]), genome, axis)
    assert {name: slot.data_ptr() for name, slot in slots.items()} == addresses
    assert torch.equal(slots["a"][:2], seeds["a"][0][:2])
    assert torch.allclose(slots["a"][2:], (seeds["a"][0][2:] + seeds["a"][1][2:]) / 2)
    assert torch.equal(slots["b"][:, :2], seeds["b"][0][:, :2])
    assert torch.allclose(slots["b"][:, 2:], (seeds["b"][0][:, 2:] + seeds["b"][1][:, 2:]) / 2)
    assert torch.equal(slots["c"], 2 * seeds["c"][1])


def test_a_loop_that_cannot_be_kept_on_disk_is_compiled_all_the_same(tmp_path):
    """As where the package belongs to somebody else, and the user has no home."""
    shutil.copytree(Path(module.__file__).parent, tmp_path / "populations")
    (tmp_path / "populations" / "__pycache__").rename(tmp_path / "gone")
    code = (
        "import numpy, numba; from populations import fused_numba as loop; "
        "print(loop.__file__, type(loop.combine).__name__)"
    )
    refused = "import numba.core.caching as c; c.CacheImpl._locator_classes = []; "
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", refused + code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    home = tmp_path / "populations" / "fused_numba.py"
    assert done.stdout.split() == [str(home), "CPUDispatcher"], done.stderr


def test_torch_keeps_its_number_of_threads():
    """Numba's first launch would set it to the number of processors.

    Scores of one thread would become scores of several.
    """
    code = """
import numpy as np
import torch
torch.set_num_threads(1)
from populations.express.combine import combine
combine(torch.empty(8), [torch.ones(8), torch.ones(8)], np.array([[0.5, 0.5]]), np.array([0, 8]))
print(torch.get_num_threads())
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(module.__file__).parents[2]),
        "NUMBA_NUM_THREADS": "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "1", done.stderr
