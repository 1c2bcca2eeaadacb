"""Run time and resources of every stage, from Snakemake's benchmarks."""

import re
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from morphpipe.report.figures.captions import Plot
from morphpipe.report.figures.drawing import CONDITIONS, STYLE, new_figure
from morphpipe.report.tables import Cell, Table, number, table

# This job is still running while it writes.
_ITSELF = "report"
NOT_MEASURED = Cell("not measured", "absent")


@dataclass(frozen=True)
class Stage:
    """The jobs of one rule.

    Attributes
    ----------
    name
        Name of the rule.
    jobs, measured
        Numbers of jobs, and of jobs with benchmarks.
    seconds, longest
        Total run time and that of the longest job; NaN if not measured.
    memory
        Peak resident memory of any job, MiB; NaN if not measured: Snakemake samples memory, and a
        short job can end before the first sample.
    cpu_seconds
        Total CPU time; NaN if not measured.
    """

    name: str
    jobs: int
    measured: int
    seconds: float
    longest: float
    memory: float
    cpu_seconds: float


def _measurements(path: Path) -> pd.Series:
    """Means over a benchmark's repeats; missing values are NaN."""
    columns = ["s", "max_rss", "cpu_time"]
    try:
        frame = pd.read_csv(path, sep="\t")
    except (OSError, ValueError):  # empty, or another file
        return pd.Series(np.nan, index=columns)
    numbers = frame.reindex(columns=columns).apply(pd.to_numeric, errors="coerce")
    return numbers.mean()


def _jobs(folder: Path | None, suffix: str) -> dict[str, set[str]]:
    """Names of jobs with such a file, by rule."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob(f"*{suffix}")) if folder is not None else []:
        relative = path.relative_to(folder).with_suffix("") if folder is not None else path
        found.setdefault(relative.parts[0], set()).add(relative.as_posix())
    return found


def read_stages(benchmarks: Path | None, logs: Path | None) -> list[Stage]:
    """Summarise the benchmarks of every rule, the longest first.

    Parameters
    ----------
    benchmarks
        Folder of `<rule>.tsv` and `<rule>/<job>.tsv`.
    logs
        Folder of logs with the same names, one for each job.
    """
    measured, logged = _jobs(benchmarks, ".tsv"), _jobs(logs, ".log")
    stages = []
    for name in sorted({*measured, *logged} - {_ITSELF}):
        jobs = measured.get(name, set())
        frame = pd.DataFrame([_measurements(benchmarks / f"{job}.tsv") for job in sorted(jobs)]
                             if benchmarks is not None else [],
                             columns=["s", "max_rss", "cpu_time"])  # fmt: skip
        times = frame["s"].dropna()
        stages.append(
            Stage(
                name=name,
                jobs=len(jobs | logged.get(name, set())),
                measured=len(times),
                seconds=float(times.sum()) if len(times) else float("nan"),
                longest=float(times.max()) if len(times) else float("nan"),
                memory=float(frame["max_rss"].max()),
                cpu_seconds=float(frame["cpu_time"].sum(min_count=1)),
            )
        )
    return sorted(stages, key=lambda stage: -np.nan_to_num(stage.seconds, nan=-1))


def measured_seconds(benchmarks: Path | None, rule: str, experiment: str) -> float:
    """Run time of all jobs of a rule for an experiment, NaN where one was not measured."""
    folder = None if benchmarks is None else benchmarks / rule
    if folder is None or not folder.is_dir():
        return float("nan")
    jobs = [
        p for p in folder.glob("*.tsv") if re.fullmatch(rf"{re.escape(experiment)}(_\d+)+", p.stem)
    ]
    return sum(float(_measurements(job)["s"]) for job in jobs) if jobs else float("nan")


def duration(seconds: float) -> str:
    """A time in words: seconds up to two minutes, minutes up to two hours, hours."""
    if seconds < 120:
        return f"{number(seconds)} s"
    return f"{number(seconds / 60)} min" if seconds < 7200 else f"{number(seconds / 3600)} h"


def known_cell(value: float, text: str) -> Cell:
    """Make a cell with a value, or `not measured`."""
    return Cell(text, "number", value=value) if np.isfinite(value) else NOT_MEASURED


def stage_table(stages: list[Stage]) -> Table:
    """Run time, processor time and memory by stage."""
    rows: list[list[Cell | str]] = [
        [
            Cell(stage.name, "mono"),
            Cell(f"{stage.measured:,} of {stage.jobs:,}", "number"),
            known_cell(stage.seconds, duration(stage.seconds)),
            known_cell(stage.longest, duration(stage.longest)),
            known_cell(stage.cpu_seconds, duration(stage.cpu_seconds)),
            known_cell(stage.memory, f"{number(stage.memory / 1024)} GiB"),
        ]
        for stage in stages
    ]
    caption = (
        "Stages of the workflow, by the total run time of their jobs (in the last run of each job, "
        "regardless of parallel execution), with the memory of the largest job. In the CSV file, "
        "times are in seconds and memory in MiB. GPU memory and energy are not measured."
    )
    heads = ["stage", "jobs measured", "time, all jobs", "longest job", "CPU time"]
    return table(caption, [*heads, "largest memory"], rows, 5)


@mpl.rc_context(STYLE)
def figure_stages(stages: list[Stage]) -> Figure:
    """Time of all jobs together, a bar per stage."""
    figure = new_figure(9, 0.6 + 0.24 * len(stages))
    axes = figure.subplots()
    minutes = [stage.seconds / 60 for stage in stages]
    axes.barh(range(len(stages)), minutes, color=CONDITIONS[0], height=0.65)
    axes.set_yticks(range(len(stages)), [stage.name for stage in stages])
    axes.set_ylim(len(stages) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("total run time of the jobs, minutes")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    return figure


def stage_plots(stages: list[Stage]) -> list[Plot]:
    """The figure of run times, where any was measured."""
    known = [stage for stage in stages if np.isfinite(stage.seconds)]
    if not known:
        return []
    total = sum(stage.seconds for stage in known)
    return [
        Plot(
            "run-times",
            "Run times",
            figure_stages(known),
            "Run time by stage. The values are in the table below.",
            f"Run time by stage; {duration(total)} in total, without parallel execution.",
        )
    ]
