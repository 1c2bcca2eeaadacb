"""Experiments that reproduce the papers' tables and figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from morphpipe.config.base import Model, Name


class PaperNames(Model):
    """Names in this run of the papers' labels; other labels keep their names."""

    cell_types: dict[str, str] = Field(
        default_factory=dict,
        description="Cell types by the paper's label, for example `{HUVEC: epithelial}`. If not "
        "empty, labels that are not listed have no counterpart in this run.",
    )
    perturbations: dict[str, str] = Field(
        default_factory=dict,
        description="Perturbations by the paper's label; RxRx1 uses sirna_ids, 1138 the control.",
    )
    channels: dict[str, str] = Field(
        default_factory=dict, description="Channels by the paper's label; default: RxRx1's stains."
    )

    def cell_type(self, label: str) -> str | None:
        """Return the name of a cell type in this run; None without a counterpart."""
        return self.cell_types.get(label) if self.cell_types else label

    def perturbation(self, label: str) -> str | None:
        """Return the name of a perturbation in this run; None without a counterpart."""
        return self.perturbations.get(label) if self.perturbations else label


class PaperEncoders(Model):
    """Encoders for a paper's metrics; null: one of the same kind, if any."""

    distances: Name | None = Field(
        None, description="Encoder for FID and KID: Inception in both papers."
    )
    biology: Name | None = Field(
        None, description="Encoder for effects, probes and variances: OpenPhenom in MorphGen."
    )
    independent: Name | None = Field(
        None, description="Encoder of the second probe: a ResNet-18 (MorphGen, appendix H.2)."
    )


class PaperItems(Model):
    """Sources of the items of a paper; each paper has a subclass with its roles."""

    # Roles name experiments, or comparisons of a model with its baseline.
    section: ClassVar[Literal["experiments", "comparisons"]] = "experiments"
    if TYPE_CHECKING:
        # Fields of every subclass, after its roles.
        encoders: PaperEncoders
        names: PaperNames

    @property
    def roles(self) -> dict[str, str]:
        """Experiments or comparisons by role, without empty roles."""
        # Only roles are empty by default.
        named = (key for key, field in type(self).model_fields.items() if field.default is None)
        return {role: getattr(self, role) for role in named if getattr(self, role) is not None}


class MorphGenItems(PaperItems):
    """Experiments for MorphGen's tables and figures."""

    model: Name | None = Field(None, description="The model, for nearly all tables and figures.")
    unaligned: Name | None = Field(None, description="Model without the alignment loss (table 6).")
    held_out: Name | None = Field(
        None,
        description="Model trained without one pair of cell type and perturbation (section 4.5).",
    )
    cell_types: Name | None = Field(
        None, description="All perturbations pooled, per cell type (tables 3, 17)."
    )
    crops: Name | None = Field(None, description="Experiment with single-cell crops (table 8).")
    impa_crops: Name | None = Field(
        None, description="Experiment with crops and images prepared as in IMPA (table 9)."
    )
    cellflux: Name | None = Field(
        None, description="CellFlux, trained on single-cell crops (tables 8, 9)."
    )
    rohban_5: Name | None = Field(None, description="The 5 genes of Rohban et al. (table 1).")
    rohban_12: Name | None = Field(None, description="The 12 genes (table 1).")
    encoders: PaperEncoders = Field(default_factory=PaperEncoders)
    frequent_4: str = Field(
        "frequent-4",
        description="The set in `evaluation.perturbation_sets` with the 4 most frequent "
        "perturbations (table 11).",
    )
    frequent_10: str = Field(
        "frequent-10", description="The set of the 10 most frequent ones (tables 13, 14)."
    )
    names: PaperNames = Field(default_factory=PaperNames)


class MorphoDiffItems(PaperItems):
    """Comparisons with a baseline, for MorphoDiff's tables and figures."""

    section = "comparisons"
    rxrx1_all: Name | None = Field(None, description="RxRx1, all batches (table 1).")
    rxrx1_single: Name | None = Field(None, description="RxRx1, a single batch (table 1).")
    bbbc021_all: Name | None = Field(None, description="BBBC021, all compounds (table 1).")
    bbbc021_14: Name | None = Field(
        None, description="BBBC021, 14 compounds (table 1), and its crops (table 2)."
    )
    impa: Name | None = Field(
        None, description="IMPA, trained on single-cell crops of BBBC021, as the model (table 2)."
    )
    rohban_5: Name | None = Field(None, description="Rohban et al., 5 genes (table 1).")
    rohban_12: Name | None = Field(None, description="Rohban et al., 12 genes (table 1).")
    encoders: PaperEncoders = Field(default_factory=PaperEncoders)
    names: PaperNames = Field(default_factory=PaperNames)


class Papers(Model):
    """Sources of the papers' tables and figures, for targets such as `morphgen_table4`.

    An item with an empty role contains the published values only, and says so.
    """

    morphgen: MorphGenItems = Field(default_factory=MorphGenItems)
    morphodiff: MorphoDiffItems = Field(default_factory=MorphoDiffItems)
    items: list[str] | None = Field(
        None,
        description="Items that `all` makes and the report shows, such as `morphgen_table4`; null: "
        "all items with a role. Others can still be requested by name.",
    )

    def of(self, paper: str) -> PaperItems:
        """Return the roles, encoders and names of a paper."""
        found: PaperItems = getattr(self, paper)
        return found


# The class of every paper, by the paper's name.
_PAPERS = {
    name: field.annotation
    for name, field in Papers.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, PaperItems)
}


def without_left_out(
    papers: object, experiments: set[str], comparisons: set[str]
) -> dict[str, object]:
    """Return the section `papers`, without roles of excluded experiments and comparisons.

    Parameters
    ----------
    papers
        Plain values; anything but mappings is left to validation.
    experiments, comparisons
        Names to exclude.
    """
    if not isinstance(papers, dict):
        return {}
    left_out = {
        paper: experiments if of.section == "experiments" else comparisons
        for paper, of in _PAPERS.items()
    }
    return {
        paper: {key: None if isinstance(value, str) and value in left_out.get(paper, ()) else value
                for key, value in roles.items()}
        if isinstance(roles, dict)
        else roles
        for paper, roles in papers.items()
    }  # fmt: skip


def check_papers(
    papers: Papers,
    experiments: Mapping[str, object],
    comparisons: Mapping[str, object],
    encoders: Mapping[str, object],
) -> None:
    """Raise ValueError unless all names in the papers' items are declared."""
    sections = {"experiments": experiments, "comparisons": comparisons}
    uses: list[tuple[str, str, str, Mapping[str, object]]] = []
    for paper, of in ((paper, papers.of(paper)) for paper in _PAPERS):
        uses += [
            (f"papers.{paper}.{role}", of.section, name, sections[of.section])
            for role, name in of.roles.items()
        ]
        uses += [
            (f"papers.{paper}.encoders.{key}", "encoders", name, encoders)
            for key, name in of.encoders
            if name is not None
        ]
    for place, section, name, declared in uses:
        if name not in declared:
            raise ValueError(
                f"{place} names {name!r}, which is not in `{section}` "
                f"(declared: {', '.join(declared) or 'none'})"
            )
