"""Fine-tunes the real backbone with `xexp` and with transformers under one recipe, and writes a table.

Every finished (case, side, seed) is kept as a JSON file and not computed again, so the script can be
stopped and started at will. The table is rewritten from all that is there at the end of every call.

Usage: python tests/parity/accuracy.py [--only CASE] [--side torch|xexp] [--contended] [--retime] [--check]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import accuracy_cases
import accuracy_table
import ours
from accuracy_cases import CASES, Case

STORE = ours.SCRATCH / "accuracy"
TABLE = ours.ROOT / "experiments" / "finetune-accuracy" / "cpu"


def main() -> None:
    """Computes what is missing, then writes the table."""
    args = arguments()
    STORE.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        for seed in case.seeds:
            for side in ("torch", "xexp"):
                if args.only in (None, case.name) and args.side in (None, side) and not args.check:
                    compute(case, seed, side, args)
    accuracy_table.write(TABLE, CASES, stored())
    if args.check:
        sys.exit(0 if accuracy_table.passed(CASES, stored()) else 1)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=[case.name for case in CASES], help="this case alone")
    parser.add_argument("--side", choices=["torch", "xexp"], help="this side alone")
    flags = {
        "--contended": "note that the machine is busy: times mean little",
        "--retime": "compute again what was timed on a busy machine",
        "--check": "compute nothing; exit 1 unless every bound holds",
    }
    for flag, text in flags.items():
        parser.add_argument(flag, action="store_true", help=text)
    return parser.parse_args()


def compute(case: Case, seed: int, side: str, args: argparse.Namespace) -> None:
    """One run, unless it is stored; `--retime` takes a stored run for missing where it was contended."""
    path = STORE / f"{case.name}-{side}-{seed}.json"
    if path.exists() and not (args.retime and json.loads(path.read_text())["contended"]):
        return
    print(f"{case.name}, {side}, seed {seed}", flush=True)
    files = accuracy_cases.files(case.data, ours.SCRATCH / "data")
    if side == "torch":
        # Imported here: our own side runs on a machine that has no PyTorch.
        import accuracy_torch

        found = accuracy_torch.train(case, seed, ours.backbone(), files)
    else:
        found = finetune(case, seed, files)
    kept = {
        "case": case.name,
        "side": side,
        "seed": seed,
        "contended": args.contended,
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        **found,
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=2) + "\n")
    part.replace(path)


def finetune(case: Case, seed: int, files: dict[str, Path]) -> dict:
    """The same recipe through `xexp finetune`; an interrupted run is taken up where it stopped."""
    output = STORE / "runs" / f"{case.name}-{seed}"
    resumed = any(output.glob("checkpoint-*")) and not (output / "results.json").exists()
    command = ["finetune", "--model", ours.backbone(), "--output", output, "--strategy", case.strategy]
    for part, path in files.items():
        command += [f"--{part}", path]
    command += ["--text-column", "text", "--label-column", "label", "--max-length", case.max_length]
    if case.strategy == "full":
        command += ["--epochs", case.epochs, "--lr", case.lr, "--batch-size", case.batch]
        command += ["--schedule", "linear", "--warmup", case.warmup]
        command += ["--weight-decay", case.weight_decay, "--clip", case.clip]
    # A probe solves the same convex problem by its own full-batch scheme and takes no recipe.
    command += ["--seed", seed, "--device", "cpu", "--format", "json"]
    command += ["--resume" if resumed else "--overwrite"]
    began = time.monotonic()
    done = ours.run(ours.program(), *command, stdout=subprocess.PIPE, text=True)
    wall = time.monotonic() - began
    results = json.loads(done.stdout)
    return {
        "steps": results["steps"],
        "train_seconds": results["seconds"],
        "wall_seconds": wall,
        "resumed": resumed,
        "train_examples": results["train_examples"],
        "weights_sha256": results["weights_sha256"],
        "head": results["head"],
        **{part: results[part] for part in files if part != "train"},
    }


def machine() -> str:
    """The processor's name and how many cores of it this machine has."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def stored() -> list[dict]:
    """All finished runs."""
    return [json.loads(path.read_text()) for path in sorted(STORE.glob("*.json"))]


if __name__ == "__main__":
    main()
