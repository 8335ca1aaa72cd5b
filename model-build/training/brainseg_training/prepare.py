"""Makes the channels `train` and `test` of a training job from data sets.

`oasis` reads the discs of OASIS-1 as the 2018 sample did (T88_111 images,
FSL_SEG labels, every second slice), and writes an archive of PNG pairs for each
channel. `nifti` reads NIfTI pairs, and writes NIfTI pairs.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pathlib
import re
import tarfile

import nibabel
import numpy as np
from nibabel.processing import resample_from_to, resample_to_output
from PIL import Image

from . import split as splitting
from .volumes import DEEP_SUFFIX, IMAGE_SUFFIX, LABEL_SUFFIX, to_uint8

log = logging.getLogger(__name__)

# Where a session of OASIS-1 has its images; the number after mpr_n is how many
# scans the mean was taken of.
_OASIS_IMAGE = "*/PROCESSED/MPRAGE/T88_111/*_mpr_n*_anon_111_t88_gfc.hdr"
_OASIS_LABELS = "FSL_SEG/*_mpr_n*_anon_111_t88_masked_gfc_fseg.hdr"


def _scaled(image: np.ndarray) -> np.ndarray:
    """0..99.9th percentile of the positive voxels to 0..255; 8 bits stay."""
    if image.dtype == np.uint8:
        return image
    positive = image[image > 0]
    top = float(np.percentile(positive, 99.9)) if len(positive) else 1.0
    return np.clip(np.rint(image * (255.0 / top)), 0, 255).astype(np.uint8)


def _oasis_session(header: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels, 176 x 208 x 176, of one session. nibabel reads the byte
    order from the header."""
    found = sorted(header.parents[3].glob(_OASIS_LABELS))
    if len(found) != 1:
        raise ValueError(f"{header.name}: {len(found)} label files in FSL_SEG, must be one")
    image = np.squeeze(np.asanyarray(nibabel.load(header).dataobj))
    labels = np.squeeze(np.asanyarray(nibabel.load(found[0]).dataobj))
    if image.shape != labels.shape or image.ndim != 3:
        raise ValueError(f"{header.name} has shape {image.shape} and its labels {labels.shape}")
    if labels.min() < 0 or labels.max() > 3:
        raise ValueError(f"{found[0].name} has labels {labels.min()} to {labels.max()}, must be 0 to 3")
    return _scaled(image), labels.astype(np.uint8)


def _add_png(tar: tarfile.TarFile, name: str, pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    entry = tarfile.TarInfo(name)
    entry.size = buffer.tell()
    buffer.seek(0)
    tar.addfile(entry, buffer)


def oasis(discs: list[pathlib.Path], target: pathlib.Path, test_share: float = 0.2, seed: int = 1, step: int = 2) -> splitting.Split:
    """Writes train/train.tar.gz, test/test.tar.gz and split.json below target.

    Image and mask of a pair come from the same slice of the third axis. The
    sessions of one person (OAS1_0001_MR1, _MR2) stay on one side."""
    sessions = {h.parents[3].name: h for disc in discs for h in sorted(disc.glob(_OASIS_IMAGE))}
    if not sessions:
        raise ValueError(f"no sessions ({_OASIS_IMAGE}) in {', '.join(str(d) for d in discs)}")
    subject = {s: re.sub(r"_MR\d+$", "", s) for s in sessions}
    split = splitting.by_subject(subject.values(), test_share, seed)
    contents: dict[str, str] = {}
    archives = {}
    for channel in ("train", "test"):
        (target / channel).mkdir(parents=True, exist_ok=True)
        archives[channel] = tarfile.open(target / channel / f"{channel}.tar.gz", "w:gz", compresslevel=6)
    try:
        for name, header in sorted(sessions.items()):
            image, labels = _oasis_session(header)
            contents.setdefault(subject[name], hashlib.sha256(image.tobytes()).hexdigest())
            for k in range(0, image.shape[2], step):
                tar = archives[split.of(subject[name])]
                _add_png(tar, f"{name}_slice_{k:03d}.png", image[:, :, k])
                _add_png(tar, f"{name}_slice_{k:03d}_mask.png", labels[:, :, k])
            log.info("%s: %s", name, split.of(subject[name]))
    finally:
        for tar in archives.values():
            tar.close()
    splitting.check(split, contents)
    split.write(target)
    return split


def _pairs(source: pathlib.Path) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    """Pairs of a folder by subject: DATASET_SUBJECT for those in subfolders."""
    found = {}
    for image in sorted(source.rglob("*" + IMAGE_SUFFIX)):
        labels = image.with_name(image.name.removesuffix(IMAGE_SUFFIX) + LABEL_SUFFIX)
        if not labels.exists():
            raise ValueError(f"{image.name} has no {labels.name} beside it")
        folders = image.relative_to(source).parts[:-1]
        found["_".join([*folders, image.name.removesuffix(IMAGE_SUFFIX)])] = (image, labels)
    if not found:
        raise ValueError(f"no pairs *{IMAGE_SUFFIX}, *{LABEL_SUFFIX} in {source}")
    return found


def _conform(image: pathlib.Path, labels: pathlib.Path, label_map: dict[int, int]) -> tuple[nibabel.Nifti1Image, nibabel.Nifti1Image]:
    """Image and labels with axes R-A-S, voxels of 1 mm and 8 bits."""
    picture = nibabel.as_closest_canonical(nibabel.load(image))
    truth = nibabel.as_closest_canonical(nibabel.load(labels))
    if not np.allclose(nibabel.affines.voxel_sizes(picture.affine), 1, atol=0.02):
        picture = resample_to_output(nibabel.Nifti1Image(np.asanyarray(picture.dataobj).astype(np.float32), picture.affine), 1.0, order=1)
    if truth.shape != picture.shape or not np.allclose(truth.affine, picture.affine, atol=1e-3):
        truth = resample_from_to(truth, picture, order=0)
    values = np.rint(np.asanyarray(truth.dataobj)).astype(int)
    unknown = sorted(set(np.unique(values).tolist()) - set(label_map))
    if unknown:
        raise ValueError(f"{labels.name} has labels {unknown} that the label map does not name")
    mapped = np.vectorize(label_map.__getitem__, otypes=[np.uint8])(values)
    pixels = to_uint8(np.asanyarray(picture.dataobj))
    return nibabel.Nifti1Image(pixels, picture.affine), nibabel.Nifti1Image(mapped, picture.affine)


def nifti(
    source: pathlib.Path,
    target: pathlib.Path,
    test_share: float = 0.2,
    test: list[str] | None = None,
    seed: int = 1,
    label_map: dict[int, int] | None = None,
) -> splitting.Split:
    """Writes the pairs of source into train/ and test/ below target, and
    split.json; beside the pairs of test goes NAME_deep.nii.gz, where there is one.
    label_map gives for each label of the source 0 background, 1 CSF, 2 grey
    matter, 3 white matter or 255 to ignore."""
    found = _pairs(source)
    split = splitting.by_names(found, test) if test else splitting.by_subject(found, test_share, seed)
    contents = {}
    for channel in ("train", "test"):
        (target / channel).mkdir(parents=True, exist_ok=True)
    for name, (image, labels) in found.items():
        pixels, truth = _conform(image, labels, label_map or {0: 0, 1: 1, 2: 2, 3: 3, 255: 255})
        contents[name] = hashlib.sha256(np.asanyarray(pixels.dataobj).tobytes()).hexdigest()
        folder = target / split.of(name)
        nibabel.save(pixels, folder / (name + IMAGE_SUFFIX))
        nibabel.save(truth, folder / (name + LABEL_SUFFIX))
        deep = image.with_name(image.name.removesuffix(IMAGE_SUFFIX) + DEEP_SUFFIX)
        if deep.exists() and folder.name == "test":
            probability = resample_from_to(nibabel.as_closest_canonical(nibabel.load(deep)), pixels, order=0)
            nibabel.save(
                nibabel.Nifti1Image(np.asanyarray(probability.dataobj).astype(np.uint8), pixels.affine), folder / (name + DEEP_SUFFIX)
            )
        log.info("%s: %s", name, split.of(name))
    splitting.check(split, contents)
    split.write(target)
    return split
