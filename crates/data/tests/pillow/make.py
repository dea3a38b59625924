"""Writes, in expected.json, the SHA-256 of what Pillow's operations make of photo.png, in planes of colour.

    pip install pillow && python make.py

The operations are RandAugment's at magnitude 9 of 30, in either direction where there are two, and photo.png is a small
picture with edges, flat areas and noise in it.
"""

import hashlib
import json
import pathlib

from PIL import Image, ImageEnhance, ImageOps

FOLDER = pathlib.Path(__file__).parent
LEVEL = 9 / 30


def photo():
    """Discs, a gradient and a little noise, by whole numbers alone."""
    image, state = Image.new("RGB", (40, 30)), 1
    for y in range(30):
        for x in range(40):
            state = (state * 1103515245 + 12345) % 2**31
            noise = state // 65536 % 23
            disc = (x - 13) ** 2 + (y - 12) ** 2 < 70
            image.putpixel((x, y), (40 + 4 * x + noise, 200 - 5 * y + noise if disc else 60 + noise, 90 + noise + 2 * y))
    image.save(FOLDER / "photo.png", optimize=True)


def operations(image):
    width, height = image.size

    def affine(*matrix):
        return image.transform(image.size, Image.Transform.AFFINE, matrix)

    yield "Identity", image
    for sign in [1, -1]:
        name = "+" if sign > 0 else "-"
        yield "ShearX" + name, affine(1, 0.3 * LEVEL * sign, 0, 0, 1, 0)
        yield "ShearY" + name, affine(1, 0, 0, 0.3 * LEVEL * sign, 1, 0)
        yield "TranslateX" + name, affine(1, 0, -sign * int(150 / 331 * width * LEVEL), 0, 1, 0)
        yield "TranslateY" + name, affine(1, 0, 0, 0, 1, -sign * int(150 / 331 * height * LEVEL))
        yield "Rotate" + name, image.rotate(30 * LEVEL * sign)
        for enhance in [ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Sharpness]:
            yield enhance.__name__ + name, enhance(image).enhance(1 + 0.9 * LEVEL * sign)
    yield "Posterize", ImageOps.posterize(image, 8 - round(4 * LEVEL))
    yield "Solarize", ImageOps.solarize(image, 255 * (1 - LEVEL))
    yield "AutoContrast", ImageOps.autocontrast(image)
    yield "Equalize", ImageOps.equalize(image)


if __name__ == "__main__":
    photo()
    hashes = {}
    for name, made in operations(Image.open(FOLDER / "photo.png").convert("RGB")):
        planes = b"".join(plane.tobytes() for plane in made.split())
        hashes[name] = hashlib.sha256(planes).hexdigest()
    (FOLDER / "expected.json").write_text(json.dumps(hashes, indent=1) + "\n")
