"""Slices that are no T1 head: for a network to be told, and to tell.

Drawn ones (organs, shapes, textures, noise, signs, nothing), and heads in other
contrasts: T2, proton density, FLAIR, CT, inverted, or any that no T1 image has.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .synthesis import Synthesiser
from .volumes import IGNORE

CONTRASTS = ("t2", "pd", "flair", "ct", "inverted")


def drawn(rng: np.random.Generator, size: int) -> np.ndarray:
    """A slice, size x size uint8, of something that is no head."""
    image = _content(rng, size)
    while rng.random() < 0.25:  # one beside the other
        y, x = _grid(size)
        edge, _ = _turned(x - rng.uniform(0, size), y - rng.uniform(0, size), rng.uniform(0, np.pi))
        image = np.where(edge > 0, image, _content(rng, size))
    if rng.random() < 0.35:
        image = _behind_aperture(rng, image)
    if rng.random() < 0.15:
        image = np.maximum(image, _signs(rng, size))
    if rng.random() < 0.2:
        image = image.max() - image
    return _photographed(rng, image)


def _content(rng: np.random.Generator, size: int) -> np.ndarray:
    chance = rng.random()
    if chance < 0.08:
        return np.abs(rng.standard_normal((size, size))) * rng.uniform(0.1, 1)
    if chance < 0.22:
        return _texture(rng, size, rng.uniform(0.5, 2.2))
    if chance < 0.32:
        return _shapes(rng, size, int(rng.integers(1, 60)))
    if chance < 0.46:
        return np.clip(_shapes(rng, size, int(rng.integers(10, 60))) * (0.5 + _texture(rng, size, 1.2)), 0, None)
    if chance < 0.54:
        return _stripes(rng, size)
    if chance < 0.61:
        return _signs(rng, size)
    return _body(rng, size)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return y, x


def _texture(rng: np.random.Generator, size: int, slope: float) -> np.ndarray:
    """Noise, 0..1, whose amplitudes fall with the frequency, as in photographs;
    at times in one direction more than in the other."""
    frequency = np.fft.fftfreq(size)
    stretch = np.exp(rng.normal(0, 0.5))
    k = np.hypot(frequency[:, None] * stretch, frequency[None])
    k[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) / k**slope).real
    return ((noise - noise.min()) / max(np.ptp(noise), 1e-6)).astype(np.float32)


def _shapes(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    """Ellipses and boxes over each other, some shaded."""
    y, x = _grid(size)
    image = np.zeros((size, size), np.float32)
    for _ in range(count):
        u, w = _turned(x - rng.uniform(0, size), y - rng.uniform(0, size), rng.uniform(0, np.pi))
        a, b = np.exp(rng.uniform(np.log(3), np.log(size / 2.2), 2))
        inside = (u / a) ** 2 + (w / b) ** 2 < 1 if rng.random() < 0.6 else (abs(u) < a) & (abs(w) < b)
        shade = rng.uniform(0, 1) + (rng.normal(0, 0.3) if rng.random() < 0.4 else 0.0) * u / a
        image[inside] = shade[inside]
    return image


def _turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _stripes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Waves, bars, chequers, or a ramp."""
    y, x = _grid(size)
    u, w = _turned(x, y, rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]))
    pitch = rng.uniform(4, size)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * u / pitch)
    if rng.random() < 0.3:
        wave = wave * (0.5 + 0.5 * np.sin(2 * np.pi * w / (pitch * rng.uniform(0.5, 2))))
    kind = rng.random()
    if kind < 0.4:
        wave = np.floor(wave * rng.integers(2, 7)) / 6
    elif kind < 0.6:
        wave = (u - u.min()) / np.ptp(u)
    return wave.astype(np.float32)


def _signs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Text, or nothing, on an even ground."""
    image = np.full((size, size), 0.0 if rng.random() < 0.7 else rng.uniform(0, 1), np.float32)
    for _ in range(int(rng.integers(0, 30))):
        height, width = int(rng.integers(5, 9)), int(rng.integers(10, 80))
        row, column = rng.integers(0, size - 10, 2)
        room = image[row : row + height, column : column + width]
        room[rng.random(room.shape) < 0.4] = rng.uniform(0.5, 1)
    return image


def _body(rng: np.random.Generator, size: int) -> np.ndarray:
    """Fat around muscle, with organs, vessels and bones at any place."""
    y, x = _grid(size)
    cx, cy = size / 2 + rng.uniform(-10, 10, 2)
    a = size * rng.uniform(0.2, 0.48)
    b = a * rng.uniform(0.4, 1.1)
    angle = np.arctan2(y - cy, x - cx)
    wobble = sum(rng.normal(0, 0.04) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 6))
    radius = np.hypot((x - cx) / a, (y - cy) / b) * (1 + wobble)
    image = np.zeros((size, size), np.float32)
    rim = rng.uniform(0.75, 0.97)
    image[radius < 1], image[radius < rim] = rng.uniform(0.6, 1), rng.uniform(0.2, 0.6)
    for _ in range(int(rng.integers(1, 25))):
        out, turn = rng.uniform(0, 0.7) * rim, rng.uniform(0, 2 * np.pi)
        u, w = _turned(x - cx - a * out * np.cos(turn), y - cy - b * out * np.sin(turn), rng.uniform(0, np.pi))
        long = np.exp(rng.uniform(np.log(4), np.log(max(a * 0.45, 5))))
        distance = np.hypot(u / long, w / (long * rng.uniform(0.4, 1))) * (1 + 2 * wobble)
        inside = (distance < 1) & (radius < rim)
        image[inside] = rng.uniform(0, 1)
        if rng.random() < 0.3:
            image[inside & (distance > rng.uniform(0.7, 0.95))] = rng.uniform(0, 1)
    return image * (1 + rng.uniform(0, 0.8) * (_texture(rng, size, rng.uniform(0.7, 1.6)) - 0.5))


def _behind_aperture(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """The image in a fan, a circle or a window, and an even ground around."""
    size = len(image)
    y, x = _grid(size)
    kind = rng.random()
    if kind < 0.4:
        top = rng.uniform(-0.1, 0.2) * size
        radius, angle = np.hypot(x - size / 2, y - top), np.arctan2(x - size / 2, y - top)
        inside = (radius < rng.uniform(0.5, 0.95) * size) & (abs(angle) < rng.uniform(0.3, 0.9))
    elif kind < 0.8:
        u, w = _turned(x - size / 2, y - size / 2, rng.uniform(0, np.pi))
        inside = np.hypot(u / rng.uniform(0.2, 0.5), w / rng.uniform(0.2, 0.5)) < size
    else:
        u, w = _turned(x - size / 2, y - size / 2, rng.choice([0, rng.uniform(0, np.pi)]))
        inside = (abs(u) < rng.uniform(0.1, 0.45) * size) & (abs(w) < rng.uniform(0.2, 0.48) * size)
    return np.where(inside, image, 0.0 if rng.random() < 0.8 else rng.uniform(0, 1) * max(float(image.max()), 1e-3))


def _photographed(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Blurred, noisy, in 8 bits."""
    if rng.random() < 0.7:
        image = ndimage.gaussian_filter(image, rng.uniform(0, 1.2))
    image = image + rng.normal(0, rng.choice([0, 0.01, 0.03, 0.08]), image.shape)
    top = max(float(np.percentile(image, 99.8)), 1e-3)
    return (np.clip(image / top * rng.uniform(0.6, 1.05), 0, 1) * 255).round().astype(np.uint8)


def in_contrast(rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, contrast: str) -> np.ndarray:
    """A T1 slice as it would look in another contrast, as far as its grey values
    and labels tell."""
    grey = image.astype(np.float32) / 255
    levels = []
    for tissue, usual in ((1, 0.2), (2, 0.45), (3, 0.65)):
        inside = grey[labels == tissue]
        levels.append(float(np.median(inside)) if len(inside) > 30 else usual)
    fluid, cortex, white = np.maximum.accumulate(levels)
    at = [0, 0.5 * fluid, fluid + 1e-3, cortex + 2e-3, white + 3e-3, 1.01]

    def about(value: float) -> float:
        return value * float(np.exp(rng.normal(0, 0.08)))

    to = {
        "t2": [0, about(rng.choice([0.15, 0.6])), about(1), about(0.55), about(0.35), about(0.5)],
        "pd": [0, about(0.5), about(0.8), about(0.85), about(0.65), about(0.7)],
        "flair": [0, 0.03, about(0.12), about(0.75), about(0.55), about(0.6)],
        "ct": [0, about(0.95), about(0.38), about(0.45), about(0.42), about(0.1)],
        "inverted": [1 - v for v in at],
    }[contrast]
    out = np.interp(grey, at, to)
    # What a curve of grey values cannot tell apart, labels do.
    tissue = np.where(labels == IGNORE, 0, labels)
    blend = rng.uniform(0.3, 0.8)
    smooth = ndimage.gaussian_filter(np.array([0, *to[2:5]], np.float32)[tissue], 0.6)
    out = np.where(tissue > 0, blend * out + (1 - blend) * smooth, out)
    if contrast != "inverted":
        out[grey < 0.03] = 0
    out = out + rng.normal(0, rng.choice([0.005, 0.02, 0.04]), out.shape) * (out > 0)
    return (np.clip(out * rng.uniform(0.7, 1), 0, 1) * 255).astype(np.uint8)


def of_structures(rng: np.random.Generator, codes: np.ndarray, labels: np.ndarray, synthesiser: Synthesiser) -> np.ndarray:
    """A map of structures in grey values of which the tissues' are not in the
    order of T1."""
    while True:
        fluid, cortex, white = rng.uniform(0.05, 1, 3)
        if not fluid < 0.95 * cortex < 0.93 * white:
            break
    levels = rng.uniform(0, 1, 256)
    for code, tissue in synthesiser.tissue.items():
        if tissue:
            levels[code] = (fluid, cortex, white)[tissue - 1] * np.exp(rng.normal(0, 0.06))
        elif code == 0:
            levels[code] = 0
    image = ndimage.gaussian_filter(levels[codes], rng.uniform(0.4, 1))
    if rng.random() < 0.3:
        image = image * ndimage.binary_dilation(labels > 0)
    return _photographed(rng, image)
