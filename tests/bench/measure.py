"""Runs a command and measures it from outside: standard output, wall time, peak memory."""

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import ours

# Seconds between two looks at a process's memory.
PAUSE = 0.005


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
    peak = [0.0]
    began = time.perf_counter()
    with subprocess.Popen(
        line, cwd=ours.ROOT, env=os.environ | counts | {"TOKENIZERS_PARALLELISM": "true"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        watcher = threading.Thread(target=watch, args=(child, peak))
        watcher.start()
        output, _ = child.communicate()
        seconds = time.perf_counter() - began
        watcher.join()
    if child.returncode != 0:
        raise SystemExit(f"exit code {child.returncode}: {' '.join(line)}")
    return Measured(output, seconds, peak[0])


def watch(child: subprocess.Popen, peak: list[float]) -> None:
    """Follows the kernel's mark of the largest memory to the process's end.

    What `wait4` reports would do for large processes only: it begins with the size of the process that started this one.
    """
    status = Path(f"/proc/{child.pid}/status")
    while child.returncode is None:
        try:
            marks = [row.split()[1] for row in status.read_text(encoding="utf-8").splitlines() if row.startswith("VmHWM:")]
        except OSError:
            return
        # Linux counts in KiB. A process that has ended has no mark any more.
        peak[0] = max([peak[0], *(int(mark) * 1024 / 1e6 for mark in marks)])
        time.sleep(PAUSE)
