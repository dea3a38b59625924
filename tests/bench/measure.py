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


def started(command: list, threads: int) -> subprocess.Popen:
    """Starts a command of either side with so many threads."""
    counts = {name: str(threads) for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return subprocess.Popen(
        [str(word) for word in command], cwd=ours.ROOT, env=os.environ | counts | {"TOKENIZERS_PARALLELISM": "true"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def until(command: list, threads: int, table: Path) -> Measured:
    """Runs a command until the table that it writes has a row below its header, and ends it there."""
    table.unlink(missing_ok=True)
    began = time.perf_counter()
    with started(command, threads) as child:
        while not (table.is_file() and table.read_bytes().count(b"\n") > 1):
            if child.poll() is not None:
                raise SystemExit(f"exit code {child.returncode} before {table.name} had a row: {command}")
            time.sleep(PAUSE)
        seconds = time.perf_counter() - began
        memory = high_water(child)
        child.kill()
        child.communicate()
    return Measured("", seconds, memory)


def measured(command: list, threads: int) -> Measured:
    """Runs a command of either side with so many threads; a failure ends the benchmark."""
    peak = [0.0]
    began = time.perf_counter()
    with started(command, threads) as child:
        watcher = threading.Thread(target=watch, args=(child, peak))
        watcher.start()
        output, _ = child.communicate()
        seconds = time.perf_counter() - began
        watcher.join()
    if child.returncode != 0:
        raise SystemExit(f"exit code {child.returncode}: {' '.join(map(str, command))}")
    return Measured(output, seconds, peak[0])


def watch(child: subprocess.Popen, peak: list[float]) -> None:
    """Follows the kernel's mark of the largest memory to the process's end.

    What `wait4` reports would do for large processes only: it begins with the size of the process that started this one.
    """
    while child.returncode is None:
        peak[0] = max(peak[0], high_water(child))
        time.sleep(PAUSE)


def high_water(child: subprocess.Popen) -> float:
    """The mark in MB; 0 of a process that has ended."""
    try:
        rows = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    # Linux counts in KiB.
    return max([int(row.split()[1]) * 1024 / 1e6 for row in rows if row.startswith("VmHWM:")], default=0.0)
