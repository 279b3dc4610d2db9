"""Files that cannot be read or written: configs, images, seeds and places, each told in one message."""

import gzip
import os

import pytest
import yaml
from mistakes import (
    CONFIG,
    IDX,
    RUN,
    SEEDS,
    both,
    changed,
    check_mistake,
    file,
    idx,
    idx_bytes,
    row,
    seeds,
)
from safetensors.torch import load_file, save_file


def spoil(path):
    tensors = load_file(path)
    tensors["2.bias"][3] = float("nan")
    save_file(tensors, path)


FILES = [
    row(
        "config missing", "run digit.yaml", "digit.yaml: there is no such file", "mean digits.yaml?"
    ),
    row("config is a folder", "run run", "run: expected a YAML file, this is a folder"),
    row(
        "config is no YAML",
        "run c.yaml",
        "c.yaml: ",
        "line 2",
        given=file("c.yaml", "births: 3\n  seed: [1"),
    ),
    row(
        "config is no text",
        "run c.yaml",
        "c.yaml: ",
        "codec can't decode",
        given=file("c.yaml", b"\xff\xfe\x00births"),
    ),
    row(
        "config is a list",
        "run c.yaml",
        "c.yaml: expected keys and values, got a list",
        given=file("c.yaml", "- births: 3"),
    ),
    row(
        "config is empty",
        "run c.yaml",
        "population: missing",
        "fitness: missing",
        "births: missing",
        given=file("c.yaml", ""),
        lines=3,
    ),
    row("override without =", RUN + "births", "'births': expected key=value"),
    row("override with spaces", RUN + "births = 5", "'births': expected key=value"),
    row("override without a key", RUN + "=5", "'=5': expected key=value"),
    row("override that is no YAML", RUN + "births=[5", "births: "),
    row("interpolation of nothing", RUN + "seed=${sed}", "'sed' not found", "seed"),
    row(
        "interpolation of itself",
        RUN + "seed=${births} births=${seed}",
        "digits.yaml: Recursive interpolation",
        "births",
    ),
    row(
        "base of itself",
        "run c.yaml",
        "c.yaml: ",
        "refers to itself",
        given=file("c.yaml", "_base_: c.yaml"),
    ),
    row(
        "base missing",
        "run c.yaml",
        "c.yaml: _base_: expected the path of another config, got 'd.yaml'",
        given=file("c.yaml", "_base_: d.yaml"),
    ),
    row("no such command", "ran digits.yaml", "argument COMMAND: invalid choice: 'ran'"),
    row(
        "check, several mistakes",
        "check digits.yaml seeds=5 strategy.sise=3 population.sd=x",
        "seeds: unknown key; did you mean 'seed'?",
        "strategy.sise: unknown key; did you mean 'size'?",
        "population.sd: expected a number",
        lines=3,
    ),
    row(
        "several kinds of mistakes",
        RUN + "births=-1 tile=0 strategy.size=1 population.hidden=[] fitness.score=right",
        "births: expected a number of at least 0",
        "tile: expected",
        "strategy.size: expected",
        "population.hidden: expected",
        "fitness.score: ",
        lines=5,
    ),
]

IMAGES = [
    row(
        "no folder",
        IDX,
        "fitness: folder: expected a folder with train-images-idx3-ubyte",
        "there is no folder mnist",
    ),
    row(
        "no file",
        IDX,
        "folder: expected the file mnist/t10k-labels-idx1-ubyte or",
        "found neither",
        given=idx(t10k_labels=None),
    ),
    row(
        "file of another name",
        IDX,
        "expected the file mnist/train-images-idx3-ubyte",
        "is it 'train-images.idx3-ubyte'?",
        given=both(idx(train_images=None), file("mnist/train-images.idx3-ubyte", b"")),
    ),
    row(
        "truncated",
        IDX,
        "train-images-idx3-ubyte: its header promises 24 bytes of shape (6, 2, 2), it holds 14",
        given=idx(train_images=idx_bytes(range(24), (6, 2, 2), cut=30)),
    ),
    row(
        "truncated header",
        IDX,
        "train-labels-idx1-ubyte: expected a header of 8 bytes, the file ends after 6",
        given=idx(train_labels=idx_bytes([], (6,), cut=6)),
    ),
    row(
        "truncated gzip",
        IDX,
        "train-images-idx3-ubyte.gz: not a whole gzip file",
        given=idx(train_images=gzip.compress(os.urandom(500))[:300]),
    ),
    row(
        "no gzip",
        IDX,
        "train-images-idx3-ubyte.gz: not a whole gzip file",
        given=both(idx(train_images=None), file("mnist/train-images-idx3-ubyte.gz", "hello")),
    ),
    row(
        "wrong magic",
        IDX,
        "train-images-idx3-ubyte: expected an IDX file of unsigned bytes in 3 dimensions",
        "begins 00000d03",
        given=idx(train_images=idx_bytes(range(24), (6, 2, 2), magic=b"\0\0\x0d\3")),
    ),
    row(
        "labels for images",
        IDX,
        "train-images-idx3-ubyte: expected",
        "3 dimensions",
        "begins 00000801",
        given=idx(train_images=idx_bytes(range(6), (6,))),
    ),
    row(
        "labels that do not match",
        IDX,
        "mnist: train has 6 images, but 5 labels",
        given=idx(train_labels=idx_bytes(range(5), (5,))),
    ),
    row(
        "images of another size",
        IDX,
        "mnist: train has images of (2, 2), t10k of (1, 4)",
        given=idx(t10k_images=idx_bytes(range(16), (4, 1, 4))),
    ),
    row(
        "no images",
        IDX,
        "train-images-idx3-ubyte: it is empty, shape (0, 2, 2)",
        given=idx(train_images=idx_bytes([], (0, 2, 2))),
    ),
    row(
        "empty file",
        IDX,
        "train-images-idx3-ubyte: expected an IDX file",
        "and ends at once",
        given=idx(train_images=b""),
    ),
    row(
        "population for other images",
        RUN,
        "fitness of founder 0",
        "64",
        "4x4",
        given=both(
            idx(),
            changed(
                population=yaml.safe_load(CONFIG)["population"]
                | {"data": {"_target_": "fitness.images.Idx", "folder": "mnist"}}
            ),
        ),
    ),
]

SEED_FILES = [
    row(
        "seed missing",
        SEEDS,
        "population: seeds: expected a safetensors file, there is no file a.safetensors",
    ),
    row(
        "seed is no safetensors",
        SEEDS,
        "population: seeds: b.safetensors: not a whole safetensors file",
        given=seeds(lambda path: path.write_text("hello, this is text")),
    ),
    row(
        "seed is truncated",
        SEEDS,
        "population: seeds: b.safetensors: not a whole safetensors file",
        given=seeds(lambda path: path.write_bytes(path.read_bytes()[:-7])),
    ),
    row(
        "seed of another shape",
        SEEDS,
        "seeds: b.safetensors: expected '2.weight' of shape (10, 4), got (10, 5)",
        given=seeds(**{"2_weight": (10, 5)}),
    ),
    row(
        "seed without a tensor",
        SEEDS,
        "seeds: b.safetensors: expected '2.bias' of shape (10,), it has 0.bias, 0.weight",
        given=seeds(**{"2_bias": None}),
    ),
    row(
        "seed with NaN",
        SEEDS,
        "seeds: b.safetensors: '2.bias' has numbers that are not finite",
        given=seeds(spoil),
    ),
    row(
        "one seed",
        RUN + "population.seeds=[a.safetensors]",
        "population.seeds: expected at least 2 files, got 1",
        given=seeds(),
    ),
    row(
        "seed that is no path",
        RUN + "population.seeds=[a.safetensors,7]",
        "population.seeds[1]: expected a path, got 7",
        given=seeds(),
    ),
]

PLACES = [
    row(
        "run_dir with a name too long",
        RUN + "run_dir=" + "n" * 256,
        "there can be no such path (File name too long)",
    ),
    row(
        "run_dir with a name too long in a folder to be made",
        RUN + "run_dir=new/" + "n" * 256,
        "(File name too long)",
    ),
    row(
        "run_dir with a path too long",
        RUN + "run_dir=" + "/".join(["n" * 200] * 21),
        "(File name too long)",
    ),
    row(
        "run_dir is a dangling link",
        RUN + "run_dir=link",
        "link is a link to gone, which is not there",
        given=lambda folder: (folder / "link").symlink_to("gone"),
    ),
    row(
        "run_dir below a dangling link",
        RUN + "run_dir=link/run",
        "link is a link to gone, which is not there",
        given=lambda folder: (folder / "link").symlink_to("gone"),
    ),
    row(
        "run_dir is a link to itself",
        RUN + "run_dir=link",
        "there can be no such path",
        given=lambda folder: (folder / "link").symlink_to("link"),
    ),
    row(
        "run_dir is a pipe",
        RUN + "run_dir=pipe",
        "expected a run directory",
        given=lambda folder: os.mkfifo(folder / "pipe"),
    ),
    row("run_dir is a device", RUN + "run_dir=/dev/null", "expected a run directory"),
    row(
        "run_dir where nothing can be made",
        RUN + "run_dir=/proc/run",
        "/proc/run: no run can be kept there",
    ),
    row("run_dir is an empty text", RUN + "'run_dir=\"\"'", "expected a path, got an empty text"),
    row(
        "run_dir has a zero byte",
        "run c.yaml",
        "expected a path, got a text with a zero byte",
        given=file("c.yaml", CONFIG + 'run_dir: "a\\0b"\n'),
    ),
    row(
        "run_dir of nobody's home",
        RUN + "run_dir=~nobody-here/run",
        "there is no home folder for ~nobody-here",
    ),
    row(
        "check of a name too long", "check digits.yaml run_dir=" + "n" * 256, "(File name too long)"
    ),
    row("resume of a name too long", "resume " + "n" * 256, "(File name too long)"),
    row(
        "report of a link to itself",
        "report link",
        "there can be no such path",
        given=lambda folder: (folder / "link").symlink_to("link"),
    ),
    row(
        "export to a name too long for the folder beside it",
        "export run " + "n" * 252,
        "(File name too long)",
    ),
    row(
        "export to a dangling link",
        "export run link",
        "expected a folder that is not there yet",
        given=lambda folder: (folder / "link").symlink_to("gone"),
    ),
    row(
        "run_dir that is not UTF-8", RUN + "run_dir=g\udcfcn", "run_dir: ", "surrogates not allowed"
    ),
    row("config with a name too long", "run " + "n" * 256, "(File name too long)"),
]


@pytest.mark.parametrize(
    ("command", "said", "given", "lines"), FILES + IMAGES + SEED_FILES + PLACES
)
def test_a_mistake_is_told_and_nothing_is_written(place, capsys, command, said, given, lines):
    check_mistake(place, capsys, command, said, given, lines)
