"""What became of the faults: classes, comparison of results, and the summary."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

SURVIVED, REPORTED, UNNAMED, SILENT = "survived", "reported", "unnamed", "silent"
OUTCOMES = (SURVIVED, REPORTED, UNNAMED, SILENT)
# Wall-clock times, which no two runs share.
TIMED = "seconds"
# When and where a result was written, which no two runs share either.
NOTES = (".snakemake_timestamp", ".morphpipe")
ALL = "**all**"


@dataclass(frozen=True)
class Fault:
    """One fault and what became of it.

    Attributes
    ----------
    number
        Of its kind, from 0; with the campaign's seed it fixes the fault.
    kind
        `kill`, `corruption`, `swap` or `edit`.
    target
        Where it struck: the rule that was running, the kind of result, or what was edited.
    detail
        The moment, or the file, what was done to it, and the reader.
    outcome
        `survived`: the results are those of the undisturbed run. `reported`: an error of the job
        named the file, or `morphpipe verify` did afterwards. `unnamed`: an error that does not
        name it. `silent`: other results and no error.
    message
        The error, or what differs.
    """

    number: int
    kind: str
    target: str
    detail: str
    outcome: str
    message: str = ""


def read_faults(path: Path) -> list[Fault]:
    """Faults that were tried before; a line that was cut short is left out."""
    faults = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            faults.append(Fault(**json.loads(line)))
        except ValueError:
            continue
    return faults


def write_fault(fault: Fault, path: Path) -> None:
    """Append a fault to the journal."""
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(fault), ensure_ascii=False) + "\n")


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same results; wall-clock times are left out."""
    if not (one.is_file() and other.is_file()):
        return False
    if one.read_bytes() == other.read_bytes():
        return True
    if one.suffix == ".parquet":
        left, right = pq.read_table(one), pq.read_table(other)
        left, right = (t.drop_columns([TIMED] * (TIMED in t.column_names)) for t in (left, right))
        return (left.schema.metadata, left.schema) == (right.schema.metadata, right.schema) and (
            left.to_pandas().equals(right.to_pandas())
        )
    if one.suffix == ".csv":
        left, right = (pd.read_csv(p).drop(columns=TIMED, errors="ignore") for p in (one, other))
        return left.equals(right)
    if one.name == "state.json":
        return _state(one) == _state(other)
    return False


def _state(path: Path) -> object:
    """A checkpoint's state but for the checksum of its log, which holds wall-clock times."""
    content = json.loads(path.read_text("utf-8"))
    content["sha256"].pop("log.csv")
    content.pop("checksum")
    return content


def differences(one: Path, other: Path, places: Iterable[str]) -> list[str]:
    """Which of these files, or files in these folders, are not the same in two runs."""
    found = []
    for place in places:
        names = {place}
        if (one / place).is_dir():
            names = {
                path.relative_to(folder).as_posix()
                for folder in (one, other)
                for path in (folder / place).rglob("*")
                if path.is_file() and path.name not in NOTES
            }
        found += [name for name in sorted(names) if not same_content(one / name, other / name)]
    return found


def table(faults: Sequence[Fault]) -> str:
    """Faults counted by kind and target, as a table in Markdown."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for fault in faults:
        counts.setdefault((fault.kind, fault.target), Counter())[fault.outcome] += 1
    for kind in sorted({fault.kind for fault in faults}):
        total = [c for (k, _), c in counts.items() if k == kind]
        counts[kind, ALL] = sum(total, Counter())
    lines = ["| fault | where | tried | survived | reported | unnamed | silent |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    rows = sorted(counts.items(), key=lambda item: (item[0][0], item[0][1] == ALL, item[0]))
    for (kind, target), counter in rows:
        cells = " | ".join(str(counter[outcome]) for outcome in OUTCOMES)
        lines.append(f"| {kind} | {target} | {sum(counter.values())} | {cells} |")
    return "\n".join(lines)


def summary(faults: Sequence[Fault], seed: int) -> str:
    """The campaign's result as a page of Markdown."""
    bad = [fault for fault in faults if fault.outcome in (UNNAMED, SILENT)]
    text = f"Seed {seed}, {len(faults)} faults.\n\n{table(faults)}\n"
    if bad:
        text += "\nNot as it has to be:\n\n"
        text += "\n".join(f"- {f.kind} {f.number}, {f.detail}: {f.message[:300]}" for f in bad)
        text += "\n"
    return text
