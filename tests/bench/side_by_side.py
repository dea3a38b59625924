"""xexp beside transformers' Trainer, PEFT and SetFit, under one budget: the same examples, epochs, batches, rates, the best epoch
chosen on the same validation file. Whole processes, from start to saved model, two threads each; which side begins alternates.

A finished run is kept as a JSON file and not made again, so the script can be stopped and started at will; the table is written from
all that is there. Few-shot cases have no validation file: the last epoch counts. SetFit needs an environment of its own, since it
does not run with transformers 5: XEXP_SETFIT_PYTHON names its Python, made from tests/bench/setfit.txt.

Usage: python tests/bench/side_by_side.py [--only CASE …] [--seeds 1 2 3] [--check]
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parity")]

import accuracy
import ours
import record
import side_cases
from measure import measured
from side_cases import CASES, SEEDS, Case

STORE = ours.SCRATCH / "side"
TABLE = ours.ROOT / "experiments" / "side-by-side" / "cpu"
THREADS = 2
# t(0.975, 4): the interval of a difference of two means of three seeds.
T_OF_DIFFERENCE = 2.776


def main() -> None:
    """Makes what is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[case.name for case in CASES], help="these cases alone")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="these seeds alone")
    parser.add_argument("--check", action="store_true", help="make nothing; exit 1 unless no case is below or slower")
    args = parser.parse_args()
    STORE.mkdir(parents=True, exist_ok=True)
    for turn, seed in enumerate(args.seeds if not args.check else ()):
        for case in CASES:
            if args.only is None or case.name in args.only:
                for side in (("xexp", "other"), ("other", "xexp"))[turn % 2]:
                    make(case, seed, side)
    rows = [row for case in CASES if (row := line(case)) is not None]
    for row in rows:
        record.show(row)
    if rows:
        record.write("runs.csv", rows, TABLE)
    if args.check:
        sys.exit(0 if len(rows) == len(CASES) and all(row["verdict"] == "not below, faster" for row in rows) else 1)


def make(case: Case, seed: int, side: str) -> None:
    """One run, unless it is stored."""
    kept = STORE / f"{case.name}-{seed}-{side}.json"
    if kept.exists():
        return
    print(f"{case.name}, seed {seed}, {side}", flush=True)
    files = side_cases.files(case, seed, STORE / "data")
    output = STORE / "run"
    shutil.rmtree(output, ignore_errors=True)
    if side == "xexp":
        run = measured([ours.program(), "finetune", *flags(case, seed, files, output)], THREADS)
        score = json.loads((output / "results.json").read_text())["test"][
            {"f1": "f1_positive"}.get(case.metric, case.metric)
        ]
    else:
        python = os.environ.get("XEXP_SETFIT_PYTHON") if case.strategy == "few" else sys.executable
        if python is None:
            raise SystemExit("XEXP_SETFIT_PYTHON: expected the Python of an environment with SetFit")
        folder = files["train"].parent
        run = measured([python, HERE / "side_torch.py", case.name, seed, folder, output], THREADS)
        score = json.loads(run.output.splitlines()[-1])["score"]
    found = {
        "score": score, "seconds": run.seconds, "mb": run.memory, "machine": accuracy.machine(),
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(found) + "\n")
    part.replace(kept)


def flags(case: Case, seed: int, files: dict[str, Path], output: Path) -> list:
    """The case as `xexp finetune` is told it."""
    # A few-shot case chooses no epoch: scored on what it trained on, the last is as good as any.
    valid = files.get("valid", files["train"])
    given = ["--model", ours.backbone(), "--train", files["train"], "--valid", valid, "--test", files["test"]]
    given += ["--text-column", "text", "--label-column", "label", "--output", output, "--seed", seed, "--quiet"]
    given += ["--epochs", case.epochs, "--lr", case.lr, "--batch-size", case.batch, "--warmup", case.warmup]
    given += ["--weight-decay", case.weight_decay, "--max-length", case.max_length]
    given += ["--pair-column", "pair"] if case.pair else []
    if case.strategy == "lora":
        given += ["--strategy", "lora", "--lora-rank", case.rank, "--lora-alpha", case.alpha]
    if case.strategy == "few":
        given += ["--head-init", "zero", "--ema", 0.95]
    return given


def line(case: Case) -> dict | None:
    """A case's row: means over the seeds that both sides have, their difference with its interval, times and memory."""
    runs = {}
    for side in ("xexp", "other"):
        paths = [STORE / f"{case.name}-{seed}-{side}.json" for seed in SEEDS]
        runs[side] = [json.loads(path.read_text()) for path in paths if path.exists()]
    if min(map(len, runs.values())) < len(SEEDS):
        return None
    mean = {side: statistics.mean(run["score"] for run in of) for side, of in runs.items()}
    variance = sum(statistics.variance(run["score"] for run in of) for of in runs.values()) / len(SEEDS)
    half = T_OF_DIFFERENCE * variance**0.5
    seconds = {side: statistics.median(run["seconds"] for run in of) for side, of in runs.items()}
    difference = mean["xexp"] - mean["other"]
    below, slower = difference < -half, seconds["xexp"] >= seconds["other"]
    return {
        "case": case.name,
        "beside": {"full": "transformers", "lora": "PEFT", "few": "SetFit"}[case.strategy],
        "metric": case.metric,
        "xexp": f"{mean['xexp']:.4f}",
        "other": f"{mean['other']:.4f}",
        "difference": f"{difference:+.4f}",
        "half_interval": f"{half:.4f}",
        "xexp_seconds": f"{seconds['xexp']:.1f}",
        "other_seconds": f"{seconds['other']:.1f}",
        "ratio": f"{seconds['xexp'] / seconds['other']:.2f}",
        "xexp_mb": f"{max(run['mb'] for run in runs['xexp']):.0f}",
        "other_mb": f"{max(run['mb'] for run in runs['other']):.0f}",
        "verdict": f"{'below' if below else 'not below'}, {'slower' if slower else 'faster'}",
    }


if __name__ == "__main__":
    main()
