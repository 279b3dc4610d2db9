"""What users get wrong: a command, what its message has to say, and what has to stand as before."""

import re
import shlex
import struct

import pytest
import torch
import yaml
from safetensors.torch import save_file

from evomerge.cli import main

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


GOOD = {"0.weight": (4, 64), "0.bias": (4,), "2.weight": (10, 4), "2.bias": (10,)}


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


def both(*givens):
    return lambda folder: [given(folder) for given in givens]


def row(id, command, *said, given=lambda folder: None, lines=1, marks=()):
    """A command, what its message has to say, what to prepare, and the number of mistakes."""
    return pytest.param(command, said, given, lines, id=id, marks=marks)


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


def check_mistake(place, capsys, command, said, given, lines):
    """A command is refused with one message a mistake, and leaves everything as it was.

    Args:
        place: the working directory.
        capsys: pytest's.
        command: what is typed behind `evomerge`.
        said: what has to stand in the messages.
        given: prepares the directory.
        lines: the number of mistakes.
    """
    given(place)
    capsys.readouterr()
    before = contents(place)
    code, output = evomerge(command, capsys)
    check_message(code, output.err, said, lines)
    # a check has told what headers tell by then
    assert output.out == "" or command.startswith("check")
    assert contents(place) == before
