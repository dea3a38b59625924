"""Where the checks find what they compare: the program, its example, the real backbone, the shared data.

Every place can be given in the environment; the defaults lie inside the repository.
"""

import os
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "target" / "parity"


def shared() -> Path:
    """The folder of shared data: `XEXP_SHARED`, by default `../shared` beside the repository."""
    folder = Path(os.environ.get("XEXP_SHARED", ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        raise SystemExit(f"no shared data at {folder}: set XEXP_SHARED to its folder")
    return folder


def backbone() -> Path:
    """The real text backbone: `XEXP_PARITY_BACKBONE`, by default `target/parity/minilm`."""
    folder = Path(os.environ.get("XEXP_PARITY_BACKBONE", SCRATCH / "minilm")).resolve()
    if not (folder / "model.safetensors").is_file():
        raise SystemExit(f"no backbone at {folder}: run scripts/fetch-minilm.sh {folder}")
    return folder


def program() -> list[str]:
    """The command line of `xexp`: `XEXP_PARITY_PROGRAM`, by default cargo building it first."""
    return shlex.split(os.environ.get("XEXP_PARITY_PROGRAM", "cargo run --release --quiet --bin xexp --"))


def example() -> list[str]:
    """The command line of the `parity` example: `XEXP_PARITY_EXAMPLE`, by default cargo building it first."""
    cargo = "cargo run --release --quiet -p xexp-train --example parity --"
    return shlex.split(os.environ.get("XEXP_PARITY_EXAMPLE", cargo))


def run(command: list[str], *args: object, **options) -> subprocess.CompletedProcess:
    """Runs a command in the repository's root; its standard error is passed on, a failure ends the check."""
    line = [*command, *map(str, args)]
    done = subprocess.run(line, cwd=ROOT, stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        raise SystemExit(f"exit code {done.returncode}: {shlex.join(line)}")
    return done
