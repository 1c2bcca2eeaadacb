"""The pages of a report, with their titles and template contexts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from morphpipe.report.comparison import ComparisonSection
from morphpipe.report.content import Content
from morphpipe.report.figures import pictures
from morphpipe.report.gallery import PER_CONDITION, gallery
from morphpipe.report.licences import licence_table
from morphpipe.report.lineage import lineage_table
from morphpipe.report.overview import checks_table, figures_table, shared_caveats
from morphpipe.report.paper_items import COMPARABLE, PAPER_NAMES, PaperItem, item_table, standing
from morphpipe.report.provenance import checksum_table, seed_table, trained_table
from morphpipe.report.run_times import stage_table
from morphpipe.report.section import Section
from morphpipe.report.side_by_side import SideBySide
from morphpipe.report.tables import Table, number


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes
    ----------
    kind, name
        Identifiers for links; the kind is also the name of the template.
    title
        Title of the page, also in the navigation.
    group
        Heading in the navigation.
    anchor
        Anchor of the page in the single-file report.
    context
        Values for the template.
    parts
        Anchor and title of the page's sections, for the navigation.
    """

    kind: str
    name: str
    title: str
    group: str
    anchor: str
    context: dict[str, Any]
    parts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def file(self) -> str:
        """File name of the page."""
        if self.kind == "overview":
            return "index.html"
        if self.kind == "paper":
            return f"{self.name}.html"
        return f"{self.kind}-{self.name}.html" if self.name else f"{self.kind}.html"


def _named(table: Table | None, name: str) -> Table | None:
    return None if table is None else replace(table, name=name)


def _overview(content: Content) -> Page:
    parts = [("run", "Experiments"), ("numbers", "Key figures"), ("trust", "Validity checks"),
             ("caveats", "Limitations")]  # fmt: skip
    if content.papers:
        parts.append(("papers", "Comparison with the papers"))
    context = {
        "lead": content.sections[0],
        "sections": content.sections,
        "comparisons": content.comparisons,
        "table": figures_table(content.sections),
        "checks": checks_table(content.sections),
        "caveats": shared_caveats(content.sections),
        "papers": content.papers,
        "paper_names": PAPER_NAMES,
        "standing": standing,
    }
    return Page("overview", "", "Overview", "Report", "overview", context, parts)


def _paper(content: Content, paper: str, items: Sequence[PaperItem]) -> Page:
    name = PAPER_NAMES.get(paper, paper)
    context = {
        "paper": paper,
        "name": name,
        "items": items,
        "laid_out": [(item, item_table(item)) for item in items],
        "experiments": [section.evidence.name for section in content.sections],
        "words": COMPARABLE,
        "standing": standing,
    }
    parts = [(item.name, item.label) for item in items]
    return Page("paper", paper, name, "Papers", f"paper-{paper}", context, parts)


def _experiment(content: Content, section: Section, place: int) -> Page:
    anchor = f"e{place}"
    parts = [("images", "Side by side"), ("distances", "Distances")]
    parts += [(part.measure.name, part.measure.short) for part in section.measures]
    parts += [("effects", "Treatment effects"), ("probes", "Probes"), ("pca", "Feature space")]
    if section.morphology is not None:
        parts.append(("morphology", "Morphology"))
    parts += [("data", "Data"), ("training", "Models and training"),
              ("caveats", "Limitations")]  # fmt: skip
    context = {
        "s": section,
        "id": anchor,
        "most": (pictures.MOST_CELL_TYPES, pictures.MOST_PERTURBATIONS),
        "number": number,
    }
    name = section.evidence.name
    return Page("experiment", name, name, "Experiments", anchor, context,
                [(f"{anchor}-{part}", title) for part, title in parts])  # fmt: skip


def _together(content: Content, found: SideBySide) -> Page:
    title = f"Side by side: {found.split}" if len(content.together) > 1 else "Side by side"
    anchor = f"side-by-side-{found.split}"
    parts = [(f"{anchor}-{part}", name) for part, name in (
        ("images", "Images"), ("measures", "Measures"))]  # fmt: skip
    context = {"c": found, "id": anchor, "per_condition": content.per_condition}
    return Page("side_by_side", found.split, title, "Comparisons", anchor, context, parts)


def _comparison(comparison: ComparisonSection) -> Page:
    anchor = f"comparison-{comparison.name}"
    first = len(comparison.tables) + 1
    named = replace(
        comparison,
        tables=[replace(t, name=f"{anchor}-{i}") for i, t in enumerate(comparison.tables, 1)],
        details=[
            (title, replace(t, name=f"{anchor}-{i}"))
            for i, (title, t) in enumerate(comparison.details, first)
        ],
    )
    title = f"{comparison.model} and {comparison.baseline}"
    return Page("comparison", comparison.name, title, "Comparisons", anchor, {"c": named})


def _gallery(content: Content, most: int) -> Page:
    colours = list(dict.fromkeys(section.colours for section in content.sections))
    context = {
        "gallery": gallery(content.gallery, most),
        "per_condition": PER_CONDITION,
        "colours": colours[0] if len(colours) == 1 else "",
    }
    return Page("gallery", "", "Gallery", "Details", "gallery", context)


def _provenance(content: Content) -> Page:
    inputs, sections = content.inputs, content.sections
    configured = content.configuration.model_dump(mode="json")
    lineage = lineage_table(inputs)
    context = {
        "stages": _named(stage_table(content.stages), "run-times") if content.stages else None,
        "stage_plots": content.stage_plots,
        "seeds": _named(seed_table(inputs), "seeds"),
        "lineage": None if lineage is None else _named(lineage, "lineage"),
        "checksums": _named(checksum_table(inputs, sections), "checksums"),
        "licences": _named(licence_table(inputs, sections), "licences"),
        "trained": _named(trained_table(inputs), "trained-here"),
        "versions": dict(inputs.versions),
        "configuration": yaml.safe_dump(configured, sort_keys=False, allow_unicode=True),
    }
    parts = [("times", "Run times"), ("seeds", "Seeds"), ("lineage", "Lineage"),
             ("checksums", "Checksums"),
             ("licences", "Licences"), ("versions", "Software"),
             ("configuration", "Configuration")]  # fmt: skip
    return Page("provenance", "", "Provenance", "Details", "provenance", context, parts)


def make_pages(content: Content, gallery_bytes: int) -> list[Page]:
    """Make all pages, in the order of the navigation.

    Parameters
    ----------
    content
        Content of the report.
    gallery_bytes
        Maximum size of the gallery's images.
    """
    pages = [_overview(content)]
    pages += [_paper(content, paper, items) for paper, items in content.papers.items()]
    pages += [_experiment(content, s, i) for i, s in enumerate(content.sections, start=1)]
    pages += [_together(content, found) for found in content.together]
    pages += [_comparison(comparison) for comparison in content.comparisons]
    return [*pages, _gallery(content, gallery_bytes), _provenance(content)]
