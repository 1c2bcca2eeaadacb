"""The report's figures as single PNG files."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from morphpipe.report import pictures, plots
from morphpipe.report.captions import experiment_plots
from morphpipe.report.evidence import read_evidence
from morphpipe.report.inputs import ExperimentFiles, ReportInputs
from morphpipe.storage import atomic_path

_DPI = 150


def _nothing(topic: str) -> Figure:
    """A figure that says that there is nothing to draw, and where the reason stands."""
    figure = Figure(figsize=(6, 1))
    figure.text(
        0.5, 0.5, f"No {topic} could be computed: see the reasons in the report.", ha="center"
    )
    return figure


def write_figures(
    inputs: ReportInputs, files: ExperimentFiles, outputs: Mapping[str, str | Path]
) -> None:
    """Write figures of an experiment.

    Parameters
    ----------
    inputs
        With the configuration.
    files
        Of the experiment.
    outputs
        PNG file by topic: `samples`, `training`, `distances`, `effects`, `probes`, `pca`,
        `quality`. Where a topic has several figures, the first is written: that of the first
        encoder.
    """
    evidence = read_evidence(files, inputs.configuration)
    windows = pictures.display_windows(evidence)
    drawn = {
        topic: found[0].figure
        for topic, found in experiment_plots(inputs.configuration, evidence).items()
        if found
    }
    drawn["samples"] = plots.figure_samples(pictures.sample_rows(evidence, windows))
    for topic, path in outputs.items():
        with atomic_path(path) as temporary:
            drawn.get(topic, _nothing(topic)).savefig(temporary, dpi=_DPI, bbox_inches="tight")
