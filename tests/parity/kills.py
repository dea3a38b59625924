"""`kill -9` at random moments: whatever a run was doing, its resumption ends in the weights of a run that was never stopped.

A run of adapters and one of `lp-ft` on the bundled model write a checkpoint after every step, so that about half of the time
goes into writing them. Each is killed twenty times, at moments drawn uniformly over the time that one takes: some before the
first checkpoint, some in the middle of one. It begins anew when it has come to its end, and every end is compared.

Usage: python tests/parity/kills.py [--kills 20] [--seed 1]
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import compare
import ours

WORK = ours.SCRATCH / "kills"
COMMON = [
    "--train", "bundled:shop-requests", "--limit-train", "96", "--epochs", "2", "--batch-size", "8", "--max-length", "16",
    "--checkpoint-every", "1", "--log-every", "3", "--seed", "7", "--device", "cpu", "--quiet",
]  # fmt: skip
STRATEGIES = {"lora": ["--lora-dropout", "0.1"], "lp-ft": []}


def main() -> None:
    """Kills both; exits 1 when an end differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how often each is killed")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments")
    args = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    found = [compare.report(strategy, rows(strategy, args.kills, random.Random(args.seed))) for strategy in STRATEGIES]
    compare.finish(all(found))


def rows(strategy: str, kills: int, chance: random.Random) -> list[compare.Row]:
    """One strategy."""
    whole = WORK / strategy / "whole"
    began = time.monotonic()
    start(strategy, whole).wait()
    took = time.monotonic() - began
    expected, found, moments, turn = end(whole), [], [], 0
    while len(moments) < kills:
        folder, turn = WORK / strategy / f"turn-{turn}", turn + 1
        killed = 0
        # What is left of a turn gets shorter from kill to kill; the last one of it is not killed at all.
        while len(moments) < kills:
            done = kill(strategy, folder, chance.uniform(0.0, took))
            if done is None:
                break
            moments.append(done)
            killed += 1
        if not (folder / "results.json").exists() and start(strategy, folder).wait() != 0:
            return [compare.Row(f"turn {turn}, after {killed} kills", "did not end", "an end", False)]
        found += compare.equal(f"turn {turn}, killed {killed} times", end(folder), expected)
        left = [path.name for path in folder.iterdir() if path.name.startswith((".", "checkpoint-"))]
        found += compare.equal(f"turn {turn}: left behind", left, [])
    writing = sum(moment == "writing" for moment in moments)
    found.append(compare.Row("killed while a checkpoint was written", str(writing), "some", writing > 0))
    later = sum(moment != "early" for moment in moments)
    found.append(compare.Row("killed after the first checkpoint", str(later), "most", 2 * later > kills))
    return found


def start(strategy: str, folder: Path) -> subprocess.Popen:
    """The run in the background; it goes on where an earlier one has begun."""
    begun = (folder / "head.json").exists()
    line = [*ours.program(), "finetune", *COMMON, "--strategy", strategy, *STRATEGIES[strategy], "--output", str(folder)]
    # Killed before anything was written, there is nothing to go on from.
    line += ["--resume"] if begun else ["--overwrite"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(line, cwd=ours.ROOT, **quiet)


def kill(strategy: str, folder: Path, after: float) -> str | None:
    """Starts or resumes, kills after so many seconds, and says at what; `None` when the run had ended before."""
    process = start(strategy, folder)
    try:
        process.wait(timeout=after)
        if process.returncode != 0:
            raise SystemExit(f"{strategy}: exit code {process.returncode}")
        return None
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if (folder / "results.json").exists():
        return None
    if any(name.endswith(".partial") for name in names):
        return "writing"
    return "between" if any(name.startswith("checkpoint-") for name in names) else "early"


def end(folder: Path) -> list[str]:
    """The hash of the weights, and the table of the course."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return [results["weights_sha256"], (folder / "metrics.csv").read_text(encoding="utf-8")]


if __name__ == "__main__":
    main()
