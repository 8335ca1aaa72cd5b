"""Balances the classes of a finished network.

Training punishes what is painted outside the brain, and labels of a thin rim are
uncertain: so a network paints less CSF than there is, a sixth less in whole heads, on
those that it was trained on as on others. A constant that is added to the scores of a
class, in the bias of the last convolution, gives the volume back and costs nothing at
run time. The constants are those with the highest mean Dice on slices of the training
set as scanners give them, whole heads and stripped brains counted alike.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import nn

from . import frame, metrics, window
from .volumes import IGNORE, Volume

# Constants are tried in these steps, up to the most. Grey matter has none: only the
# differences between the classes decide.
STEP, MOST = 0.05, 0.6

# Pixels whose background is ahead of each tissue by more stay background.
_SURE = 2 * MOST


def fit(network: nn.Module, kinds: dict[str, list], slices: int, seed: int, framed: bool) -> np.ndarray:
    """The constants of background, CSF, grey and white matter, from about `slices`
    slices of the whole heads and stripped brains among the training set's volumes by
    kind. Zeros where there are none."""
    rng = np.random.default_rng(seed)
    groups = [[v for v in kinds.get(kind, []) if isinstance(v, Volume)] for kind in ("whole", "stripped")]
    groups = [volumes for volumes in groups if volumes]
    collected = [_collect(network, volumes, max(slices // len(groups), 1), rng, framed) for volumes in groups]
    constants = np.zeros(4)
    if not groups:
        return constants
    best = _dice(collected, constants)
    before, step = best, 4 * STEP
    while step >= STEP:
        moved = False
        for tissue in (1, 3):
            for way in (step, -step):
                trial = constants.copy()
                trial[tissue] = round(trial[tissue] + way, 2)
                if abs(trial[tissue]) > MOST:
                    continue
                if (reached := _dice(collected, trial)) > best:
                    best, constants, moved = reached, trial, True
        if not moved:
            step /= 2
    logging.info("balance: constants %s, mean Dice %.4f, %.4f without", constants.tolist(), best, before)
    return constants


def apply(network: nn.Module, constants: np.ndarray) -> None:
    """Adds the constants to the scores that the network gives."""
    bias = network.final.bias
    with torch.no_grad():
        # Several values of a class, one for each of the pixels it is rearranged to.
        bias += torch.from_numpy(constants).to(bias).repeat_interleave(len(bias) // len(constants))


def _collect(
    network: nn.Module, volumes: list[Volume], slices: int, rng: np.random.Generator, framed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scores, pixels x 4, and labels of all pixels that can be tissue."""
    scores, labels = [], []
    for i in range(slices):
        volume = volumes[i % len(volumes)]
        plane = volume.planes[int(rng.integers(len(volume.planes)))]
        chosen = volume.slices(plane, 300)
        if not len(chosen):
            continue
        image, truth = volume.slice(plane, int(rng.choice(chosen)))
        here = _scores(network, image, framed)
        counted = (truth != IGNORE) & ((truth > 0) | (here[1:].max(0) > here[0] - _SURE))
        scores.append(here[:, counted].T.astype(np.float16))
        labels.append(truth[counted])
    return np.concatenate(scores or [np.zeros((0, 4), np.float16)]), np.concatenate(labels or [np.zeros(0, np.uint8)])


@torch.no_grad()
def _scores(network: nn.Module, image: np.ndarray, framed: bool) -> np.ndarray:
    """Scores of a slice, 4 x height x width, as the component has it run."""
    limits = window.slice_window(image)
    multiple = network.size_multiple
    laid = frame.find(image, limits[1], frame.RULE, multiple) if framed else frame.whole(image.shape, multiple)
    shown = torch.from_numpy(laid.show(image).copy())[None]
    scores = network(window.normalise(shown, torch.tensor([limits])).unsqueeze(1))[0].float().numpy()
    scores = laid.back(scores, image.shape, fill=-np.inf)
    scores[0][np.isinf(scores[0])] = 0  # beyond the canvas there is nothing
    return scores


def _dice(collected: list[tuple[np.ndarray, np.ndarray]], constants: np.ndarray) -> float:
    """Mean Dice of the tissues over the groups."""
    reached = []
    for scores, labels in collected:
        mask = (scores + constants.astype(np.float16)).argmax(1).astype(np.uint8)
        reached.append(np.nanmean(metrics.dice(metrics.confusion(mask, labels))[1:]))
    return float(np.mean(reached))
