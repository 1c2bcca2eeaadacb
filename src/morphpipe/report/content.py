"""All that a report says, gathered once for its pages and for the one file."""

from dataclasses import dataclass

from morphpipe.config import Configuration
from morphpipe.core.errors import DataError
from morphpipe.report.comparison import ComparisonSection, build_comparison
from morphpipe.report.evidence import read_evidence
from morphpipe.report.figures.captions import Plot
from morphpipe.report.figures.pictures import fields_per_condition
from morphpipe.report.gallery import GALLERY_BYTES, GalleryPart, fill_gallery
from morphpipe.report.inputs import ReportInputs
from morphpipe.report.paper_items import PaperItem, by_paper
from morphpipe.report.run_times import Stage, read_stages, stage_plots
from morphpipe.report.section import Section, build_section
from morphpipe.report.side_by_side import SideBySide, side_by_side


@dataclass(frozen=True)
class Content:
    """What the pages are filled with.

    Attributes
    ----------
    inputs
        What the report is made of.
    sections
        Of the experiments; the first is the one that the overview is about.
    together
        Experiments on the same data beside each other.
    comparisons
        Of pairs of experiments.
    papers
        Tables and figures by paper.
    gallery
        Pictures of every experiment.
    stages
        What Snakemake measured of its jobs.
    stage_plots
        Drawn.
    per_condition
        Fields a side of each condition that are shown.
    """

    inputs: ReportInputs
    sections: list[Section]
    together: list[SideBySide]
    comparisons: list[ComparisonSection]
    papers: dict[str, list[PaperItem]]
    gallery: list[GalleryPart]
    stages: list[Stage]
    stage_plots: list[Plot]
    per_condition: int

    @property
    def configuration(self) -> Configuration:
        """Of the run."""
        return self.inputs.configuration

    @property
    def drawings(self) -> int:
        """How many figures the pages have."""
        plots = [*self.stage_plots, *(plot for c in self.comparisons for plot in c.plots)]
        for section in self.sections:
            plots += [plot for found in section.plots.values() for plot in found]
            plots += [plot for part in section.measures for plot in part.plots]
            plots += [] if section.morphology is None else section.morphology.plots
        return len(plots)


def gather(inputs: ReportInputs) -> Content:
    """Read everything, and put together what is said and shown.

    Parameters
    ----------
    inputs
        The files of the experiments and what the workflow knows.

    Raises
    ------
    ConfigError, DataError
        If a file is missing, damaged, or of another experiment, or there is no experiment.
    """
    if not inputs.experiments:
        raise DataError(
            "The report needs an experiment at least: declare one under `experiments` in the "
            "configuration."
        )
    number = len(inputs.experiments)
    per_condition = fields_per_condition(number)
    sections, shown = [], []
    for files in inputs.experiments:
        evidence = read_evidence(files, inputs.configuration)
        sections.append(
            build_section(inputs.configuration, evidence, files.morphology, per_condition)
        )
        shown.append(fill_gallery(evidence, GALLERY_BYTES // number))
    stages = read_stages(inputs.benchmarks, inputs.logs)
    return Content(
        inputs=inputs,
        sections=sections,
        together=side_by_side(sections, inputs.benchmarks),
        comparisons=[build_comparison(inputs.configuration, c) for c in inputs.comparisons],
        papers=by_paper(inputs.papers),
        gallery=shown,
        stages=stages,
        stage_plots=stage_plots(stages),
        per_condition=per_condition,
    )
