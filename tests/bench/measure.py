"""Runs a command and measures it from outside: standard output, wall time, peak memory."""

import os
import subprocess
import time
from typing import NamedTuple

import ours


class Measured(NamedTuple):
    """What a command printed and took."""

    output: str
    seconds: float
    # Largest resident memory, in MB (10⁶ bytes).
    memory: float


def measured(command: list, threads: int) -> Measured:
    """Runs a command of either side with so many threads; a failure ends the benchmark."""
    counts = {name: str(threads) for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    line = [str(word) for word in command]
    began = time.perf_counter()
    with subprocess.Popen(
        line, cwd=ours.ROOT, env=os.environ | counts | {"TOKENIZERS_PARALLELISM": "true"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if child.returncode != 0:
        raise SystemExit(f"exit code {child.returncode}: {' '.join(line)}")
    # Linux counts in KiB.
    return Measured(output, seconds, usage.ru_maxrss * 1024 / 1e6)
