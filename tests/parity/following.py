"""What others read of a run's course: TensorBoard its events, transformers its `trainer_state.json`. Both must say what
`metrics.csv` says, row for row.

Usage: python tests/parity/following.py RUN
"""

import csv
import struct
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerState

# The columns of the table, as the other two name them: TensorBoard's tag, transformers' key.
TRAINED = {
    "loss": ("train/loss", "loss"),
    "grad_norm": ("train/grad_norm", "grad_norm"),
    "lr": ("train/lr", "learning_rate"),
    "head_lr": ("train/head_lr", "head_learning_rate"),
}
EVALUATED = {
    f"valid_{name}": (f"valid/{name}", f"eval_{name}") for name in ("loss", "accuracy", "macro_f1", "mcc", "ece")
}


def main() -> None:
    """Compares the three; ends with what differs."""
    run = Path(sys.argv[1])
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    events = EventAccumulator(str(run / "logs"), size_guidance={"scalars": 0})
    events.Reload()
    state = TrainerState.load_from_json(str(run / "trainer_state.json"))
    compared = 0
    for column, (tag, key) in (TRAINED | EVALUATED).items():
        # The Trainer logs rates where it logs a loss.
        told = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        logged = [(entry["step"], entry[key]) for entry in state.log_history if key in entry]
        same(f"trainer_state.json, {key}", [pair for pair in told if column in EVALUATED or trained(rows, pair[0])], logged)
        # Events hold numbers of 32 bits.
        short = [(step, struct.unpack("f", struct.pack("f", value))[0]) for step, value in told]
        same(f"TensorBoard, {tag}", short, [(event.step, event.value) for event in events.Scalars(tag)])
        compared += len(told)
    same("the last step", state.global_step, int(rows[-1]["step"]))
    times = [event.wall_time for event in events.Scalars("train/epoch")]
    same("times", times, sorted(times))
    print(f"{len(rows)} rows, {compared} values: TensorBoard and transformers read what metrics.csv says")


def trained(rows: list[dict], step: int) -> bool:
    """Whether anything was trained since the row before this step's."""
    return next(bool(row["loss"]) for row in rows if int(row["step"]) == step)


def same(what: str, expected, found) -> None:
    """Ends the check unless the two are equal, and there is something."""
    if expected != found or expected == []:
        raise SystemExit(f"{what}: expected {expected}, found {found}")


if __name__ == "__main__":
    main()
