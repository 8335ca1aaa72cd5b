"""The window's rule, held to the cases that the component is held to."""

import json
import pathlib

import numpy as np
import pytest
import torch

from brainseg_training import window

CASES = pathlib.Path(__file__).resolve().parents[3] / "internal" / "segmentation" / "testdata" / "window.json"


def pixels(case):
    values = [np.full(count, int(value), np.uint8) for value, count in case["histogram"].items()]
    return np.concatenate(values)


@pytest.fixture(scope="module")
def cases():
    if not CASES.exists():
        pytest.skip("the component's cases are not beside this folder")
    return json.loads(CASES.read_text())


def test_the_window_of_a_slice_is_the_components(cases):
    for case in cases:
        got = window.slice_window(pixels(case), case["low"], case["high"], case["ignoreBelowOrEqual"])
        assert list(got) == case["window"], case["name"]


def test_the_window_of_a_batch_is_the_components(cases):
    for case in cases:
        images = torch.from_numpy(pixels(case)).reshape(1, 1, -1).repeat(2, 1, 1)
        got = window.batch_windows(images, case["low"], case["high"], case["ignoreBelowOrEqual"])
        assert got.tolist() == [case["window"]] * 2, case["name"]


def test_images_of_a_batch_have_windows_of_their_own():
    images = torch.stack([torch.full((4, 4), 10, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8)])
    assert window.batch_windows(images).tolist() == [[10, 11], [0, 255]]


def test_normalisation_stretches_and_clips():
    images = torch.tensor([[[0, 50, 100, 255]]], dtype=torch.uint8)
    got = window.normalise(images, torch.tensor([[50.0, 100.0]]))
    assert got.tolist() == [[[window.CLIP_LOW, 0.0, 1.0, window.CLIP_HIGH]]]
