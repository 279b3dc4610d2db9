"""Which component of the members' pipeline comes from which seed, and the pipeline made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from populations.seeds.json_files import CONFIG
from populations.seeds.library_logging import silenced, without_progress_bars
from populations.seeds.pipeline_agreement import FLOW, first_pipeline
from populations.seeds.pipeline_components import check_files
from populations.seeds.pipeline_differences import can_take, difference_lines
from populations.seeds.pipeline_fit import check_fits
from populations.seeds.pipeline_folders import CHECKER, DENOISERS, SCHEDULER
from populations.seeds.pipelines import Pipeline
from populations.settings.errors import as_setting_error, first_line


class PipelinePlan:
    """What a members' pipeline is made of: what is bred, and whose everything else is.

    Seeds may be whole pipelines, or have what is bred alone. The first whole one gives all that
    is not bred and that the user has not taken from another seed.
    """

    def __init__(
        self,
        seeds: Sequence[Pipeline],
        *,
        bred: Sequence[str] | None,
        components: Mapping[str, int] | None,
        scheduler: str | None,
        safety_checker: bool,
        variant: str | None,
    ) -> None:
        """Settings only, as `DiffusionModels` has them; files are read on first use."""
        self._seeds = seeds
        self._chosen_bred = bred
        self._chosen = components or {}
        self._scheduler = scheduler
        self._safety_checker = safety_checker
        self._variant = variant

    @cached_property
    def whole(self) -> Pipeline:
        """The pipeline that the resident one is made from."""
        return first_pipeline(self._seeds)

    @cached_property
    def bred(self) -> list[str]:
        """The names of what is bred.

        Raises:
            ValueError: if the pipeline has no such component.
        """
        components = self.whole.components
        if self._chosen_bred is not None:
            chosen = list(self._chosen_bred)
        else:
            chosen = [name for name in DENOISERS if name in components]
        unknown = [name for name in chosen if name not in components]
        if unknown:
            problem = f"no component {unknown[0]!r}"
        elif not chosen:
            problem = f"no {' or '.join(DENOISERS)}; name what to breed"
        else:
            return chosen
        raise ValueError(f"bred: {self.whole.name} has {problem}; it has {', '.join(components)}")

    @property
    def unbred(self) -> list[str]:
        """The names of what the members' pipeline has beside what is bred."""
        # A safety checker stays only on request: a picture that it blackens scores nothing.
        names = []
        for name in self.whole.components:
            wanted = name != CHECKER or self._safety_checker
            if wanted and name not in self.bred:
                names.append(name)
        return names

    def source_of(self, name: str) -> Pipeline:
        """The pipeline that a component comes from."""
        return self.others.get(name, self.whole)

    def has_weights(self, name: str) -> bool:
        """Whether a component has weights, as tokenizers and schedulers have none."""
        return f"{name}/{CONFIG}" in self.source_of(name).files

    @cached_property
    def others(self) -> dict[str, Pipeline]:
        """Where each component comes from that is not the whole pipeline's, by its name.

        All that is not bred is checked here.

        Raises:
            FileNotFoundError: if a component is missing.
            ValueError: if there is no such component, or it does not fit.
        """
        others = {}
        for name, place in self._chosen.items():
            seed = self._seeds[place]
            self._check_chosen(name, seed)
            if seed is not self.whole:
                others[name] = seed
        for name in self.unbred:
            with as_setting_error("seeds"):
                check_files(others.get(name, self.whole), name, self._variant)
        # A pipeline whose user breeds another kind of component may have no denoiser to fit.
        denoisers = [name for name in DENOISERS if name in self.whole.components]
        if denoisers:
            names = [*self.bred, *self.unbred]
            check_fits(lambda name: others.get(name, self.whole), names, denoisers[0])
        return others

    def _check_chosen(self, name: str, seed: Pipeline) -> None:
        """Checks that a component can be taken from a seed.

        Raises:
            ValueError: if one of them has none of this name, or it is of another class.
        """
        mine = self.whole.components
        if name not in mine or name in self.bred:
            rest = ", ".join([other for other in mine if other not in self.bred])
            raise ValueError(
                f"components: {self.whole.name} has no other component {name!r}; it has {rest}"
            )
        theirs = seed.components
        if theirs.get(name) is None:
            raise ValueError(
                f"components: {name}: {seed.name} has none; "
                f"it has {', '.join(theirs) or 'no others'}"
            )
        if not can_take(self.whole, seed, name):
            _, expected = mine[name]
            _, got = theirs[name]
            raise ValueError(
                f"components: {name}: expected a {expected}, that of {seed.name} is a {got}"
            )

    @cached_property
    def scheduler(self) -> Any:
        """The scheduler that was asked for, with the settings of the pipeline's own; or None.

        Raises:
            ValueError: if it does not take these settings.
        """
        if self._scheduler is None:
            return None
        import diffusers

        # Settings belong to a family of schedulers, which diffusers calls compatible.
        source = self.source_of(SCHEDULER)
        settings = source.config(SCHEDULER, f"{SCHEDULER}_config.json")
        stored = getattr(diffusers, settings["_class_name"]).from_config(settings)
        kind = type(stored).__name__
        fitting = {}
        for compatible in (type(stored), *stored.compatibles):
            fitting[compatible.__name__] = compatible
        # Schedulers for flow matching take each other's settings, but do not list each other.
        if kind.startswith(FLOW):
            for name in dir(diffusers):
                if name.startswith(FLOW):
                    fitting[name] = getattr(diffusers, name)
        if self._scheduler not in fitting:
            raise ValueError(
                f"scheduler: expected one that takes the settings of a {kind} "
                f"({', '.join(sorted(fitting))}), got {self._scheduler!r}"
            )
        return fitting[self._scheduler].from_config(settings)

    def difference_lines(self) -> list[str]:
        """Says in what the seeds differ beside what is bred, a line for each difference.

        Raises:
            ValueError: if a file cannot be read.
        """
        used = {name: self.source_of(name) for name in self.unbred}
        # It prepares pictures for the safety checker, which is not there.
        if not self._safety_checker:
            used.pop("feature_extractor", None)
        with as_setting_error("seeds"):
            return difference_lines(
                self._seeds, self.whole, used, self._chosen, self.bred, self._variant
            )

    def load(self, dtype: torch.dtype, trust_remote_code: bool) -> Any:
        """Loads the pipeline; what is bred has the whole seed's weights until a genome fills it.

        Args:
            dtype: the type of its weights.
            trust_remote_code: whether code that comes with the seed may run.

        Raises:
            ValueError: if diffusers cannot load it.
        """
        from diffusers import DiffusionPipeline

        # A component that is given is not loaded; one that is given as None is not there.
        seed = self.whole
        given: dict[str, Any] = dict.fromkeys(seed.lacks)
        for name, other in self.others.items():
            with as_setting_error("components"):
                given[name] = other.load(name, dtype, self._variant)
        if CHECKER in seed.index and not self._safety_checker:
            given |= {CHECKER: None, "requires_safety_checker": False}
        seed.fetch([name for name in seed.components if name not in given], self._variant)
        try:
            bars = without_progress_bars("diffusers", "transformers")
            with bars, silenced(), seed.loadable() as folder:
                pipeline = DiffusionPipeline.from_pretrained(
                    folder,
                    dtype=dtype,
                    variant=self._variant,
                    use_safetensors=True,
                    trust_remote_code=trust_remote_code,
                    **given,
                )
        except Exception as error:
            # Whatever diffusers stumbles on, it is this pipeline.
            raise ValueError(
                f"seeds: {seed.name}: diffusers cannot load it: {first_line(error)}"
            ) from None
        if self.scheduler is not None:
            pipeline.scheduler = self.scheduler
        return pipeline
