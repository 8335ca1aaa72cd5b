"""What scanners, transmission and other tools do to slices, in known amounts.

Each entry of SUITE turns a slice into what a user would send instead, and says
what its mask must be: labels on the grid of the new slice. IGNORE where the
change hides the truth.
"""

from __future__ import annotations

import dataclasses
import io
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from .pairs import SliceStack
from .volumes import IGNORE, Volume


@dataclasses.dataclass
class Degraded:
    """A slice, uint8, its labels on the same grid, and the size of its pixels in
    mm (down, across) where the sender states it."""

    image: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float] | None = None


# Takes image and labels of a slice of 1 mm pixels.
Degrade = Callable[[np.ndarray, np.ndarray], Degraded]


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _top(image: np.ndarray) -> float:
    return float(np.percentile(image[image > 0], 99)) if (image > 0).any() else 255.0


def _random(image: np.ndarray) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(image.tobytes()))


def noise(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Gaussian noise of 5 % of the 99th percentile; black air stays black."""
    return Degraded(_bytes(np.where(image > 0, image + _random(image).normal(0, 0.05 * _top(image), image.shape), 0)), labels)


def strong_noise(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Gaussian noise of 25 grey values, in the air as well."""
    return Degraded(_bytes(image + _random(image).normal(0, 25, image.shape)), labels)


def bias_field(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """A smooth field that falls from 1.3 to 0.7 across the slice."""
    y, x = (np.linspace(-1, 1, s) for s in image.shape)
    return Degraded(_bytes(image * (1 + 0.2 * y[:, None] + 0.1 * np.sin(np.pi / 2 * x)[None])), labels)


def half_resolution(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Pixels of twice the size, brought back to the size of the labels."""
    height, width = image.shape
    padded = np.pad(image.astype(float), ((0, height % 2), (0, width % 2)), mode="edge")
    small = padded.reshape(padded.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    y, x = (np.arange(s) / 2 - 0.25 for s in image.shape)
    grid = np.meshgrid(y, x, indexing="ij")
    return Degraded(_bytes(ndimage.map_coordinates(small, grid, order=1, mode="nearest")), labels)


def blur(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Gaussian blur of 1 pixel: what a smooth reconstruction does."""
    return Degraded(_bytes(ndimage.gaussian_filter(image.astype(np.float32), 1.0)), labels)


def rotation(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """15 degrees about the middle."""
    turned = ndimage.rotate(image.astype(np.float32), 15, reshape=True, order=1)
    return Degraded(_bytes(turned), ndimage.rotate(labels, 15, reshape=True, order=0))


def quarter_turns(times: int) -> Degrade:
    """Turned by so many times 90 degrees."""
    return lambda image, labels: Degraded(np.rot90(image, times).copy(), np.rot90(labels, times).copy())


def mirrored(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Left for right."""
    return Degraded(image[:, ::-1].copy(), labels[:, ::-1].copy())


def gamma(power: float) -> Degrade:
    """Contrast shift."""
    return lambda image, labels: Degraded(_bytes(255 * (image / 255.0) ** power), labels)


def flat_contrast(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Half the distance between grey and white matter, as at low field or with
    another inversion time: a curve that is flat from their middle values on."""
    inside = [image[labels == k] for k in (2, 3)]
    if min(len(i) for i in inside) < 50:
        return Degraded(image, labels)
    grey, white = (float(np.median(i)) for i in inside)
    if white <= grey:
        return Degraded(image, labels)
    values = np.arange(256.0)
    half = grey + (white - grey) / 2
    curve = np.interp(values, [0, grey, white, 255], [0, grey, half, half + (255 - white)])
    return Degraded(_bytes(curve[image]), labels)


def saturated(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Half as bright again, what exceeds 8 bits cut off."""
    return Degraded(_bytes(image * 1.5), labels)


def white_border(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """A white frame, 4 pixels wide, around the slice."""
    return Degraded(np.pad(image, 4, constant_values=255), np.pad(labels, 4))


def padded(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """37 pixels more of black at each side."""
    return Degraded(np.pad(image, 37), np.pad(labels, 37))


def noisy_air(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Air as of MP2RAGE: noise as bright as tissue outside the head."""
    air = ndimage.binary_erosion(image < 0.08 * _top(image), iterations=2, border_value=1) & (labels == 0)
    return Degraded(_bytes(np.where(air, _random(image).uniform(0, 0.6 * _top(image), image.shape), image)), labels)


def burnt_in(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """White signs, 5 x 7 dots, along the top and the bottom."""
    out, truth, rng = image.copy(), labels.copy(), _random(image)
    for row in (3, image.shape[0] - 10):
        dots = np.zeros(image.shape, bool)
        width = min(image.shape[1] - 8, 60)
        dots[row : row + 7, 4 : 4 + width] = (rng.random((7, width)) < 0.45) & (np.arange(width) % 6 < 5)
        out[dots] = 255
        truth[dots & (labels > 0)] = IGNORE
    return Degraded(out, truth)


def jpeg(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """JPEG at quality 60 and back."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "JPEG", quality=60)
    return Degraded(np.asarray(Image.open(buffer)).copy(), labels)


def inverted(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Black for white."""
    return Degraded(255 - image, labels)


def loosely_stripped(image: np.ndarray, labels: np.ndarray) -> Degraded:
    """Everything farther than 3 pixels from the brain cut away, as another tool
    strips; of a brain that was stripped before, nothing."""
    inside = labels > 0
    return Degraded(np.where(ndimage.binary_dilation(inside, iterations=3), image, 0).astype(np.uint8) if inside.any() else image, labels)


def resampled(image: np.ndarray, factors: tuple[float, float], size: tuple[int, int] | None = None) -> np.ndarray:
    """The slice with pixels `factors` times as high and wide (to `size` pixels,
    where given), float32: each pixel the mean of what it covers, between pixels
    linear."""
    out = image.astype(np.float32)
    for axis, factor in enumerate(factors):
        out = np.moveaxis(out, axis, 0)
        count = int(round(len(out) / factor)) if size is None else size[axis]
        # Integrals up to each pixel's borders, and their differences.
        sums = np.concatenate([np.zeros((1, *out.shape[1:])), out.cumsum(0, dtype=np.float64)])
        if factor > 1:
            edges = (np.arange(count + 1) * factor).clip(0, len(out))
            low = np.minimum(edges.astype(int), len(out) - 1)
            upto = sums[low] + (edges - low)[(...,) + (None,) * (out.ndim - 1)] * out[low]
            out = (np.diff(upto, axis=0) / np.maximum(np.diff(edges), 1e-6)[(...,) + (None,) * (out.ndim - 1)]).astype(np.float32)
        elif factor < 1:
            at = ((np.arange(count) + 0.5) * factor - 0.5).clip(0, len(out) - 1)
            low = np.minimum(at.astype(int), max(len(out) - 2, 0))
            share = (at - low)[(...,) + (None,) * (out.ndim - 1)].astype(np.float32)
            out = out[low] * (1 - share) + out[np.minimum(low + 1, len(out) - 1)] * share
        out = np.moveaxis(out, 0, axis)
    return out


def labels_at(labels: np.ndarray, factors: tuple[float, float]) -> np.ndarray:
    """Labels at the middles of pixels `factors` times as high and wide."""
    at = [((np.arange(int(round(n / f))) + 0.5) * f).astype(int).clip(0, n - 1) for n, f in zip(labels.shape, factors)]
    return labels[np.ix_(*at)]


def pixels(down: float, across: float, stated: bool = True) -> Degrade:
    """Pixels of so many mm; their size stated or not."""

    def degrade(image: np.ndarray, labels: np.ndarray) -> Degraded:
        factors = (down, across)
        return Degraded(_bytes(resampled(image, factors)), labels_at(labels, factors), factors if stated else None)

    return degrade


SUITE: dict[str, Degrade] = {
    "noise": noise,
    "noise-25": strong_noise,
    "noisy-air": noisy_air,
    "bias-field": bias_field,
    "half-resolution": half_resolution,
    "blur": blur,
    "rotation": rotation,
    "turned-90": quarter_turns(1),
    "turned-180": quarter_turns(2),
    "turned-270": quarter_turns(3),
    "mirrored": mirrored,
    "contrast-gamma-0.7": gamma(0.7),
    "contrast-gamma-1.4": gamma(1.4),
    "contrast-flat": flat_contrast,
    "saturated": saturated,
    "inverted": inverted,
    "white-border": white_border,
    "padded": padded,
    "text": burnt_in,
    "jpeg-60": jpeg,
    "stripped-loosely": loosely_stripped,
}
for _name, _size in {"0.5": (0.5, 0.5), "0.67": (0.67, 0.67), "1.33": (1.33, 1.33), "2": (2, 2), "1x1.5": (1, 1.5), "1x3": (1, 3)}.items():
    SUITE[f"pixels-{_name}-mm"] = pixels(*_size)
    SUITE[f"pixels-{_name}-mm-unstated"] = pixels(*_size, stated=False)

# Slices so many voxels thick: made from the volume, not from a slice.
THICK = {"slices-3-mm": 3, "slices-5-mm": 5}


def slices(subject: Volume | SliceStack, every: int, name: str) -> dict[str, list[Degraded]]:
    """Each `every`th slice of each plane of a subject, degraded as the suite's
    entry `name`, or "none" as it is. Thick slices exist of volumes alone."""
    out: dict[str, list[Degraded]] = {}
    for plane in subject.planes:
        out[plane] = []
        for index in range(every // 2, subject.count(plane), every):
            image, labels = subject.slice(plane, index)
            if name in THICK:
                if isinstance(subject, Volume):
                    out[plane].append(Degraded(subject.thick(plane, index, THICK[name]), labels))
            else:
                out[plane].append(Degraded(image, labels) if name == "none" else SUITE[name](image, labels))
    return out
