"""Holds our image preprocessing against transformers' processors on Pillow, and our decoders against Pillow's.

The processors get the same pixels as we do (photographs that Pillow decoded, written as PNG), so that a difference is
the processor's alone. Their tensors must agree to the bit. The decoders' own difference, which standards leave open
for JPEG and lossy WebP, is reported beside it and bounded loosely.

Usage: python tests/parity/preprocessing.py [--images FOLDER] [--count N] [--record FOLDER]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import PIL
import transformers
from PIL import Image
from transformers import AutoImageProcessor

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("XEXP_SHARED", REPOSITORY.parent / "shared"))
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/examples/preprocess"

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CASES = {
    "mini-vision": json.loads((REPOSITORY / "crates/bundled/models/mini-vision/preprocessor_config.json").read_text()),
    "ViT, larger, bicubic": {"image_processor_type": "ViTImageProcessor", "size": 384, "resample": 3},
    "ViT, nearest": {"image_processor_type": "ViTImageProcessor", "size": 97, "resample": 0},
    "ViT, Lanczos": {"image_processor_type": "ViTImageProcessor", "size": 64, "resample": 1},
    "ViT, box": {"image_processor_type": "ViTImageProcessor", "size": 64, "resample": 4},
    "ViT, Hamming": {"image_processor_type": "ViTImageProcessor", "size": 300, "resample": 5},
    "ViT, not normalised": {"image_processor_type": "ViTImageProcessor", "do_normalize": False},
    "DeiT": {"image_processor_type": "DeiTImageProcessor", **IMAGENET},
    "BEiT": {"image_processor_type": "BeitImageProcessor"},
    "BiT, as of DINOv2": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}, **IMAGENET},
    "CLIP": {"image_processor_type": "CLIPImageProcessor", "size": 336, "crop_size": 336},
    "CLIP, padded": {"image_processor_type": "CLIPImageProcessor", "size": 40, "crop_size": 65},
    "ConvNeXT": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, **IMAGENET},
    "ConvNeXT, whole": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},
    "MobileNetV2": {"image_processor_type": "MobileNetV2ImageProcessor"},
    "SigLIP": {"image_processor_type": "SiglipImageProcessor"},
}
# A decoder that rounds its transform and colours otherwise is a few levels off in single pixels; one that takes
# chroma from the wrong place is off by tens on average.
DECODER_MEAN = 1.0


def main() -> int:
    """Prints a row a case; 1 when one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=SHARED / "data/images/flowers12/train")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="also write the tables there")
    arguments = parser.parse_args()
    photographs = sorted(path for path in arguments.images.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    chosen = photographs[:: max(1, len(photographs) // arguments.count)][: arguments.count]
    if not chosen:
        sys.exit(f"{arguments.images} holds no JPEG files")
    with tempfile.TemporaryDirectory() as folder:
        tables = {"processors": processors(chosen, Path(folder)), "decoders": decoders(chosen, Path(folder))}
    for name, (lines, _) in tables.items():
        print("\n".join(lines) + "\n")
        if arguments.record:
            (arguments.record / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if arguments.record:
        (arguments.record / "machine.txt").write_text(machine(), encoding="utf-8")
    return int(any(failed for _, failed in tables.values()))


def machine() -> str:
    """Where, when and with what the tables were made."""
    return (
        f"date: {datetime.now(UTC).date().isoformat()}\n"
        f"machine: {platform.machine()}, {os.cpu_count()} cores, {platform.system()}\n"
        f"Pillow {PIL.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}\n"
    )


def processors(photographs: list[Path], folder: Path) -> tuple[list[str], int]:
    """Compares tensors from the same pixels: a table, and the number of cases that do not hold."""
    pixels, files = [], []
    for index, path in enumerate(photographs):
        whole = Image.open(path).convert("RGB")
        # Of many sizes, so that shorter edges and odd remainders occur.
        image = whole.crop((index % 7, index % 5, whole.width - index % 53, whole.height - index % 37))
        files.append(folder / f"{index}.png")
        image.save(files[-1], compress_level=1)
        pixels.append(image)
    failed = 0
    lines = [
        f"{len(files)} photographs, transformers on Pillow against xexp, from the same pixels",
        "",
        "| processor | values | differing | 99.9th percentile | largest difference |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, config in CASES.items():
        place = folder / "case"
        place.mkdir(exist_ok=True)
        (place / "preprocessor_config.json").write_text(json.dumps(config))
        processor = AutoImageProcessor.from_pretrained(place, backend="pil")
        theirs = [processor(image, return_tensors="np")["pixel_values"][0] for image in pixels]
        ours = [values for _, values in run(place / "preprocessor_config.json", files, place)]
        if any(a.shape != b.shape for a, b in zip(ours, theirs, strict=True)):
            lines.append(f"| {name} | shapes differ | | | |")
            failed += 1
            continue
        difference = np.concatenate([np.abs(a - b).ravel() for a, b in zip(ours, theirs, strict=True)])
        percentile, largest = np.quantile(difference, 0.999), difference.max()
        differing = np.count_nonzero(difference)
        lines.append(f"| {name} | {difference.size} | {differing} | {percentile:.1e} | {largest:.1e} |")
        failed += largest > 0
    return lines, failed


def decoders(photographs: list[Path], folder: Path) -> tuple[list[str], int]:
    """Compares decoded files: a table, and the number of formats that do not hold."""
    config = folder / "plain.json"
    config.write_text('{"image_processor_type": "ViTImageProcessor", "size": 8}')
    images = [Image.open(path).convert("RGB") for path in photographs]
    formats = {
        "JPEG, as it lies there": (None, None),
        "JPEG, no subsampling": ("jpg", lambda image, path: image.save(path, quality=90, subsampling=0)),
        "JPEG, progressive": ("jpg", lambda image, path: image.save(path, quality=85, progressive=True)),
        "JPEG, grey": ("jpg", lambda image, path: image.convert("L").save(path)),
        "JPEG, CMYK": ("jpg", lambda image, path: image.convert("CMYK").save(path, quality=95)),
        "PNG": ("png", lambda image, path: image.save(path, compress_level=1)),
        "PNG, palette": ("png", lambda image, path: image.quantize(64).save(path)),
        "WebP": ("webp", lambda image, path: image.save(path)),
        "WebP, lossless": ("webp", lambda image, path: image.save(path, lossless=True, method=0)),
    }
    exact = {"PNG", "PNG, palette", "WebP, lossless"}
    failed = 0
    lines = [
        "Decoders, Pillow's against ours, in levels of 255",
        "",
        "| format | values | differing | mean difference | 99.9th percentile | largest |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (extension, save) in formats.items():
        files = photographs
        if save:
            files = [folder / f"decoded-{index}.{extension}" for index in range(min(20, len(images)))]
            for image, path in zip(images, files):
                save(image, path)
        place = folder / "decoded"
        place.mkdir(exist_ok=True)
        ours = [pixels for pixels, _ in run(config, files, place)]
        theirs = [np.moveaxis(np.asarray(Image.open(path).convert("RGB")), -1, 0) for path in files]
        difference = np.concatenate(
            [np.abs(a.astype(int) - b.astype(int)).ravel() for a, b in zip(ours, theirs, strict=True)]
        )
        mean, share = difference.mean(), np.count_nonzero(difference) / difference.size
        row = f"{difference.size} | {share:.1%} | {mean:.4f} | {np.quantile(difference, 0.999):.0f} | {difference.max()}"
        lines.append(f"| {name} | {row} |")
        failed += difference.max() > 0 if name in exact else mean > DECODER_MEAN
    return lines, failed


def run(config: Path, files: list[Path], place: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Decoded pixels and values of each file, by our program."""
    subprocess.run([PROGRAM, config, place, *files], check=True)
    shapes = json.loads((place / "shapes.json").read_text())
    read = lambda index, suffix, kind, shape: np.fromfile(place / f"{index}.{suffix}", kind).reshape(shape)
    return [
        (read(index, "u8", np.uint8, before), read(index, "f32", "<f4", after))
        for index, (before, after) in enumerate(shapes)
    ]


if __name__ == "__main__":
    sys.exit(main())
