"""What nibabel, which nobody here wrote, says of scans and label maps.

make DIR   writes scans: 48 axis orders and flips x 3 voxel sizes x straight and
           oblique, in both versions, by sform or qform.
check DIR  compares DIR/NAME.labels.nii.gz with the scan NAME: the affine, codes
           and unit bit for bit, and the labels voxel for voxel after both are
           brought to the closest canonical axes.
load FILE...  prints shape, affine and codes of each file as JSON.
"""

import itertools
import json
import os
import sys

import nibabel as nib
import numpy as np


def affines():
    a, b = 0.35, -0.2
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            for zooms in ((1, 1, 1), (0.9375, 0.9375, 1.5), (2, 1.25, 0.8)):
                for oblique in (False, True):
                    m = np.zeros((3, 3))
                    for column, row in enumerate(axes):
                        m[row, column] = signs[column]
                    if oblique:
                        m = turn @ m
                    yield axes, np.vstack([np.column_stack([m * zooms, [-31.5, 17.25, -40.125]]), [0, 0, 0, 1]])


def make(folder):
    for n, (axes, affine) in enumerate(affines()):
        shape = [(9, 11, 7)[a] for a in axes]
        data = np.random.default_rng(n).integers(0, 4, shape).astype(np.int16)
        kind = nib.Nifti2Image if n % 3 == 2 else nib.Nifti1Image
        image = kind(data, affine)
        if n % 2:  # a qform alone, which keeps float32 only roughly
            image.set_sform(None, 0)
            image.set_qform(affine, 1)
        else:
            image.set_qform(None, 0)
            image.set_sform(affine, 2)
        image.header["descrip"] = b"QXMARK"
        image.header.set_xyzt_units("mm", "sec")
        if n % 5 == 4:
            image = kind(data, image.affine, image.header.as_byteswapped(">"))
        image.to_filename(os.path.join(folder, f"{n:03d}.nii.gz"))


def check(folder):
    names = sorted(n for n in os.listdir(folder) if n.endswith(".labels.nii.gz"))
    for name in names:
        scan = nib.load(os.path.join(folder, name.replace(".labels", "")))
        labels = nib.load(os.path.join(folder, name))
        what = (name, scan.affine, labels.affine)
        assert type(scan) is type(labels), what
        assert labels.shape == scan.shape and labels.get_data_dtype() == np.uint8, what
        assert np.array_equal(labels.affine, scan.affine), what
        for field in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "srow_x", "srow_y", "srow_z"):
            assert np.array_equal(labels.header[field], scan.header[field]), (name, field)
        assert np.array_equal(labels.header["pixdim"][:4], scan.header["pixdim"][:4]), what
        assert labels.header.get_xyzt_units()[0] == scan.header.get_xyzt_units()[0], what
        assert b"QXMARK" not in labels.header.binaryblock, what
        a, b = nib.as_closest_canonical(scan).get_fdata(), nib.as_closest_canonical(labels).get_fdata()
        assert np.array_equal(a, b), what
    print(len(names))


def load(*paths):
    seen = []
    for image in map(nib.load, paths):
        image.get_fdata()
        seen.append(
            {
                "shape": image.shape,
                "affine": image.affine.tolist(),
                "qform": image.header.get_qform().tolist(),
                "codes": [int(image.header["qform_code"]), int(image.header["sform_code"])],
            }
        )
    print(json.dumps(seen))


if __name__ == "__main__":
    {"make": make, "check": check, "load": load}[sys.argv[1]](*sys.argv[2:])
