"""Checkpoints: what their headers tell, and what is wrong with them before a weight is read."""

import json
import pickle
import resource

import pytest
import torch
from safetensors.torch import save_file

from populations.seeds.checkpoints import Checkpoint

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
    shards = {
        "a.weight": "model-1.safetensors",
        "b.weight": "model-2.safetensors",
        "c.count": "model-2.safetensors",
    }
    for shard in set(shards.values()):
        save_file(
            {name: TENSORS[name] for name, of in shards.items() if of == shard}, tmp_path / shard
        )
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": shards})
    )
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
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, (
        "kilobytes; all of it would be 200,000"
    )


def cut(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


def put(path, data):
    path.write_bytes(data)


def header(text):
    return len(text).to_bytes(8, "little") + text


DAMAGE = {
    "nothing there": (
        lambda f: (f / "model.safetensors").unlink(),
        "expected model.safetensors or .*found neither",
    ),
    "cut short": (
        lambda f: cut(f / "model.safetensors", 240),
        "not a whole safetensors file, expected .* bytes, got 240",
    ),
    "cut in the header": (
        lambda f: cut(f / "model.safetensors", 30),
        "its header says .* bytes and it has 22",
    ),
    "empty": (lambda f: cut(f / "model.safetensors", 0), "its header says 0 bytes and it has 0"),
    "a byte too many": (
        lambda f: put(f / "model.safetensors", (f / "model.safetensors").read_bytes() + b"x"),
        "expected .* bytes, got",
    ),
    "text": (
        lambda f: put(f / "model.safetensors", b"version https://git-lfs.github.com/spec/v1"),
        "not a whole safetensors file",
    ),
    "no JSON": (
        lambda f: put(f / "model.safetensors", header(b"{broken")),
        "its header cannot be read",
    ),
    "a list": (
        lambda f: put(f / "model.safetensors", header(b"[1, 2]")),
        "its header cannot be read",
    ),
    "an unknown type": (
        lambda f: put(
            f / "model.safetensors",
            header(b'{"a": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 0]}}'),
        ),
        "its header cannot be read .*Q4",
    ),
    "of six bits": (
        lambda f: put(
            f / "model.safetensors",
            header(b'{"a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}') + b"abc",
        ),
        "'a' is F6_E2M3: it is quantized, expected floating-point weights",
    ),
    "fewer bytes than numbers": (
        lambda f: put(
            f / "model.safetensors",
            header(b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}') + b"12345678",
        ),
        r"'a' of shape \(4,\) in torch.float32 needs 16 bytes, the header says 0 to 8",
    ),
    "no offsets": (
        lambda f: put(f / "model.safetensors", header(b'{"a": {"dtype": "F32", "shape": [4]}}')),
        "its header cannot be read .*data_offsets",
    ),
    "no UTF-8": (
        lambda f: put(f / "model.safetensors", header(b'{"\xff": 1}')),
        "its header cannot be read .*utf-8",
    ),
    "a folder": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").mkdir()),
        "expected a file, it is a folder",
    ),
    "in a folder below": (
        lambda f: (
            (f / "checkpoint-500").mkdir(),
            (f / "model.safetensors").rename(f / "checkpoint-500" / "model.safetensors"),
        ),
        "found neither; there are models in folders below it: name one of checkpoint-500",
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
    "a shard is missing": (
        lambda f: (f / "model-2.safetensors").unlink(),
        "names 2 files, 1 are missing: model-2.safetensors",
    ),
    "a shard is cut": (
        lambda f: cut(f / "model-1.safetensors", 90),
        "model-1.safetensors: not a whole safetensors file",
    ),
    "a tensor is elsewhere": (
        lambda f: save_file({"x": torch.ones(1)}, f / "model-1.safetensors"),
        "model-1.safetensors: expected a tensor 'a.weight'",
    ),
    "the index is broken": (
        lambda f: put(f / "model.safetensors.index.json", b"{"),
        "expected JSON with a weight_map",
    ),
    "the index has no map": (
        lambda f: put(f / "model.safetensors.index.json", b"{}"),
        "expected JSON with a weight_map",
    ),
    "the index is empty": (
        lambda f: put(f / "model.safetensors.index.json", b""),
        r"cannot be read \(it is empty\)",
    ),
    "the index is no text": (
        lambda f: put(f / "model.safetensors.index.json", b"\x80"),
        "it is not UTF-8, at byte 0",
    ),
    "the index is a list": (
        lambda f: put(f / "model.safetensors.index.json", b"[]"),
        "expected an object in braces, got list",
    ),
    "the map is empty": (
        lambda f: put(f / "model.safetensors.index.json", b'{"weight_map": {}}'),
        "expected JSON with a weight_map, got dict: {}",
    ),
    **{
        f"the index leads to {place}": (
            lambda f, place=place: put(
                f / "model.safetensors.index.json",
                json.dumps({"weight_map": {"a.weight": place}}).encode(),
            ),
            "index.json: 'a.weight': expected the name of a file beside it, got",
        )
        for place in ("../model-1.safetensors", "/etc/model.safetensors", "..", "", 5, None)
    },
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


def test_a_tensor_that_an_index_does_not_name_is_there_all_the_same(sharded):
    """Else it would be lost without a word."""
    save_file(
        {"b.weight": TENSORS["b.weight"], "c.count": TENSORS["c.count"], "d": torch.ones(3)},
        sharded / "model-2.safetensors",
    )
    checkpoint = Checkpoint.open(sharded)
    assert set(checkpoint.entries) == {*TENSORS, "d"}
    assert torch.equal(checkpoint.tensor("d"), torch.ones(3))


@pytest.mark.parametrize(
    "dtype",
    [
        torch.uint16,
        torch.uint32,
        torch.uint64,
        torch.complex64,
        torch.float8_e8m0fnu,
        torch.float8_e4m3fnuz,
    ],
)
def test_types_that_are_no_plain_weights_are_known_by_name(tmp_path, dtype):
    save_file({"a": torch.ones(4).to(dtype)}, tmp_path / "model.safetensors")
    assert Checkpoint.open(tmp_path).entries["a"].dtype == dtype


def test_a_file_that_changes_after_its_header_was_read_has_a_place(single):
    checkpoint = Checkpoint.open(single)
    cut(single / "model.safetensors", 120)
    with pytest.raises(ValueError, match=r"model.safetensors: 'a.weight' cannot be read"):
        checkpoint.tensor("a.weight")
