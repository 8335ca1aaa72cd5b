"""Brightness windows: the rule that the component and the training share.

The window of a slice is found from the slice's histogram alone, in Go by the
component and here in training; the network's graph stretches it to 0..1.
internal/segmentation/testdata/window.json holds cases that both must get right
to the last bit.
"""

from __future__ import annotations

import numpy as np
import torch

# The rule of the networks trained here, as their manifest states it.
LOW = 0.01
HIGH = 0.99
IGNORE_BELOW_OR_EQUAL = 0

# What is left of values outside the window: enough below to tell the air of a
# stripped slice from its CSF, and enough above to tell fat from white matter.
CLIP_LOW = -0.5
CLIP_HIGH = 1.5


def percentile_window(
    histogram: np.ndarray, low: float = LOW, high: float = HIGH, ignore: int = IGNORE_BELOW_OR_EQUAL
) -> tuple[float, float]:
    """Window (low, high) of a slice with the given 256 counts: of the n pixels
    above ignore, in order of value, those with index floor(low (n-1)) and
    floor(high (n-1)); where equal, high is one more; without any pixel 0, 255."""
    first = max(ignore + 1, 0)
    sums = np.cumsum(histogram[first:])
    if len(sums) == 0 or sums[-1] == 0:
        return 0.0, 255.0
    n = int(sums[-1])
    at = [first + int(np.searchsorted(sums, int(np.floor(share * (n - 1))), side="right")) for share in (low, high)]
    return float(at[0]), float(max(at[1], at[0] + 1))


def slice_window(pixels: np.ndarray, low: float = LOW, high: float = HIGH, ignore: int = IGNORE_BELOW_OR_EQUAL) -> tuple[float, float]:
    """Window of a uint8 slice."""
    return percentile_window(np.bincount(pixels.ravel(), minlength=256), low, high, ignore)


def batch_windows(images: torch.Tensor, low: float = LOW, high: float = HIGH, ignore: int = IGNORE_BELOW_OR_EQUAL) -> torch.Tensor:
    """Windows, N x 2, of a batch of uint8 slices, N x H x W."""
    n = len(images)
    first = max(ignore + 1, 0)
    keys = images.reshape(n, -1).to(torch.int64) + 256 * torch.arange(n).unsqueeze(1)
    counts = torch.bincount(keys.reshape(-1), minlength=256 * n).reshape(n, 256)[:, first:]
    sums = counts.cumsum(1)
    total = sums[:, -1:]
    at = []
    for share in (low, high):
        index = torch.floor(share * (total - 1).double()).to(torch.int64)
        at.append(first + torch.searchsorted(sums, index, right=True))
    bottom, top = at[0], torch.maximum(at[1], at[0] + 1)
    windows = torch.cat([bottom, top], dim=1).float()
    return torch.where(total > 0, windows, torch.tensor([0.0, 255.0]))


def normalise(images: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """What the network sees of slices, N x H x W, under their windows, N x 2."""
    low, high = (windows[:, i].reshape(-1, 1, 1) for i in (0, 1))
    return ((images.float() - low) / (high - low)).clamp(CLIP_LOW, CLIP_HIGH)
