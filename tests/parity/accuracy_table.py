"""The table of the accuracy comparison: a row a run in `table.csv`, a row a case in `table.md`."""

import csv
import statistics
from pathlib import Path

from accuracy_cases import Case

COLUMNS = [
    "case", "side", "seed", "part", "accuracy", "macro_f1", "loss", "steps", "train_examples",
    "train_seconds", "wall_seconds", "contended", "machine", "date",
]  # fmt: skip


def write(folder: Path, cases: list[Case], runs: list[dict]) -> None:
    """Writes both files anew from the stored runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for run in runs:
            for part in ("valid", "test"):
                if part in run:
                    table.writerow({**run, "part": part, **run[part]})
    text = "\n".join(markdown(cases, runs))
    (folder / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def markdown(cases: list[Case], runs: list[dict]) -> list[str]:
    """Lines of the Markdown table: a row a case and part, means over seeds."""
    lines = ["# Fine-tuning accuracy: xexp beside transformers", ""]
    lines += [f"Machine: {name}." for name in sorted({run["machine"] for run in runs})]
    dates = sorted({run["date"] for run in runs})
    lines += [f"Date: {' to '.join(dict.fromkeys([dates[0], dates[-1]]))}."] if dates else ["No runs yet."]
    titles = ["case", "part", "seeds", "transformers", "xexp", "gap, points", "bound"]
    titles += ["transformers s (train)", "xexp s (train)", "holds"]
    lines += ["", f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    for case in cases:
        for part in ("valid", "test"):
            torch, xexp = (side(runs, case, name, part) for name in ("torch", "xexp"))
            if torch or xexp:
                lines.append(row(case, part, torch, xexp))
    lines += [
        "",
        "Accuracy is that of the best epoch by macro-F1 on the validation part, on both sides; mean over",
        "seeds. Times are means over seeds, of the whole run and in brackets of its training steps; a * is",
        "for a machine that was busy with other work. The clock of transformers starts after its imports,",
        "ours with the command. transformers pads each batch of a shuffled epoch to its longest sentence, as",
        "its Trainer does by default. A probe's backbone runs once; the head's convex problem is solved on the",
        "kept features, by AdamW there and by full-batch accelerated descent here.",
    ]
    for run in runs:
        for part in ("valid", "test"):
            if part in run.get("optimum", {}):
                best = f"{run['optimum'][part]['accuracy']:.4f}"
                lines.append(f"{run['case']}, {part}: softmax regression by L-BFGS reaches {best}.")
    return lines


def side(runs: list[dict], case: Case, name: str, part: str) -> list[dict]:
    """The runs of one side of a case that have this part."""
    return [run for run in runs if run["case"] == case.name and run["side"] == name and part in run]


def row(case: Case, part: str, torch: list[dict], xexp: list[dict]) -> str:
    """One line of the Markdown table; a side that has not run yet is a dash."""
    cells = [case.name, part, f"{len(torch)}, {len(xexp)} of {len(case.seeds)}"]
    cells += [f"{accuracy(runs, part):.4f}" if runs else "–" for runs in (torch, xexp)]
    cells += [f"{gap(torch, xexp, part):+.2f}" if torch and xexp else "–", f"{case.bound}"]
    cells += [seconds(runs) if runs else "–" for runs in (torch, xexp)]
    cells += [verdict(case, part, torch, xexp)]
    return "| " + " | ".join(cells) + " |"


def accuracy(runs: list[dict], part: str) -> float:
    """Mean accuracy over seeds."""
    return statistics.mean(run[part]["accuracy"] for run in runs)


def gap(torch: list[dict], xexp: list[dict], part: str) -> float:
    """Ours less theirs, in points."""
    return 100 * (accuracy(xexp, part) - accuracy(torch, part))


def seconds(runs: list[dict]) -> str:
    """Mean times of a side's runs."""
    wall, train = (statistics.mean(run[key] for run in runs) for key in ("wall_seconds", "train_seconds"))
    return f"{wall:.0f} ({train:.0f}){' *' if any(run['contended'] for run in runs) else ''}"


def verdict(case: Case, part: str, torch: list[dict], xexp: list[dict]) -> str:
    """`yes`, `no`, or a dash while a seed of a side is missing. The floor is for the validation part."""
    if len(torch) < len(case.seeds) or len(xexp) < len(case.seeds):
        return "–"
    # A hair above the bound is the bound itself, met in binary fractions.
    close = abs(gap(torch, xexp, part)) <= case.bound + 1e-9
    high = part != "valid" or accuracy(xexp, part) >= case.floor
    return "yes" if close and high else "no"


def passed(cases: list[Case], runs: list[dict]) -> bool:
    """Whether every case is complete and within its bound on every part it has."""
    verdicts = []
    for case in cases:
        parts = [part for part in ("valid", "test") if side(runs, case, "torch", part)] or ["valid"]
        for part in parts:
            sides = [side(runs, case, name, part) for name in ("torch", "xexp")]
            verdicts.append(verdict(case, part, *sides))
    return all(found == "yes" for found in verdicts)
