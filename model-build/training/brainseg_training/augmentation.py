"""Makes each sample different: place, shape, contrast, field, blur, noise.

Everything works on a whole batch at once, and leaves what a device would get:
8-bit slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from .sampling import Batch
from .synthesis import Synthesiser
from .volumes import IGNORE


class Augmentation:
    """Turns batches of canvases into square slices of one of the given sizes.

    The size is drawn anew for each batch: near the border of a slice, and far
    into it through dilated convolutions, a network sees how much air there is,
    and must not mind. Without `random`, slices are only cut to the first size."""

    def __init__(self, sizes: Sequence[int], synthesiser: Synthesiser | None = None, random: bool = True):
        self.sizes = tuple(sizes)
        self.synthesiser = synthesiser
        self.random = random

    def __call__(self, batch: Batch, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns slices and labels, both N x size x size uint8."""
        size = int(rng.choice(self.sizes)) if self.random else self.sizes[0]
        grid, zoom = self._grid(size, len(batch.images), batch.images.shape[-1], batch.whole_head.numpy(), rng)
        images = _sample(_averaged(batch.images, zoom), grid, "bilinear") / 255.0
        labels = _sample(batch.labels, grid, "nearest").to(torch.uint8)
        whole = batch.whole_head.clone()
        chosen = batch.codes
        if chosen.any():
            if self.synthesiser is None:
                raise ValueError("label maps need the table of their codes")
            codes = _sample(batch.images[chosen], grid[chosen], "nearest")
            strip = torch.from_numpy(rng.random(len(codes)) < 0.3)
            made = self.synthesiser(codes, strip, labels[chosen] > 0, rng)
            images[chosen] = _blur(made, rng.uniform(0.35, 1.1, len(codes)))
            whole[chosen] = ~strip
            labels[chosen] = torch.where(strip.reshape(-1, 1, 1) & (made == 0), torch.zeros((), dtype=torch.uint8), labels[chosen])
        if self.random:
            images = self._appearance(images, whole, rng)
            images, labels = foreign(images, labels, rng)
        return (images.clamp(0, 1) * 255).round().to(torch.uint8), labels

    def _grid(self, size: int, n: int, canvas: int, whole: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, np.ndarray]:
        """Where each pixel comes from, N x size x size x 2, as grid_sample takes it,
        and how much each slice is enlarged, N."""
        axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
        matrix = np.tile(np.eye(2, dtype=np.float32), (n, 1, 1))
        shift = np.zeros((n, 2), np.float32)
        wave = np.zeros((n, 2, 7, 7), np.float32)
        enlarged = np.ones(n)
        if self.random:
            reach = np.where(whole, 24, 10)[:, None]
            shift = np.rint(rng.uniform(-1, 1, (n, 2)) * reach).astype(np.float32)
            for i in range(n):
                if rng.random() < 0.7:
                    angle = np.radians(rng.normal(0, 9) if rng.random() < 0.8 else rng.uniform(-30, 30))
                    zoom = self._zoom(rng)
                    enlarged[i] = zoom.min()
                    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                    matrix[i] = turn / zoom
                    if rng.random() < 0.5:
                        wave[i] = rng.normal(0, rng.uniform(0.5, 3), (2, 7, 7))
                if rng.random() < 0.5:
                    matrix[i, 0] *= -1
                if rng.random() < 0.15:
                    matrix[i, 1] *= -1
                if rng.random() < 0.15:
                    matrix[i] = matrix[i, ::-1].copy()
        x, y = torch.from_numpy(axis).reshape(1, 1, -1), torch.from_numpy(axis).reshape(1, -1, 1)
        m, s = torch.from_numpy(matrix), torch.from_numpy(shift)
        moved = []
        bend = (
            F.interpolate(torch.from_numpy(wave), size=(size, size), mode="bicubic", align_corners=True)
            if wave.any()
            else torch.zeros(n, 2, 1, 1)
        )
        for k in (0, 1):
            position = m[:, k, 0].reshape(-1, 1, 1) * x + m[:, k, 1].reshape(-1, 1, 1) * y + s[:, k].reshape(-1, 1, 1) + bend[:, k]
            moved.append(position * (2.0 / (canvas - 1)))
        return torch.stack(moved, dim=-1), enlarged

    def _zoom(self, rng: np.random.Generator) -> np.ndarray:
        """How much a slice is enlarged along both axes. Heads differ; and for one
        slice in three the pixels are of 0.7 to 1.5 mm, at times not square."""
        zoom = np.exp(rng.uniform(np.log(0.85), np.log(1.2))) * np.exp(rng.normal(0, 0.04, 2))
        if rng.random() < 0.33:
            zoom = np.exp(-rng.uniform(np.log(0.7), np.log(1.5))) * np.exp(rng.normal(0, 0.05, 2))
            if rng.random() < 0.3:
                zoom[rng.integers(2)] *= np.exp(rng.uniform(-0.4, 0.4))
        return zoom.clip(0.6, 1.6)

    def _appearance(self, images: torch.Tensor, whole: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        n = len(images)
        air = images == 0

        def some(probability: float, values: np.ndarray, neutral: float = 0.0) -> torch.Tensor:
            picked = np.where(rng.random(n) < probability, values, neutral)
            return torch.from_numpy(picked.astype(np.float32)).reshape(-1, 1, 1)

        gamma = some(0.7, np.exp(rng.normal(0, 0.38, n)), 1.0)
        images = images.clamp(min=0).pow(gamma)
        toned = torch.from_numpy(np.flatnonzero(rng.random(n) < 0.35))
        if len(toned):
            images[toned] = tone(images[toned], rng)

        field = torch.from_numpy(
            (rng.uniform(-1, 1, (n, 1, 4, 4)) * rng.uniform(0, 0.6, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.5)).astype(np.float32)
        )
        images = images * F.interpolate(field, size=images.shape[1:], mode="bicubic", align_corners=True).squeeze(1).exp()

        blurred = torch.from_numpy(np.flatnonzero(rng.random(n) < 0.22))
        if len(blurred):
            images[blurred] = _blur(images[blurred], rng.uniform(0.4, 1.3, len(blurred)))
        for i in np.flatnonzero(rng.random(n) < 0.14):
            factors = rng.uniform(1.3, 2.3, 2) if rng.random() < 0.5 else rng.permutation([rng.uniform(1, 1.3), rng.uniform(1.5, 3.2)])
            images[i : i + 1] = _coarsen(images[i : i + 1], factors)

        peak = images.amax(dim=(1, 2), keepdim=True).clamp(min=1e-3)
        images = images / peak
        noise = torch.from_numpy(rng.standard_normal(images.shape, np.float32))
        images = images + noise * some(0.6, np.where(rng.random(n) < 0.8, rng.uniform(0.0, 0.06, n), rng.uniform(0.06, 0.13, n)))
        images = images + some(0.2, rng.uniform(-0.06, 0.12, n))
        exposure = np.where(rng.random(n) < 0.7, rng.uniform(0.8, 1.1, n), rng.uniform(0.35, 1.3, n))
        images = images.clamp(min=0) * some(1.0, np.where(rng.random(n) < 0.08, rng.uniform(1.3, 2.0, n), exposure))

        # A stripped slice is black outside; a head's air may be, too.
        black = ~whole | torch.from_numpy(rng.random(n) < 0.5)
        images = torch.where(black.reshape(-1, 1, 1) & air, torch.zeros(()), images)
        for i in np.flatnonzero(rng.random(n) < 0.05):
            images[i] *= float(rng.uniform(0.3, 0.8))
            hot = torch.from_numpy(rng.integers(0, images.shape[-1], (2, int(rng.integers(1, 40)))))
            images[i, hot[0], hot[1]] = 1.0
        return images


def _sample(source: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    values = source.unsqueeze(1).float()
    return F.grid_sample(values, grid, mode=mode, padding_mode="zeros", align_corners=True).squeeze(1)


def _blur(images: torch.Tensor, sigmas: np.ndarray) -> torch.Tensor:
    """Gaussian blur of each image, N x H x W, with its own sigma in pixels."""
    n = len(images)
    reach = np.arange(-3, 4)
    kernels = np.exp(-0.5 * (reach[None] / sigmas[:, None]) ** 2)
    kernels = torch.from_numpy((kernels / kernels.sum(1, keepdims=True)).astype(np.float32))
    out = F.conv2d(images.unsqueeze(0), kernels.reshape(n, 1, 7, 1), padding=(3, 0), groups=n)
    return F.conv2d(out, kernels.reshape(n, 1, 1, 7), padding=(0, 3), groups=n).squeeze(0)


def _coarsen(images: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
    """Images as of pixels `factors` times as high and wide, brought back to size."""
    size = images.shape[1:]
    small = [max(int(s / f), 1) for s, f in zip(size, factors)]
    down = F.interpolate(images.unsqueeze(1), size=small, mode="area")
    return F.interpolate(down, size=tuple(size), mode="bilinear", align_corners=False).squeeze(1)


def _averaged(images: torch.Tensor, zoom: np.ndarray) -> torch.Tensor:
    """Images, N x H x W, of which those that will be made smaller are blurred as
    larger pixels average them."""
    out = images.float()
    chosen = torch.from_numpy(np.flatnonzero(zoom < 0.9))
    if len(chosen):
        out[chosen] = _blur(out[chosen], 0.4 * np.sqrt(zoom[chosen.numpy()] ** -2.0 - 1))
    return out


def tone(images: torch.Tensor, rng: np.random.Generator, segments: int = 6) -> torch.Tensor:
    """Images, 0..1, under rising curves of straight pieces, another for each: the
    contrast between tissues changes as it does between scanners and sequences."""
    rise = np.exp(rng.normal(0, 0.5, (len(images), segments)))
    rise /= rise.sum(1, keepdims=True)
    start = np.concatenate([np.zeros((len(images), 1)), rise.cumsum(1)[:, :-1]], axis=1)
    scaled = images.clamp(0, 1) * segments
    piece = scaled.long().clamp(max=segments - 1)
    index = (piece + segments * torch.arange(len(images)).reshape(-1, 1, 1)).reshape(-1)
    low, slope = (torch.from_numpy(a.astype(np.float32)).reshape(-1)[index].reshape(images.shape) for a in (start, rise))
    return low + slope * (scaled - piece)


def foreign(images: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Puts into some slices, 0..1, what is not of the head: a bright frame, text
    burnt in, noise where there is air; and makes some hold nothing of a head at
    all. Labels under what was added are to be ignored."""
    size = images.shape[-1]
    for i in range(len(images)):
        chance = rng.random()
        if chance < 0.03:
            put = torch.zeros(size, size, dtype=torch.bool)
            top, bottom, left, right = rng.integers(0, 11, 4).tolist()
            put[:top], put[size - bottom :], put[:, :left], put[:, size - right :] = True, True, True, True
        elif chance < 0.06:
            put = torch.zeros(size, size, dtype=torch.bool)
            for _ in range(int(rng.integers(1, 5))):
                dots = rng.random((int(rng.integers(5, 9)), int(rng.integers(10, 50)))) < 0.4
                text = torch.from_numpy(dots.repeat(2, axis=1))
                height, width = (min(a, size // 2) for a in text.shape)
                row = int(rng.integers(0, size // 8)) if rng.random() < 0.5 else size - height - int(rng.integers(0, size // 8))
                column = int(rng.integers(0, size - width))
                put[row : row + height, column : column + width] = text[:height, :width]
        elif chance < 0.09:
            air = images[i] < 0.08 * images[i].max()
            noise = torch.from_numpy(rng.random((size, size), np.float32)) * float(rng.uniform(0.05, 0.5))
            images[i] = torch.where(air & (labels[i] == 0), noise, images[i])
            continue
        elif chance < 0.11:
            coarse = torch.from_numpy(rng.random((1, 1, *rng.integers(2, 24, 2)), np.float32))
            cloud = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[0, 0]
            noise = torch.from_numpy(rng.standard_normal((size, size), np.float32))
            images[i] = cloud * float(rng.uniform(0, 1)) * float(rng.random() < 0.6) + noise * float(rng.choice([0, 0.01, 0.05, 0.2]))
            labels[i] = 0
            continue
        else:
            continue
        images[i] = torch.where(put, torch.full((), float(rng.uniform(0.8, 1.0))), images[i])
        labels[i] = torch.where(put & (labels[i] > 0), torch.full((), IGNORE, dtype=torch.uint8), labels[i])
    return images, labels
