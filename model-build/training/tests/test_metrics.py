"""The measures, against cases worked out by hand."""

import math

import numpy as np
import pytest

from brainseg_training import metrics
from brainseg_training.volumes import IGNORE

LABELS = np.array([[0, 1, 1], [2, 2, 3], [0, 0, IGNORE]], np.uint8)
MASK = np.array([[1, 1, 2], [2, 2, 3], [0, 0, 3]], np.uint8)
COUNTS = np.array([[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0], [0, 0, 0, 1]])


def test_confusion_has_labels_in_rows_and_leaves_ignored_pixels_out():
    assert metrics.confusion(MASK, LABELS).tolist() == COUNTS.tolist()


def test_dice_by_hand():
    # background 2*2/(3+2), CSF 2*1/(2+2), grey 2*2/(2+3), white 1
    assert metrics.dice(COUNTS).tolist() == pytest.approx([0.8, 0.5, 0.8, 1.0])


def test_intersection_over_union_by_hand():
    assert metrics.intersection_over_union(COUNTS).tolist() == pytest.approx([2 / 3, 1 / 3, 2 / 3, 1.0])


def test_volume_error_is_signed():
    assert metrics.volume_error(COUNTS).tolist() == pytest.approx([-1 / 3, 0, 0.5, 0])


def test_outside_brain_is_in_parts_of_the_brain():
    assert metrics.outside_brain(COUNTS) == pytest.approx(1 / 5)


def test_a_class_in_neither_has_no_dice():
    assert math.isnan(metrics.dice(np.diag([3, 0, 1, 1]))[1])


def test_hausdorff_of_two_squares_is_how_far_they_are_apart():
    a, b = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    a[5:10, 5:10] = 2
    b[5:10, 8:13] = 2
    distances = metrics.surface_distances(a, b, 2)
    assert distances.max() == 3
    assert metrics.hausdorff95(distances) == 3
    assert math.isnan(metrics.hausdorff95(metrics.surface_distances(a, b, 1)))


def test_hausdorff_of_a_mask_with_itself_is_nothing():
    a = np.zeros((9, 9), np.uint8)
    a[2:6, 3:7] = 1
    assert metrics.hausdorff95(metrics.surface_distances(a, a, 1)) == 0


def test_far_outside_counts_only_what_is_farther_than_the_distance():
    labels, mask = np.zeros((1, 12), np.uint8), np.zeros((1, 12), np.uint8)
    labels[0, 0] = 2
    mask[0, [0, 3, 4, 11]] = 1
    assert metrics.far_outside_brain(mask, labels, distance=3) == 2


def test_far_outside_counts_all_where_there_is_no_brain():
    assert metrics.far_outside_brain(np.ones((3, 3), np.uint8), np.zeros((3, 3), np.uint8)) == 9


def test_calibration_error_by_hand():
    # Two pixels 90 % sure, one of them wrong; two 60 % sure, both right.
    probabilities = np.array([[0.9, 0.1, 0.6, 0.6], [0.1, 0.9, 0.4, 0.4]]).reshape(2, 1, 4)
    labels = np.array([[0, 0, 0, 0]])
    calibration = metrics.Calibration()
    calibration.add(probabilities, labels, np.ones((1, 4), bool))
    assert calibration.expected_error() == pytest.approx((abs(1.8 - 1) + abs(1.2 - 2)) / 4)
