"""Grey values for maps of structures: T1-weighted contrast, different each time.

As in SynthSeg (Billot et al. 2023), every structure gets a random mean and
spread; unlike there, the order CSF < grey < white is kept, for the networks are
made for T1-weighted images.
"""

from __future__ import annotations

import numpy as np
import torch

# Structures between grey and white matter in T1-weighted images: how far
# towards white, at least and at most.
_BETWEEN = {"thalamus": (0.3, 0.9), "pallidum": (0.5, 1.0), "putamen": (0.1, 0.6), "brain-stem": (0.7, 1.05), "ventral DC": (0.6, 1.0)}

# Means of the structures outside the brain, in parts of white matter's.
_OUTSIDE = {"eyes": (0.05, 0.5), "soft tissue": (0.3, 1.0), "skin and outer fat": (0.6, 1.8), "skull": (0.02, 0.35), "marrow": (0.3, 1.6)}


class Synthesiser:
    """Turns codes into grey values; `codes` is the table of codes.json."""

    def __init__(self, codes: dict[str, dict]):
        self.names = {int(c): e["name"].removeprefix("left ").removeprefix("right ") for c, e in codes.items()}
        self.tissue = {int(c): e["tissue"] for c, e in codes.items()}

    def _means(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation for each code, 0..1."""
        white = rng.uniform(0.45, 0.9)
        grey = white * rng.uniform(0.55, 0.85)
        csf = white * rng.uniform(0.1, 0.45)
        outside = {}
        means, spreads = np.zeros(256, np.float32), np.zeros(256, np.float32)
        faithful = rng.random() < 0.7
        for code, name in self.names.items():
            if name not in outside:
                between = next((b for word, b in _BETWEEN.items() if word in name), None)
                beyond = next((o for word, o in _OUTSIDE.items() if word in name), None)
                if between:
                    mean = grey + rng.uniform(*between) * (white - grey)
                elif self.tissue[code] == 3:
                    mean = white * (rng.uniform(0.6, 1) if "lesion" in name else rng.uniform(0.96, 1.04))
                elif "vessel" in name or "choroid" in name:
                    mean = rng.uniform(csf, white)
                elif self.tissue[code] == 2:
                    mean = grey * rng.uniform(0.92, 1.08)
                elif self.tissue[code] == 1:
                    mean = csf * rng.uniform(0.85, 1.15)
                elif code == 0:
                    mean = 0.0 if rng.random() < 0.6 else rng.uniform(0, 0.1)
                elif beyond and faithful:
                    mean = white * rng.uniform(*beyond)
                else:
                    mean = white * rng.uniform(0.02, 1.3)
                outside[name] = (mean, rng.uniform(0.01, 0.05) * white * (1 if self.tissue[code] else 2))
            means[code], spreads[code] = outside[name]
        if means[0] == 0:
            spreads[0] = 0
        return means, spreads

    def __call__(self, codes: torch.Tensor, strip: torch.Tensor, brain: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Grey values, 0..1, of codes, N x H x W; where strip, N, is true only
        those of brain, N x H x W."""
        n = len(codes)
        tables = [self._means(rng) for _ in range(n)]
        index = (codes.long() + 256 * torch.arange(n).reshape(-1, 1, 1)).reshape(-1)
        mean = torch.from_numpy(np.concatenate([t[0] for t in tables]))[index].reshape(codes.shape)
        spread = torch.from_numpy(np.concatenate([t[1] for t in tables]))[index].reshape(codes.shape)
        noise = torch.from_numpy(rng.standard_normal(codes.shape, np.float32))
        image = (mean + spread * noise).clamp(min=0)
        return torch.where(strip.reshape(-1, 1, 1) & ~brain, torch.zeros(()), image)
