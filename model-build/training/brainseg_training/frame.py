"""Frames: where on the network's canvas a slice lies, and which way it faces.

Masks of convolutional networks hang on things that mean nothing: where on the
grid of the coarsest layer a head lies, how much black there is around it, which
side is left. So the network is shown every slice alike: what is brighter than air
in the middle of a canvas that is no larger than it must be, the darker half to
the left. A slice that was shifted, padded or mirrored gets the same mask to the
last pixel, and black borders cost nothing.

The component follows the same rule (internal/segmentation/frame); testdata/frame.json
there holds cases that both must get right.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

# The rule of the networks trained here, as their manifest states it: a canvas' least
# side, what it has around the content; the share of the window's high end above
# which a pixel counts, and how many of those a row or column of content has.
RULE = {"least": 192, "margin": 8, "bright": 0.1, "brightPixels": 4}
MULTIPLE = 8


@dataclasses.dataclass
class Frame:
    """A canvas of `height` x `width` pixels whose upper left one is pixel (`top`,
    `left`) of the slice, or, where `mirrored`, of the slice left for right."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool

    def show(self, image: np.ndarray) -> np.ndarray:
        """The canvas with the slice on it, zeros around."""
        canvas = np.zeros((self.height, self.width), image.dtype)
        here, there = self._overlap(image.shape)
        canvas[there] = (image[:, ::-1] if self.mirrored else image)[here]
        return canvas

    def back(self, mask: np.ndarray, shape: tuple[int, int], fill: float = 0) -> np.ndarray:
        """What lies on the canvas (..., height, width), in the slice's own pixels;
        `fill` where the canvas does not reach."""
        out = np.full((*mask.shape[:-2], *shape), fill, mask.dtype)
        here, there = self._overlap(shape)
        out[(..., *here)] = mask[(..., *there)]
        return out[..., ::-1] if self.mirrored else out

    def _overlap(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        here, there = [], []
        for first, size, length in ((self.top, self.height, shape[0]), (self.left, self.width, shape[1])):
            low, high = max(first, 0), min(first + size, length)
            here.append(slice(low, high))
            there.append(slice(low - first, high - first))
        return (here[0], here[1]), (there[0], there[1])


def whole(shape: tuple[int, int], multiple: int = MULTIPLE) -> Frame:
    """The canvas of a slice for a network without frames: all of it, with sides that
    are multiples of `multiple`."""
    return Frame(0, 0, *(-(-s // multiple) * multiple for s in shape), False)


def find(image: np.ndarray, high: float, rule: dict = RULE, multiple: int = MULTIPLE) -> Frame:
    """The frame of a uint8 slice whose window ends at `high`.

    Rows and columns with enough bright pixels are content (without any: all of
    them). The canvas has the content in its middle, the margin around it, and sides
    that are multiples of `multiple` and not too short. Where the content's grey
    values weigh more to the left of its middle than to the right the slice is
    mirrored."""
    (top, bottom), (left, right), mirrored = _content(image, high, rule)
    sides = [-(-max(s + 2 * rule["margin"], rule["least"]) // multiple) * multiple for s in (bottom - top, right - left)]
    return _around(top, bottom, left, right, sides, mirrored)


def _content(image: np.ndarray, high: float, rule: dict) -> tuple[tuple[int, int], tuple[int, int], bool]:
    """Rows and columns of the content, from and up to, and whether they are to be
    mirrored; the columns are counted in that direction."""
    bright = image > rule["bright"] * high
    spans = []
    for axis in (1, 0):
        at = np.flatnonzero(bright.sum(axis) >= rule["brightPixels"])
        spans.append((int(at[0]), int(at[-1]) + 1) if len(at) else (0, image.shape[1 - axis]))
    (top, bottom), (left, right) = spans
    part = image[top:bottom, left:right].astype(np.int64)
    mirrored = bool((part.sum(0) * (2 * np.arange(right - left) - (right - left - 1))).sum() < 0)
    if mirrored:
        left, right = image.shape[1] - right, image.shape[1] - left
    return (top, bottom), (left, right), mirrored


def _around(top: int, bottom: int, left: int, right: int, sides: list[int], mirrored: bool) -> Frame:
    return Frame(top - (sides[0] - (bottom - top)) // 2, left - (sides[1] - (right - left)) // 2, *sides, mirrored)


def lay(images: torch.Tensor, labels: torch.Tensor, highs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slices, N x S x S uint8, with their labels, as the network is shown them, all on
    canvases of their own size: what does not fit is cut off."""
    size = list(images.shape[1:])
    shown = [np.zeros(images.shape, np.uint8) for _ in range(2)]
    for i, (image, truth, high) in enumerate(zip(images.numpy(), labels.numpy(), highs.tolist())):
        rows, columns, mirrored = _content(image, high, RULE)
        frame = _around(*rows, *columns, size, mirrored)
        shown[0][i], shown[1][i] = frame.show(image), frame.show(truth)
    return torch.from_numpy(shown[0]), torch.from_numpy(shown[1])
