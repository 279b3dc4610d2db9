"""Digit classifiers: the torch modules of M2N2's first experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from evomerge.genome.axis import FlatCut, Layout
from evomerge.genome.weights import Weights
from fitness.images import Images
from populations.modules import Modules

STEPS = 10
"""Steps for which a specialist is trained in M2N2's first experiment."""

LEARNING_RATE = 0.003
"""Learning rate of these steps."""


class Classifiers(Modules):
    """Multilayer perceptrons with ReLU that tell images apart."""

    def __init__(
        self,
        data: Images,
        hidden: Sequence[int] = (256,),
        seeds: Literal["random", "specialists"] | Sequence[Path] = "random",
        *,
        classes: int = 10,
        count: int = 2,
        sd: float = 0.01,
        order: Literal["flat", "unit"] = "flat",
        layout: Layout = "stored",
        cut: FlatCut = "element",
        chromosomes: Mapping[str, str] | None = None,
        device: str = "cpu",
    ) -> None:
        """Settings only; nothing is loaded before first use.

        Args:
            data: the images; their size is the network's input.
            hidden: sizes of the hidden layers.
            seeds: the founders: "random"; "specialists", one trained on the lower half of the
                classes and one on the upper half; or two or more safetensors files.
            classes: number of classes.
            count: random founders, at least 2.
            sd: standard deviation of random weights, of specialists before their training too.
            order: as `Modules`.
            layout: as `Modules`.
            cut: as `Modules`.
            chromosomes: as `Modules`.
            device: as `Modules`.

        Raises:
            ValueError: if a setting is out of its range.
        """
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden: expected sizes of at least 1, got {list(hidden)}")
        if classes < 2:
            raise ValueError(f"classes: expected at least 2, got {classes}")
        # Specialists begin from random weights; to be trained they need this class's images.
        founders = "random" if seeds == "specialists" else seeds
        super().__init__(
            self.network,
            founders,
            count=count,
            sd=sd,
            order=order,
            layout=layout,
            cut=cut,
            chromosomes=chromosomes,
            device=device,
        )
        self.data = data
        self.hidden = hidden
        self.seeds = seeds
        self.classes = classes

    def network(self) -> nn.Sequential:
        """A network of these sizes, with torch's own initial weights."""
        height, width = self.data.shape()
        sizes = [height * width, *self.hidden, self.classes]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        # Outputs are logits, so the last layer has no ReLU behind it.
        return nn.Sequential(*layers[:-1])

    def card(self) -> dict[str, Any]:
        """What a member's model card says, in the hub's words."""
        return {"pipeline_tag": "image-classification"}

    def founders(self, rng: np.random.Generator) -> list[Weights]:
        """As `Modules.founders`, and two specialists that are trained here.

        Raises:
            ValueError: as `Modules.founders`, or if there are more classes in the images than in
                the network.
        """
        # A label beyond the outputs would only fail in the first birth.
        split = self.data.split("train")
        if split is not None and len(split[1]):
            highest = int(split[1].max())
            if highest >= self.classes:
                raise ValueError(
                    f"classes: expected at least {highest + 1}, since labels go up to {highest}, "
                    f"got {self.classes}"
                )
        if self.seeds != "specialists":
            return super().founders(rng)
        half = self.classes // 2
        lower, upper = rng.spawn(2)
        return [
            self.specialist(range(half), lower),
            self.specialist(range(half, self.classes), upper),
        ]

    def specialist(self, classes: range, rng: np.random.Generator) -> Weights:
        """A network trained on some classes only, as in M2N2's first experiment.

        It is trained by full-batch Adam from a random start.

        Raises:
            ValueError: if there are no training images of these classes.
        """
        split = self.data.split("train")
        if split is None:
            raise ValueError("data: there are no training images to train specialists on")
        chosen = torch.isin(split[1], torch.tensor(list(classes)))
        images = split[0][chosen]  # (n, pixels)
        labels = split[1][chosen]  # (n,)
        if not len(images):
            raise ValueError(
                f"seeds: no training image is of the classes {classes.start} to {classes.stop - 1}"
            )
        # Its initial weights are overwritten, and may not disturb the caller's random state.
        with torch.random.fork_rng(devices=[]):
            network = self.network()
        network.load_state_dict(self.state(self._random(rng)))
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
        return self.genome(network.state_dict())
