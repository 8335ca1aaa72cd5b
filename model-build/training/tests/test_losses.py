"""The loss, against cases worked out by hand."""

import math

import pytest
import torch

from brainseg_training.losses import cross_entropy, pixel_weights, segmentation_loss, soft_dice
from brainseg_training.volumes import IGNORE

EQUAL = torch.ones(4)


def log_probabilities(rows):
    """N=1, H=1 from one list of class probabilities a pixel."""
    return torch.tensor(rows, dtype=torch.float64).T.reshape(1, 4, 1, -1).log()


def test_cross_entropy_is_the_sum_over_pixels_by_the_number_of_brain_pixels():
    logs = log_probabilities([[0.5, 0.25, 0.125, 0.125], [0.25, 0.5, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
    labels = torch.tensor([[[0, 1, 3]]])
    weights = torch.tensor([[[0.1, 1.0, 1.0]]], dtype=torch.float64)
    # -(0.1 ln 0.5 + ln 0.5 + ln 0.25) / 2 pixels of brain
    want = (0.1 * math.log(2) + math.log(2) + math.log(4)) / 2
    assert cross_entropy(logs, labels, weights, EQUAL, 0.0).item() == pytest.approx(want)


def test_cross_entropy_spreads_the_smoothing_over_all_classes():
    logs = log_probabilities([[0.5, 0.25, 0.125, 0.125]])
    labels = torch.tensor([[[2]]])
    weights = torch.ones(1, 1, 1, dtype=torch.float64)
    # 0.8 (3 ln 2) + 0.2 (1 + 2 + 3 + 3)/4 ln 2
    want = (0.8 * 3 + 0.2 * 9 / 4) * math.log(2)
    assert cross_entropy(logs, labels, weights, EQUAL, 0.2).item() == pytest.approx(want)


def test_cross_entropy_weighs_classes():
    logs = log_probabilities([[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]])
    labels = torch.tensor([[[1, 2]]])
    weights = torch.ones(1, 1, 2, dtype=torch.float64)
    class_weights = torch.tensor([1.0, 3.0, 5.0, 7.0], dtype=torch.float64)
    assert cross_entropy(logs, labels, weights, class_weights, 0.0).item() == pytest.approx((3 + 5) / 2 * math.log(4))


def test_soft_dice_of_a_perfect_mask_is_nearly_nothing():
    labels = torch.randint(0, 4, (2, 30, 30))
    one_hot = torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).double()
    assert soft_dice(one_hot, labels, torch.ones(2, 30, 30)).item() == pytest.approx(0, abs=1e-9)


def test_soft_dice_by_hand():
    probabilities = torch.tensor([[0.2, 0.8, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]]).T.reshape(1, 4, 1, 2)
    labels = torch.tensor([[[1, 0]]])
    # CSF: (2 * 0.8 + 1) / (1.3 + 1 + 1); grey and white are in neither: 1.
    want = (1 - 2.6 / 3.3) / 3
    assert soft_dice(probabilities, labels, torch.ones(1, 1, 2)).item() == pytest.approx(want, rel=1e-6)


def test_ignored_pixels_change_neither_the_loss_nor_its_gradient():
    scores = torch.randn(1, 4, 4, 4, requires_grad=True)
    labels = torch.randint(0, 4, (1, 4, 4))
    labels[0, 0, 0] = IGNORE
    images = torch.full((1, 4, 4), 9)
    loss = segmentation_loss(scores, labels, pixel_weights(labels, images), EQUAL)
    loss.backward()
    assert torch.all(scores.grad[0, :, 0, 0] == 0)
    changed = scores.detach().clone()
    changed[0, :, 0, 0] = torch.tensor([9.0, -9.0, 3.0, 1.0])
    assert segmentation_loss(changed, labels, pixel_weights(labels, images), EQUAL).item() == pytest.approx(loss.item(), rel=1e-6)


def test_pixel_weights_tell_air_from_what_is_outside_the_brain():
    images = torch.tensor([[[0, 7, 0, 7, 7]]])
    labels = torch.tensor([[[0, 0, 1, 2, IGNORE]]])
    assert pixel_weights(labels, images, air=0.1, outside=1.5).tolist() == [[[pytest.approx(0.1), 1.5, 1.0, 1.0, 0.0]]]


def test_the_loss_falls_as_the_scores_get_better():
    labels = torch.randint(0, 4, (1, 8, 8))
    right = torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    weights = torch.ones(1, 8, 8)
    losses = [segmentation_loss(scale * right, labels, weights, EQUAL, smoothing=0).item() for scale in (-2, 0, 2, 6)]
    assert losses == sorted(losses, reverse=True)
