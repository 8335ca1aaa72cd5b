"""Splits, and the making of channels."""

import io
import json
import tarfile

import nibabel
import numpy as np
import pytest
from conftest import phantom, save_pair
from PIL import Image

from brainseg_training import pairs, prepare, split, volumes


def test_a_subject_stays_on_its_side_when_others_come():
    few = split.by_subject([f"s{i}" for i in range(20)], 0.25)
    many = split.by_subject([f"s{i}" for i in range(60)], 0.25)
    assert set(few.test) == {n for n in many.test if n in {f"s{i}" for i in range(20)}}
    assert few.test and few.train


def test_both_sides_get_a_subject():
    for share in (0.0, 1.0):
        s = split.by_subject(["a", "b", "c"], share)
        assert s.train and s.test


def test_a_subject_on_both_sides_is_a_leak():
    with pytest.raises(split.LeakError, match="b"):
        split.check(split.Split(["a", "b"], ["b"], ""), {})


def test_the_same_image_under_two_names_is_a_leak():
    with pytest.raises(split.LeakError, match="copy"):
        split.check(split.Split(["a"], ["copy"], ""), {"a": "1f", "copy": "1f"})


def test_a_test_subject_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="zz"):
        split.by_names(["a", "b"], ["zz"])


def write_oasis(disc, session, big_endian, seed):
    """A session as on OASIS-1's discs: Analyze, int16, either byte order."""
    image, labels = phantom(seed, True, (24, 28, 20))
    folder = disc / session / "PROCESSED" / "MPRAGE" / "T88_111"
    folder.mkdir(parents=True)
    (disc / session / "FSL_SEG").mkdir()
    for array, path in (
        (image.astype(np.int16) * 12, folder / f"{session}_mpr_n4_anon_111_t88_gfc.hdr"),
        (labels.astype(np.int16), disc / session / "FSL_SEG" / f"{session}_mpr_n4_anon_111_t88_masked_gfc_fseg.hdr"),
    ):
        header = nibabel.AnalyzeHeader(endianness=">" if big_endian else "<")
        header.set_data_dtype(np.int16)
        nibabel.save(nibabel.AnalyzeImage(array[..., None], np.eye(4), header), path)
    return image, labels


def test_oasis_gives_image_and_mask_of_the_same_slice_in_either_byte_order(tmp_path):
    truth = {}
    for i, session in enumerate(["OAS1_0001_MR1", "OAS1_0001_MR2", "OAS1_0002_MR1", "OAS1_0003_MR1", "OAS1_0004_MR1"]):
        truth[session] = write_oasis(tmp_path / "disc1", session, i % 2 == 0, i)
    made = prepare.oasis([tmp_path / "disc1"], tmp_path / "out", 0.4)
    assert not set(made.train) & set(made.test)
    assert json.loads((tmp_path / "out" / "split.json").read_text())["test"] == made.test
    seen = 0
    for channel in ("train", "test"):
        with tarfile.open(tmp_path / "out" / channel / f"{channel}.tar.gz") as tar:
            for name in tar.getnames():
                session, number = name.removesuffix(".png").removesuffix("_mask").split("_slice_")
                assert ("OAS1_" + session.split("_")[1]) in getattr(made, channel)
                pixels = np.asarray(Image.open(io.BytesIO(tar.extractfile(name).read())))
                image, labels = truth[session]
                if name.endswith("_mask.png"):
                    assert np.array_equal(pixels, labels[:, :, int(number)])
                else:
                    want = image[:, :, int(number)].astype(float)
                    assert np.abs(pixels - want * (pixels.max() / max(want.max(), 1))).max() <= 12
                seen += 1
    assert seen == 5 * 10 * 2
    stacks = pairs.read_folder(tmp_path / "out" / "train")
    assert {s.name for s in stacks} == set(made.train)


def test_nifti_turns_the_axes_and_maps_the_labels(tmp_path):
    image, labels = phantom(1, False)
    for i in range(3):
        turned = np.diag([-1.0, 1, 1, 1])
        save_pair(tmp_path / "in" / "site", f"sub-{i}", np.roll(image, i, 0)[::-1].copy(), np.roll(labels * 10, i, 0)[::-1].copy(), turned)
    made = prepare.nifti(tmp_path / "in", tmp_path / "out", test=["site_sub-1"], label_map={0: 0, 10: 1, 20: 2, 30: 3})
    assert made.test == ["site_sub-1"]
    (v,) = volumes.read_folder(tmp_path / "out" / "test")
    assert v.name == "site_sub-1" and np.array_equal(v.labels, np.roll(labels, 1, 0)) and np.array_equal(v.image, np.roll(image, 1, 0))


def test_nifti_brings_voxels_to_one_millimetre(tmp_path):
    image, labels = phantom(1, False)
    for i in range(2):
        save_pair(tmp_path / "in", f"sub-{i}", np.roll(image, i, 0), labels, np.diag([2.0, 2, 2, 1]))
    prepare.nifti(tmp_path / "in", tmp_path / "out", test=["sub-1"])
    (v,) = volumes.read_folder(tmp_path / "out" / "test")
    assert v.image.shape == v.labels.shape
    assert all(abs(a - 2 * b) <= 2 for a, b in zip(v.image.shape, image.shape))


def test_a_label_that_the_map_does_not_name_is_an_error(tmp_path):
    image, labels = phantom(1, False)
    for i in range(2):
        save_pair(tmp_path / "in", f"sub-{i}", image, labels * 7)
    with pytest.raises(ValueError, match="7"):
        prepare.nifti(tmp_path / "in", tmp_path / "out", test=["sub-1"])


def test_a_slice_without_its_mask_is_an_error(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a_slice_1.png")
    with pytest.raises(ValueError, match="a_slice_1"):
        pairs.read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("OAS1_0001_MR1_slice_088.png", "OAS1_0001"),
        ("x/OAS1_0001_MR2_slice_4.png", "OAS1_0001"),
        ("sub-07_12.png", "sub-07"),
        ("head.png", "head"),
    ],
)
def test_the_subject_is_read_from_a_slices_name(name, subject):
    assert pairs.subject_of(name) == subject
