"""What the bundled backbones are worth: against random weights, against a bag of words, and by a probe on SNIPS.

Every finished run is kept as a folder of `xexp` and not computed again, so the script can be stopped and started at
will. At the end the tables under `experiments/bundled-backbone/cpu` are rewritten from all that is there.

Usage: python tests/parity/transfer.py [--only CASE] [--check]
"""

import argparse
import csv
import datetime
import json
import platform
import subprocess
import sys

import numpy as np

import bag_of_words
import ours
import transfer_table
from transfer_cases import CASES, SEEDS, Case

STORE = ours.SCRATCH / "transfer"
TABLE = ours.ROOT / "experiments" / "bundled-backbone" / "cpu"


def main() -> None:
    """Computes what is missing, writes the tables, and with `--check` holds them against the bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=[case.name for case in CASES] + ["probe"], help="this case alone")
    parser.add_argument("--check", action="store_true", help="exit 1 unless every bound holds")
    args = parser.parse_args()
    wanted = [case for case in CASES if args.only in (None, case.name)]
    results = [compare(case) for case in wanted]
    probes = probe() if args.only in (None, "probe") else []
    if args.only is None:
        transfer_table.write(TABLE, results, probes, machine())
    passed = transfer_table.passed(results, probes)
    if args.check:
        sys.exit(0 if passed else 1)


def compare(case: Case) -> transfer_table.Result:
    """Both sides of a case: rates tried, five seeds at the best, the gap with its interval."""
    right, chosen = {}, {}
    for side in case.sides:
        if side == "bag of words":
            best, correct = bag_of_words.best(case.data.removeprefix("bundled:"))
            right[side], chosen[side] = np.tile(correct, (len(SEEDS), 1)), best
            continue
        tried = {rate: run(case, side, rate, SEEDS[0])["valid"]["accuracy"] for rate in case.rates}
        rate = max(tried, key=lambda rate: (tried[rate], -rate))
        chosen[side] = f"lr {rate:g} of {', '.join(f'{r:g}' for r in case.rates)}"
        right[side] = np.array([hits(case, side, rate, seed) for seed in SEEDS])
    result = transfer_table.Result(case, right[case.sides[0]], right[case.sides[1]], chosen)
    print(transfer_table.sentence(result), flush=True)
    return result


def folder(case: Case, side: str, rate: float, seed: int):
    """Where a run is kept."""
    return STORE / f"{case.name}-{side}-{rate:g}-{seed}"


def run(case: Case, side: str, rate: float, seed: int) -> dict:
    """The `results.json` of a run, computed unless it is there."""
    output = folder(case, side, rate, seed)
    if not (output / "results.json").is_file():
        limit = ["--limit-train", case.limit] if case.limit else []
        ours.run(
            ours.program(), "finetune", "--model", case.model, "--train", case.data, "--backbone", side,
            "--epochs", case.epochs, "--batch-size", case.batch, "--lr", rate, "--seed", seed, *limit,
            "--output", output, "--overwrite", "--quiet", stdout=subprocess.DEVNULL,
        )  # fmt: skip
        (output / "report.html").unlink()
    return json.loads((output / "results.json").read_text(encoding="utf-8"))


def hits(case: Case, side: str, rate: float, seed: int) -> list[bool]:
    """For each test example whether the run's model is right."""
    run(case, side, rate, seed)
    output = folder(case, side, rate, seed)
    done = ours.run(
        ours.program(), "predict", "--model", output, "--input", f"{case.data}/test", "--quiet",
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    guesses = [json.loads(line)["label"] for line in done.stdout.splitlines()]
    return [guess == truth for guess, truth in zip(guesses, truths(case.data), strict=True)]


def truths(data: str) -> list[str]:
    """Labels of a bundled set's test split."""
    name = data.removeprefix("bundled:")
    path = ours.ROOT / "crates" / "bundled" / "texts" / name / "test.csv"
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            return [row["label"] for row in csv.DictReader(file)]
    # Images are drawn by code; their classes take turns in the order of the labels.
    with (folder(*next_run(name)) / "labels.tsv").open(encoding="utf-8") as file:
        labels = [line.split("\t")[1] for line in file if line.split("\t")[0].isdigit()]
    return labels * 64


def next_run(name: str) -> tuple[Case, str, float, int]:
    """Any finished run on a set, for its label table."""
    case = next(case for case in CASES if case.data == f"bundled:{name}")
    return case, case.sides[0], case.rates[0], SEEDS[0]


def probe() -> list[tuple[str, float, float]]:
    """A linear probe on SNIPS: accuracy on its validation file, of our backbone and of its teacher."""
    rows = []
    snips = ours.shared() / "data" / "text" / "snips"
    for model, bound in (("bundled:mini-text", 0.93), (str(ours.backbone()), 0.0)):
        name = "mini-text" if bound else "all-MiniLM-L6-v2"
        output = STORE / f"probe-{name}"
        if not (output / "results.json").is_file():
            ours.run(
                ours.program(), "finetune", "--model", model, "--strategy", "probe", "--train",
                snips / "train.csv", "--valid", snips / "validate.csv", "--output", output,
                "--overwrite", "--quiet", stdout=subprocess.DEVNULL,
            )  # fmt: skip
        results = json.loads((output / "results.json").read_text(encoding="utf-8"))
        rows.append((name, results["valid"]["accuracy"], bound))
        print(f"probe on SNIPS, {name}: {rows[-1][1]:.4f}", flush=True)
    return rows


def machine() -> str:
    """Processor, cores and date."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{name}, {len(names)} cores, {datetime.date.today().isoformat()}"


if __name__ == "__main__":
    main()
