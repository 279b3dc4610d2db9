"""diffusers and transformers without their warnings and progress bars.

diffusers is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def silenced() -> Iterator[None]:
    """Silences diffusers and transformers, where our own messages say what the seeds are like."""
    # The first import would warn, too.
    import_diffusers()
    from diffusers.utils import logging as diffusers_logging

    before = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    try:
        with transformers_silenced():
            yield
    finally:
        diffusers_logging.set_verbosity(before)


@contextmanager
def transformers_silenced() -> Iterator[None]:
    """Silences transformers alone."""
    from transformers.utils import logging as transformers_logging

    # The user may have chosen a verbosity, which comes back at the end.
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


@contextmanager
def without_progress_bars(*libraries: str) -> Iterator[None]:
    """Keeps libraries such as transformers and diffusers from drawing bars, which would tear ours.

    Args:
        libraries: their names.
    """
    # The user may have turned them off, and then they stay off.
    shown = []
    for library in libraries:
        bars = import_module(f"{library}.utils.logging")
        if bars.is_progress_bar_enabled():
            bars.disable_progress_bar()
            shown.append(bars)
    try:
        yield
    finally:
        for bars in shown:
            bars.enable_progress_bar()


def import_diffusers() -> None:
    """Imports diffusers quietly.

    Where torchvision is missing, transformers warns of it, and nothing here needs torchvision.

    Raises:
        ImportError: if diffusers is not installed.
    """
    try:
        with transformers_silenced():
            # A pipeline, since diffusers imports its parts when they are first asked for.
            from diffusers import StableDiffusionPipeline  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "image generators need the package diffusers: pip install 'evomerge[diffusion]'"
        ) from error
