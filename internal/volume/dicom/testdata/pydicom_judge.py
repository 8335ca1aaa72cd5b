"""Writes series by pydicom, and what pydicom and dcm2niix, which nobody here wrote, read of them.

usage: pydicom_judge.py DIR

Each folder DIR/NAME is a series in one encoding, in random order of names; DIR/NAME.json has the
affine from index (column, row, slice) to mm RAS and the scaled values, slice after slice; under
dcm2niix the places of the grid's corners and the sum of the values, where it reads the encoding.
"""

import json
import os
import random
import subprocess
import sys
import tempfile

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

COLUMNS, ROWS, SLICES = 9, 7, 5
rng, shuffle = np.random.default_rng(7), random.Random(7)


def orientations():
    a, b = 0.3, -0.5
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    yield "axial", np.eye(3)
    yield "coronal", np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]).T
    yield "sagittal", np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]]).T
    yield "oblique", turn
    yield "upside", turn @ np.diag([-1, -1, 1])


def series(folder, name, axes, syntax, dtype, stored, slope):
    os.makedirs(os.path.join(folder, name))
    signed = np.dtype(dtype).kind == "i"
    row, column, normal = axes[:, 0], axes[:, 1], np.cross(axes[:, 0], axes[:, 1])
    origin, spacing, step = np.array([-30.5, 12.25, 7]), (1.5, 0.75), 2.5
    uid, values = generate_uid(), []
    names = shuffle.sample(range(100), SLICES)
    for k in range(SLICES):
        top = 1 << (stored - signed)
        pixels = rng.integers(-top if signed else 0, top, (ROWS, COLUMNS)).astype(dtype)
        d = Dataset()
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        d.PatientName, d.PatientID, d.Modality, d.SeriesInstanceUID, d.StudyInstanceUID = "QXMARK", "1", "MR", uid, uid
        d.InstanceNumber = shuffle.randrange(1000)
        d.ReferencedImageSequence = Sequence([Dataset(), Dataset()])
        d.ReferencedImageSequence[0].Rows = 3
        d.ImageOrientationPatient = [f"{v:.10g}" for v in (*row, *column)]
        d.ImagePositionPatient = [f"{v:.10g}" for v in origin + k * step * normal]
        d.PixelSpacing, d.FrameOfReferenceUID = [f"{v:g}" for v in spacing], uid
        d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = pixels.dtype.itemsize * 8, stored, stored - 1, int(signed)
        d.RescaleSlope, d.RescaleIntercept = f"{slope:g}", "-3"
        big = syntax == ExplicitVRBigEndian
        raw = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
        d.PixelData = raw + b"\0" * (len(raw) % 2)
        d["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
        if syntax == RLELossless:
            d.compress(RLELossless)
        path = os.path.join(folder, name, f"{names[k]:02d}")
        d.save_as(path, enforce_file_format=True)
        again = pydicom.dcmread(path)
        values += (again.pixel_array.astype(np.float64) * float(again.RescaleSlope) + float(again.RescaleIntercept)).ravel().tolist()
    lps = np.column_stack([row * spacing[1], column * spacing[0], normal * step, origin])
    affine = np.diag([-1, -1, 1]) @ lps
    answer = {"affine": affine.tolist(), "shape": [COLUMNS, ROWS, SLICES], "values": values}
    # It does not read deflated files, and takes signed bytes for unsigned ones.
    if syntax != DeflatedExplicitVRLittleEndian and np.dtype(dtype) != np.int8:
        answer["dcm2niix"] = dcm2niix(os.path.join(folder, name))
    with open(os.path.join(folder, name + ".json"), "w") as f:
        json.dump(answer, f)


def dcm2niix(folder):
    with tempfile.TemporaryDirectory() as out:
        program = os.path.join(os.path.dirname(sys.executable), "dcm2niix")
        subprocess.run([program, "-z", "n", "-b", "n", "-f", "scan", "-o", out, folder], check=True, capture_output=True)
        image = nib.load(os.path.join(out, "scan.nii"))
        ends = [(0, n - 1) for n in image.shape]
        corners = [(image.affine @ (i, j, k, 1))[:3].tolist() for i in ends[0] for j in ends[1] for k in ends[2]]
        return {"corners": corners, "sum": float(image.get_fdata().sum())}


def main(folder):
    kinds = [(np.uint8, 8), (np.uint16, 16), (np.int16, 16), (np.uint16, 12), (np.int16, 12), (np.int8, 8)]
    syntaxes = {
        "implicit": ImplicitVRLittleEndian,
        "explicit": ExplicitVRLittleEndian,
        "deflated": DeflatedExplicitVRLittleEndian,
        "big": ExplicitVRBigEndian,
        "rle": RLELossless,
    }
    n = 0
    for syntax in syntaxes:
        for plane, axes in orientations():
            dtype, stored = kinds[n % len(kinds)]
            series(
                folder,
                f"{syntax}-{plane}-{np.dtype(dtype).name}-{stored}",
                axes,
                syntaxes[syntax],
                dtype,
                stored,
                (1, 2.5, -0.5)[n % 3],
            )
            n += 1


main(sys.argv[1])
