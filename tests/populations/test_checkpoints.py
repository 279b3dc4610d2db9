"""Checkpoints: what their headers tell, and what is wrong with them before a weight is read."""

import json
import pickle
import resource

import pytest
import torch
from safetensors.torch import save_file

from populations.checkpoints import Checkpoint

TENSORS = {
    "a.weight": torch.arange(12.0).view(3, 4),
    "b.weight": torch.ones(5, dtype=torch.bfloat16),
    "c.count": torch.tensor(7),
}


@pytest.fixture
def single(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


@pytest.fixture
def sharded(tmp_path):
    shards = {"a.weight": "model-1.safetensors", "b.weight": "model-2.safetensors", "c.count": "model-2.safetensors"}
    for shard in set(shards.values()):
        save_file({name: TENSORS[name] for name, of in shards.items() if of == shard}, tmp_path / shard)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    return tmp_path


@pytest.mark.parametrize("kind", ["single", "sharded"])
def test_headers_and_tensors(kind, request):
    checkpoint = Checkpoint.open(request.getfixturevalue(kind))
    found = {name: (entry.dtype, entry.shape) for name, entry in checkpoint.entries.items()}
    assert found == {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()}
    again = pickle.loads(pickle.dumps(checkpoint))
    for name, tensor in TENSORS.items():
        assert torch.equal(checkpoint.tensor(name), tensor)
        assert torch.equal(again.tensor(name), tensor)


def test_a_tensor_is_mapped_and_not_read(tmp_path):
    save_file({"large": torch.zeros(50_000_000)}, tmp_path / "model.safetensors")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tensor = Checkpoint.open(tmp_path).tensor("large")
    assert tensor[-1] == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes; all of it would be 200,000"


def cut(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


def put(path, data):
    path.write_bytes(data)


def header(text):
    return len(text).to_bytes(8, "little") + text


DAMAGE = {
    "nothing there": (lambda f: (f / "model.safetensors").unlink(), "expected model.safetensors or .*found neither"),
    "cut short": (lambda f: cut(f / "model.safetensors", 240), "not a whole safetensors file, expected .* bytes, got 240"),
    "cut in the header": (lambda f: cut(f / "model.safetensors", 30), "its header says .* bytes and it has 22"),
    "empty": (lambda f: cut(f / "model.safetensors", 0), "its header says 0 bytes and it has 0"),
    "a byte too many": (
        lambda f: put(f / "model.safetensors", (f / "model.safetensors").read_bytes() + b"x"),
        "expected .* bytes, got",
    ),
    "text": (
        lambda f: put(f / "model.safetensors", b"version https://git-lfs.github.com/spec/v1"),
        "not a whole safetensors file",
    ),
    "no JSON": (lambda f: put(f / "model.safetensors", header(b"{broken")), "its header cannot be read"),
    "a list": (lambda f: put(f / "model.safetensors", header(b"[1, 2]")), "its header cannot be read"),
    "an unknown type": (
        lambda f: put(f / "model.safetensors", header(b'{"a": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 0]}}')),
        "its header cannot be read .*Q4",
    ),
    "a pickle": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        r"expected safetensors, got pickled weights \(pytorch_model.bin\)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_wrong_with_a_file(single, damage):
    spoil, message = DAMAGE[damage]
    spoil(single)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        Checkpoint.open(single)
    assert str(single) in str(caught.value)


SHARDS = {
    "a shard is missing": (lambda f: (f / "model-2.safetensors").unlink(), "names 2 files, 1 are missing: model-2.safetensors"),
    "a shard is cut": (lambda f: cut(f / "model-1.safetensors", 90), "model-1.safetensors: not a whole safetensors file"),
    "a tensor is elsewhere": (
        lambda f: save_file({"x": torch.ones(1)}, f / "model-1.safetensors"),
        "model-1.safetensors: expected a tensor 'a.weight'",
    ),
    "the index is broken": (lambda f: put(f / "model.safetensors.index.json", b"{"), "expected JSON with a weight_map"),
    "the index has no map": (lambda f: put(f / "model.safetensors.index.json", b"{}"), "expected JSON with a weight_map"),
    "the map is a list": (
        lambda f: put(f / "model.safetensors.index.json", b'{"weight_map": [1]}'),
        "expected JSON with a weight_map",
    ),
}


@pytest.mark.parametrize("damage", SHARDS)
def test_what_is_wrong_with_shards(sharded, damage):
    spoil, message = SHARDS[damage]
    spoil(sharded)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Checkpoint.open(sharded)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        Checkpoint.open(tmp_path / "nowhere")
