"""Volumes to train and to evaluate on, read from pairs of NIfTI files.

A volume has axes R-A-S and voxels of about 1 mm. Its labels are 0 background,
1 CSF, 2 grey matter, 3 white matter, and IGNORE where the truth is not known.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

import nibabel
import numpy as np
from scipy import ndimage

IGNORE = 255
IMAGE_SUFFIX = "_T1w.nii.gz"
LABEL_SUFFIX = "_seg.nii.gz"
DEEP_SUFFIX = "_deep.nii.gz"

# A volume with more non-zero voxels outside the brain than this share of the
# brain is a whole head; a stripped one has hardly any.
WHOLE_HEAD_SHARE = 0.3

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}


@dataclasses.dataclass
class Volume:
    """One subject's image (uint8) and labels (uint8), of the same shape.

    A label map for synthesis has no image; its `image` holds codes of
    structures instead, and `codes` is set."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    whole_head: bool
    codes: bool = False
    # Probability of deep grey matter by an atlas, uint8 0..255, where it is known:
    # to evaluate with, not to train with.
    deep: np.ndarray | None = None
    # Axial slices are scattered over the whole volume: a copy in their own order,
    # made when first needed, makes drawing them ten times faster.
    _axial: list[np.ndarray] | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def planes(self) -> tuple[str, ...]:
        """The planes that slices can be taken in."""
        return tuple(PLANES)

    def count(self, plane: str) -> int:
        """Number of slices in a plane."""
        return self.image.shape[PLANES[plane]]

    def slice(self, plane: str, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and labels of one slice, turned with the front or the top up."""
        if plane == "axial":
            if self._axial is None:
                self._axial = [np.ascontiguousarray(np.moveaxis(v, 2, 0)) for v in (self.image, self.labels)]
            cut = [v[index] for v in self._axial]
        else:
            cut = [v[index] if plane == "sagittal" else v[:, index] for v in (self.image, self.labels)]
        return cut[0].T[::-1], cut[1].T[::-1]

    def deep_slice(self, plane: str, index: int) -> np.ndarray | None:
        """The probability of deep grey matter in one slice, turned as slice() turns it."""
        if self.deep is None:
            return None
        return np.take(self.deep, index, axis=PLANES[plane]).T[::-1]

    def thick(self, plane: str, index: int, thickness: int) -> np.ndarray:
        """Image of a slice `thickness` voxels thick around the slice at index."""
        first = max(index - (thickness - 1) // 2, 0)
        stack = [self.slice(plane, i)[0] for i in range(first, min(first + thickness, self.count(plane)))]
        return np.rint(np.mean(stack, axis=0)).astype(np.uint8)

    def slices(self, plane: str, smallest: int = 1) -> np.ndarray:
        """Indices of the slices with at least `smallest` pixels of brain."""
        axes = tuple(a for a in range(3) if a != PLANES[plane])
        brain = (self.labels > 0) & (self.labels != IGNORE)
        return np.flatnonzero(brain.sum(axis=axes) >= smallest)


def read_canonical(path: pathlib.Path) -> np.ndarray:
    """Voxels of a NIfTI file with the axes turned to R-A-S."""
    return np.asanyarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """8-bit images as they are; others from minimum..99.9th percentile."""
    if image.dtype == np.uint8:
        return image
    image = np.nan_to_num(image.astype(np.float32))
    low, high = float(image.min()), float(np.percentile(image, 99.9))
    return np.clip(np.rint((image - low) * (255.0 / max(high - low, 1e-6))), 0, 255).astype(np.uint8)


def read_pair(image: pathlib.Path, labels: pathlib.Path) -> Volume:
    """Reads one subject; raises ValueError where the files do not match. Where a
    file NAME_deep.nii.gz lies beside, it is read, too."""
    pixels, truth = to_uint8(read_canonical(image)), np.rint(read_canonical(labels)).astype(np.uint8)
    if pixels.shape != truth.shape or pixels.ndim != 3:
        raise ValueError(f"{image.name} has shape {pixels.shape} and its labels {truth.shape}; they must be the same, of three axes")
    if set(np.unique(truth)) - {0, 1, 2, 3, IGNORE}:
        raise ValueError(f"{labels.name} has labels other than 0 to 3")
    brain = int((truth > 0).sum())
    outside = int(((pixels > 0) & (truth == 0)).sum())
    name = image.name.removesuffix(IMAGE_SUFFIX)
    beside = image.with_name(name + DEEP_SUFFIX)
    deep = read_canonical(beside).astype(np.uint8) if beside.exists() else None
    if deep is not None and deep.shape != truth.shape:
        raise ValueError(f"{beside.name} has shape {deep.shape} and the image {pixels.shape}")
    return Volume(name, pixels, truth, outside > WHOLE_HEAD_SHARE * brain, deep=deep)


def read_folder(folder: pathlib.Path) -> list[Volume]:
    """Reads all pairs NAME_T1w.nii.gz and NAME_seg.nii.gz of a folder, by name."""
    images = sorted(folder.glob("*" + IMAGE_SUFFIX))
    return [read_pair(p, p.with_name(p.name.removesuffix(IMAGE_SUFFIX) + LABEL_SUFFIX)) for p in images]


# Structures whose class differs between the maps and the labels that networks
# are trained on.
DISPUTED = ("choroid plexus", "vessel")

# CSF this far (voxels) outside the closed brain may count as CSF or not.
_DISPUTED_CSF = 3


def read_label_map(path: pathlib.Path, codes: dict[str, dict]) -> Volume:
    """Reads a map of structures to synthesise images from.

    Its tissue labels are brought to the convention of the silver labels: CSF
    counts inside the closed brain, is ignored up to 3 voxels outside, and is
    background farther out; disputed structures are ignored."""
    structures = read_canonical(path).astype(np.uint8)
    tissue = np.zeros(256, np.uint8)
    disputed = np.zeros(256, bool)
    outer_csf = 0
    for code, entry in codes.items():
        tissue[int(code)] = entry["tissue"]
        disputed[int(code)] = any(word in entry["name"] for word in DISPUTED)
        if entry["name"].startswith("CSF"):
            outer_csf = int(code)
    labels = tissue[structures]
    parenchyma = (labels > 0) & (structures != outer_csf)
    near = ndimage.distance_transform_edt(~parenchyma) <= 5
    closed = ndimage.distance_transform_edt(near) > 5
    outside = ndimage.distance_transform_edt(~closed)
    csf = structures == outer_csf
    labels[csf & (outside > 0)] = IGNORE
    labels[csf & (outside > _DISPUTED_CSF)] = 0
    labels[disputed[structures]] = IGNORE
    return Volume(path.name.removesuffix(".nii.gz"), structures, labels, whole_head=True, codes=True)


def read_label_maps(folder: pathlib.Path) -> tuple[list[Volume], dict[str, dict]]:
    """Reads all *.nii.gz of a folder, and codes.json, which gives the tissue
    and the name of each code."""
    codes = json.loads((folder / "codes.json").read_text())["codes"]
    return [read_label_map(p, codes) for p in sorted(folder.glob("*.nii.gz"))], codes


def stripped(volume: Volume, margin: int = 0) -> Volume:
    """The volume without everything that is more than `margin` voxels from the
    brain: other tools strip less tightly."""
    inside = (volume.labels > 0) & (volume.labels != IGNORE)
    if margin:
        inside = ndimage.binary_dilation(inside, iterations=margin)
    image = np.where(inside, volume.image, 0).astype(np.uint8)
    return Volume(f"{volume.name}-stripped-{margin}", image, volume.labels, whole_head=False)


# Of whole heads, so many sagittal slices at either side of the brain have labels
# that fall short of what is seen there (the coil's field falls off).
_UNSURE_LATERAL = 6


def without_lateral(volume: Volume) -> Volume:
    """The volume with the labels of its outermost sagittal slices of brain to be
    ignored, in all planes."""
    chosen = volume.slices("sagittal", 60)
    labels = volume.labels.copy()
    if len(chosen) > 4 * _UNSURE_LATERAL:
        for outer in (labels[: chosen[0] + _UNSURE_LATERAL], labels[chosen[-1] + 1 - _UNSURE_LATERAL :]):
            outer[outer > 0] = IGNORE
    return dataclasses.replace(volume, labels=labels, _axial=None)


def _box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and size of a mask, by percentiles of its coordinates."""
    points = np.argwhere(mask)
    low, high = np.percentile(points, [1, 99], axis=0)
    return (low + high) / 2, high - low


def transplant(brain: Volume, head: Volume) -> Volume:
    """Puts a stripped brain into the head of another subject: a whole head with
    the brain's labels. The head is stretched to the brain's box and what the
    brain does not fill of the head's own brain becomes as dark as CSF, and is
    ignored."""
    inside, own = brain.labels > 0, head.labels > 0
    centre, size = _box(inside)
    own_centre, own_size = _box(own)
    zoom = own_size / size
    shape = np.ceil(np.array(head.image.shape) / zoom).astype(int)
    offset = own_centre - zoom * (shape / 2)
    stretch = {"matrix": zoom, "offset": offset, "output_shape": tuple(shape)}
    image = ndimage.affine_transform(head.image.astype(np.float32), order=1, **stretch)
    cavity = ndimage.affine_transform(own.astype(np.float32), order=1, **stretch) > 0.3

    corner = np.rint(shape / 2 - centre).astype(int)
    start, stop = np.maximum(corner, 0), np.minimum(corner + brain.image.shape, shape)
    target = tuple(slice(a, b) for a, b in zip(start, stop))
    source = tuple(slice(a - c, b - c) for a, b, c in zip(start, stop, corner))
    labels = np.zeros(tuple(shape), np.uint8)
    labels[target] = brain.labels[source]
    pixels = np.zeros(tuple(shape), np.float32)
    pixels[target] = brain.image[source]

    grey, white = (float(np.median(brain.image[brain.labels == k])) for k in (2, 3))
    own_grey, own_white = (float(np.median(head.image[head.labels == k])) for k in (2, 3))
    pixels = (pixels - grey) * (own_white - own_grey) / max(white - grey, 1.0) + own_grey
    csf = float(np.median(head.image[head.labels == 1]))
    noise = np.random.default_rng(len(brain.name)).normal(0.6 * csf, 0.15 * csf, size=tuple(shape))
    image = np.where(cavity, noise, image)
    edge = np.clip(ndimage.gaussian_filter((labels > 0).astype(np.float32), 0.6) * 2 - 0.5, 0, 1)
    image = np.where(labels > 0, np.clip(pixels, 0, 255) * edge + image * (1 - edge), image)
    labels[(labels == 0) & cavity] = IGNORE
    return Volume(f"{brain.name}-in-{head.name}", np.clip(np.rint(image), 0, 255).astype(np.uint8), labels, whole_head=True)
