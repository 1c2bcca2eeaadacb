"""Content of a report, for pages and single file."""

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
    """Content of the pages.

    Attributes
    ----------
    inputs
        Inputs of the report.
    sections
        Sections of the experiments; the overview shows the first.
    together
        Experiments on the same data, side by side.
    comparisons
        Comparisons of pairs of experiments.
    papers
        Tables and figures by paper.
    gallery
        Images of every experiment.
    stages
        Benchmarks of the workflow.
    stage_plots
        Figures of the benchmarks.
    per_condition
        Number of real and of generated fields to show per condition.
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
        """Configuration of the run."""
        return self.inputs.configuration

    @property
    def drawings(self) -> int:
        """Number of figures on all pages."""
        plots = [*self.stage_plots, *(plot for c in self.comparisons for plot in c.plots)]
        for section in self.sections:
            plots += [plot for found in section.plots.values() for plot in found]
            plots += [plot for part in section.measures for plot in part.plots]
            plots += [] if section.morphology is None else section.morphology.plots
        return len(plots)


def gather(inputs: ReportInputs) -> Content:
    """Read all inputs, and collect the content of the report.

    Parameters
    ----------
    inputs
        Inputs of the report.

    Raises
    ------
    ConfigError, DataError
        If a file is missing, damaged, or of another experiment, or there is no experiment.
    """
    if not inputs.experiments:
        raise DataError(
            "The report needs at least one experiment: declare one under `experiments` in the "
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
