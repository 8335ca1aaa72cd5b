"""Has slices segmented by a running component: as a user gets them, with pixel
sizes guessed where none is stated, and inverted slices turned round.

`brainseg local --model FOLDER` serves on this machine; docs/http.md describes the service.
"""

from __future__ import annotations

import http.client
import io
import urllib.parse

import numpy as np
from PIL import Image

MM_PER_INCH = 25.4


class Served:
    """The component at a URL, in the place of inference.Model."""

    def __init__(self, url: str):
        address = urllib.parse.urlsplit(url)
        if address.scheme != "http" or not address.netloc:
            raise ValueError(f"{url!r} must be an address such as http://127.0.0.1:5000")
        self.connection = http.client.HTTPConnection(address.netloc, timeout=300)

    def segment(self, image: np.ndarray, spacing: tuple[float, float] | None = None) -> np.ndarray:
        """The mask of a uint8 slice, sent as PNG; the size of its pixels (mm, down
        and across), where given, is stated in the file."""
        buffer = io.BytesIO()
        stated = {} if spacing is None else {"dpi": (MM_PER_INCH / spacing[1], MM_PER_INCH / spacing[0])}
        Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=1, **stated)
        self.connection.request("POST", "/", buffer.getvalue(), {"Content-Type": "image/png"})
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise ValueError(f"the component refused a slice of {size} pixels: {answer.status} {content[:300]!r}")
        return np.asarray(Image.open(io.BytesIO(content)))
