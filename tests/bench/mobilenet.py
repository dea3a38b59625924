"""Time of a training step of MobileNetV2 0.35 on images of 224 × 224, against PyTorch, side by side in one run.

A step is forward, backward and AdamW, batch norms by the batch's statistics, in f32. Rounds alternate between the two; a
figure is the median over all steps but the first of a round.

Usage: XEXP_SHARED=DIR python tests/bench/mobilenet.py [--batch 16] [--steps 4] [--rounds 3]
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForImageClassification
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
import ours

EXAMPLE = os.environ.get("XEXP_BENCH_EXAMPLE", "cargo run --release --quiet -p xexp-train --example image_step --")


def main() -> None:
    """Prints milliseconds and their ratio, for one thread and for two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="images of a step")
    parser.add_argument("--steps", type=int, default=4, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of either")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = ours.shared() / "data" / "models" / "mobilenet_v2_0.35_224"
    for threads in (1, 2):
        rust, torches = [], []
        for _ in range(args.rounds):
            rust += xexp(folder, args.batch, args.steps, threads)
            torches += pytorch(folder, args.batch, args.steps, threads)
        a, b = (1000 * statistics.median(seconds) for seconds in (rust, torches))
        print(f"{threads} thread(s): xexp {a:.0f} ms, PyTorch {b:.0f} ms, ratio {a / b:.2f}", flush=True)


def xexp(folder: Path, batch: int, steps: int, threads: int) -> list[float]:
    """Seconds of our steps."""
    command = [*shlex.split(EXAMPLE), str(folder), str(batch), str(steps)]
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ours.ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in done.stdout.split()][1:]


def pytorch(folder: Path, batch: int, steps: int, threads: int) -> list[float]:
    """Seconds of PyTorch's steps."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = AutoModelForImageClassification.from_pretrained(folder, num_labels=10).train()
    pixels, labels = torch.randn(batch, 3, 224, 224), torch.arange(batch) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(pixels).logits, labels).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


if __name__ == "__main__":
    main()
