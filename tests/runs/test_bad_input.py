"""What users get wrong: each mistake ends with exit code 2 and one clear message.

And it leaves everything as it was.
"""

import fcntl
import gzip
import json
import logging
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import tiny_llama
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from whole_runs import ROOT

from evomerge.cli import main
from evomerge.rundir.births import read_births
from fitness.classification import Classification

CONFIG = """
population:
  _target_: populations.mnist.Classifiers
  data: ${fitness.data}
  hidden: [4]
fitness:
  _target_: fitness.classification.Classification
  data:
    _target_: fitness.images.SklearnDigits
strategy:
  size: 4
  mutation: 0.01
births: 6
tile: 2000
"""
SEARCH = "'strategy={_target_: evomerge.Search, algorithm: evotorch.algorithms.SNES}' "
RUN = "run digits.yaml "
IDX = RUN + "fitness.data._target_=fitness.images.Idx fitness.data.folder=mnist "
SEEDS = RUN + "population.seeds=[a.safetensors,b.safetensors] "
FAULTY = RUN + "fitness._target_=faulty_parts.Faulty fitness.answer="


def file(name, content):
    """A file with this text or these bytes."""
    return lambda folder: (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def idx_bytes(values, shape, magic=None, cut=None):
    magic = bytes([0, 0, 8, len(shape)]) if magic is None else magic
    return (magic + struct.pack(f">{len(shape)}I", *shape) + bytes(values))[:cut]


def idx(**changes):
    """A folder of four IDX files of 2x2 pixels.

    A change gives a file's bytes by its first word, or None to leave it out.
    """

    def write(folder):
        (folder / "mnist").mkdir()
        for part, count in (("train", 6), ("t10k", 4)):
            images = changes.get(f"{part}_images", idx_bytes(range(4 * count), (count, 2, 2)))
            labels = changes.get(f"{part}_labels", idx_bytes(range(count), (count,)))
            for name, content in (
                (f"{part}-images-idx3-ubyte", images),
                (f"{part}-labels-idx1-ubyte", labels),
            ):
                if content is not None:
                    zipped = content[:2] == b"\x1f\x8b"
                    (folder / "mnist" / (name + ".gz" * zipped)).write_bytes(content)

    return write


GOOD = {"0.weight": (4, 64), "0.bias": (4,), "2.weight": (10, 4), "2.bias": (10,)}


def seeds(b=None, **shapes):
    """Two seeds, or one and whatever `b` writes.

    A changed shape is that of the second; None leaves the tensor out.
    """

    def write(folder):
        first = {name: torch.ones(shape) for name, shape in GOOD.items()}
        save_file(first, folder / "a.safetensors")
        wanted = GOOD | {name.replace("_", "."): shape for name, shape in shapes.items()}
        save_file(
            {name: torch.ones(shape) for name, shape in wanted.items() if shape},
            folder / "b.safetensors",
        )
        if b is not None:
            b(folder / "b.safetensors")

    return write


def spoil(path):
    tensors = load_file(path)
    tensors["2.bias"][3] = float("nan")
    save_file(tensors, path)


def flip(*names, at=-9):
    """Changes a byte in files of the run."""

    def write(folder):
        for name in names:
            content = bytearray((folder / "run" / name).read_bytes())
            content[at] ^= 1
            (folder / "run" / name).write_bytes(content)

    return write


def lock(folder):
    handle = os.open(folder / "run" / ".lock", os.O_RDWR)  # held until the tests end
    fcntl.flock(handle, fcntl.LOCK_EX)


def edit(name, old, new):
    """Replaces text in a file."""

    def write(folder):
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new))

    return write


def changed(**parts):
    """The config with other parts."""
    return lambda folder: (folder / "digits.yaml").write_text(
        yaml.safe_dump(yaml.safe_load(CONFIG) | parts)
    )


NETWORK = {
    "_target_": "populations.modules.Modules",
    "build": "faulty_parts.network",
    "order": "unit",
}


def both(*givens):
    return lambda folder: [given(folder) for given in givens]


def row(id, command, *said, given=lambda folder: None, lines=1, marks=()):
    """A command, what its message has to say, what to prepare, and the number of mistakes."""
    return pytest.param(command, said, given, lines, id=id, marks=marks)


KEYS_AND_TYPES = [
    row("unknown key", RUN + "birhts=5", "birhts: unknown key", "did you mean 'births'?"),
    row(
        "unknown nested key",
        RUN + "strategy.crossover.angel=part",
        "strategy.crossover.angel: unknown",
        "'angle'",
    ),
    row(
        "unknown key of a class",
        RUN + "population.hiden=[4]",
        "population.hiden: unknown key",
        "mean 'hidden'?",
    ),
    row("key of the command", RUN + "resume=true", "resume: unknown key"),
    row(
        "missing key",
        "run c.yaml",
        "births: missing",
        "expected a whole number",
        given=file("c.yaml", CONFIG.replace("births: 6", "")),
    ),
    row(
        "missing nested key",
        RUN + "fitness.data._target_=fitness.images.Idx",
        "fitness.data.folder: missing",
        "expected a path",
        lines=2,
    ),
    row(
        "key without a space",
        RUN + "workers.threads:2=null",
        "workers: expected a Workers",
        "'threads:2'",
    ),
    row(
        "key of a class without a space",
        RUN + "'strategy={size:2}'",
        "strategy.size:2: unknown key",
        "with a space",
    ),
    row(
        "text for a number",
        RUN + "births=many",
        "births: expected a whole number, got 'many' (str)",
    ),
    row("nothing for a number", RUN + "births=null", "births: expected a whole number, got None"),
    row(
        "bool for a number",
        RUN + "lookahead=true",
        "lookahead: expected a whole number, got True (bool)",
    ),
    row(
        "float for a whole number",
        RUN + "births=10.5",
        "births: expected a whole number, got 10.5 (float)",
    ),
    row(
        "text for a float",
        RUN + "strategy.alpha=big",
        "strategy.alpha: expected a number, got 'big' (str)",
    ),
    row("number for a bool", RUN + "foresee=1", "foresee: expected true or false, got 1 (int)"),
    row(
        "number for a list",
        RUN + "population.hidden=4",
        "population.hidden: expected a list, each a whole number, got 4",
    ),
    row(
        "wrong item of a list",
        RUN + "population.hidden=[4,x]",
        "population.hidden[1]: expected a whole number, got 'x'",
    ),
    row(
        "list of another length",
        RUN + "strategy.crossover.ratio=[0,1,2]",
        "crossover.ratio: expected a list of 2",
        "got [0, 1, 2]",
    ),
    row(
        "list for a strategy",
        RUN + "strategy=[1]",
        "'strategy=[1]': a list cannot take the place of keys and values",
    ),
    row(
        "number for a strategy",
        RUN + "strategy=1",
        (
            "strategy: expected a NaturalNiches (its settings) or a Strategy (_target_ and "
            "its settings) or null, got 1"
        ),
    ),
    row(
        "place that a list has not",
        RUN + "population.hidden.3=5",
        "population.hidden.3=5",
        "the list has no such place",
    ),
    row(
        "part of a number",
        RUN + "births.most=5",
        "births: expected a whole number, got {'most': 5}",
    ),
    row(
        "text for a population",
        RUN + "population=mnist",
        "population: expected a Population",
        "_target_",
        "got 'mnist'",
    ),
    row(
        "misspelt choice",
        RUN + "strategy.capacity=maks",
        "strategy.capacity: expected 'max' or 'one', got 'maks'",
        "mean 'max'?",
    ),
    row(
        "misspelt choice among files",
        RUN + "population.seeds=specialist",
        "population.seeds: expected 'random' or 'specialists'",
        "mean 'specialists'?",
    ),
]

RANGES = [
    row(
        "comparison of another number of births",
        "compare digits.yaml other.yaml",
        "births: the rows of a comparison need the same number, digits has 6, other has 7",
        given=file("other.yaml", CONFIG.replace("births: 6", "births: 7")),
    ),
    row(
        "comparison of another fitness",
        "compare digits.yaml other.yaml",
        (
            "fitness.data.train: the rows of a comparison need the same, digits has 0.8 and "
            "other has 0.5"
        ),
        given=file("other.yaml", CONFIG.replace("SklearnDigits", "SklearnDigits\n    train: 0.5")),
    ),
    row(
        "comparison with mistakes in two rows",
        "compare digits.yaml --vary strategy.size=1,2,no",
        "digits,size=1: strategy.size: expected an archive of at least 2",
        "digits,size=no: strategy.size: expected a whole number",
        lines=2,
    ),
    row(
        "comparison of nothing that there is",
        "compare digit.yaml",
        "there is no such file; did you mean digits.yaml?",
    ),
    row(
        "comparison of an empty folder",
        "compare empty",
        "empty: there is no run in it",
        given=lambda folder: (folder / "empty").mkdir(),
    ),
    row(
        "comparison that varies nothing",
        "compare digits.yaml --vary strategy.size",
        "--vary 'strategy.size': expected key=a,b,c",
    ),
    row(
        "comparison with no jobs",
        "compare digits.yaml --jobs 0",
        "--jobs: expected a number of at least 1, got 0",
    ),
    row(
        "comparison of runs with overrides",
        "compare run births=3",
        "births=3: expected a config to override, there are only runs",
    ),
    row(
        "search with a misspelt setting",
        RUN + SEARCH + "'strategy.settings={popsize: 4, stdev_int: 1}'",
        "strategy.settings.stdev_int: unknown setting of SNES; did you mean 'stdev_init'?",
    ),
    row(
        "search of no such name",
        RUN + "'strategy={_target_: evomerge.Search, algorithm: evotorch.algorithms.SNESS}'",
        "strategy.algorithm: ",
        "did you mean 'SNES'?",
    ),
    row(
        "search over ratios of weights",
        RUN
        + SEARCH
        + (
            "'strategy.settings={popsize: 4, stdev_init: 1.0}' 'strategy.vector={_target_: "
            "evomerge.Ratios}'"
        ),
        (
            "strategy: expected members that are recipes, Classifiers breeds weights; choose "
            "evomerge.AllWeights"
        ),
    ),
    row("negative births", RUN + "births=-1", "births: expected a number of at least 0, got -1"),
    row("lookahead 0", RUN + "lookahead=0", "lookahead: expected a number of at least 1, got 0"),
    row("tile 0", RUN + "tile=0", "tile: expected a number of at least 1, got 0"),
    row("retile 0", RUN + "retile=0", "retile: expected a number of at least 1, got 0"),
    row("negative seed", RUN + "seed=-3", "seed: expected a number of at least 0, got -3"),
    row("failures 0", RUN + "failures=0", "failures: expected a number of at least 1, got 0"),
    row("no hours", RUN + "hours=0", "hours: expected a number above 0, got 0"),
    row(
        "stack above lookahead",
        RUN + "stack=4 lookahead=2",
        "stack: expected at most the lookahead, 2",
        "got 4",
    ),
    row(
        "archive of one",
        RUN + "strategy.size=1",
        "strategy.size: expected an archive of at least 2, got 1",
    ),
    row(
        "alpha NaN",
        RUN + "strategy.alpha=.nan",
        "strategy.alpha: expected a finite number of at least 0, got nan",
    ),
    row(
        "negative mutation",
        RUN + "strategy.mutation=-1",
        "strategy.mutation: expected a finite number of at least 0, got -1",
    ),
    row(
        "negative warm-up",
        RUN + "strategy.warmup=-1",
        "strategy.warmup: expected a number of births",
        "got -1",
    ),
    row(
        "negative splits",
        RUN + "strategy.crossover.splits=-1",
        "strategy.crossover.splits: expected",
        "at least 0, got -1",
    ),
    row(
        "ratio reversed",
        RUN + "strategy.crossover.ratio=[1,0]",
        "strategy.crossover.ratio: expected",
        "lower one first, got [1.0, 0.0]",
    ),
    row(
        "ratio NaN",
        RUN + "strategy.crossover.ratio=[0,.nan]",
        "strategy.crossover.ratio: expected two finite numbers",
        "nan",
    ),
    row(
        "children that are copies",
        RUN + "strategy.crossover=null strategy.mutation=0",
        "strategy.crossover: without crossover and without mutation every child is a copy",
    ),
    row(
        "one founder",
        RUN + "population.count=1",
        "population.count: expected at least 2 founders, got 1",
    ),
    row(
        "no hidden layer",
        RUN + "population.hidden=[]",
        "population.hidden: expected sizes of at least 1, got []",
    ),
    row(
        "one class", RUN + "population.classes=1", "population.classes: expected at least 2, got 1"
    ),
    row(
        "fewer classes than labels",
        RUN + "population.classes=5",
        "population: classes: expected at least 10",
        "got 5",
    ),
    row(
        "negative sd",
        RUN + "population.sd=-1",
        "population.sd: expected a finite number of at least 0, got -1",
    ),
    row(
        "unknown device",
        RUN + "population.device=gpu",
        "population.device: expected one that torch knows",
        "got 'gpu'",
    ),
    row(
        "threads 0",
        RUN + "workers._target_=evomerge.workers.Local workers.threads=0",
        "workers.threads: expected",
        "at least 1, got 0",
    ),
    row(
        "share above 1",
        RUN + "fitness.data.train=1.5",
        "fitness.data.train: expected a share in (0, 1], got 1.5",
        lines=2,
    ),
    row(
        "all for validation",
        RUN + "fitness.data.validation=1",
        "fitness.data.validation: expected a share in [0, 1), got 1",
        lines=2,
    ),
    row(
        "no training images",
        RUN + "fitness.data.train=0.0001",
        "fitness: the training split has no datapoints",
    ),
    row(
        "validate without a split",
        RUN + "validate=true",
        "validate: the fitness has no validation split",
    ),
    row(
        "tensor angles on the unit axis",
        RUN + "population.order=unit strategy.crossover.angle=tensor",
        "strategy",
        "crossover.angle: 'tensor' needs a flat axis",
    ),
    row(
        "settings of the other axis",
        RUN + "population.order=unit population.cut=tensor",
        "population.order: layout, cut and chromosomes",
        "flat axis",
    ),
    row(
        "unit axis without hidden layers",
        RUN,
        "population: layers: the unit axis",
        "two or more linear layers",
        given=changed(population=NETWORK),
    ),
    row(
        "layers that are not there",
        RUN,
        "population",
        "no tensor is called '0.weights'",
        "0.weight, 0.bias",
        given=changed(population=NETWORK | {"layers": [[["0.weights"], []]]}),
    ),
    row(
        "chromosome of nothing",
        RUN + "population.chromosomes.eyes=^conv",
        "population",
        "chromosomes.eyes: no tensor's name matches '^conv'",
        "0.weight",
    ),
    row(
        "chromosome that is no expression",
        RUN + "population.chromosomes.eyes=(0",
        "population",
        "chromosomes.eyes: '(0' is not a regular expression",
    ),
]

TARGETS = [
    row(
        "unknown class",
        RUN + "fitness._target_=fitness.classification.Clasification",
        "fitness._target_: fitness.classification has no 'Clasification'",
        "mean 'Classification'?",
    ),
    row(
        "unknown module",
        RUN + "population._target_=populations.mnst.Classifiers",
        "population._target_: populations has no 'mnst'",
        "mean 'mnist'?",
    ),
    row(
        "unknown package",
        RUN + "population._target_=population.mnist.Classifiers",
        "population._target_: there is no module 'population'",
        "mean 'populations'?",
    ),
    row(
        "unknown function",
        RUN + "fitness.score=fitness.classification.wright",
        "fitness.score: fitness.classification has no 'wright'",
        "mean 'right'?",
    ),
    row(
        "no import path",
        RUN + "fitness._target_=3",
        "fitness._target_: expected an import path, got 3 (int)",
    ),
    row(
        "not callable",
        RUN + "fitness._target_=faulty_parts.NUMBER",
        "fitness._target_: expected a class or a function, faulty_parts.NUMBER is an int",
    ),
    row(
        "of another kind",
        RUN,
        "fitness: expected a Fitness",
        "evomerge.Crossover makes a Crossover, which has no size",
        given=changed(fitness={"_target_": "evomerge.Crossover"}, population=NETWORK),
    ),
    row(
        "without size",
        RUN + "fitness._target_=faulty_parts.NoSize",
        "fitness: expected a Fitness",
        "makes a NoSize, which has no size",
    ),
    row(
        "makes nothing",
        RUN,
        "fitness: expected a Fitness",
        "faulty_parts.nothing makes nothing, which has no size",
        given=changed(fitness={"_target_": "faulty_parts.nothing"}, population=NETWORK),
    ),
    row(
        "written in C",
        RUN + "workers._target_=builtins.dict workers.a=1",
        "workers: expected a Workers",
        "builtins.dict makes a dict",
    ),
    row(
        "cannot be made",
        RUN + "fitness._target_=faulty_parts.Impatient",
        "fitness: RuntimeError: no licence was found",
    ),
    row(
        "own module with a syntax error",
        RUN + "fitness._target_=mine_syntax.Mine",
        "fitness._target_: 'mine_syntax.Mine' cannot be imported: SyntaxError",
        given=file("mine_syntax.py", "def ("),
    ),
    row(
        "own module lacks a package",
        RUN + "fitness._target_=mine_lacks.Mine",
        "fitness._target_: 'mine_lacks.Mine' cannot be imported: No module named 'nothing_such'",
        given=file("mine_lacks.py", "import nothing_such"),
    ),
    row(
        "own module that ends",
        RUN + "fitness._target_=mine_ends.Mine",
        "fitness._target_: 'mine_ends.Mine' cannot be imported: SystemExit: 0",
        given=file("mine_ends.py", "raise SystemExit(0)"),
    ),
]

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

FITNESSES = [
    row(
        "scores NaN",
        FAULTY + "nan",
        "fitness of founder 0",
        "scores in [0, 1]; 1 of 1437 are not, such as nan",
    ),
    row(
        "too few scores",
        FAULTY + "short",
        "fitness of founder 0",
        "shape (1437,); it returned (1436,)",
    ),
    row(
        "scores below 0",
        FAULTY + "negative",
        "fitness of founder 0",
        "scores in [0, 1]",
        "such as -0.5",
    ),
    row(
        "scores above 1",
        FAULTY + "high",
        "fitness of founder 0",
        "scores in [0, 1]",
        "are not, such as 4.0",
    ),
    row(
        "scores are a text",
        FAULTY + "text",
        "fitness of founder 0",
        "must return numbers of shape (1437,), it returned str",
    ),
    row(
        "scores are nothing",
        FAULTY + "nothing",
        "fitness of founder 0",
        "must return",
        "shape (1437,)",
        "it returned",
    ),
    row(
        "fitness raises",
        FAULTY + "raises",
        "fitness of founder 0",
        "KeyError",
        "no such key",
        "(faulty_parts.py:",
    ),
    row(
        "check finds it too",
        FAULTY.replace("run", "check", 1) + "raises",
        "fitness of founder 0",
        "KeyError",
    ),
    row(
        "second founder",
        FAULTY + "short fitness.good=1",
        "fitness of founder 1",
        "it returned (1436,)",
    ),
    row(
        "wrong on the test split",
        FAULTY + "short fitness.split=test",
        "fitness on the test split",
        "shape (360,); it returned (359,)",
    ),
    row(
        "size is nothing",
        RUN + "fitness._target_=faulty_parts.OddSize",
        "fitness",
        "size",
        "train",
        "whole number",
        "None",
    ),
    row(
        "too few weights",
        RUN + "fitness._target_=faulty_parts.Weighted fitness.train=7",
        "fitness.weights",
        "expected 1437 numbers above 0, got shape (7,)",
    ),
    row(
        "weights below 0",
        RUN + "fitness._target_=faulty_parts.Weighted fitness.first=-1",
        "fitness.weights",
        "expected 1437 numbers above 0",
        "-1.0",
    ),
    row(
        "too few weights on the test split",
        RUN + "fitness._target_=faulty_parts.Weighted fitness.test=7",
        "fitness.weights",
        "360",
        "7",
    ),
    row(
        "population of one",
        RUN + "population._target_=faulty_parts.Lonely",
        "population: expected at least two founders, got 1",
    ),
    row(
        "founder not finite",
        RUN + "population._target_=faulty_parts.Infinite",
        "population: founder 1 has numbers that are not finite",
    ),
]

RUN_DIRECTORIES = [
    row(
        "run_dir has a run",
        RUN + "run_dir=run",
        "run: there is a run in it already",
        "evomerge resume run",
    ),
    row(
        "run_dir has other files",
        RUN + "run_dir=.",
        "a new run needs an empty directory",
        "other files",
    ),
    row(
        "run_dir is a file",
        RUN + "run_dir=digits.yaml",
        "digits.yaml: expected a run directory, this is a file",
    ),
    row("run_dir in a file", RUN + "run_dir=digits.yaml/run", "digits.yaml", "expected a", "file"),
    row("run_dir is no path", RUN + "run_dir=5", "run_dir: expected a path, got 5"),
    row(
        "run_dir in use",
        "resume run births=9",
        "run: another process is using this run directory",
        given=lock,
    ),
    row("resume of nothing", "resume runn", "runn: there is no such run directory"),
    row(
        "resume of no run",
        "resume sub",
        "sub: not a run directory, it has no config.yaml",
        given=lambda folder: (folder / "sub").mkdir(),
    ),
    row(
        "resume with another seed",
        "resume run seed=1",
        "seed: the run in run has 0, a resume cannot make it 1",
        "only births, workers",
    ),
    row(
        "resume with another alpha",
        "resume run strategy.alpha=0.5",
        "strategy.alpha: the run in run has 1.0, a resume cannot make it 0.5",
    ),
    row(
        "resume with another population",
        "resume run population.hidden=[4,4]",
        "population.hidden: the run in run has [4], a resume cannot make it [4, 4]",
    ),
    row(
        "resume with fewer births",
        "resume run births=5",
        "births: the run in run has 6",
        "can only raise it, got 5",
    ),
    row(
        "resume with fewer births than a resume",
        "resume run births=7",
        "births: the run in run has 8",
        "got 7",
        given=lambda _: main(["resume", "run", "births=8"]),
    ),
    row("resume with an unknown key", "resume run birth=9", "birth: unknown key", "mean 'births'?"),
    row(
        "resume with several changes",
        "resume run seed=1 tile=7 births=2",
        "seed: the run",
        "tile: the run",
        "births: the run",
        lines=3,
    ),
    row(
        "resume of a damaged config",
        "resume run",
        "run/config.yaml: ",
        "line",
        given=file("run/config.yaml", "births: ["),
    ),
    row(
        "resume with other images",
        "resume run births=9",
        "run",
        "1437",
        "1078",
        given=edit("run/config.yaml", "train: 0.8", "train: 0.6"),
    ),
    row(
        "both snapshots damaged",
        "resume run births=9",
        "no snapshot can be read",
        "latest: state.json does not match",
        "previous: tensors.safetensors does not match",
        given=both(flip("state/latest/state.json"), flip("state/previous/tensors.safetensors")),
    ),
    row(
        "snapshots missing",
        "resume run births=9",
        "run/state: no snapshot can be read",
        "latest: missing",
        "previous: missing",
        given=lambda folder: shutil.rmtree(folder / "run" / "state"),
    ),
    row(
        "log damaged",
        "resume run births=9",
        "births.jsonl is not the log that belongs to it",
        given=flip("births.jsonl", at=9),
    ),
    row(
        "log missing",
        "resume run births=9",
        "run: its births.jsonl is missing",
        given=lambda folder: (folder / "run" / "births.jsonl").unlink(),
    ),
    row(
        "export of a stranger",
        "export run out --member 99",
        "--member: 99 is not alive in run; there are ",
    ),
    row(
        "export of a word",
        "export run out --member best",
        "argument --member: invalid int value: 'best'",
    ),
    row("export over a folder", "export run run", "run: expected a folder that is not there yet"),
    row("export into a file", "export run digits.yaml/out", "digits.yaml", "expected"),
    row("export of no run", "export runn out", "runn: there is no such run directory"),
    row("report of no run", "report digits.yaml", "digits.yaml: there is no such run directory"),
]


def language(change):
    """A config lm.yaml of language models over two tiny seeds, a and b, of which b is changed."""

    def write(folder):
        tiny_llama.tuned(folder, "ab")
        (folder / "lm.yaml").write_text(LANGUAGE)
        (folder / "train.jsonl").write_text('{"question": "1 + 1 = ", "answer": "2"}\n' * 4)
        change(folder / "b")

    return write


def adapted(**settings):
    """An adapter instead of a model, with these settings."""

    def write(seed):
        shutil.rmtree(seed)
        model = AutoModelForCausalLM.from_pretrained(seed.with_name("a"))
        peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"])).save_pretrained(seed)
        path = seed / "adapter_config.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "a"} | settings)
        )

    return write


LM = "check lm.yaml "
LANGUAGE = """
population:
  _target_: populations.llm.LanguageModels
  seeds: [a, b]
  device: cpu
fitness:
  _target_: fitness.questions.QuestionAnswering
  data: {_target_: fitness.records.JsonLines, train: train.jsonl}
  max_new_tokens: 2
births: 2
"""

MODELS = [
    row(
        "a kind of adapter",
        LM,
        "seeds: b/adapter_config.json: use_dora: True: ",
        "merge it into its base first",
        given=language(adapted(use_dora=True)),
    ),
    row(
        "an adapter that changed its base",
        LM,
        "seeds: b/adapter_config.json: init_lora_weights is 'pissa'",
        given=language(adapted(init_lora_weights="pissa")),
    ),
    row(
        "an adapter of nothing",
        LM,
        "seeds: b: the adapter's base no/such cannot be had",
        "set adapter_base",
        given=language(adapted(base_model_name_or_path="no/such")),
    ),
    row(
        "adapter_base without an adapter",
        LM + "population.adapter_base=a",
        "adapter_base: expected a LoRA adapter",
        given=language(lambda _: None),
    ),
    row(
        "superfluous tensors",
        LM,
        "seeds: b: 1 of its tensors have no place",
        "'score.weight' (2, 32)",
        given=language(
            tiny_llama.rewritten(lambda state: state.update({"score.weight": torch.ones(2, 32)}))
        ),
    ),
    row(
        "a config that is no JSON",
        LM,
        "seeds: b/config.json: expected JSON",
        given=language(file("config.json", "{")),
    ),
    row(
        "a tokenizer of another version",
        LM,
        "seeds: b: its tokenizer cannot be read: b/tokenizer.json: tokenizers ",
        given=language(file("tokenizer.json", "{}")),
    ),
    row(
        "quantized weights",
        LM,
        "seeds: b: expected floating-point weights",
        "it is quantized",
        given=language(
            tiny_llama.rewritten(
                lambda state: state.update({n: t.to(torch.uint32) for n, t in state.items()})
            )
        ),
    ),
    row(
        "an index that leads elsewhere",
        LM,
        "seeds: b/model.safetensors.index.json: 'a': expected the name of a file beside it",
        given=language(
            lambda seed: (
                (seed / "model.safetensors").unlink(),
                file("model.safetensors.index.json", '{"weight_map": {"a": "../c"}}')(seed),
            )
        ),
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

ROWS = (
    MODELS
    + PLACES
    + KEYS_AND_TYPES
    + RANGES
    + TARGETS
    + FILES
    + IMAGES
    + SEED_FILES
    + FITNESSES
    + RUN_DIRECTORIES
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of six births."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "digits.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "digits.yaml", "run_dir=run"]) == 0
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, finished):
    """A working directory with a config, digits.yaml, and a finished run, run."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    handlers = logging.root.handlers[:]
    yield tmp_path
    logging.root.handlers[:] = (
        handlers  # the command line's own write to a stream that ends with the test
    )


def evomerge(command, capsys):
    """Runs a command in this process; gives its exit code and what it said."""
    try:
        code = main(shlex.split(command))
    except SystemExit as end:  # argparse
        code = end.code
    return code, capsys.readouterr()


def contents(folder):
    """Every file and folder below, with its bytes."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def check_message(code, err, said, lines):
    told = [line for line in err.splitlines() if re.match(r"evomerge( \w+)?: ", line)]
    assert code == 2, err
    assert "Traceback" not in err
    assert all(fragment in "\n".join(told) for fragment in said), (
        f"{told} lacks {[f for f in said if f not in str(told)]}"
    )
    assert len(told) == lines, told


@pytest.mark.parametrize(("command", "said", "given", "lines"), ROWS)
def test_a_mistake_is_told_and_nothing_is_written(place, capsys, command, said, given, lines):
    given(place)
    capsys.readouterr()
    before = contents(place)
    code, output = evomerge(command, capsys)
    check_message(code, output.err, said, lines)
    assert output.out == "" or command.startswith(
        "check"
    )  # which has told what headers tell by then
    assert contents(place) == before


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (RUN + "strategy.sise=3", "strategy.sise: unknown key; did you mean 'size'?"),
        (IDX, "there is no folder mnist"),
        (RUN + "run_dir=run", "there is a run in it already"),
    ],
)
def test_as_a_process_of_its_own(place, command, said):
    before = contents(place)
    words = [sys.executable, "-B", "-m", "evomerge", *shlex.split(command)]
    ended = subprocess.run(
        words,
        cwd=place,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    check_message(ended.returncode, ended.stderr, [said], 1)
    assert contents(place) == before


def test_children_that_fail_now_and_then_are_failed_births(place, capsys):
    """Two founders and then every third child: births 3, 6, ... 30 fail, never many in a row."""
    code, output = evomerge(
        FAULTY + "raises fitness.good=2 fitness.every=3 births=30 run_dir=new failures=2", capsys
    )
    assert code == 0, output.err
    births = [entry for entry in read_births(Path("new")) if entry["birth"]]
    failed = {entry["birth"]: entry["failure"] for entry in births if "failure" in entry}
    assert list(failed) == list(range(3, 31, 3))
    assert all(
        "KeyError: 'the file of answers has no such key' (faulty_parts.py:" in failure
        for failure in failed.values()
    )
    assert not any(entry["admitted"] for entry in births if "failure" in entry)
    assert json.loads(Path("new/summary.json").read_text())["failures"] == 10


@pytest.mark.parametrize("answer", ["raises", "nan", "short", "text"])
def test_children_that_always_fail_end_the_run_which_can_be_resumed(place, capsys, answer):
    command = FAULTY + f"{answer} fitness.good=12 births=30 run_dir=new failures=5"
    code, output = evomerge(command, capsys)
    check_message(
        code, output.err, ["5 births in a row failed, the last with: ", "evomerge resume new"], 1
    )
    births = read_births(Path("new"))
    assert births[-1]["birth"] == 15
    assert births[-1]["failure"] in output.err
    assert sum("failure" in entry for entry in births) == 5

    code, output = evomerge(
        "resume new", capsys
    )  # made anew, the fitness is right 12 times again: births 28 to 30 fail
    assert code == 0, output.err
    assert read_births(Path("new"))[: len(births)] == births
    assert json.loads(Path("new/summary.json").read_text())["failures"] == 8


def test_a_check_tries_a_birth_where_none_is_asked_for(place, capsys):
    before = contents(place)
    code, output = evomerge("check digits.yaml births=0", capsys)
    assert code == 0, output.err
    assert "yes, this can run" in output.out
    assert contents(place) == before


class Wandering(Classification):
    """Changes the working directory whenever it scores."""

    score_many = None

    def __call__(self, model, datapoints, split):
        Path("elsewhere").mkdir(exist_ok=True)
        os.chdir("elsewhere")
        return super().__call__(model, datapoints, split)


def test_a_fitness_that_changes_directory_splits_no_run(place, capsys):
    seeds()(place)
    command = f"{SEEDS} fitness._target_={__name__}.Wandering run_dir=new"
    code, output = evomerge(command, capsys)
    os.chdir(place)
    assert code == 0, output.err
    assert "report: new/report.html, best member: new/best" in output.out
    kept = {path.name for path in (place / "new").iterdir()}
    assert kept >= {"config.yaml", "births.jsonl", "state", "best", "summary.json", "report.html"}
    assert not list((place / "elsewhere").rglob("*.*"))
    code, output = evomerge("resume new births=8", capsys)
    os.chdir(place)
    assert code == 0, output.err


def test_home_is_home_wherever_a_path_is_given(place, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(place / "home"))
    (place / "home").mkdir()
    seeds()(place / "home")
    idx()(place / "home")
    for command in (
        RUN + "'population.seeds=[~/a.safetensors,~/b.safetensors]' run_dir=~/runs/one",
        "export '~/runs/one' '~/out'",
        "report '~/runs/one'",
        "watch '~/runs/one' --once",
        "resume '~/runs/one' births=7",
        "check digits.yaml run_dir=~/runs/two",
    ):
        code, output = evomerge(command, capsys)
        assert code == 0, output.err
    assert (place / "home" / "runs" / "one" / "best").is_dir()
    assert (place / "home" / "out").is_dir()
    assert not (place / "~").exists()


def shell(place, script, **environment):
    """What a shell makes of a script with our own interpreter as $PYTHON."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, **environment}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        capture_output=True,
        text=True,
        env=variables,
        errors="replace",
    )


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


@pytest.mark.parametrize(
    ("script", "environment", "code"),
    [
        ("$PYTHON -m evomerge run digits.yaml run_dir=new >&-", {}, 0),
        ("$PYTHON -m evomerge run digits.yaml run_dir=new 2>&- >&-", {}, 0),
        ("$PYTHON -m evomerge run digits.yaml run_dir=new > >(true); exit $?", {}, None),
        ("$PYTHON -m evomerge run digits.yaml run_dir=new > /dev/full", {}, 1),
        ("$PYTHON -m evomerge run digits.yaml run_dir=new && mv new x", ASCII, 0),
        (
            "$PYTHON -m evomerge run digits.yaml run_dir=g\u00fcnstig && mv g* new",
            {"PYTHONIOENCODING": "ascii"},
            0,
        ),
    ],
)
def test_whatever_the_terminal_is_the_run_is_whole(place, script, environment, code):
    ended = shell(place, script, **environment)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert code in (None, ended.returncode), ended.stderr
    run = next(path for path in (place / "new", place / "x") if path.exists())
    assert (run / "report.html").is_file()
    assert (run / "best" / "README.md").is_file()


def test_a_working_directory_that_is_gone(place):
    ended = shell(
        place, 'mkdir gone && cd gone && rmdir "$PWD" && $PYTHON -m evomerge run digits.yaml'
    )
    check_message(
        ended.returncode,
        ended.stderr.replace("shell-init", ""),
        ["the working directory is gone"],
        1,
    )
