"""Reads a DICOM SR by highdicom and a Secondary Capture by pydicom.

judge.py SR CAPTURE PIXELS

Writes the capture's pixels (frame, row, column, red green blue) to PIXELS, and
prints what both say as JSON.
"""

import json
import sys

import highdicom as hd
import pydicom

report = hd.sr.srread(sys.argv[1])
groups = []
for group in report.content.get_volumetric_roi_measurement_groups():
    (measurement,) = group.get_measurements()
    segment = group.referenced_segment or group.roi
    groups.append(
        {
            "finding": group.finding_type.value,
            "name": measurement.name.meaning,
            "value": float(measurement.value),
            "unit": measurement.unit.value,
            "segment": int(segment.referenced_segment_numbers[0]) if segment.referenced_segment_numbers else 0,
            "object": segment.referenced_sop_instance_uid,
            "site": [site.value.meaning for site in group.finding_sites],
        }
    )
capture = pydicom.dcmread(sys.argv[2])
pixels = capture.pixel_array
with open(sys.argv[3], "wb") as file:
    file.write(pixels.tobytes())
print(
    json.dumps(
        {
            "groups": groups,
            "shape": list(pixels.shape),
            "photometric": capture.PhotometricInterpretation,
            "studies": [report.StudyInstanceUID, capture.StudyInstanceUID],
        }
    )
)
