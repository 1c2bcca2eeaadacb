"""Run time and resources of every stage, from what Snakemake measured of its jobs."""

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
        Of the rule.
    jobs, measured
        How many left a log, and of how many there is a measurement.
    seconds, longest
        Run time of all jobs together and of the longest, NaN where nothing was measured.
    memory
        Peak resident memory of the largest job, MiB; NaN where it was not measured: Snakemake
        samples memory, and a short job can end before the first sample.
    cpu_seconds
        Processor time of all jobs together, NaN likewise.
    """

    name: str
    jobs: int
    measured: int
    seconds: float
    longest: float
    memory: float
    cpu_seconds: float


def _measurements(path: Path) -> pd.Series:
    """Means over a benchmark's repeats; what is no number is NaN."""
    columns = ["s", "max_rss", "cpu_time"]
    try:
        frame = pd.read_csv(path, sep="\t")
    except (OSError, ValueError):  # empty, or another file
        return pd.Series(np.nan, index=columns)
    numbers = frame.reindex(columns=columns).apply(pd.to_numeric, errors="coerce")
    return numbers.mean()


def _jobs(folder: Path | None, suffix: str) -> dict[str, set[str]]:
    """Names of the jobs by rule that have a file of this kind."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob(f"*{suffix}")) if folder is not None else []:
        relative = path.relative_to(folder).with_suffix("") if folder is not None else path
        found.setdefault(relative.parts[0], set()).add(relative.as_posix())
    return found


def read_stages(benchmarks: Path | None, logs: Path | None) -> list[Stage]:
    """Sum up the benchmark files of every rule, the longest stage first.

    Parameters
    ----------
    benchmarks
        Folder of `<rule>.tsv` and `<rule>/<job>.tsv`.
    logs
        Folder of logs under the same names, which say which jobs there were.
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
    """A number as text, or that it was not measured."""
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
        "Every stage of the workflow, by the time that its jobs took one after the other; jobs "
        "that ran side by side ended sooner. Snakemake measures a job while it runs, when it ran "
        "last; memory is that of the largest. In the file times are seconds and memory is MiB. "
        "Graphics memory and energy are not measured."
    )
    heads = ["stage", "jobs measured", "time, all jobs", "longest job", "processor time"]
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
    axes.set_xlabel("minutes, all jobs of the stage one after the other")
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
            f"Where the time went: {duration(total)} altogether, were all jobs run one after the "
            "other.",
        )
    ]
