"""Degraded slices and what is measured on them."""

import http.server
import io
import json
import threading

import nibabel
import numpy as np
import pytest
import torch
from conftest import phantom, save_pair
from PIL import Image

from brainseg_training import artifact, degradation, evaluation, metrics, pairs, robustness, volumes
from brainseg_training.inference import Model
from brainseg_training.served import Served
from brainseg_training.volumes import DEEP_SUFFIX, IGNORE, Volume


def head(seed=1, whole=True):
    image, labels = phantom(seed, whole)
    return Volume(f"made_sub-{seed:02d}", image, labels, whole)


class Rule:
    """Stands in for a network: tissue by grey value, as the phantom has it."""

    def __init__(self, shifts=False):
        self.shifts = shifts
        self.stated = []

    def segment(self, image, spacing=None):
        self.stated.append(spacing)
        mask = np.select([image > 210, image > 165, image > 90, image > 30], [0, 3, 2, 1], 0).astype(np.uint8)
        if self.shifts and image.shape[0] % 8:
            mask = np.roll(mask, 2, axis=1)
        return mask


@pytest.mark.parametrize("name", degradation.SUITE)
def test_each_entry_of_the_suite_changes_the_slice_and_keeps_image_and_labels_on_one_grid(name):
    image, labels = head().slice("axial", 22)
    before = image.copy(), labels.copy()
    made = degradation.SUITE[name](image, labels)
    assert made.image.dtype == np.uint8 and made.labels.dtype == np.uint8
    assert made.image.shape == made.labels.shape
    assert made.image.shape != image.shape or (made.image != image).any()
    assert set(np.unique(made.labels)) <= {0, 1, 2, 3, IGNORE}
    assert np.array_equal(image, before[0]) and np.array_equal(labels, before[1]), "the slice itself stays as it is"
    again = degradation.SUITE[name](image, labels)
    assert np.array_equal(made.image, again.image), "the same each time"


@pytest.mark.parametrize(
    "name", ["turned-90", "turned-270", "mirrored", "pixels-2-mm", "pixels-1x3-mm", "pixels-0.5-mm", "padded", "white-border"]
)
def test_labels_follow_where_the_slice_is_moved_or_resampled(name):
    image, labels = head(whole=False).slice("axial", 22)
    made = degradation.SUITE[name](image, labels)
    tissue = (made.image > 20) & (made.image < 250)
    assert metrics.dice(metrics.confusion(tissue.astype(np.uint8), (made.labels > 0).astype(np.uint8)))[1] > 0.9


def test_pixels_of_another_size_state_it_or_not():
    image, labels = head().slice("axial", 22)
    assert degradation.SUITE["pixels-1x3-mm"](image, labels).spacing == (1, 3)
    assert degradation.SUITE["pixels-1x3-mm-unstated"](image, labels).spacing is None


def test_resampling_keeps_the_mean_and_comes_back():
    y, x = np.mgrid[:60, :90]
    image = 100 + 50 * np.sin(y / 9) + 30 * np.cos(x / 11)
    half = degradation.resampled(image, (2, 3))
    assert half.shape == (30, 30) and abs(half.mean() - image.mean()) < 1e-3
    assert np.allclose(half, image.reshape(30, 2, 30, 3).mean(axis=(1, 3)), atol=1e-3)
    back = degradation.resampled(degradation.resampled(image, (0.5, 0.5)), (2, 2), image.shape)
    assert back.shape == image.shape and np.abs(back - image).max() < 2


def test_flat_contrast_halves_the_distance_of_grey_and_white():
    image, labels = head().slice("axial", 22)
    made = degradation.SUITE["contrast-flat"](image, labels).image
    grey, white = (np.median(image[labels == k]) for k in (2, 3))
    assert np.median(made[labels == 2]) == grey
    assert np.median(made[labels == 3]) == pytest.approx((grey + white) / 2, abs=1)


def test_the_suite_says_what_each_change_costs_and_states_the_pixels():
    model = Rule()
    figures = robustness.degraded(model, [head(1), head(2, whole=False)], every=11)
    assert set(figures) == {"none", *degradation.SUITE, *degradation.THICK}
    assert figures["none"]["lost"] == 0 and figures["none"]["mean"] > 0.85
    assert figures["inverted"]["lost"] > 0.5, "what the rule cannot follow"
    assert figures["saturated"]["greyCalledWhite"] > 0.5 > figures["none"]["greyCalledWhite"]
    assert (2, 2) in model.stated and None in model.stated


def test_agreement_finds_a_model_that_hangs_on_the_grid():
    even = robustness.agreement(Rule(), [head()], every=11)
    assert all(value == 1 for value in even.values()) and {f"shift-{n}" for n in range(1, 9)} < set(even)
    # Axial and coronal slices are 48 and 44 pixels high: of these, only the axial.
    subject = head()
    subject_axial = pairs.SliceStack("made", *(np.stack([subject.slice("axial", i)[k] for i in range(10, 30)]) for k in (0, 1)))
    odd = robustness.agreement(Rule(shifts=True), [subject_axial], every=4)
    assert odd["shift-8"] == 1 > odd["shift-3"]


def test_tissue_on_slices_without_brain_is_counted():
    v = head()
    clean = robustness.empty(Rule(), [v])
    assert clean["slices"] > 5
    v = head()
    v.image[:, :, 0] = 150
    assert robustness.empty(Rule(), [v])["most"] == v.image.shape[0] * v.image.shape[1]
    assert robustness.empty(Rule(), [head(2, whole=False)]) == {"slices": 0}


def test_deep_grey_is_read_from_beside_and_its_recall_told(tmp_path):
    image, labels = phantom(1, True)
    labels[18:22, 20:28, 18:26] = 2
    save_pair(tmp_path, "made_sub-01", image, labels)
    deep = np.zeros(labels.shape, np.uint8)
    deep[18:22, 20:28, 18:26] = 240
    nibabel.save(nibabel.Nifti1Image(deep, np.eye(4)), tmp_path / ("made_sub-01" + DEEP_SUFFIX))
    (subject,) = volumes.read_folder(tmp_path)
    assert np.array_equal(subject.deep_slice("axial", 20), deep[:, :, 20].T[::-1])
    artifact.write(tmp_path / "model", artifact.build("enet-light").eval(), "enet-light", "0.0.1", {})
    result = evaluation.evaluate(tmp_path / "model", [subject], every=1)
    assert all(g.deep.sum() == 4 * 8 * 8 for g in result.groups)
    recall = result.summary()["sections"]["whole-head"]["deepGreyRecall"]["mean"]
    assert 0 <= recall <= 1
    json.dumps(result.summary(), allow_nan=False)


@pytest.mark.parametrize("name", ["enet-light", "unet"])
def test_probabilities_and_stated_pixels_agree_with_the_mask(tmp_path, name):
    torch.manual_seed(4)
    network = artifact.build(name).eval()
    with torch.no_grad():
        scores = network(torch.rand(1, 1, 64, 64)).mean(dim=(0, 2, 3))
        network.final.bias -= scores.repeat_interleave(network.final.out_channels // 4)
    artifact.write(tmp_path, network, name, "0.0.1", {})
    model = Model(tmp_path, scores=True)
    image = head().slice("axial", 22)[0]
    mask, probabilities = model.probabilities(image)
    assert len(np.unique(mask)) > 1 and np.array_equal(probabilities.argmax(0), mask)
    assert np.array_equal(mask, model.segment(image))
    assert model.segment(image, (0.5, 2.0)).shape == image.shape


def test_a_component_is_sent_slices_with_the_size_of_their_pixels():
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            image = Image.open(io.BytesIO(self.rfile.read(int(self.headers["Content-Length"]))))
            received.append((image.size, image.info.get("dpi")))
            buffer = io.BytesIO()
            Image.fromarray((np.asarray(image) > 99).astype(np.uint8)).save(buffer, "PNG")
            self.send_response(200 if len(received) < 3 else 422)
            self.send_header("Content-Length", str(buffer.tell()))
            self.end_headers()
            self.wfile.write(buffer.getvalue())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        sent = Served(f"http://127.0.0.1:{server.server_port}")
        slices = np.arange(100, dtype=np.uint8).reshape(10, 10) * 2
        try:
            assert np.array_equal(sent.segment(slices), slices > 99)
            assert np.array_equal(sent.segment(slices[:, ::-1], (2.0, 0.5)), slices[:, ::-1] > 99)
            with pytest.raises(ValueError, match="refused a slice of 10 x 10"):
                sent.segment(slices)
        finally:
            sent.connection.close()
            server.shutdown()
            thread.join()
    assert received[0] == ((10, 10), None)
    assert received[1][1] == pytest.approx((50.8, 12.7), rel=1e-3)
