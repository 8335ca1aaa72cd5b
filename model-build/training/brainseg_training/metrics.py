"""Measures of agreement between masks and labels.

All measures but the distance come from counts, so that those of slices add up
to those of volumes, planes and data sets.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import ndimage

from .volumes import IGNORE

CLASSES = ("background", "csf", "grey-matter", "white-matter")


def confusion(mask: np.ndarray, labels: np.ndarray, classes: int = 4) -> np.ndarray:
    """Counts of pixels, classes x classes: rows are the labels, columns the
    mask. Pixels to ignore do not count."""
    valid = labels != IGNORE
    index = labels[valid].astype(np.int64) * classes + mask[valid]
    return np.bincount(index, minlength=classes * classes).reshape(classes, classes)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice of each class from a confusion matrix; NaN where a class is in
    neither."""
    hit = np.diag(counts).astype(float)
    total = counts.sum(0) + counts.sum(1)
    return np.divide(2 * hit, total, out=np.full(len(hit), np.nan), where=total > 0)


def intersection_over_union(counts: np.ndarray) -> np.ndarray:
    """Intersection over union of each class; NaN where a class is in neither."""
    hit = np.diag(counts).astype(float)
    union = counts.sum(0) + counts.sum(1) - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)


def volume_error(counts: np.ndarray) -> np.ndarray:
    """(mask - labels) / labels of each class' volume; NaN without labels."""
    have, want = counts.sum(0).astype(float), counts.sum(1).astype(float)
    return np.divide(have - want, want, out=np.full(len(have), np.nan), where=want > 0)


def outside_brain(counts: np.ndarray) -> float:
    """Pixels of tissue painted on background, over the pixels of brain."""
    brain = counts[1:].sum()
    return float(counts[0, 1:].sum() / brain) if brain else math.nan


def called(counts: np.ndarray, truth: int, mask: int) -> float:
    """Share of the pixels of one class that the mask gives to another; NaN
    without any."""
    have = counts[truth].sum()
    return float(counts[truth, mask] / have) if have else math.nan


def far_outside_brain(mask: np.ndarray, labels: np.ndarray, distance: float = 3.0) -> int:
    """Pixels of tissue painted more than `distance` pixels from any brain: not
    a border that lies a pixel off, but scalp, marrow or eyes."""
    painted = mask > 0
    if not painted.any():
        return 0
    if not (labels > 0).any():
        return int(painted.sum())
    return int((painted & (ndimage.distance_transform_edt(labels == 0) > distance)).sum())


def _surface(region: np.ndarray) -> np.ndarray:
    return region & ~ndimage.binary_erosion(region)


def surface_distances(mask: np.ndarray, labels: np.ndarray, value: int) -> np.ndarray:
    """Distances in pixels between the borders of a class in mask and labels,
    both ways; empty where either has none of the class."""
    a, b = _surface(mask == value), _surface(labels == value)
    if not a.any() or not b.any():
        return np.zeros(0, np.float32)
    to_b = ndimage.distance_transform_edt(~b)[a]
    to_a = ndimage.distance_transform_edt(~a)[b]
    return np.concatenate([to_a, to_b]).astype(np.float32)


def hausdorff95(distances: np.ndarray) -> float:
    """95th percentile of surface distances; NaN without any."""
    return float(np.percentile(distances, 95)) if len(distances) else math.nan


@dataclasses.dataclass
class Calibration:
    """Counts by confidence, to tell whether 80 % sure is right in 80 % of cases."""

    bins: int = 10

    def __post_init__(self) -> None:
        self.pixels = np.zeros(self.bins)
        self.confidence = np.zeros(self.bins)
        self.right = np.zeros(self.bins)

    def add(self, probabilities: np.ndarray, labels: np.ndarray, where: np.ndarray) -> None:
        """Adds pixels of a slice; probabilities are C x H x W."""
        sure = probabilities.max(0)[where]
        right = (probabilities.argmax(0) == labels)[where]
        index = np.minimum((sure * self.bins).astype(int), self.bins - 1)
        self.pixels += np.bincount(index, minlength=self.bins)
        self.confidence += np.bincount(index, sure, self.bins)
        self.right += np.bincount(index, right, self.bins)

    def expected_error(self) -> float:
        """Mean gap between confidence and accuracy, weighted by pixels."""
        return float(np.abs(self.confidence - self.right).sum() / max(self.pixels.sum(), 1))

    def curve(self) -> list[dict[str, float]]:
        """Confidence and accuracy of each bin that has pixels."""
        return [
            {
                "confidence": self.confidence[i] / self.pixels[i],
                "accuracy": self.right[i] / self.pixels[i],
                "share": self.pixels[i] / self.pixels.sum(),
            }
            for i in range(self.bins)
            if self.pixels[i]
        ]
