"""Makes picture.png of the README: a slice, its mask in colour, and both together.

brainseg segment --out out --overlay artifacts/samples/whole-head/axial-085.png
python3 docs/make_picture.py artifacts/samples/whole-head/axial-085.png out      (needs: pip install pillow)
"""

import json
import pathlib
import sys

from PIL import Image

HERE = pathlib.Path(__file__).parent
MANIFEST = HERE.parent / "artifacts" / "model" / "manifest.json"


def main():
    slice_path, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    name = slice_path.stem
    grey = Image.open(slice_path).convert("RGB")
    mask = Image.open(out / f"{name}.png")
    overlay = Image.open(out / f"{name}.overlay.png").convert("RGB")
    colours = {c["value"]: c["colour"] for c in json.loads(MANIFEST.read_text())["classes"]}
    palette = [int(colours.get(v, "#000000")[i : i + 2], 16) for v in range(256) for i in (1, 3, 5)]
    coloured = Image.new("P", mask.size)
    coloured.putdata(list(mask.getdata()))
    coloured.putpalette(palette)
    pictures = [grey, coloured.convert("RGB"), overlay]
    width, height = grey.size
    gap = 12
    sheet = Image.new("RGB", (3 * width + 2 * gap, height), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i * (width + gap), 0))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.LANCZOS).save(HERE / "picture.png", optimize=True)


if __name__ == "__main__":
    main()
