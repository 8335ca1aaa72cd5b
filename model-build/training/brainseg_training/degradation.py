"""What scanners and transmission do to slices, in known amounts."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from scipy import ndimage

Degrade = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _top(image: np.ndarray) -> float:
    return float(np.percentile(image[image > 0], 99)) if (image > 0).any() else 255.0


def noise(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian noise of 5 % of the 99th percentile; black air stays black."""
    rng = np.random.default_rng(zlib.crc32(image.tobytes()))
    return _bytes(np.where(image > 0, image + rng.normal(0, 0.05 * _top(image), image.shape), 0)), labels


def bias_field(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth field that falls from 1.3 to 0.7 across the slice."""
    y, x = (np.linspace(-1, 1, s) for s in image.shape)
    return _bytes(image * (1 + 0.2 * y[:, None] + 0.1 * np.sin(np.pi / 2 * x)[None])), labels


def half_resolution(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of twice the size, brought back to the size of the labels."""
    height, width = image.shape
    padded = np.pad(image.astype(float), ((0, height % 2), (0, width % 2)), mode="edge")
    small = padded.reshape(padded.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    y, x = (np.arange(s) / 2 - 0.25 for s in image.shape)
    grid = np.meshgrid(y, x, indexing="ij")
    return _bytes(ndimage.map_coordinates(small, grid, order=1, mode="nearest")), labels


def rotation(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """15 degrees about the middle."""
    turned = ndimage.rotate(image.astype(np.float32), 15, reshape=True, order=1)
    return _bytes(turned), ndimage.rotate(labels, 15, reshape=True, order=0)


def brighter(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contrast shift: gamma 0.7."""
    return _bytes(255 * (image / 255.0) ** 0.7), labels


def darker(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contrast shift: gamma 1.4."""
    return _bytes(255 * (image / 255.0) ** 1.4), labels


SUITE: dict[str, Degrade] = {
    "noise": noise,
    "bias-field": bias_field,
    "half-resolution": half_resolution,
    "rotation": rotation,
    "contrast-gamma-0.7": brighter,
    "contrast-gamma-1.4": darker,
}
