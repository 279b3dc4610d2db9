"""LoRA adapters: a low-rank change of some matrices of a base, as a seed of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from populations.seeds.checkpoints import ADAPTER, PICKLES, Checkpoint, Entry, read_header
from populations.seeds.reading import read_json

if TYPE_CHECKING:
    from populations.seeds.seeds import Slot

CONFIG = ADAPTER
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."

FACTORS = re.compile(
    r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.default)?(?:\.weight)?"
)

DEFAULTS = {
    "r": 8,
    "lora_alpha": 8,
    "rank_pattern": {},
    "alpha_pattern": {},
    "use_rslora": False,
    "fan_in_fan_out": False,
}
"""Settings that count here, as PEFT has them where a file does not."""

KNOWN = frozenset(
    [
        *DEFAULTS,
        # where the adapter is from, and how it was trained: the base and the factors stay what they are
        *(
            "peft_type",
            "task_type",
            "auto_mapping",
            "peft_version",
            "base_model_name_or_path",
            "revision",
            "inference_mode",
        ),
        *(
            "lora_dropout",
            "bias",
            "modules_to_save",
            "ensure_weight_tying",
            "runtime_config",
            "megatron_core",
        ),
        # which matrices are adapted: the file's tensors tell
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
        # of no effect but by init_lora_weights, or by use_qalora
        *(
            "init_lora_weights",
            "eva_config",
            "loftq_config",
            "corda_config",
            "lora_ga_config",
            "qalora_group_size",
        ),
    ]
)
"""Settings with which PEFT merges a plain sum, W + scale * B @ A; each was held against PEFT's own merge. No other is let in."""

INITS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
"""Beginnings of training that leave the base as it is. The others (pissa, olora, corda, ...) subtract something from it."""

WAY_OUT = "merge it into its base first (merge_and_unload), if PEFT can, save that and take it as the seed"


class Adapted:
    """A base with a LoRA adapter folded in: W + scale * B @ A for each matrix that it adapts."""

    def __init__(self, folder: Path, base: Checkpoint) -> None:
        """Reads the adapter's headers and settings, and no weight.

        Args:
            folder: of the adapter, as PEFT saves it.
            base: the model that it was trained on.

        Raises:
            FileNotFoundError: if the adapter's weights are missing.
            ValueError: if it is no LoRA adapter, is of a kind that is not known to be a sum of matrices, or is not whole.
        """
        self.folder, self.base, self.settings = folder, base, _settings(folder)
        self._adapter = Checkpoint(folder, read_header(_weights(folder)))
        self._factors, self._replaced = self._sorted()
        self._scales = {
            name: self._scale(name, *factors) for name, factors in self._factors.items()
        }
        self._transposed: Collection[str] | None = None
        self.entries: dict[str, Entry] = dict(base.entries)
        for name, own in self._replaced.items():
            self.entries[name] = self._adapter.entries[own]

    def fit(self, slots: Mapping[str, Slot], transposed: Collection[str]) -> None:
        """Checks it against the model that its base's config describes; no weight is read but of what is tied.

        Args:
            slots: the model's tensors.
            transposed: the names of those that lie (in, out), as GPT-2's do.

        Raises:
            ValueError: if it changes something that the base does not have, or has in another shape, or that the config ties.
        """
        self._transposed = transposed
        for slot in slots.values():
            if len(slot.names) > 1:
                self._check_tied(slot.names)
        for name, own in self._replaced.items():
            shape = self._adapter.entries[own].shape
            if name in self.base.entries and shape != (there := self.base.entries[name].shape):
                raise ValueError(
                    f"{self.folder}: {WEIGHTS} has {own!r} of shape {shape}, the base {self.base.name} "
                    f"has it of shape {there}; if it was resized for training, {WAY_OUT}"
                )
        for name in self._factors:
            self._check(name)

    @property
    def name(self) -> str:
        """What messages call it, in mergekit's words: base+adapter."""
        return f"{self.base.name}+{self.folder}"

    @property
    def files(self) -> list[Path]:
        """The files that its weights come from."""
        return [*self.base.files, self.folder / CONFIG, self.folder / WEIGHTS]

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of the sum; the base's own, memory-mapped, where the adapter changes nothing."""
        own = self._replaced.get(name)
        tensor = self.base.tensor(name) if own is None else self._adapter.tensor(own)
        if name not in self._factors:
            return tensor
        a, b = (self._adapter.tensor(factor).float() for factor in self._factors[name])
        change = b @ a
        if self._flipped(name, tuple(tensor.shape)):
            change = change.T
        return (tensor.float() + self._scales[name] * change).to(tensor.dtype)

    def _sorted(self) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """By the base's names: the two factors of each adapted matrix; the tensors that stand in for the base's."""
        found: dict[str, dict[str, str]] = {}
        replaced = {}
        for own in self._adapter.entries:
            plain = own.removeprefix(PREFIX)
            match = FACTORS.fullmatch(plain)
            if match is not None:
                found.setdefault(f"{match[1]}.weight", {})[match[2][-1]] = own
                continue
            name = plain.replace(".modules_to_save.default.", ".").replace(".base_layer.", ".")
            # a head that the config ties is in no file of the base; `fit` knows
            if name not in self.base.entries and not name.endswith("head.weight"):
                raise ValueError(
                    f"{self.folder}: {own!r} is neither a LoRA factor nor a tensor of the base {self.base.name}"
                )
            replaced[name] = own
        for name, factors in found.items():
            if set(factors) != {"A", "B"}:
                raise ValueError(
                    f"{self.folder}: expected two factors for {name!r}, got {', '.join(factors.values())} only"
                )
        return {name: (factors["A"], factors["B"]) for name, factors in found.items()}, replaced

    def _check_tied(self, names: tuple[str, ...]) -> None:
        """Refuses a change of one of several tensors that the config makes one; equal ones in place of all of them will do."""
        touched = [name for name in names if name in self._factors]
        replaced = [self._replaced[name] for name in names if name in self._replaced]
        if not touched:
            if not replaced:
                return
            first, *others = [self._adapter.tensor(own) for own in replaced]
            together = len(replaced) == len(names) or self.settings.get("ensure_weight_tying")
            if together and all(torch.equal(first, other) for other in others):
                return
            touched = [name for name in names if name in self._replaced]
        raise ValueError(
            f"{self.folder}: an adapter on an embedding that the config ties: it changes "
            f"{' and '.join(map(repr, touched))}, and {' and '.join(map(repr, names))} are one tensor in "
            f"{self.base.name}; PEFT unties them. Untie them for good: merge_and_unload, give the head a "
            "weight of its own, set tie_word_embeddings to false, save that and take it as the seed"
        )

    def _check(self, name: str) -> None:
        a, b = self._factors[name]
        if name not in self.base.entries:
            raise ValueError(
                f"{self.folder}: it adapts {name!r}, which the base {self.base.name} does not have"
            )
        shape, (rows, columns) = self.base.entries[name].shape, self._made(name)
        if shape != ((columns, rows) if self._flipped(name, shape) else (rows, columns)):
            raise ValueError(
                f"{self.folder}: {a!r} and {b!r} make {(rows, columns)}; the base's {name!r} is {shape}"
            )

    def _made(self, name: str) -> tuple[int, int]:
        """Rows and columns of B @ A."""
        a, b = (self._adapter.entries[factor].shape for factor in self._factors[name])
        return b[0], a[1]

    def _flipped(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether a matrix lies the other way than B @ A: an embedding does; else its shape tells, of a square one its layer."""
        rows, columns = self._made(name)
        if "embedding" in self._factors[name][0]:
            return True
        if rows != columns:
            return shape == (columns, rows)
        return (
            bool(self.settings["fan_in_fan_out"])
            if self._transposed is None
            else name in self._transposed
        )

    def _scale(self, name: str, a: str, b: str) -> float:
        """What B @ A of one matrix is multiplied by: alpha / r, or alpha / sqrt(r).

        Raises:
            ValueError: if the factors are not matrices of the rank that the settings say, or a pattern or a number is none.
        """
        module, shapes = (
            name.removesuffix(".weight"),
            [self._adapter.entries[factor].shape for factor in (a, b)],
        )
        try:
            rank = int(_matching(self.settings["rank_pattern"], module, self.settings["r"]))
            alpha = float(
                _matching(self.settings["alpha_pattern"], module, self.settings["lora_alpha"])
            )
        except (re.error, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{self.folder / CONFIG}: rank and alpha of {module!r} cannot be read ({error})"
            ) from None
        if (
            any(len(shape) != 2 for shape in shapes)
            or rank < 1
            or (shapes[0][0], shapes[1][1]) != (rank, rank)
        ):
            raise ValueError(
                f"{self.folder}: expected two matrices of rank {rank} for {name!r}, as {CONFIG} says, "
                f"got {a!r} of shape {shapes[0]} and {b!r} of shape {shapes[1]}"
            )
        return float(alpha / rank ** (0.5 if self.settings["use_rslora"] else 1.0))


def base_of(folder: Path) -> str | None:
    """The base that an adapter's folder names, None if it names none; with its revision, if it names one.

    Raises:
        ValueError: if its settings cannot be read, or are of a kind that is not known to be a sum of matrices.
    """
    settings = _settings(folder)
    base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not base:
        return None
    return f"{base}@{revision}" if revision and not Path(base).expanduser().exists() else str(base)


def _weights(folder: Path) -> Path:
    """The file of an adapter's tensors.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if they are pickled.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    pickles = sorted(
        path.name for pattern in PICKLES for path in folder.glob(f"adapter_model{pattern[1:]}")
    )
    if pickles:
        raise ValueError(
            f"{folder}: expected {WEIGHTS}, got pickled weights ({pickles[0]}), which can run any code when they are loaded; "
            "load the adapter with PEFT and save it again with save_pretrained"
        )
    raise FileNotFoundError(f"{folder}: expected {WEIGHTS} beside {CONFIG}, there is none")


def _settings(folder: Path) -> dict[str, Any]:
    """An adapter's settings, each of them known to leave it a plain sum."""
    path = folder / CONFIG
    settings = {
        key: value
        for key, value in read_json(path, "JSON with a peft_type").items()
        if value is not None
    }
    if "peft_type" not in settings:
        raise ValueError(
            f"{path}: expected JSON with a peft_type, it has none (an adapter of another library than PEFT?)"
        )
    if (kind := settings["peft_type"]) != "LORA":
        raise ValueError(
            f"{folder}: expected a LoRA adapter, got {kind} (peft_type in {CONFIG}); {WAY_OUT}"
        )
    for key, value in settings.items():
        # off is off, whatever a newer PEFT may call it
        if key not in KNOWN and value:
            raise ValueError(
                f"{path}: {key}: {_short(value)}: as far as is known here {key} is not a sum of base and B @ A; {WAY_OUT}"
            )
    if (begin := settings.get("init_lora_weights")) not in INITS:
        raise ValueError(
            f"{path}: init_lora_weights is {begin!r}: training began by changing the base, so base + B @ A "
            f"is another model; {WAY_OUT}, or save the adapter with "
            "path_initial_model_for_weight_conversion, which makes it a plain one"
        )
    return DEFAULTS | settings


def _short(value: Any) -> str:
    return text if len(text := str(value)) <= 60 else f"{text[:57]}..."


def _matching(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """The value of the first pattern that a module's name ends in, as PEFT decides it."""
    return next(
        (value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default
    )
