"""From volumes to batches: slices, labels of maps, augmentation."""

import numpy as np
import pytest
import torch
from conftest import phantom

from brainseg_training import augmentation, volumes
from brainseg_training.augmentation import Augmentation, foreign, tone
from brainseg_training.sampling import Batch, Sampler
from brainseg_training.synthesis import Synthesiser
from brainseg_training.volumes import IGNORE, Volume

CODES = {
    "0": {"name": "background", "tissue": 0},
    "1": {"name": "left cerebral white matter", "tissue": 3},
    "2": {"name": "left cerebral cortex", "tissue": 2},
    "3": {"name": "left thalamus", "tissue": 2},
    "16": {"name": "CSF (all of it)", "tissue": 1},
    "51": {"name": "probably skull", "tissue": 0},
}


def volume(seed=0, whole=True):
    image, labels = phantom(seed, whole)
    return Volume(f"v{seed}", image, labels, whole)


def test_planes_show_the_same_voxels():
    v = volume()
    v.image[10, 20, 30] = 251
    for plane, index, row, column in (("sagittal", 10, 43 - 30, 20), ("coronal", 20, 43 - 30, 10), ("axial", 30, 47 - 20, 10)):
        image, labels = v.slice(plane, index)
        assert image[row, column] == 251 and image.shape == labels.shape


def test_slices_are_those_with_brain():
    v = volume()
    chosen = v.slices("axial", 60)
    assert 0 < len(chosen) < v.count("axial")
    assert all((v.slice("axial", int(i))[1] > 0).sum() >= 60 for i in chosen)


def test_whole_heads_and_stripped_ones_are_told_apart(channels):
    whole = {v.name: v.whole_head for v in volumes.read_folder(channels / "train")}
    assert list(whole.values()) == [False, False, True]


def test_label_maps_get_the_convention_of_the_labels(tmp_path):
    import nibabel

    structures = np.zeros((40, 40, 40), np.uint8)
    structures[6:34, 6:34, 6:34] = 16
    structures[12:28, 12:28, 12:28] = 2
    structures[14:26, 14:26, 14:26] = 1
    structures[18:20, 18:20, 18:20] = 3
    structures[19, 19, 25] = 16
    nibabel.save(nibabel.Nifti1Image(structures, np.eye(4)), tmp_path / "map.nii.gz")
    v = volumes.read_label_map(tmp_path / "map.nii.gz", CODES)
    assert v.labels[19, 19, 25] == 1, "CSF inside the brain counts"
    assert v.labels[20, 20, 10] == IGNORE, "CSF just outside may count or not"
    assert v.labels[20, 20, 7] == 0, "CSF far outside is background"
    assert v.labels[18, 18, 18] == 2, "the thalamus is grey"
    assert v.labels[13, 20, 20] == 2 and v.labels[15, 20, 20] == 3


def test_a_transplanted_brain_keeps_its_labels_and_gets_a_skull():
    brain, head = volume(1, whole=False), volume(2, whole=True)
    made = volumes.transplant(brain, head)
    assert made.whole_head
    for value in (1, 2, 3):
        assert (made.labels == value).sum() == (brain.labels == value).sum()
    outside = (made.labels == 0) & (made.image > 150)
    assert outside.sum() > 1000, "the scalp of the head"


def test_a_looser_stripping_leaves_a_rim_that_is_not_brain():
    v = volume(1)
    tight, loose = volumes.stripped(v), volumes.stripped(v, margin=3)
    assert not tight.whole_head and not loose.whole_head
    assert ((tight.image > 0) & (v.labels == 0)).sum() == 0
    rim = (loose.image > 0) & (v.labels == 0)
    assert rim.sum() > 500 and np.array_equal(loose.labels, v.labels)


def test_the_outermost_sagittal_labels_of_whole_heads_are_ignored():
    v = Volume("wide", *phantom(1, True, (80, 48, 44)), True)
    chosen = v.slices("sagittal", 60)
    made = volumes.without_lateral(v)
    assert set(np.unique(made.labels[chosen[0] + 5])) <= {0, IGNORE}
    assert np.array_equal(made.labels[chosen[0] + 6], v.labels[chosen[0] + 6])
    assert set(np.unique(made.labels[chosen[-1] - 5])) <= {0, IGNORE}
    assert np.array_equal(made.image, v.image) and IGNORE not in v.labels


def test_a_thick_slice_is_the_mean_of_its_neighbours():
    v = volume(1)
    slices = [v.slice("coronal", i)[0].astype(float) for i in (19, 20, 21)]
    assert np.array_equal(v.thick("coronal", 20, 3), np.rint(np.mean(slices, axis=0)).astype(np.uint8))
    assert np.array_equal(v.thick("axial", 0, 5), np.rint(np.mean([v.slice("axial", i)[0] for i in range(5)], axis=0)))


def sampler():
    v = {"whole": [volume(1, True)], "stripped": [volume(2, False), volume(3, False)]}
    return Sampler(v, canvas=64, shares={"whole": 0.5, "stripped": 0.5})


def test_batches_have_their_share_of_each_kind_and_depend_on_the_seed_alone():
    s = sampler()
    first, again, other = (s.batch(8, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert int(first.whole_head.sum()) == 4
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_without_chance_augmentation_only_cuts():
    batch = sampler().batch(4, np.random.default_rng(1))
    images, labels = Augmentation([48], random=False)(batch, np.random.default_rng(1))
    assert torch.equal(images, batch.images[:, 8:56, 8:56])
    assert torch.equal(labels, batch.labels[:, 8:56, 8:56])


def test_slices_come_in_all_the_sizes():
    augment, batch = Augmentation([32, 48]), sampler().batch(2, np.random.default_rng(1))
    assert {augment(batch, np.random.default_rng(seed))[0].shape[-1] for seed in range(8)} == {32, 48}


@pytest.fixture
def nothing_foreign(monkeypatch):
    """Augmentation without frames, text and noise put in."""
    monkeypatch.setattr(augmentation, "foreign", lambda images, labels, rng: (images, labels))


@pytest.mark.usefixtures("nothing_foreign")
def test_labels_move_with_the_image():
    # A bright square whose label is its own place: after any move, what is
    # bright is labelled.
    canvas = torch.zeros(16, 64, 64, dtype=torch.uint8)
    canvas[:, 20:44, 26:40] = 200
    batch = Batch(canvas, (canvas > 0).to(torch.uint8) * 3, torch.zeros(16, dtype=torch.bool), torch.zeros(16, dtype=torch.bool))
    images, labels = Augmentation([48])(batch, np.random.default_rng(2))
    for image, truth in zip(images, labels):
        bright = image > image.float().max() * 0.5
        assert (bright & (truth == 0)).sum() < 0.2 * bright.sum()
        assert set(truth.unique().tolist()) <= {0, 3}


@pytest.mark.usefixtures("nothing_foreign")
def test_a_stripped_slice_stays_black_outside_but_for_hot_pixels():
    batch = sampler().batch(16, np.random.default_rng(3))
    images, labels = Augmentation([64])(batch, np.random.default_rng(3))
    stripped = ~batch.whole_head
    outside = labels[stripped] == 0
    assert ((images[stripped] > 60) & outside).sum() < 0.03 * outside.sum()


def test_synthesised_slices_keep_the_order_of_t1_contrast():
    codes = torch.zeros(6, 32, 32)
    codes[:, :, 8:16], codes[:, :, 16:24], codes[:, :, 24:] = 16, 2, 1
    brain = codes > 0
    made = Synthesiser(CODES)(codes, torch.zeros(6, dtype=torch.bool), brain, np.random.default_rng(1))
    for image in made:
        csf, grey, white = (float(image[:, a : a + 8].mean()) for a in (8, 16, 24))
        assert csf < grey < white


def test_tone_curves_keep_the_order_of_grey_values_and_change_their_distances():
    ramp = torch.linspace(0, 1, 64).reshape(1, 1, -1).repeat(8, 1, 1)
    made = tone(ramp, np.random.default_rng(1))
    steps = made.diff(dim=-1)
    assert (steps > 0).all() and torch.allclose(made[:, 0, -1], torch.ones(8)) and (made[:, 0, 0] == 0).all()
    assert (steps.amax(dim=-1) / steps.amin(dim=-1) > 1.5).all()


def test_what_is_not_of_the_head_gets_no_tissue_label():
    labels = torch.zeros(400, 64, 64, dtype=torch.uint8)
    labels[:, 8:56, 8:56] = 2
    images = torch.where(labels > 0, 0.4, 0.0)
    made, truth = foreign(images.clone(), labels.clone(), np.random.default_rng(1))
    changed = (made != images).flatten(1).any(dim=1)
    assert 20 < int(changed.sum()) < 80
    emptied = (truth == 0).flatten(1).all(dim=1)
    assert emptied.any(), "some slices hold nothing"
    touched = (made != images) & ~emptied.reshape(-1, 1, 1)
    assert touched.any() and set(truth[touched].unique().tolist()) <= {0, IGNORE}
    assert torch.equal(truth[~changed & ~emptied], labels[~changed & ~emptied])


def test_maps_without_a_table_of_codes_are_refused():
    batch = sampler().batch(2, np.random.default_rng(1))
    batch.codes[:] = True
    with pytest.raises(ValueError, match="codes"):
        Augmentation([48])(batch, np.random.default_rng(1))
