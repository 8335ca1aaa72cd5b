"""Loss of the training: cross entropy and soft Dice, with pixels to ignore."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .volumes import IGNORE


def pixel_weights(labels: torch.Tensor, images: torch.Tensor, air: float = 0.1, outside: float = 1.0) -> torch.Tensor:
    """Weights of pixels, N x H x W: 1 in the brain, `outside` where there is
    something else (scalp, skull, noise), `air` where the slice is black, 0 where
    the label is to be ignored."""
    weights = torch.where(images == 0, air, outside)
    return torch.where(labels == 0, weights, (labels != IGNORE).to(weights.dtype))


def cross_entropy(
    logs: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, class_weights: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Weighted sum of the pixels' cross entropies over the number of pixels of
    brain: tissue that is painted outside counts the same however large the slice
    is. logs are log probabilities, N x C x H x W; labels are below C where the
    weight is not 0. `smoothing` of each label's weight is spread over the
    classes, for the labels are not certain."""
    safe = torch.where(labels < logs.shape[1], labels, torch.zeros_like(labels)).long()
    picked = logs.gather(1, safe.unsqueeze(1)).squeeze(1)
    losses = -(1 - smoothing) * picked - smoothing * logs.mean(dim=1)
    brain = ((labels > 0) & (labels != IGNORE)).sum().clamp(min=1)
    return (losses * weights * class_weights[safe]).sum() / brain


def soft_dice(probabilities: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """1 - mean soft Dice of the classes other than the background, over the
    whole batch; pixels of weight 0 do not count."""
    valid = weights > 0
    terms = []
    for c in range(1, probabilities.shape[1]):
        p = torch.where(valid, probabilities[:, c], torch.zeros_like(probabilities[:, c]))
        t = ((labels == c) & valid).to(p.dtype)
        terms.append(1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    return torch.stack(terms).mean()


def disagreement(first: torch.Tensor, second: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the absolute differences between the probabilities of two scores
    of the same slices, N x C x H x W, over the number of pixels of brain. Pixels
    to ignore do not count."""
    apart = (first.float().softmax(1) - second.float().softmax(1)).abs() * (labels != IGNORE).unsqueeze(1)
    brain = ((labels > 0) & (labels != IGNORE)).sum().clamp(min=1)
    return apart.sum() / brain


def segmentation_loss(
    scores: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    class_weights: torch.Tensor,
    smoothing: float = 0.02,
    dice_share: float = 0.5,
) -> torch.Tensor:
    """What training minimises, for scores N x C x H x W."""
    logs = F.log_softmax(scores.float(), dim=1)
    entropy = cross_entropy(logs, labels, weights, class_weights, smoothing)
    return (1 - dice_share) * entropy + dice_share * soft_dice(logs.exp(), labels, weights)
