"""Makes the sample slices that lie in artifacts/samples.

The pictures are slices of Colin27, one person's mean T1 head, as Debian's
package mricron-data carries it: `ch2` (the whole head) and `ch2bet` (the same,
stripped of everything that is not brain).
"""

from __future__ import annotations

import argparse
import pathlib
import shutil

import nibabel
import numpy as np
from PIL import Image

# Slice numbers count voxels of 1 mm from the left, the back and the bottom.
SLICES = {
    "whole-head": {"axial": (50, 75, 85, 100, 115), "coronal": (80, 110, 130), "sagittal": (70, 90)},
    "stripped": {"axial": (75, 100), "coronal": (110,), "sagittal": (70,)},
}
SOURCES = {"whole-head": "ch2.nii.gz", "stripped": "ch2bet.nii.gz"}


def display_slice(volume: np.ndarray, plane: str, index: int) -> np.ndarray:
    """Cuts one slice of a volume with axes R-A-S (towards the right, the front
    and the top) and turns it as it is usually shown: the front (axial) or the
    top up. The person's left is at the left (neurological convention); sagittal
    slices look to the right."""
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    return np.take(volume, index, axis=axis).T[::-1]


def to_bytes(volume: np.ndarray) -> np.ndarray:
    """Scales a volume from 0..99.9th percentile of its non-zero voxels to 0..255."""
    top = np.percentile(volume[volume > 0], 99.9)
    return np.clip(np.rint(volume * (255.0 / top)), 0, 255).astype(np.uint8)


def make_samples(package: pathlib.Path, target: pathlib.Path) -> list[pathlib.Path]:
    """Writes all sample slices below target, and the package's copyright file
    beside them; package is the root that mricron-data was unpacked to."""
    written = []
    for kind, planes in SLICES.items():
        source = package / "usr/share/mricron/templates" / SOURCES[kind]
        image = nibabel.as_closest_canonical(nibabel.load(source))
        volume = to_bytes(np.asanyarray(image.dataobj))
        folder = target / kind
        folder.mkdir(parents=True, exist_ok=True)
        for plane, indices in planes.items():
            for index in indices:
                path = folder / f"{plane}-{index:03d}.png"
                Image.fromarray(np.ascontiguousarray(display_slice(volume, plane, index)), "L").save(path, optimize=True)
                written.append(path)
    shutil.copyfile(package / "usr/share/doc/mricron-data/copyright", target / "COPYRIGHT.mricron-data")
    return written


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="samples", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "package", type=pathlib.Path, help="folder that Debian's package mricron-data was unpacked to (/ where it is installed)"
    )
    parser.add_argument("target", type=pathlib.Path, help="folder to write to: artifacts/samples")
    options = parser.parse_args(arguments)
    for path in make_samples(options.package, options.target):
        print(path)


if __name__ == "__main__":
    main()
