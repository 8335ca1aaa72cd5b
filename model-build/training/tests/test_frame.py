"""The frame's rule, held to the cases that the component is held to."""

import json
import pathlib

import numpy as np
import pytest
import torch

from brainseg_training import frame

CASES = pathlib.Path(__file__).resolve().parents[3] / "internal" / "segmentation" / "frame" / "testdata" / "frame.json"


def test_the_frame_of_a_slice_is_the_components():
    if not CASES.exists():
        pytest.skip("the component's cases are not beside this folder")
    cases = json.loads(CASES.read_text())
    assert len(cases) >= 50
    for case in cases:
        image = np.zeros((case["height"], case["width"]), np.uint8)
        for top, left, tall, wide, value in case["rectangles"]:
            image[top : top + tall, left : left + wide] = value
        got = frame.find(image, case["high"], {**frame.RULE, "least": case["least"]}, case["multiple"])
        assert vars(got) == case["frame"], case


def test_a_slice_that_was_moved_or_mirrored_is_shown_alike():
    rng = np.random.default_rng(1)
    image = np.zeros((70, 50), np.uint8)
    image[9:61, 5:40] = rng.integers(30, 200, (52, 35))
    shown = frame.find(image, 200).show(image)
    for moved in (np.pad(image, ((3, 0), (5, 0))), np.pad(image, 37), image[:, ::-1], np.pad(image[:, ::-1], ((0, 1), (9, 2)))):
        found = frame.find(moved, 200)
        assert np.array_equal(found.show(moved), shown)
        assert np.array_equal(found.back(shown, moved.shape), moved)


def test_a_batch_is_laid_as_its_slices_are_shown():
    image = np.zeros((40, 40), np.uint8)
    image[2:20, 3:30] = np.arange(27, dtype=np.uint8) + 100
    images = torch.from_numpy(np.stack([image, image[:, ::-1]]))
    labels = (images > 0).to(torch.uint8)
    shown, truth = frame.lay(images, labels, torch.tensor([120.0, 120.0]))
    assert torch.equal(shown[0], shown[1])
    assert shown[0, 11:29, 6:33].sum() == image.sum()
    assert torch.equal(truth, (shown > 0).to(torch.uint8))
