"""Images: sizes, scales and shapes of every source."""

import gzip
import struct

import numpy as np
import pytest
import torch

from fitness.images import HubImages, Idx, SklearnDigits

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 3, 5)).astype(np.uint8)
LABELS = np.arange(10, dtype=np.uint8) % 4
SPLITS = ("train", "validation", "test")


def sizes(data):
    return [0 if data.split(name) is None else len(data.split(name)[0]) for name in SPLITS]


def test_digits():
    data = SklearnDigits()
    images, labels = data.split("train")
    assert sizes(data) == [1437, 0, 360]
    assert images.shape == (1437, 64)
    assert (images.min(), images.max()) == (0, 16)
    assert set(labels.tolist()) == set(range(10))
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert data.shape() == (8, 8)
    assert labels[:5].tolist() == [0, 1, 2, 3, 4]  # file order


def test_digits_with_validation_and_channels():
    whole, data = SklearnDigits(), SklearnDigits(train=0.5, validation=0.25, flat=False)
    assert sizes(data) == [898 - 224, 224, 899]
    assert data.split("train")[0].shape == (674, 1, 8, 8)
    together = torch.cat([data.split(name)[0] for name in SPLITS]).reshape(-1, 64)
    assert torch.equal(together, torch.cat([whole.split(name)[0] for name in ("train", "test")]))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize(
    "kind",
    [SklearnDigits, lambda **share: Idx("x", **share), lambda **share: HubImages("x", **share)],
)
def test_a_share_is_checked_at_once(kind, share):
    with pytest.raises(ValueError, match="validation: expected a share"):
        kind(validation=share)


def write_idx(folder, zipped):
    for part, count in (("train", 6), ("t10k", 4)):
        chosen = slice(0, 6) if part == "train" else slice(6, 10)
        for name, values in (
            ("images-idx3-ubyte", PIXELS[chosen]),
            ("labels-idx1-ubyte", LABELS[chosen]),
        ):
            content = (
                bytes([0, 0, 8, values.ndim])
                + struct.pack(f">{values.ndim}I", *values.shape)
                + values.tobytes()
            )
            path = folder / f"{part}-{name}{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(content) if zipped else content)
        assert len(PIXELS[chosen]) == count


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_idx(tmp_path, zipped, flat):
    write_idx(tmp_path, zipped)
    data = Idx(tmp_path, validation=1 / 3, flat=flat)
    assert sizes(data) == [4, 2, 4]
    assert data.shape() == (3, 5)
    for name, chosen in (
        ("train", slice(0, 4)),
        ("validation", slice(4, 6)),
        ("test", slice(6, 10)),
    ):
        images, labels = data.split(name)
        assert images.shape[1:] == ((15,) if flat else (1, 3, 5))
        assert torch.equal(
            images.reshape(-1, 3, 5), torch.from_numpy(PIXELS[chosen] / np.float32(255))
        )
        assert labels.tolist() == LABELS[chosen].tolist()


def test_mnist(shared):
    folder = shared / "data" / "mnist"
    if not folder.is_dir():
        pytest.skip("MNIST is not here")
    data = Idx(folder)
    assert sizes(data) == [60_000, 0, 10_000]
    images, labels = data.split("train")
    assert data.shape() == (28, 28)
    assert (images.min(), images.max()) == (0, 1)
    assert torch.bincount(labels).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Writes a data set of the hub's format into a folder; gives its path."""
    datasets = pytest.importorskip("datasets")
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def write(parts=("train", "test"), shrink=False, **columns):
        folder = tmp_path / "set"
        folder.mkdir()
        for part in parts:
            chosen = slice(0, 6) if part == "train" else slice(6, 10)
            pictures = [image.fromarray(pixels) for pixels in PIXELS[chosen]]
            pictures[-1] = pictures[-1].resize((2, 2)) if shrink else pictures[-1]
            data = {"image": pictures, "label": LABELS[chosen].tolist()}
            data |= {name: values[chosen] for name, values in columns.items()}
            datasets.Dataset.from_dict(data).to_parquet(folder / f"{part}.parquet")
        return str(folder)

    return write


def test_hub(hub):
    data = HubImages(hub(), validation=1 / 3, flat=False)
    assert sizes(data) == [4, 2, 4]
    assert data.shape() == (3, 5)
    images, labels = data.split("test")
    assert torch.equal(images[:, 0], torch.from_numpy(PIXELS[6:] / np.float32(255)))
    assert labels.tolist() == LABELS[6:].tolist()


@pytest.mark.parametrize(
    ("wrong", "settings", "said"),
    [
        ({}, {"image": "picture"}, "no column 'picture'; it has image, label"),
        ({}, {"label": "digit"}, "no column 'digit'; it has image, label"),
        ({"parts": ["train"]}, {}, "expected splits train and test, it has train"),
        ({"shrink": True}, {}, "the pictures of train differ in size"),
        (
            {"word": list("abcdefghij")},
            {"label": "word"},
            "a whole number for each picture in the column 'word', got .*string",
        ),
        (
            {"word": list("abcdefghij")},
            {"image": "word"},
            "expected pictures in the column 'word', got .*string",
        ),
    ],
)
def test_hub_tells_what_is_wrong(hub, wrong, settings, said):
    with pytest.raises(ValueError, match=said):
        HubImages(hub(**wrong), **settings).split("train")
