"""diffusers and transformers without their warnings; diffusers is imported where it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
