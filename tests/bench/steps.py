"""Training steps and forward passes against PyTorch's, side by side: the same weights, batches, threads and precision.

Rounds alternate between the two, which begins changes from round to round, and each round is a process of its own. A figure
is the median over the steps of all rounds but the first of each; `spread` is the range of the rounds' own ratios. The losses
must agree, or the figure is of other work. Each time also stands as a share of the rate at which this machine multiplies
matrices (the faster library's), by the floating-point operations of the matrix products alone: those that the side itself
does. Ours are fewer in a transformer, whose last block is computed for the first tokens alone, where a head reads it.

Usage: python tests/bench/steps.py [--only CASE…] [--threads 1 2] [--rounds 3]
"""

import argparse
import os
import shlex
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parity")]

import record
import subjects
from measure import measured

EXAMPLE = shlex.split(os.environ.get("XEXP_BENCH_EXAMPLE", "target/release/examples/speed"))
RATE = 5e-5
# Relative difference of the losses: rounding alone, some steps on; bf16 keeps eight bits.
CLOSE = {"f32": 1e-3, "bf16": 3e-2}


class Case(NamedTuple):
    """One thing to repeat."""

    name: str
    mode: str
    subject: object
    # Floating-point operations of the matrix products of a forward pass: ours, PyTorch's.
    forward: tuple[float, float]
    steps: int
    precision: str = "f32"
    # Of adapters on queries and values, where these are trained and the head.
    rank: int | None = None


def transformer(batch: int, length: int, layers: int, width: int, hidden: int, before: float = 0.0) -> tuple[float, float]:
    """Operations of a transformer's forward pass: projections, feed-forward layers, attention, and what is `before` them.

    Of our last block, keys and values are those of all tokens, and the rest of the first tokens alone.
    """
    tokens = batch * length
    others = 2 * width * width + 2 * width * hidden + 2 * length * width
    block, last = (2.0 * (2 * width * width * tokens + others * asking) for asking in (tokens, batch))
    return before + (layers - 1) * block + last, before + layers * block


MINILM = transformer(32, 128, 6, 384, 1536)
VIT = transformer(16, 197, 12, 384, 1536, before=2.0 * 16 * 196 * 768 * 384)
# Multiplications of MobileNetV2 0.35 at 224 × 224: 59 million an image (Sandler et al. 2018, their code's table).
MOBILENET = (2.0 * 16 * 59e6, 2.0 * 16 * 59e6)

CASES = (
    Case("MiniLM step, 32 × 128", "step", lambda: subjects.minilm(32, 128), MINILM, 4),
    Case("MiniLM step, 32 × 128, bf16", "step", lambda: subjects.minilm(32, 128), MINILM, 4, "bf16"),
    Case("MiniLM step, 32 × 128, LoRA of rank 8", "step", lambda: subjects.minilm(32, 128), MINILM, 4, rank=8),
    Case("MiniLM forward, 32 × 128", "forward", lambda: subjects.minilm(32, 128), MINILM, 8),
    Case("MiniLM step, 32 × 16", "step", lambda: subjects.minilm(32, 16), transformer(32, 16, 6, 384, 1536), 20),
    Case("ViT-S/16 step, 16 images", "step", lambda: subjects.vit_small(16), VIT, 3),
    Case("MobileNetV2 0.35 step, 16 images", "step", lambda: subjects.mobilenet(16), MOBILENET, 6),
)  # fmt: skip


def main() -> None:
    """Prints the table, and writes it when every case was run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[case.name for case in CASES], help="these cases alone")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of either side")
    args = parser.parse_args()
    rows = []
    for threads in args.threads:
        rate = matrix_rate(threads)
        print(f"{threads} thread(s): {rate / 1e9:.0f} GFLOP/s in matrix products", flush=True)
        for case in CASES:
            if args.only is None or case.name in args.only:
                rows.append(compare(case, threads, args.rounds, rate))
                record.show(rows[-1])
    if args.only is None:
        record.write("steps.csv", rows)


def compare(case: Case, threads: int, rounds: int, rate: float) -> dict:
    """One row of the table."""
    subject = case.subject()
    found = {"xexp": [], "pytorch": []}
    for number in range(rounds):
        for side in sorted(found, reverse=number % 2 == 0):
            found[side].append(one(side, case, subject, threads))
    agree(case, found)
    seconds = {side: statistics.median([s for r in runs for s in r[0]]) for side, runs in found.items()}
    ratios = [statistics.median(a[0]) / statistics.median(b[0]) for a, b in zip(*found.values(), strict=True)]
    memory = {side: max(run[2] for run in runs) for side, runs in found.items()}
    # Backward, a product of the gradient with the weight and, where that learns, one with the input.
    times = {"forward": 1, "step": 3 if case.rank is None else 2}[case.mode]
    ours, theirs = (passed * times for passed in case.forward)
    return {
        "case": case.name,
        "threads": threads,
        "xexp_ms": f"{1000 * seconds['xexp']:.1f}",
        "pytorch_ms": f"{1000 * seconds['pytorch']:.1f}",
        "ratio": f"{seconds['xexp'] / seconds['pytorch']:.3f}",
        "spread": f"{min(ratios):.2f} to {max(ratios):.2f}",
        "xexp_share_of_rate": f"{ours / seconds['xexp'] / rate:.2f}",
        "pytorch_share_of_rate": f"{theirs / seconds['pytorch'] / rate:.2f}",
        "xexp_mb": f"{memory['xexp']:.0f}",
        "pytorch_mb": f"{memory['pytorch']:.0f}",
        "memory_ratio": f"{memory['xexp'] / memory['pytorch']:.2f}",
        "gflop_per_second": f"{rate / 1e9:.0f}",
    }


def one(side: str, case: Case, subject: subjects.Subject, threads: int) -> tuple[list, list, float]:
    """Seconds and losses of a round without its first, and the peak memory in MB."""
    given = [case.mode, "--model", subject.model, "--batch", subject.batch, "--steps", case.steps]
    if case.mode == "step":
        given += ["--lr", RATE]
    if case.rank is not None:
        given += ["--lora", case.rank]
    done = measured([*command(side, threads), *given, *precision(case)], threads)
    lines = [tuple(map(float, line.split())) for line in done.output.splitlines()]
    return [seconds for seconds, _ in lines][1:], [value for _, value in lines], done.memory


def command(side: str, threads: int) -> list:
    """The program of a side, up to the mode."""
    if side == "xexp":
        return EXAMPLE
    return [sys.executable, HERE / "torch_steps.py", "--threads", threads]


def precision(case: Case) -> list:
    """The flag of a narrow precision."""
    return [] if case.precision == "f32" else ["--precision", case.precision]


def matrix_rate(threads: int) -> float:
    """Operations a second of the faster side in one large product."""
    rates = []
    for side in ("xexp", "pytorch"):
        done = measured([*command(side, threads), "matrix", "--steps", 20], threads)
        lines = [tuple(map(float, line.split())) for line in done.output.splitlines()][1:]
        rates.append(lines[0][1] / statistics.median(seconds for seconds, _ in lines))
    return max(rates)


def agree(case: Case, found: dict) -> None:
    """Ends the benchmark when the two sides did not compute the same."""
    for ours_run, theirs_run in zip(*found.values(), strict=True):
        for a, b in zip(ours_run[1], theirs_run[1], strict=True):
            if not abs(a - b) <= CLOSE[case.precision] * max(abs(b), 1e-3):
                raise SystemExit(f"{case.name}: the losses differ, {ours_run[1]} and {theirs_run[1]}")


if __name__ == "__main__":
    main()
