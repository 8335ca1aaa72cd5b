"""Writes window.json: images as histograms, and the window of each.

    python3 make_window.py      (needs: pip install numpy)

The window is found here by sorting the pixels, in Go by adding up the histogram:
two ways that must agree.
"""

import json
import math
import pathlib

import numpy as np


def window(pixels, low, high, ignore):
    kept = np.sort(pixels[pixels > ignore])
    n = len(kept)
    if n == 0:
        return [0, 255]
    low_value = int(kept[math.floor(low * (n - 1))])
    high_value = int(kept[math.floor(high * (n - 1))])
    return [low_value, max(high_value, low_value + 1)]


def main():
    rng = np.random.default_rng(7)
    head = np.concatenate([np.zeros(30000), rng.normal(60, 15, 12000), rng.normal(130, 20, 16000), rng.normal(180, 9, 7000)])
    head = np.clip(head, 0, 255).astype(np.uint8)
    images = {
        "black": np.zeros(64, np.uint8),
        "white": np.full(64, 255, np.uint8),
        "one pixel": np.array([17], np.uint8),
        "one bright pixel on black": np.array([0] * 99 + [200], np.uint8),
        "two values": np.array([10] * 50 + [20] * 50, np.uint8),
        "every value once": np.arange(256, dtype=np.uint8),
        "every value twice": np.repeat(np.arange(1, 256, 4, dtype=np.uint8), 2),
        "one constant grey": np.full(1000, 93, np.uint8),
        "only the ignored value and one above": np.array([0, 0, 0, 1], np.uint8),
        "head": head,
        "noise": rng.integers(0, 256, 65536).astype(np.uint8),
    }
    rules = [(0.01, 0.99, 0), (0.005, 0.995, 0), (0, 1, 0), (0.02, 0.98, -1), (0.1, 0.9, 16), (0.25, 0.75, 254)]
    cases = []
    for name, pixels in images.items():
        values, counts = np.unique(pixels, return_counts=True)
        for low, high, ignore in rules if len(values) < 100 else rules[:2]:
            cases.append(
                {
                    "name": name,
                    "histogram": {str(v): int(c) for v, c in zip(values, counts)},
                    "low": low,
                    "high": high,
                    "ignoreBelowOrEqual": ignore,
                    "window": window(pixels, low, high, ignore),
                }
            )
    # Sizes at which share * (n - 1) falls beside a whole number.
    for n in (2, 3, 100, 101, 102, 201, 1001, 10001):
        pixels = (np.arange(n) % 255 + 1).astype(np.uint8)
        values, counts = np.unique(pixels, return_counts=True)
        cases.append(
            {
                "name": f"ramp of {n}",
                "histogram": {str(v): int(c) for v, c in zip(values, counts)},
                "low": 0.01,
                "high": 0.99,
                "ignoreBelowOrEqual": 0,
                "window": window(pixels, 0.01, 0.99, 0),
            }
        )
    text = ",\n".join("  " + json.dumps(c) for c in cases)
    pathlib.Path(__file__).with_name("window.json").write_text("[\n" + text + "\n]\n")


if __name__ == "__main__":
    main()
