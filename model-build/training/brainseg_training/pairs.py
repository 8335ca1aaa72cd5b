"""Slices as the 2018 sample took them: `xyz.png` and `xyz_mask.png`, in .tar.gz
files or as they are."""

from __future__ import annotations

import io
import pathlib
import re
import tarfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from .volumes import IGNORE, WHOLE_HEAD_SHARE

MASK_SUFFIX = "_mask.png"

# One file of an archive may have so many bytes: a slice has a hundredth of it.
LARGEST_FILE = 64 << 20


class SliceStack:
    """Slices of one subject, of the same size; takes the place of a Volume."""

    planes = ("slice",)
    codes = False

    def __init__(self, name: str, image: np.ndarray, labels: np.ndarray):
        self.name, self.image, self.labels = name, image, labels
        brain = int((labels > 0).sum())
        self.whole_head = int(((image > 0) & (labels == 0)).sum()) > WHOLE_HEAD_SHARE * brain

    def count(self, plane: str) -> int:
        """Number of slices."""
        return len(self.image)

    def slice(self, plane: str, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and labels of one slice."""
        return self.image[index], self.labels[index]

    def slices(self, plane: str, smallest: int = 1) -> np.ndarray:
        """Indices of the slices with at least `smallest` pixels of brain."""
        brain = (self.labels > 0) & (self.labels != IGNORE)
        return np.flatnonzero(brain.sum(axis=(1, 2)) >= smallest)


def subject_of(name: str) -> str:
    """The subject in the name of a slice: what stands before the slice's number,
    as in OAS1_0001_MR1_slice_088.png; a session (_MR1) is not part of it."""
    stem = pathlib.PurePosixPath(name).name.removesuffix(".png")
    stem = re.sub(r"[_-]?(slice)?[_-]?\d+$", "", stem) or stem
    return re.sub(r"_MR\d+$", "", stem)


def _files(folder: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*.png")):
        yield str(path.relative_to(folder)), path.read_bytes()
    for archive in sorted([*folder.rglob("*.tar.gz"), *folder.rglob("*.tgz")]):
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = pathlib.PurePosixPath(member.name).name
                if not member.isfile() or not name.endswith(".png") or name.startswith("._"):
                    continue
                if member.size > LARGEST_FILE:
                    raise ValueError(f"{archive.name}: {member.name} has {member.size} bytes, too many for a slice")
                content = tar.extractfile(member)
                if content is not None:
                    yield member.name, content.read()


def _pixels(name: str, content: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image if image.mode in ("L", "P") else image.convert("L"), dtype=np.uint8)
    except OSError as error:
        raise ValueError(f"{name} cannot be read as a picture: {error}") from error


def read_folder(folder: pathlib.Path) -> list[SliceStack]:
    """Reads all pairs of a folder and of the archives in it, one stack for each
    subject and size. A slice without a mask, or a mask without a slice, raises
    ValueError: it is more often a wrong name than meant so."""
    images, masks = {}, {}
    for name, content in _files(folder):
        if name.endswith(MASK_SUFFIX):
            masks[name.removesuffix(MASK_SUFFIX)] = _pixels(name, content)
        else:
            images[name.removesuffix(".png")] = _pixels(name, content)
    if images.keys() != masks.keys():
        alone = sorted(images.keys() ^ masks.keys())
        raise ValueError(f"{len(alone)} slices or masks of {folder.name} have no partner, the first is {alone[0]}")
    groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name in sorted(images):
        if images[name].shape != masks[name].shape:
            raise ValueError(f"{name}: the slice is {images[name].shape} and its mask {masks[name].shape}")
        if masks[name].max(initial=0) > 3:
            raise ValueError(f"{name}{MASK_SUFFIX} has the value {masks[name].max()}; masks have 0 to 3")
        groups.setdefault((subject_of(name + ".png"), images[name].shape), []).append(name)
    return [
        SliceStack(subject, np.stack([images[n] for n in names]), np.stack([masks[n] for n in names]))
        for (subject, _), names in groups.items()
    ]
