"""Language models: fine-tunes of one base, bred as recipes over them, expressed in the one resident model."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from evomerge.axis import LAYER, Axis, FlatCut
from evomerge.genome import Recipe
from evomerge.grams import Grams
from populations import hub, recipes
from populations.adapters import Adapted
from populations.express import express
from populations.methods import Method
from populations.seeds import Place, Seeds, Slot

log = logging.getLogger(__name__)

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Units:
    """Which tensors of a layer belong to the same units, as regular expressions over their names.

    Attributes:
        rows: tensors whose rows (incoming weights, biases) belong to the units.
        columns: matrices whose columns (outgoing weights) do.
        count: how many units a layer has, or the name of that number in the model's config; None: one for each row.
    """

    rows: str
    columns: str
    count: int | str | None = None


LLAMA = (
    Units(r"self_attn\.[qkv]_proj\.(weight|bias)$", r"self_attn\.o_proj\.weight$", "num_key_value_heads"),
    Units(r"mlp\.(gate|up)_proj\.(weight|bias)$", r"mlp\.down_proj\.weight$"),
)
"""The units of decoders such as Llama, Mistral, Qwen: attention heads (with grouped queries, the group) and MLP units."""

HARMLESS = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", "vocab_size"}
"""What two configs of mergeable models may differ in without a word: token ids, too."""


@dataclass(frozen=True)
class LanguageModel:
    """What a fitness for text gets.

    Attributes:
        model: the resident transformers model, with this member's weights until the next one is expressed.
        tokenizer: its tokenizer.
    """

    model: Any
    tokenizer: Any


class LanguageModels:
    """Causal language models of transformers, of one architecture; genomes are recipes over the seeds."""

    def __init__(
        self,
        seeds: Sequence[str | Path],
        *,
        base: str | Path | None = None,
        method: Method | None = None,
        order: Literal["flat", "unit"] = "flat",
        cut: FlatCut = "tensor",
        chromosomes: Mapping[str, str] | None = None,
        units: Sequence[Units] = LLAMA,
        vocabulary: Literal["strict", "trailing"] = "strict",
        dtype: Dtype = "auto",
        device: str = "auto",
        device_map: str | Mapping[str, int | str] | None = None,
        seed_device: Place = "auto",
        attention: str | None = None,
        chat_template: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Settings only; headers are read on first use of `axis`, weights by `founders`.

        Args:
            seeds: two or more models in safetensors: folders, or owner/name[@revision] of the hub; LoRA adapters, too.
            base: the model that the seeds were tuned from: what an adapter stands on, if not what it says itself; what methods such
                as TIES take differences to.
            method: one of mergekit's merge methods, its weights the recipe's coefficients; None: the sum of the weighted seeds.
            order: the axis: "flat", the order of the model's tensors, or "unit", attention head by head and MLP unit by unit.
            cut: on the flat axis, before what splits may fall (`Axis.flat`). Between tensors every member is a recipe of mergekit.
            chromosomes: on the flat axis, name to regular expression over tensor names.
            units: on the unit axis, which tensors of a layer belong to the same units.
            vocabulary: "strict", or "trailing": seeds may lack the last rows of the embedding, and take them from the others.
            dtype: the resident model's type; "auto": the first seed's.
            device: where it runs; "auto": a GPU, if there is one.
            device_map: as in transformers, for a model over several devices; instead of `device`.
            seed_device: where the seeds are kept (`Seeds.keep`).
            attention: transformers' name of an attention implementation, such as "sdpa" or "flash_attention_2".
            chat_template: a chat template, or a file with one; None: the tokenizer's.
            trust_remote_code: whether code that comes with a seed may run.

        Raises:
            ValueError: if a setting is out of its range, or belongs to the other axis.
        """
        if isinstance(seeds, str) or len(seeds) < 2:
            raise ValueError(f"seeds: expected at least 2 models, got {seeds!r}")
        if order not in ("flat", "unit"):
            raise ValueError(f"order: expected 'flat' or 'unit', got {order!r}")
        if order == "unit" and (cut != "tensor" or chromosomes):
            raise ValueError("order: cut and chromosomes are settings of the flat axis; the unit axis has its own")
        if method is not None:
            if order == "unit" or cut not in ("tensor", "layer"):
                raise ValueError(f"method: {method.name} merges whole tensors; choose order: flat and cut: tensor or layer")
            try:
                method.check(len(seeds), base is not None)
            except ValueError as error:
                raise ValueError(f"method: {error}") from None
        if device_map is not None and device != "auto":
            raise ValueError(f"device: expected 'auto' beside a device_map, got {device!r}")
        if device != "auto":
            try:
                torch.device(device)
            except RuntimeError:
                raise ValueError(f"device: expected one that torch knows, such as cpu or cuda:0, got {device!r}") from None
        self.seeds, self.base, self.method = seeds, base, method
        self.order, self.cut, self.chromosomes, self.units = order, cut, chromosomes, units
        self.vocabulary, self.dtype, self.device, self.device_map = vocabulary, dtype, device, device_map
        self.seed_device, self.attention, self.chat_template = seed_device, attention, chat_template
        self.trust_remote_code = trust_remote_code

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, models do not."""
        loaded = {name for name, value in vars(type(self)).items() if isinstance(value, cached_property)}
        loaded |= {name for name, value in vars(LanguageModels).items() if isinstance(value, cached_property)}
        return {name: value for name, value in vars(self).items() if name not in loaded}

    @property
    def linear(self) -> bool:
        """Whether genomes may be crossed linearly only: where coefficients are the weights of a method."""
        return self.method is not None

    @cached_property
    def axis(self) -> Axis:
        """As `Population.axis`. Everything that headers and configs can tell is checked here.

        Raises:
            FileNotFoundError: if a seed, or a file of it, is missing.
            ValueError: if the seeds are not of one architecture, shape, vocabulary and tokenizer, or the axis does not fit them.
        """
        shapes = {name: slot.shape for name, slot in self._sources.slots.items()}
        if self.order == "flat":
            return Axis.flat(shapes, chromosomes=self.chromosomes, cut=self.cut)
        layers, counts = [], []
        for group in self.units:
            count = group.count if not isinstance(group.count, str) else getattr(self._config, group.count, None)
            if isinstance(group.count, str) and not isinstance(count, int):
                raise ValueError(f"units: the config of {self.seeds[0]} has no number {group.count!r}")
            for rows, columns in _by_layer(group, shapes):
                layers.append((rows, columns))
                counts.append(count)
        return Axis.unit(shapes, layers, counts)

    @cached_property
    def grams(self) -> Grams:
        """The seeds' Gram matrices along the axis, taken once.

        Raises:
            ValueError: if a seed has numbers that are not finite.
        """
        return self._kept.grams(self.axis)

    def founders(self, rng: np.random.Generator) -> list[Recipe]:  # noqa: ARG002
        """As `Population.founders`: each seed by itself.

        Raises:
            ValueError: as `grams`.
        """
        assert self.grams is not None  # reads every number of every seed
        return [Recipe.seed(index, len(self.seeds), self.axis.size) for index in range(len(self.seeds))]

    def express(self, genome: Recipe) -> LanguageModel:
        """As `Population.express`: in place, in the one resident model."""
        if self.method is None:
            express(self._slots, self._kept.tensors, genome, self.axis)
        else:
            self._merge(genome, self.method)
        return self._resident

    def save(self, genome: Recipe, directory: Path) -> None:
        """As `Population.save`: what `AutoModelForCausalLM.from_pretrained` loads, the recipe, and mergekit's where there is one."""
        expressed = self.express(genome)
        with _quiet():
            expressed.model.save_pretrained(directory)
        expressed.tokenizer.save_pretrained(directory)
        recipes.write(directory, genome, self.axis, self._sources, self.method, self.base)

    def card(self) -> dict[str, Any]:
        """What the head of a member's model card says, in the hub's words."""
        names = [source.name for source in self._sources.sources]
        facts = {"base_model": names, "library_name": "transformers", "pipeline_tag": "text-generation"}
        return facts | {"tags": ["merge", "mergekit", "evomerge"]}

    def _merge(self, genome: Recipe, method: Method) -> None:
        """Fills the resident model by one of mergekit's methods, tensor by tensor."""
        for lie in self.axis.lie(genome.bounds):
            seeds, slot = self._kept.tensors(lie.tensor), self._slots[lie.tensor]
            base = self._base.tensors(lie.tensor)[0].to(seeds[0].device) if method.needs_base else None
            slot.copy_(method.merge(lie.tensor, seeds, genome.coefficients[lie.stretches[0]], base))

    @cached_property
    def _config(self) -> Any:
        """The config of the resident model: the seeds', with the largest vocabulary."""
        from transformers import AutoConfig

        configs = []
        for seed in self.seeds:
            folder = self._folders[seed]
            try:
                configs.append(AutoConfig.from_pretrained(folder, trust_remote_code=self.trust_remote_code))
            except (ValueError, OSError, KeyError) as error:
                raise ValueError(f"seeds: {folder}: its config cannot be read: {_line(error)}") from None
        first = configs[0]
        for seed, config in zip(self.seeds[1:], configs[1:], strict=True):
            if config.model_type != first.model_type or config.architectures != first.architectures:
                raise ValueError(
                    f"seeds: expected one architecture; {self.seeds[0]} is {first.model_type} {first.architectures}, "
                    f"{seed} is {config.model_type} {config.architectures}"
                )
            a, b = first.to_dict(), config.to_dict()
            unlike = sorted(
                key
                for key in a.keys() | b.keys()
                if a.get(key) != b.get(key) and key not in HARMLESS and not key.endswith("token_id")
            )
            if unlike:
                log.warning("%s and %s differ in %s; the first one's are used", self.seeds[0], seed, ", ".join(unlike))
        return configs[self._widest(configs)]

    def _widest(self, configs: Sequence[Any]) -> int:
        """Which seed has the largest vocabulary, the first of them."""
        sizes = [config.get_text_config().vocab_size for config in configs]
        if len(set(sizes)) > 1 and self.vocabulary == "strict":
            counts = ", ".join(f"{seed} {size:,}" for seed, size in zip(self.seeds, sizes, strict=True))
            raise ValueError(
                f"seeds: expected one size of vocabulary, got {counts} (vocabulary: trailing takes added rows from those that have them)"
            )
        return int(np.argmax(sizes))

    @cached_property
    def _folders(self) -> dict[str | Path, Path]:
        """Where each seed's config and tokenizer are: an adapter's own if it has them, else its base's."""
        found: dict[str | Path, Path] = {}
        for seed in self.seeds:
            try:
                folder = hub.folder_of(seed)
                if not (folder / "config.json").is_file() and isinstance(source := hub.source(seed, self.base), Adapted):
                    folder = source.base.folder
            except (ValueError, OSError) as error:
                raise type(error)(f"seeds: {error}") from None
            found[seed] = folder
        return found

    @cached_property
    def _tokenizer(self) -> Any:
        """The seeds' tokenizer: the one that knows most tokens."""
        from transformers import AutoTokenizer

        found = []
        for seed in self.seeds:
            own = hub.folder_of(seed)
            folder = own if (own / "tokenizer_config.json").is_file() else self._folders[seed]
            try:
                found.append(AutoTokenizer.from_pretrained(folder, trust_remote_code=self.trust_remote_code))
            except (ValueError, OSError, KeyError) as error:
                raise ValueError(f"seeds: {folder}: its tokenizer cannot be read: {_line(error)}") from None
        vocabularies = [tokenizer.get_vocab() for tokenizer in found]
        largest = max(vocabularies, key=len)
        for seed, vocabulary in zip(self.seeds, vocabularies, strict=True):
            unlike = [token for token, number in vocabulary.items() if largest.get(token) != number]
            if unlike or (self.vocabulary == "strict" and len(vocabulary) != len(largest)):
                token = unlike[0] if unlike else next(token for token in largest if token not in vocabulary)
                raise ValueError(
                    f"seeds: expected one tokenizer; {seed} has {len(vocabulary):,} tokens, another {len(largest):,}, "
                    f"and {token!r} is {vocabulary.get(token)} in one and {largest.get(token)} in the other"
                )
        tokenizer = found[vocabularies.index(largest)]
        if self.chat_template is not None:
            path = Path(self.chat_template)
            tokenizer.chat_template = path.read_text() if len(self.chat_template) < 256 and path.is_file() else self.chat_template
        return tokenizer

    @cached_property
    def _sources(self) -> Seeds:
        """The seeds' headers, checked against the model that their config describes; no weight is read for it."""
        config, tokenizer = self._config, self._tokenizer
        try:
            sources = [hub.source(seed, self.base) for seed in self.seeds]
        except (ValueError, OSError) as error:
            raise type(error)(f"seeds: {error}") from None
        slots, embeddings = _described(config, self.trust_remote_code)
        if len(tokenizer) > (rows := slots[embeddings[0]].shape[0]):
            raise ValueError(f"seeds: the tokenizer has {len(tokenizer):,} tokens, the embedding only {rows:,} rows")
        return Seeds(sources, slots, embeddings if self.vocabulary == "trailing" else ())

    @cached_property
    def _base(self) -> Seeds:
        assert self.base is not None
        return Seeds([hub.source(self.base)], self._sources.slots, self._sources.trailing)

    @cached_property
    def _resident(self) -> LanguageModel:
        """The one resident model."""
        from transformers import AutoModelForCausalLM

        sources, slots = self._sources.sources, self._sources.slots
        largest = next(k for k, source in enumerate(sources) if all(  # where vocabularies differ
            entry.shape == slots[name].shape for name, entry in source.entries.items() if name in slots))  # fmt: skip
        first = next(iter(sources[largest].entries))
        sources[largest].tensor(first)  # a repository of the hub is fetched by this
        settings: dict[str, Any] = {"dtype": self.dtype if self.dtype != "auto" else sources[0].entries[first].dtype}
        if self.device_map is not None:
            settings["device_map"] = self.device_map
        if self.attention is not None:
            settings["attn_implementation"] = self.attention
        folder = self._folders[self.seeds[largest]]
        with _quiet():
            model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=self.trust_remote_code, **settings)
        if self.device_map is None:
            model.to(self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
        return LanguageModel(model.eval().requires_grad_(False), self._tokenizer)

    @cached_property
    def _slots(self) -> dict[str, torch.Tensor]:
        """What a recipe fills."""
        return _slots(self._resident.model)

    @cached_property
    def _kept(self) -> Seeds:
        """The seeds, where they are kept from now on."""
        place = self._sources.keep(self._slots, self.seed_device)
        log.info("%d seeds of %d parameters are kept on: %s", len(self.seeds), self.axis.size, place)
        return self._sources


def _described(config: Any, trust_remote_code: bool) -> tuple[dict[str, Slot], list[str]]:
    """The slots of the model that a config describes, and those whose rows are tokens; no weight is made for it."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    names: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    slots = {name: Slot(tuple(tensor.shape), tuple(names[id(tensor)])) for name, tensor in _slots(model).items()}
    tokens = [layer.weight for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None]
    return slots, list(dict.fromkeys(names[id(weight)][0] for weight in tokens))


def _slots(model: Any) -> dict[str, torch.Tensor]:
    """What a recipe fills: each floating-point tensor of a model once, where it is tied too."""
    slots: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            slots.setdefault(id(tensor), (name, tensor))
    return dict(slots.values())


def _by_layer(group: Units, shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[list[str], list[str]]]:
    """The tensors of each layer that a group's expressions find."""
    layers: dict[str, tuple[list[str], list[str]]] = {}
    for name in shapes:
        match = LAYER.match(name)
        for place, pattern in enumerate((group.rows, group.columns)):
            if match and re.search(pattern, name):
                layers.setdefault(match[1], ([], []))[place].append(name)
    if not layers:
        raise ValueError(f"units: no tensor of a layer matches {group.rows!r}; name the units of this architecture; "
                         f"its tensors are {', '.join(list(shapes)[:4])} ...")  # fmt: skip
    return list(layers.values())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of transformers, which would tear ours."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
