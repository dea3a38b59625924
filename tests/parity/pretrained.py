"""What transformers makes of the real MobileNetV2 0.35: the logits that `crates/heads/tests/families/pretrained.rs` records.

Image and head follow from names, by the rule of tiny.py.

Usage: XEXP_SHARED=DIR python tests/parity/pretrained.py
"""

import torch
from transformers import AutoModelForImageClassification

import ours
import tiny

CLASSES = 6


@torch.no_grad()
def main() -> None:
    """Prints the logits."""
    folder = ours.shared() / "data" / "models" / "mobilenet_v2_0.35_224"
    model = AutoModelForImageClassification.from_pretrained(folder, num_labels=CLASSES).eval()
    for name, weight in model.classifier.named_parameters(prefix="classifier"):
        weight.copy_(torch.from_numpy(tiny.values(name, weight.shape)))
    pixels = tiny.uniform("pretrained pixels", 2 * 3 * 224 * 224).astype("float32")
    logits = model(torch.from_numpy(pixels).reshape(2, 3, 224, 224)).logits
    for row in logits:
        print(", ".join(f"{value:.6f}" for value in row))


if __name__ == "__main__":
    main()
