"""Small made-up heads for the tests: an ellipsoid of tissue in a shell."""

from __future__ import annotations

import pathlib
import sys

import nibabel
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from brainseg_training.volumes import IMAGE_SUFFIX, LABEL_SUFFIX  # noqa: E402


def phantom(seed: int, whole: bool, shape: tuple[int, int, int] = (40, 48, 44)) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels of a head: white in grey in CSF, and outside, for a whole
    head, skull and scalp."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, s) for s in shape]
    grid = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(sum((g / s) ** 2 for g, s in zip(grid, rng.uniform(0.85, 1.0, 3))))
    labels = np.select([radius < 0.4, radius < 0.62, radius < 0.7], [3, 2, 1], 0).astype(np.uint8)
    image = np.select([labels == 3, labels == 2, labels == 1], [200.0, 130.0, 50.0], 0.0)
    if whole:
        image = np.where((radius >= 0.7) & (radius < 0.8), 15, image)
        image = np.where((radius >= 0.8) & (radius < 0.95), 220, image)
    image = np.where(image > 0, image + rng.normal(0, 5, shape), 0)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def save_pair(folder: pathlib.Path, name: str, image: np.ndarray, labels: np.ndarray, affine: np.ndarray | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(image, affine), folder / (name + IMAGE_SUFFIX))
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / (name + LABEL_SUFFIX))


@pytest.fixture(scope="session")
def channels(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Folder with channels train (two stripped, one whole head) and test (one of
    each)."""
    root = tmp_path_factory.mktemp("channels")
    for i, (channel, whole) in enumerate([("train", False), ("train", False), ("train", True), ("test", False), ("test", True)]):
        save_pair(root / channel, f"made_sub-{i:02d}", *phantom(i, whole))
    return root
