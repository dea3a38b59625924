"""Writes what PyTorch and transformers make of a tiny model of every family: logits, gradients, running statistics.

A fixture is a safetensors file `crates/heads/tests/families/fixtures/CASE.safetensors`: `logits`, `grad:NAME` of every
weight that has a gradient, `stat:NAME` of every running statistic after the step, and of a decoder the logits of the texts
padded on the `left`; its metadata hold the configuration, the shapes of all tensors and the lengths of the texts. Weights
and inputs follow from their names (tiny.py).

Usage: python tests/parity/fixtures.py [CASE...]     (default: all)
       python tests/parity/fixtures.py --check       the recorded fixtures are those that transformers gives now
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from transformers.utils import logging

import ours
import tiny

FOLDER = ours.ROOT / "crates" / "heads" / "tests" / "families" / "fixtures"
STATISTICS = ("running_mean", "running_var")


def main() -> None:
    """Writes the fixtures of the named cases, or compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(tiny.CASES), help="which cases")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    FOLDER.mkdir(parents=True, exist_ok=True)
    apart = []
    for case in args.cases:
        tensors, metadata = fixture(case)
        path = FOLDER / f"{case}.safetensors"
        if args.check:
            apart += difference(case, path, tensors, metadata)
        else:
            save_file(tensors, path, metadata=metadata)
        print(f"{case}: {len(tensors)} tensors, {sum(t.size for t in tensors.values())} values")
    for line in apart:
        print(f"failed: {line}", file=sys.stderr)
    sys.exit(1 if apart else 0)


def fixture(case: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a case, under the names that files have."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        network = tiny.model(case, folder)
        before = load_file(folder / tiny.WEIGHTS)
        config = (folder / "config.json").read_text(encoding="utf-8")
        labels = torch.tensor([0, 2, 1, 2])
        logits = network(**tiny.inputs(case)).logits
        torch.nn.functional.cross_entropy(logits, labels).backward()
        # A decoder reads a text at its end, wherever the padding is.
        left = network(**tiny.inputs(case, left=True)).logits.detach().numpy() if hasattr(network, "score") else None
        after = saved(network, folder)
        # Saved in place of the weights, gradients go by the weights' way from memory to the file.
        reached = {name: weight.grad is not None for name, weight in network.named_parameters()}
        put(network, lambda name, weight: weight.grad if reached[name] else torch.zeros_like(weight))
        gradients = saved(network, folder)
        put(network, lambda name, weight: torch.full_like(weight, float(reached[name])))
        has = saved(network, folder)
    tensors = {"logits": logits.detach().numpy()}
    if left is not None:
        tensors["left"] = left
    for name, weight in before.items():
        if not np.array_equal(after[name], weight) and weight.dtype.kind == "f":
            tensors[f"stat:{name}"] = after[name]
        elif has[name].dtype.kind == "f" and has[name].min() == 1.0 and not name.endswith(STATISTICS):
            tensors[f"grad:{name}"] = gradients[name]
    floats = {name: list(weight.shape) for name, weight in before.items() if weight.dtype.kind == "f"}
    metadata = {"config": config, "shapes": json.dumps(floats), "labels": json.dumps(labels.tolist())}
    if not tiny.is_image(case):
        metadata["texts"] = json.dumps(tiny.texts(case))
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, metadata


def saved(network: torch.nn.Module, folder: Path) -> dict[str, np.ndarray]:
    """What transformers would save of a model, by name."""
    network.save_pretrained(folder)
    return load_file(folder / tiny.WEIGHTS)


@torch.no_grad()
def put(network: torch.nn.Module, value) -> None:
    """Puts something in place of every weight."""
    for name, weight in network.named_parameters():
        weight.copy_(value(name, weight))


def difference(case: str, path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> list[str]:
    """What of a recorded fixture is not what transformers gives now."""
    recorded = load_file(path)
    with safe_open(path, "np") as file:
        said = file.metadata()
    apart = [f"{case}: {key} differs" for key in metadata if metadata[key] != said.get(key)]
    if sorted(recorded) != sorted(tensors):
        return [*apart, f"{case}: other tensors"]
    for name, tensor in tensors.items():
        # Another processor adds in another order.
        if not np.allclose(recorded[name], tensor, rtol=1e-4, atol=1e-6):
            apart.append(f"{case}: {name} differs")
    return apart


if __name__ == "__main__":
    main()
