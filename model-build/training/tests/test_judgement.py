"""What a graph gives beside its mask."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import phantom
from test_networks import lived

from brainseg_training import artifact, degradation, export, judgement, outputs, robustness, strangers, volumes, window
from brainseg_training.inference import Model


def head(seed=1, whole=True):
    image, labels = phantom(seed, whole)
    return volumes.Volume(f"made_sub-{seed:02d}", image, labels, whole)


def session(graph):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def feed(image, **more):
    return {"image": image[None, None], "window": np.array(window.slice_window(image), np.float32), **more}


@pytest.mark.parametrize("name", ["enet-light", "unet"])
def test_scores_come_when_asked_for_and_are_the_softmax_of_the_classes(tmp_path, name):
    network = lived(name)
    artifact.write(tmp_path, network, name, "0.0.1", {})
    image = np.random.default_rng(5).integers(0, 256, (64, 48)).astype(np.uint8)
    runs = session(export.to_onnx(network))
    mask, nothing = runs.run(["mask", "scores"], feed(image))
    assert nothing.shape == (1, 1, 1, 1)
    again, scores = runs.run(["mask", "scores"], feed(image, scores_wanted=np.array([True])))
    assert np.array_equal(mask, again) and scores.shape == (1, 4, 64, 48) and scores.dtype == np.uint8
    _, want = Model(tmp_path, scores=True).probabilities(image)
    assert np.abs(scores[0] / 255 - want).max() <= 1 / 255
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["schemaVersion"] == 2 and manifest["scores"]["switch"] == "scores_wanted" and "judgement" not in manifest


def test_a_network_learns_to_judge_itself_and_keeps_its_masks(tmp_path):
    network = lived("enet-light")
    artifact.write(tmp_path / "before", network, "enet-light", "0.0.1", {"modelBuild": {"tool": "x"}})
    kinds = {"whole": [head(1), head(2)], "stripped": [head(3, False)]}
    artifact.judged(
        tmp_path / "before", tmp_path / "after", "0.0.2", lambda g: judgement.teach(g, kinds, None, 1, slices=48), {"slices": 48}
    )
    before, after = Model(tmp_path / "before"), Model(tmp_path / "after")
    assert after.manifest["version"] == "0.0.2" and after.manifest["provenance"]["judgement"]["of"] == before.manifest["sha256"]
    assert "modelBuild" not in after.manifest["provenance"]
    image = head(4).slice("axial", 20)[0]
    mask, confidence, known = after.judge(image)
    assert np.array_equal(mask, before.segment(image))
    assert 0 <= confidence <= 1 and 0 <= known <= 1
    figures = robustness.judged(after, [head(5)], every=22)
    assert figures["slices"] > 0 and set(figures["strangersTold"]) <= {"drawn", *strangers.CONTRASTS}
    json.dumps(figures)
    with pytest.raises(ValueError, match="already"):
        outputs.add_judgement(onnx.load(tmp_path / "after" / "model.onnx"), None)


def test_a_judge_tells_apart_what_its_features_tell_apart():
    rng = np.random.default_rng(1)
    samples = []
    for i in range(400):
        good, known = i % 2 == 0, i % 3 > 0
        features = rng.uniform(0, 1, 8).astype(np.float32)
        features[0], features[1] = 5 * good + rng.uniform(0, 1), 5 * known + rng.uniform(0, 1)
        samples.append(judgement.Sample(features, good if known else False, known, known))
    judge, least = judgement.fit(samples, seed=1, steps=300)
    assert judge.first_weight.shape[1] == 8 and 0.3 < least < 1


def test_a_mask_is_good_by_its_dice_and_where_there_is_no_brain_by_what_is_painted():
    labels = np.zeros((40, 40), np.uint8)
    assert judgement.is_good(labels, labels)
    assert not judgement.is_good(np.ones_like(labels), labels)
    labels[5:30, 5:30] = 2
    assert judgement.is_good(labels, labels)
    half = labels.copy()
    half[:, 15:] = 1
    assert judgement.is_good(half, labels) is False
    labels[10:, 10:] = 0
    labels[:5] = volumes.IGNORE
    assert judgement.is_good(labels, labels) is None  # 225 pixels of brain


def test_pixels_of_a_stated_size_are_judged_at_one_mm():
    image, labels = head().slice("axial", 20)
    shown = judgement.at_one_mm(degradation.SUITE["pixels-0.5-mm"](image, labels))
    assert shown.image.shape == shown.labels.shape == image.shape
    assert judgement.mean_dice(shown.labels, labels) > 0.95


def test_strangers_are_slices_of_many_kinds():
    rng = np.random.default_rng(2)
    drawn = [strangers.drawn(rng, 96) for _ in range(60)]
    assert all(d.shape == (96, 96) and d.dtype == np.uint8 for d in drawn) and len({d.tobytes() for d in drawn}) > 55
    image, labels = head().slice("axial", 20)
    for contrast in strangers.CONTRASTS:
        other = strangers.in_contrast(rng, image, labels, contrast).astype(float)
        assert other[labels == 1].mean() > 1.1 * other[labels == 3].mean() or contrast in ("flair", "ct", "pd"), contrast
        assert other.shape == image.shape and other.std() > 5


def test_the_area_under_the_curve_is_that_of_the_ranks():
    good = np.array([True, True, False, False])
    assert robustness.auc(np.array([4.0, 3, 2, 1]), good) == 1
    assert robustness.auc(np.array([1.0, 1, 1, 1]), good) == 0.5
    assert np.isnan(robustness.auc(np.array([1.0]), np.array([True])))
