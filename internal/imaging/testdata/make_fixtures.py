"""Writes the JPEG fixtures that Go's own encoder cannot: run with Pillow 13.

Each is 48 x 32 pixels in four flat quadrants: red, green / blue, (200, 100, 50).
"""

from PIL import Image

QUADRANTS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 50)]

picture = Image.new("RGB", (48, 32))
for i, colour in enumerate(QUADRANTS):
    picture.paste(colour, (i % 2 * 24, i // 2 * 16, i % 2 * 24 + 24, i // 2 * 16 + 16))

picture.save("progressive.jpg", quality=95, progressive=True)
picture.save("full_chroma.jpg", quality=95, subsampling="4:4:4")
picture.save("rgb.jpg", quality=95, keep_rgb=True)
picture.convert("CMYK").save("cmyk.jpg", quality=95)
picture.convert("L").save("grey_progressive.jpg", quality=95, progressive=True)
turned = Image.Exif()
turned[0x0112] = 6
picture.save("orientation.jpg", quality=95, exif=turned.tobytes())
