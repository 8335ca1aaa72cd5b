"""Writes frame.json: slices as rectangles of one grey value each, later ones over
earlier ones, and the frame of each.

Called by hand when the rule changes; the results are held by the tests of
internal/segmentation/frame and of model-build/training. The rule stands here a second
time, pixel by pixel, so that the two are not compared with one of themselves.
"""

import json
import pathlib
import random


def draw(width, height, rectangles):
    rows = [[0] * width for _ in range(height)]
    for top, left, tall, wide, value in rectangles:
        for y in range(top, min(top + tall, height)):
            for x in range(left, min(left + wide, width)):
                rows[y][x] = value
    return rows


def frame(rows, high, least, multiple):
    height, width = len(rows), len(rows[0])
    tall = [y for y in range(height) if sum(v > 0.1 * high for v in rows[y]) >= 4] or range(height)
    wide = [x for x in range(width) if sum(row[x] > 0.1 * high for row in rows) >= 4] or range(width)
    top, bottom, left, right = min(tall), max(tall), min(wide), max(wide)
    moment = sum(rows[y][x] * (2 * x - left - right) for y in range(top, bottom + 1) for x in range(left, right + 1))
    mirrored = moment < 0
    if mirrored:
        left, right = width - 1 - right, width - 1 - left
    sides = []
    for length in (bottom - top + 1, right - left + 1):
        side = multiple
        while side < least or side < length + 16:
            side += multiple
        sides.append(side)
    return {
        "top": top - (sides[0] - (bottom - top + 1)) // 2,
        "left": left - (sides[1] - (right - left + 1)) // 2,
        "height": sides[0],
        "width": sides[1],
        "mirrored": mirrored,
    }


def main():
    rng = random.Random(7)
    cases = [(1, 1, []), (1, 1, [[0, 0, 1, 1, 200]]), (3, 200, []), (40, 40, [[10, 10, 3, 3, 255]]), (41, 40, [[5, 5, 4, 31, 90]])]
    for _ in range(40):
        width, height = rng.randint(1, 90), rng.randint(1, 90)
        rectangles = [
            [rng.randrange(height), rng.randrange(width), rng.randint(1, 40), rng.randint(1, 40), rng.choice([3, 12, 13, 25, 26, 90, 255])]
            for _ in range(rng.randint(1, 6))
        ]
        cases.append((width, height, rectangles))
    lines = []
    for width, height, rectangles in cases:
        rows = draw(width, height, rectangles)
        for high, least, multiple in ((255, 32, 8), (120, 40, 16)):
            case = {"width": width, "height": height, "rectangles": rectangles, "high": high, "least": least, "multiple": multiple}
            lines.append("  " + json.dumps({**case, "frame": frame(rows, high, least, multiple)}))
    pathlib.Path(__file__).with_name("frame.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
