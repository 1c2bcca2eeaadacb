"""Which experiments of a run stand for which of the papers, item by item."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from morphpipe.config.base import Model, Name


class PaperNames(Model):
    """What the papers' labels are called in this run; one that is not named here keeps its name."""

    cell_types: dict[str, str] = Field(
        default_factory=dict,
        description="By the paper's label, for instance `{HUVEC: epithelial}`. With any named, "
        "labels that are not have no stand-in in this run.",
    )
    perturbations: dict[str, str] = Field(
        default_factory=dict, description="Likewise; RxRx1's are sirna_ids, 1138 the control."
    )
    channels: dict[str, str] = Field(
        default_factory=dict, description="Likewise; without any, RxRx1's stains."
    )

    def cell_type(self, label: str) -> str | None:
        """The run's name of a cell type; None where nothing stands for it."""
        return self.cell_types.get(label) if self.cell_types else label

    def perturbation(self, label: str) -> str | None:
        """The run's name of a perturbation; None where nothing stands for it."""
        return self.perturbations.get(label) if self.perturbations else label


class PaperEncoders(Model):
    """Which of `encoders` a paper's numbers are made with; null: one of its kind, if any."""

    distances: Name | None = Field(None, description="Of FID and KID: Inception in both papers.")
    biology: Name | None = Field(
        None, description="Of effects, probes and variances: OpenPhenom in MorphGen."
    )
    independent: Name | None = Field(
        None, description="Of the second probe: a ResNet-18 (MorphGen, appendix H.2)."
    )


class PaperItems(Model):
    """What the items of a paper are made from: a subclass for each paper, with its roles."""

    # What a role names: an experiment, or a comparison of a model with its baseline.
    section: ClassVar[Literal["experiments", "comparisons"]] = "experiments"
    if TYPE_CHECKING:
        # Fields of every subclass, behind its roles.
        encoders: PaperEncoders
        names: PaperNames

    @property
    def roles(self) -> dict[str, str]:
        """Experiments or comparisons by role, those that are filled."""
        # Nothing but a role is empty by default.
        named = (key for key, field in type(self).model_fields.items() if field.default is None)
        return {role: getattr(self, role) for role in named if getattr(self, role) is not None}


class MorphGenItems(PaperItems):
    """MorphGen's tables and figures: names of `experiments` that they are made from."""

    model: Name | None = Field(None, description="The model: nearly all tables and figures.")
    unaligned: Name | None = Field(None, description="Without the alignment loss (table 6).")
    held_out: Name | None = Field(
        None, description="Trained without one pair of cell type and perturbation (section 4.5)."
    )
    cell_types: Name | None = Field(
        None, description="Of all perturbations, for each cell type as a whole (tables 3, 17)."
    )
    crops: Name | None = Field(None, description="With single-cell crops (table 8).")
    impa_crops: Name | None = Field(
        None, description="With crops against images prepared as IMPA's (table 9)."
    )
    cellflux: Name | None = Field(
        None, description="CellFlux, trained on single-cell crops (tables 8, 9)."
    )
    rohban_5: Name | None = Field(None, description="On the 5 genes of Rohban et al. (table 1).")
    rohban_12: Name | None = Field(None, description="On the 12 genes (table 1).")
    encoders: PaperEncoders = Field(default_factory=PaperEncoders)
    frequent_4: str = Field(
        "frequent-4",
        description="Which of `evaluation.perturbation_sets` holds the 4 most frequent "
        "perturbations (table 11).",
    )
    frequent_10: str = Field("frequent-10", description="Likewise, 10 (tables 13, 14).")
    names: PaperNames = Field(default_factory=PaperNames)


class MorphoDiffItems(PaperItems):
    """MorphoDiff's tables and figures: names of `comparisons`, each of a model and a baseline."""

    section = "comparisons"
    rxrx1_all: Name | None = Field(None, description="RxRx1, all batches (table 1).")
    rxrx1_single: Name | None = Field(None, description="RxRx1, a single batch (table 1).")
    bbbc021_all: Name | None = Field(None, description="BBBC021, all compounds (table 1).")
    bbbc021_14: Name | None = Field(
        None, description="BBBC021, 14 compounds (table 1); its crops are those of table 2."
    )
    impa: Name | None = Field(
        None, description="IMPA, trained on single-cell crops of BBBC021, as the model (table 2)."
    )
    rohban_5: Name | None = Field(None, description="Rohban et al., 5 genes (table 1).")
    rohban_12: Name | None = Field(None, description="Rohban et al., 12 genes (table 1).")
    encoders: PaperEncoders = Field(default_factory=PaperEncoders)
    names: PaperNames = Field(default_factory=PaperNames)


class Papers(Model):
    """What the papers' tables and figures are made from, for targets such as `morphgen_table4`.

    An item whose role is not filled holds the published values and says so.
    """

    morphgen: MorphGenItems = Field(default_factory=MorphGenItems)
    morphodiff: MorphoDiffItems = Field(default_factory=MorphoDiffItems)
    items: list[str] | None = Field(
        None,
        description="Those that `all` makes and the report shows, such as `morphgen_table4`; null: "
        "all that a role is filled for. The others can still be asked for by name.",
    )

    def of(self, paper: str) -> PaperItems:
        """Roles, encoders and names of a paper."""
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
    """The section `papers` as it stands in a file, without roles of what is left out of a run.

    Parameters
    ----------
    papers
        Plain values; whatever is no mapping stays for validation to complain about.
    experiments, comparisons
        Names that are left out.
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
    """Raise ValueError unless everything that the papers' items name is declared."""
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
