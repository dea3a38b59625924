"""Writes what timm makes of a tiny EVA-02: logits, and the gradients of its head. Not part of CI, which has no timm.

The fixture has the form of those of fixtures.py, and weights and images follow from their names as there.

Usage: python tests/parity/timm_fixtures.py     (needs timm beside what setup.sh installs)
"""

import json

import timm
import torch
from safetensors.numpy import save_file

import fixtures
import tiny

CASE = "eva02"
SIZE = 448
ARGS = {"embed_dim": 64, "depth": 2, "num_heads": 1}
CONFIG = {
    "architecture": "eva02_base_patch14_448", "num_classes": tiny.CLASSES, "num_features": 64, "global_pool": "avg",
    "model_args": ARGS, "id2label": {str(i): f"LABEL_{i}" for i in range(tiny.CLASSES)},
    "pretrained_cfg": {
        "input_size": [3, SIZE, SIZE], "fixed_input_size": True, "interpolation": "bicubic", "crop_pct": 1.0,
        "crop_mode": "squash", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
    },
}  # fmt: skip


def main() -> None:
    """Writes the fixture."""
    network = timm.create_model(CONFIG["architecture"], num_classes=tiny.CLASSES, **ARGS).eval()
    state = {name: torch.from_numpy(tiny.values(name, tuple(t.shape))) for name, t in network.state_dict().items()}
    network.load_state_dict(state)
    for name, weight in network.named_parameters():
        weight.requires_grad_(name.startswith("head."))
    labels = torch.tensor([0, 2, 1, 2])
    pixels = 1.5 * tiny.uniform(f"{CASE} pixels", 4 * 3 * SIZE * SIZE)
    logits = network(torch.from_numpy(pixels.astype("float32").reshape(4, 3, SIZE, SIZE)))
    torch.nn.functional.cross_entropy(logits, labels).backward()
    tensors = {"logits": logits.detach().numpy()}
    tensors |= {f"grad:head.{name}": weight.grad.numpy() for name, weight in network.head.named_parameters()}
    shapes = {name: list(t.shape) for name, t in state.items()}
    metadata = {"config": json.dumps(CONFIG), "shapes": json.dumps(shapes), "labels": json.dumps(labels.tolist())}
    save_file(tensors, fixtures.FOLDER / f"{CASE}.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
