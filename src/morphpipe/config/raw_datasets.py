"""Datasets whose planes are preprocessed, plate by plate."""

from typing import Literal

from pydantic import Field

from morphpipe.config.base import LocalPath, Model
from morphpipe.config.dataset_settings import DatasetSettings
from morphpipe.config.preprocessing import Preprocessing, Quality


class RawDataset(DatasetSettings):
    """What datasets have in common whose planes are preprocessed, plate by plate."""

    raw = True

    preprocessing: Preprocessing = Field(default_factory=lambda: Preprocessing())
    quality: Quality = Field(default_factory=lambda: Quality())
    rgb: tuple[str, str, str] | None = Field(
        None, description="Channels shown as red, green and blue, where RGB is asked for."
    )
    perturbations: list[str] | None = Field(
        None, description="Perturbations to take, as they are called in the field table; none: all."
    )

    @property
    def all_cell_types(self) -> tuple[str, ...] | None:
        """What the fields are of; none where only the data know."""
        return None

    @property
    def all_perturbations(self) -> tuple[str, ...] | None:
        """What was done to them; none where only the data know."""
        return None if self.perturbations is None else tuple(self.perturbations)


class BBBC021Dataset(RawDataset):
    """BBBC021 (Broad Bioimage Benchmark Collection): MCF7 cells under 113 compounds."""

    title = "BBBC021"
    plate_archives = True

    source: Literal["bbbc021"]
    address: str = Field(
        "https://data.broadinstitute.org/bbbc/BBBC021",
        description="Folder of the official files: `https:`, `http:` or `file:`.",
    )
    plates: list[str] | None = Field(
        None, description="Plates to take, for instance `Week1_22123`; none means all 55."
    )
    compounds: Literal["all", "98", "14"] = Field(
        "all",
        description="All 113 names of the image table; or, always with DMSO, the 98 or the 14 "
        "compounds of MorphoDiff's two experiments.",
    )
    compound_table: bool = Field(True, description="Fetch BBBC021_v1_compound.csv, for the SMILES.")
    rgb: tuple[str, str, str] | None = ("actin", "tubulin", "DNA")
    preprocessing: Preprocessing = Field(
        default_factory=lambda: Preprocessing(
            illumination="plate-site", resize="centre-crop", size=512
        )
    )
    licence: str = "AstraZeneca / Broad Bioimage Benchmark Collection terms"

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are downloaded beside the planes."""
        return ("image", "moa", "compound") if self.compound_table else ("image", "moa")

    def table_address(self, table: str) -> str:
        """Address of one of `tables`."""
        return f"{self.address}/BBBC021_v1_{table}.csv"

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the addresses of all files that are downloaded begin with."""
        return (f"{self.address}/",)


class GalleryDataset(RawDataset):
    """A project of the Cell Painting Gallery: Rohban et al. (cpg0017), JUMP and others."""

    title = "the Cell Painting Gallery"
    plate_archives = True

    source: Literal["gallery"]
    address: str = Field(
        "https://cellpainting-gallery.s3.amazonaws.com",
        description="The public bucket, or a mirror of it.",
    )
    project: str = Field(description="For instance `cpg0017-rohban-pathways`.")
    institution: str = Field("broad", description="The folder below the project.")
    batch: str = Field(description="For instance `2013_10_11_SIGMA2_Pilot`.")
    plates: list[str] = Field(min_length=1, description="Plates to take, one shard each.")
    load_data: str = Field(
        "load_data.csv", description="`load_data_with_illum.csv` where illumination is `given`."
    )
    path_prefix: str | None = Field(
        None,
        description="What stands before the project's folder in the table's paths, where that "
        "cannot be told.",
    )
    annotation: str = Field(
        description="Table of wells: address (`https:`, `http:` or `file:`) of a CSV with `plate` "
        "(or none), `well`, `perturbation`, and other columns of the field table; or MorphoDiff's "
        "table of Rohban et al., see `layout`."
    )
    layout: Literal["wells", "rohban"] = Field(
        "wells", description="How the annotation is written."
    )
    genes: Literal["all", "5", "12"] = Field(
        "all", description="Rohban et al.: MorphoDiff's 5 or 12 genes and the controls."
    )
    negative_controls: list[str] = Field(
        default_factory=list,
        description="Perturbations that are negative controls, where the table does not say.",
    )
    channels: list[str] = Field(
        default_factory=lambda: ["DNA", "ER", "RNA", "AGP", "Mito"],
        min_length=1,
        description="Channels to take, in this order.",
    )
    cell_type: str = "U2OS"
    perturbation_kind: Literal["orf", "crispr", "compound"] = "orf"
    pixel_size: tuple[float, float] | None = Field(None, description="Micrometres (y, x).")
    licence: str = "CC0 1.0"

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are downloaded beside the planes."""
        return ("annotation",)

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the addresses of all files that are downloaded begin with."""
        return f"{self.address}/{self.project}/", self.annotation


class SheetChannel(Model):
    """A channel of one's own plates."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Short name, also in file names."
    )
    stain: str = Field(description="The dye, and what it stains.")
    column: str | None = Field(
        None, description="Column of the sheet with the paths; none: the channel's name."
    )


class SheetDataset(RawDataset):
    """One's own plates: a table with a row per field and a column of paths per channel."""

    title = "own plates"
    needs_acceptance = False
    names_controls = True

    source: Literal["sheet"]
    sheet: LocalPath = Field(
        description="CSV or Parquet; paths in it are relative to its folder. `morphpipe datasets "
        "check` tells what is wrong with it, `morphpipe datasets sheet` makes one of a folder."
    )
    channels: list[SheetChannel] = Field(min_length=1, description="In the order of the planes.")
    cell_type: str | None = Field(None, description="Where the sheet has no column of it.")
    perturbation_kind: Literal["sirna", "orf", "crispr", "compound"] = Field(
        "compound", description="Where the sheet has no column of it."
    )
    negative_controls: list[str] = Field(
        default_factory=list, description="Perturbations that are negative controls."
    )
    positive_controls: list[str] = Field(default_factory=list, description="Likewise, positive.")
    pixel_size: tuple[float, float] | None = Field(None, description="Micrometres (y, x).")
    licence: str = Field("own data", description="Whose the images are.")

    @property
    def origin(self) -> str:
        """Where the images come from."""
        return self.sheet
