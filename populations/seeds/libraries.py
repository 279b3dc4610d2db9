"""diffusers and transformers: imported where they are needed, and without what they say on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced() -> Iterator[None]:
    """Without the warnings of diffusers and transformers, where the seeds have been checked in words of ours."""
    import_diffusers()
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    before = of_diffusers.get_verbosity(), of_transformers.get_verbosity()
    of_diffusers.set_verbosity_error()
    of_transformers.set_verbosity_error()
    try:
        yield
    finally:
        of_diffusers.set_verbosity(before[0])
        of_transformers.set_verbosity(before[1])


def import_diffusers() -> None:
    """Imports diffusers, without what transformers says where torchvision is missing, which nothing here needs.

    Raises:
        ImportError: if diffusers is not installed.
    """
    try:
        from transformers.utils import logging as said

        before = said.get_verbosity()
        said.set_verbosity_error()
        try:
            from diffusers import StableDiffusionPipeline  # noqa: F401
        finally:
            said.set_verbosity(before)
    except ImportError as error:
        raise ImportError(
            "image generators need the package diffusers: pip install 'evomerge[diffusion]'"
        ) from error
