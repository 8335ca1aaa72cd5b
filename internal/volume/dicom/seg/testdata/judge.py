"""Judges DICOM SEG objects by pydicom, highdicom and dcmqi, against the label map
in NIfTI of the same run and the source images.

judge.py CASES [SEGIMAGE2ITKIMAGE]

CASES is JSON: [{"seg", "labels", "source", "sheared"}], paths but for the last.
Prints one line for each thing that is wrong; nothing if all is right.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
from highdicom.color import CIELabColor
from pydicom.sr.codedict import codes

COLOURS = {1: (0x3B, 0x82, 0xF6), 2: (0xE0, 0x7A, 0x5F), 3: (0xF4, 0xF1, 0xDE)}
TYPES = [codes.SCT.CerebrospinalFluid, codes.SCT.GrayMatter, codes.SCT.WhiteMatter]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def wrong(case, text):
    print(f"{Path(case['seg']).name}: {text}")


def code_of(sequence):
    return (sequence[0].CodeValue, sequence[0].CodingSchemeDesignator, sequence[0].CodeMeaning)


def same_code(sequence, code):
    return code_of(sequence) == (code.value, code.scheme_designator, code.meaning)


def sources(folder):
    """Position of each source frame, by SOP instance UID and frame number."""
    found = {}
    paths = [folder] if folder.is_file() else [p for p in folder.rglob("*") if p.is_file()]
    for path in paths:
        try:
            ds = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        except Exception:  # not DICOM
            continue
        if "PerFrameFunctionalGroupsSequence" in ds:
            for i, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
                number = i + 1 if len(ds.PerFrameFunctionalGroupsSequence) > 1 else None
                found[ds.SOPInstanceUID, number] = (ds, group.PlanePositionSequence[0].ImagePositionPatient)
        elif "ImagePositionPatient" in ds and "SOPInstanceUID" in ds:
            found[ds.SOPInstanceUID, None] = (ds, ds.ImagePositionPatient)
    return found


def raw(ds, keyword):
    value = ds.get_item(keyword).value
    return value.strip(b" \0") if isinstance(value, bytes) else str(value)


def judge_header(case, ds):
    found = sources(Path(case["source"]))
    for i, segment in enumerate(ds.SegmentSequence):
        if not same_code(segment.SegmentedPropertyCategoryCodeSequence, codes.SCT.Tissue):
            wrong(case, f"category {code_of(segment.SegmentedPropertyCategoryCodeSequence)}")
        if not same_code(segment.SegmentedPropertyTypeCodeSequence, TYPES[i]):
            wrong(case, f"type {code_of(segment.SegmentedPropertyTypeCodeSequence)}")
        family = segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmFamilyCodeSequence
        if not same_code(family, codes.DCM.ArtificialIntelligence):
            wrong(case, f"algorithm family {code_of(family)}")
    used = set()
    for i, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        derivation = group.DerivationImageSequence[0]
        image = derivation.SourceImageSequence[0]
        key = (image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber"))
        if key not in found:
            wrong(case, f"frame {i + 1} refers to an image that is not there")
            continue
        source, position = found[key]
        used.add(source.SOPInstanceUID)
        if image.ReferencedSOPClassUID != source.SOPClassUID:
            wrong(case, f"frame {i + 1} names the wrong SOP class")
        if [float(v) for v in position] != [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]:
            wrong(case, f"frame {i + 1} is not where its source is")
        if not same_code(derivation.DerivationCodeSequence, codes.DCM.SegmentationImageDerivation):
            wrong(case, f"derivation {code_of(derivation.DerivationCodeSequence)}")
        if not same_code(image.PurposeOfReferenceCodeSequence, codes.DCM.SourceImageForImageProcessingOperation):
            wrong(case, f"purpose {code_of(image.PurposeOfReferenceCodeSequence)}")
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientBirthDate", "StudyDate"):
            if source.get(keyword, "") != ds.get(keyword):
                wrong(case, f"{keyword} is not that of the source")
        if raw(source, "PatientName") != raw(ds, "PatientName"):
            wrong(case, "PatientName is not that of the source")
        if source.SeriesInstanceUID != ds.ReferencedSeriesSequence[0].SeriesInstanceUID:
            wrong(case, "the referenced series is not that of the source")
    listed = [r.ReferencedSOPInstanceUID for r in ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    if set(listed) != used or len(listed) != len(used):
        wrong(case, "the referenced instances are not those of the frames")


def on_grid(labels, array, affine):
    """array, on a grid with the affine (mm RAS), as seen from the grid of labels."""
    transform = np.linalg.inv(affine) @ labels.affine
    index = np.indices(labels.shape).reshape(3, -1)
    place = (transform @ np.vstack([index, np.ones(index.shape[1])]))[:3]
    nearest = np.rint(place).astype(int)
    if np.abs(place - nearest).max() > 1e-3:
        return None
    if nearest.min() < 0 or (nearest.max(axis=1) >= array.shape).any():
        return None
    return array[tuple(nearest)].reshape(labels.shape)


def judge_highdicom(case, labels, want):
    seg = hd.seg.segread(case["seg"])
    for i, description in enumerate(seg.SegmentSequence):
        shown = CIELabColor.from_dicom_value(description.RecommendedDisplayCIELabValue).to_rgb()
        if np.abs(np.array(shown) - COLOURS[i + 1]).max() > 1:
            wrong(case, f"highdicom shows the colour {shown} for {COLOURS[i + 1]}")
    # By the references to the source images, in the order of the label map.
    frames = seg.PerFrameFunctionalGroupsSequence[: want.shape[2]]
    images = [f.DerivationImageSequence[0].SourceImageSequence[0] for f in frames]
    if "ReferencedFrameNumber" in images[0]:
        numbers = [image.ReferencedFrameNumber for image in images]
        pixels = seg.get_pixels_by_source_frame(images[0].ReferencedSOPInstanceUID, numbers, combine_segments=True)
    else:
        pixels = seg.get_pixels_by_source_instance([i.ReferencedSOPInstanceUID for i in images], combine_segments=True)
    if not np.array_equal(pixels.transpose(2, 1, 0), want):
        wrong(case, "highdicom, by source images: other voxels than in the label map")
    if case["sheared"]:
        return  # no volume of right angles
    volume = seg.get_volume(combine_segments=True, rtol=0.01)
    got = on_grid(labels, volume.array, LPS @ volume.affine)
    if got is None:
        wrong(case, f"highdicom: another grid, {(LPS @ volume.affine).tolist()} for {labels.affine.tolist()}")
    elif not np.array_equal(got, want):
        wrong(case, "highdicom: other voxels than in the label map")


def judge_dcmqi(case, labels, want, program):
    with tempfile.TemporaryDirectory() as out:
        run = subprocess.run(
            [program, "--inputDICOM", case["seg"], "--outputDirectory", out, "-t", "nii", "-p", "s"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        if run.returncode != 0:
            wrong(case, f"dcmqi fails: {run.stdout[-500:]} {run.stderr[-500:]}")
            return
        for value in range(1, 4):
            image = nib.load(next(Path(out).glob(f"s-{value}.nii*")))
            got = on_grid(labels, np.asarray(image.dataobj), image.affine)
            if got is None:
                wrong(case, f"dcmqi: another grid, {image.affine.tolist()} {image.shape} for {labels.affine.tolist()}")
            elif not np.array_equal(got != 0, want == value):
                wrong(case, f"dcmqi: other voxels in segment {value} than in the label map")


def main():
    for case in json.loads(Path(sys.argv[1]).read_text()):
        labels = nib.load(case["labels"])
        want = np.asarray(labels.dataobj)
        judge_header(case, pydicom.dcmread(case["seg"]))
        judge_highdicom(case, labels, want)
        if len(sys.argv) > 2 and not case["sheared"]:
            judge_dcmqi(case, labels, want, sys.argv[2])


main()
