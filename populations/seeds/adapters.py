"""LoRA adapters as seeds: a base, and a low-rank change of some of its matrices."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from populations.express.factored import LowRank
from populations.seeds.adapter_settings import WAY_OUT, rank_and_alpha, read_settings
from populations.seeds.checkpoints import ADAPTER_CONFIG, PICKLES, Checkpoint
from populations.seeds.safetensors_headers import Entry, read_header
from populations.seeds.slots import Slot

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""How the names of all tensors in a file of PEFT begin."""

FACTORS = re.compile(
    r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.default)?(?:\.weight)?"
)
"""The name of a factor: the adapted module's, and which factor it is."""


@dataclass(frozen=True)
class FactorNames:
    """The two factors of one adapted matrix by their names; their product is (rows, columns).

    Attributes:
        a: the name of A in the adapter's file; A is (rank, columns).
        b: the name of B there; B is (rows, rank).
        rows: of the product.
        columns: of the product.
        scale: what the product is multiplied by.
    """

    a: str
    b: str
    rows: int
    columns: int
    scale: float


class Adapted:
    """A base with a LoRA adapter: W + scale * B @ A for each matrix that it adapts."""

    def __init__(self, folder: Path, base: Checkpoint) -> None:
        """Reads the adapter's headers and settings, and no weight.

        Args:
            folder: the adapter's, as PEFT saves it.
            base: the model that it was trained on.

        Raises:
            FileNotFoundError: if the adapter's weights are missing.
            ValueError: if it is no LoRA adapter, is of a kind that is not known to be a sum of
                matrices, or is not whole.
        """
        self.folder = folder
        self.base = base
        self.settings = read_settings(folder)
        self._adapter = Checkpoint(folder, read_header(_weights_file(folder)))
        # Both by the base's names: (A, B) of each adapted matrix; tensors that replace the base's.
        pairs, self._replacements = self._sorted_tensors()
        self._factors = {name: self._measured(name, *pair) for name, pair in pairs.items()}
        # Which matrices the model keeps as (in, out) is known when `fit` has seen the model.
        self._transposed: Collection[str] | None = None
        # A sum has the shape and type of its matrix, so only replacements change a header.
        self.entries: dict[str, Entry] = dict(base.entries)
        for name, replacement in self._replacements.items():
            self.entries[name] = self._adapter.entries[replacement]

    def fit(self, slots: Mapping[str, Slot], transposed: Collection[str]) -> None:
        """Checks the adapter against the model that its base's config describes.

        No weight is read, except of what the config ties.

        Args:
            slots: the model's tensors.
            transposed: the names of those that are stored as (in, out), as GPT-2's are.

        Raises:
            ValueError: if it changes something that the base does not have, or has in another
                shape, or that the config ties.
        """
        self._transposed = transposed
        for slot in slots.values():
            if len(slot.names) > 1:
                self._check_tied(slot.names)
        for name, replacement in self._replacements.items():
            if name not in self.base.entries:
                continue
            # Tokens that were added for training make an embedding of more rows than the base's.
            shape = self._adapter.entries[replacement].shape
            expected = self.base.entries[name].shape
            if shape != expected:
                raise ValueError(
                    f"{self.folder}: {WEIGHTS} has {replacement!r} of shape {shape}, the base "
                    f"{self.base.name} has it of shape {expected}; "
                    f"if it was resized for training, {WAY_OUT}"
                )
        for name in self._factors:
            self._check_shape(name)

    @property
    def name(self) -> str:
        """What messages call it, in mergekit's words: base+adapter."""
        return f"{self.base.name}+{self.folder}"

    @property
    def files(self) -> list[Path]:
        """The files that its weights come from."""
        return [*self.base.files, self.folder / ADAPTER_CONFIG, self.folder / WEIGHTS]

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of the sum.

        Returns:
            What `whole` gives where the adapter changes no number of it; else a sum in float32,
            which no rounding has made another model's.
        """
        whole = self.whole(name)
        change = self.change(name)
        return whole if change is None else change.added_to(whole)

    def whole(self, name: str) -> torch.Tensor:
        """What a change is added to: the base's tensor or its replacement, memory-mapped."""
        if name in self._replacements:
            return self._adapter.tensor(self._replacements[name])
        return self.base.tensor(name)

    def change(self, name: str) -> LowRank | None:
        """The low-rank change of a tensor, as the base stores it; None if there is none."""
        if name not in self._factors:
            return None
        factors = self._factors[name]
        a = self._adapter.tensor(factors.a)  # (rank, columns)
        b = self._adapter.tensor(factors.b)  # (rows, rank)
        # The transpose of B @ A is A.T @ B.T.
        if self._is_flipped(name, self.entries[name].shape):
            return LowRank(a.T, b.T, factors.scale)
        return LowRank(b, a, factors.scale)

    def numbers_of_change(self, name: str) -> int:
        """How many numbers the factors of a tensor's change have, by their headers; 0 if none."""
        if name not in self._factors:
            return 0
        factors = self._factors[name]
        entries = self._adapter.entries
        return prod(entries[factors.a].shape) + prod(entries[factors.b].shape)

    def _sorted_tensors(self) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """Sorts the adapter's tensors, by the names that the base has for what they change.

        Returns:
            The names of the two factors of each adapted matrix; and the names of the tensors that
            stand in for the base's.

        Raises:
            ValueError: if a tensor is neither, or a factor is alone.
        """
        factors: dict[str, dict[str, str]] = {}
        replacements = {}
        for stored in self._adapter.entries:
            plain = stored.removeprefix(PREFIX)
            match = FACTORS.fullmatch(plain)
            if match is not None:
                letter = match[2][-1]
                factors.setdefault(f"{match[1]}.weight", {})[letter] = stored
                continue
            name = plain.replace(".modules_to_save.default.", ".").replace(".base_layer.", ".")
            # A head that the config ties is in no file of the base; `fit` checks it.
            if name not in self.base.entries and not name.endswith("head.weight"):
                raise ValueError(
                    f"{self.folder}: {stored!r} is neither a LoRA factor nor a tensor of the base "
                    f"{self.base.name}"
                )
            replacements[name] = stored
        pairs = {}
        for name, by_letter in factors.items():
            if set(by_letter) != {"A", "B"}:
                raise ValueError(
                    f"{self.folder}: expected two factors for {name!r}, "
                    f"got {', '.join(by_letter.values())} only"
                )
            pairs[name] = (by_letter["A"], by_letter["B"])
        return pairs, replacements

    def _measured(self, name: str, a: str, b: str) -> FactorNames:
        """The factors of one matrix, with the shape and the scale of their product.

        The scale is alpha / r, or alpha / sqrt(r) with `use_rslora`.

        Raises:
            ValueError: if they are not matrices of the rank that the settings say, or the settings
                say none.
        """
        module = name.removesuffix(".weight")
        rank, alpha = rank_and_alpha(self.settings, self.folder, module)
        shape_a = self._adapter.entries[a].shape
        shape_b = self._adapter.entries[b].shape
        matrices = len(shape_a) == len(shape_b) == 2
        if not matrices or rank < 1 or (shape_a[0], shape_b[1]) != (rank, rank):
            raise ValueError(
                f"{self.folder}: expected two matrices of rank {rank} for {name!r}, as "
                f"{ADAPTER_CONFIG} says, got {a!r} of shape {shape_a} and {b!r} of shape {shape_b}"
            )
        exponent = 0.5 if self.settings["use_rslora"] else 1.0
        scale = float(alpha / rank**exponent)
        return FactorNames(a, b, rows=shape_b[0], columns=shape_a[1], scale=scale)

    def _check_tied(self, names: tuple[str, ...]) -> None:
        """Refuses a change of one of several tensors that the config makes one.

        Equal tensors in place of all of them do no harm, and pass.

        Raises:
            ValueError: if one of them is changed, and the others are not changed with it.
        """
        changed = [name for name in names if name in self._factors]
        if not changed:
            replaced = [name for name in names if name in self._replacements]
            if not replaced or self._replaced_alike(names, replaced):
                return
            changed = replaced
        raise ValueError(
            f"{self.folder}: an adapter on an embedding that the config ties: it changes "
            f"{_quoted(changed)}, and {_quoted(names)} are one tensor in "
            f"{self.base.name}; PEFT unties them. Untie them for good: merge_and_unload, give the "
            "head a weight of its own, set tie_word_embeddings to false, save that and take it as "
            "the seed"
        )

    def _replaced_alike(self, names: Collection[str], replaced: Collection[str]) -> bool:
        """Whether tied tensors are still one after some of them were replaced."""
        # With ensure_weight_tying PEFT stores one of them, and ties the others to it.
        if len(replaced) < len(names) and not self.settings.get("ensure_weight_tying"):
            return False
        first, *others = [self._adapter.tensor(self._replacements[name]) for name in replaced]
        return all(torch.equal(first, other) for other in others)

    def _check_shape(self, name: str) -> None:
        """Checks that the product of two factors has the shape of the base's matrix.

        Raises:
            ValueError: if it has not, or the base has no such matrix.
        """
        factors = self._factors[name]
        if name not in self.base.entries:
            raise ValueError(
                f"{self.folder}: it adapts {name!r}, which the base {self.base.name} does not have"
            )
        shape = self.base.entries[name].shape
        product = (factors.rows, factors.columns)
        expected = product[::-1] if self._is_flipped(name, shape) else product
        if shape != expected:
            raise ValueError(
                f"{self.folder}: {factors.a!r} and {factors.b!r} make {product}; "
                f"the base's {name!r} is {shape}"
            )

    def _is_flipped(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether the base stores a matrix as the transpose of B @ A.

        Args:
            name: the matrix.
            shape: the base's.
        """
        factors = self._factors[name]
        # PEFT writes the factors of an embedding the other way round.
        if ".lora_embedding_" in factors.a:
            return True
        if factors.rows != factors.columns:
            return shape == (factors.columns, factors.rows)
        # The shape of a square matrix tells nothing, so its layer does, or else the settings.
        if self._transposed is None:
            return bool(self.settings["fan_in_fan_out"])
        return name in self._transposed


def _weights_file(folder: Path) -> Path:
    """The file of an adapter's tensors.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if they are pickled.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    # The weights may be there as a pickle, which PEFT wrote in old versions.
    pickles: list[str] = []
    for pattern in PICKLES:
        pickles += [path.name for path in folder.glob(f"adapter_model{pattern[1:]}")]
    if pickles:
        raise ValueError(
            f"{folder}: expected {WEIGHTS}, got pickled weights ({min(pickles)}), which can run "
            "any code when they are loaded; "
            "load the adapter with PEFT and save it again with save_pretrained"
        )
    raise FileNotFoundError(f"{folder}: expected {WEIGHTS} beside {ADAPTER_CONFIG}, there is none")


def _quoted(names: Collection[str]) -> str:
    """Names in quotes, with `and` between them."""
    return " and ".join(map(repr, names))
