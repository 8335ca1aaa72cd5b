"""Draws batches of slices from volumes.

A sample is a slice of any plane, laid on a square canvas and described by its
kind; augmentation makes it different each time. All that is random comes from
one generator, so that a seed fixes the order of samples.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from .pairs import SliceStack
from .volumes import Volume

# What a batch is drawn from, with the share of each. The shares of kinds that
# the data do not have go to the others.
SHARES = {
    "whole": 0.38,
    "stripped": 0.27,
    "transplanted": 0.10,
    "own-stripped": 0.07,
    "synthetic": 0.18,
}

# Slices with fewer pixels of brain than this count as outside the brain.
SMALLEST_BRAIN = 60

# Of the whole-head samples, so many come from anywhere in the head.
ANYWHERE = 0.18

# Of the real samples, so many are slices of 2 to 5 voxels' thickness, with the
# labels of the middle.
THICK = 0.2
THICKEST = 5


@dataclasses.dataclass
class Batch:
    """Slices on canvases, N x size x size uint8, before augmentation.

    `images` holds grey values, or codes of structures where `codes` is true."""

    images: torch.Tensor
    labels: torch.Tensor
    codes: torch.Tensor
    whole_head: torch.Tensor


@dataclasses.dataclass
class Kind:
    """The volumes of one kind, and for each and each plane its slices with brain."""

    volumes: list[Volume | SliceStack]
    slices: list[dict[str, np.ndarray]]


class Sampler:
    """Draws batches from volumes, by kind, then subject, plane and slice."""

    def __init__(self, volumes: dict[str, list[Volume | SliceStack]], canvas: int = 256, shares: dict[str, float] = SHARES):
        self.canvas = canvas
        present = {k: v for k, v in volumes.items() if v}
        if not present:
            raise ValueError("there are no volumes to train on")
        self.kinds = {k: Kind(vs, [{p: v.slices(p, SMALLEST_BRAIN) for p in v.planes} for v in vs]) for k, vs in present.items()}
        self.names = list(self.kinds)
        weights = np.array([shares.get(k, 0.0) for k in self.names])
        if weights.sum() == 0:
            weights = np.ones(len(self.names))
        self.weights = weights / weights.sum()

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """Draws `size` slices."""
        images = np.zeros((size, self.canvas, self.canvas), np.uint8)
        labels = np.zeros_like(images)
        codes, whole = np.zeros(size, bool), np.zeros(size, bool)
        # Every kind gets its share of each batch as nearly as whole numbers
        # allow: batch normalisation then sees the same mixture in each.
        edges = (np.arange(size) + rng.random()) / size
        chosen = np.searchsorted(np.cumsum(self.weights)[:-1], edges)
        for i, k in enumerate(chosen):
            kind = self.kinds[self.names[k]]
            v = int(rng.integers(len(kind.volumes)))
            volume = kind.volumes[v]
            plane = volume.planes[int(rng.integers(len(volume.planes)))]
            choices = kind.slices[v][plane]
            if len(choices) == 0 or (volume.whole_head and rng.random() < ANYWHERE):
                choices = np.arange(volume.count(plane))
            index = int(rng.choice(choices))
            image, truth = volume.slice(plane, index)
            if isinstance(volume, Volume) and not volume.codes and rng.random() < THICK:
                image = volume.thick(plane, index, int(rng.integers(2, THICKEST + 1)))
            self._lay(image, images[i])
            self._lay(truth, labels[i])
            codes[i], whole[i] = volume.codes, volume.whole_head
        return Batch(*(torch.from_numpy(a) for a in (images, labels, codes, whole)))

    def _lay(self, source: np.ndarray, canvas: np.ndarray) -> None:
        """Lays a slice on the middle of a canvas, cut where it is larger."""
        cuts = []
        for have, room in zip(source.shape, canvas.shape):
            extent = min(have, room)
            cuts.append(
                (slice((have - extent) // 2, (have - extent) // 2 + extent), slice((room - extent) // 2, (room - extent) // 2 + extent))
            )
        canvas[cuts[0][1], cuts[1][1]] = source[cuts[0][0], cuts[1][0]]
