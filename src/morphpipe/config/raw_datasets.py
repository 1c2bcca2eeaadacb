"""Datasets whose planes are preprocessed, plate by plate."""

from typing import Literal

from pydantic import Field

from morphpipe.config.base import LocalPath, Model
from morphpipe.config.dataset_settings import DatasetSettings
from morphpipe.config.preprocessing import Preprocessing, Quality


class RawDataset(DatasetSettings):
    """Base class of datasets whose planes are preprocessed, plate by plate."""

    raw = True

    preprocessing: Preprocessing = Field(default_factory=lambda: Preprocessing())
    quality: Quality = Field(default_factory=lambda: Quality())
    rgb: tuple[str, str, str] | None = Field(
        None, description="Channels of RGB renderings: red, green and blue."
    )
    perturbations: list[str] | None = Field(
        None, description="Perturbations to use, by their names in the field table; null: all."
    )

    @property
    def all_cell_types(self) -> tuple[str, ...] | None:
        """Cell types of the fields; None if they are only known from the data."""
        return None

    @property
    def all_perturbations(self) -> tuple[str, ...] | None:
        """Perturbations of the fields; None if they are only known from the data."""
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
        None, description="Plates to use, for example `Week1_22123`; null: all 55."
    )
    compounds: Literal["all", "98", "14"] = Field(
        "all",
        description="All 113 compounds of the image table, or the 98 or 14 compounds of "
        "MorphoDiff's two experiments, with DMSO.",
    )
    compound_table: bool = Field(
        True, description="Download BBBC021_v1_compound.csv, for the SMILES."
    )
    rgb: tuple[str, str, str] | None = ("actin", "tubulin", "DNA")
    preprocessing: Preprocessing = Field(
        default_factory=lambda: Preprocessing(
            illumination="plate-site", resize="centre-crop", size=512
        )
    )
    licence: str = "AstraZeneca / Broad Bioimage Benchmark Collection terms"

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are downloaded in addition to the planes."""
        return ("image", "moa", "compound") if self.compound_table else ("image", "moa")

    def table_address(self, table: str) -> str:
        """Return the address of one of `tables`."""
        return f"{self.address}/BBBC021_v1_{table}.csv"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Prefixes of the addresses of all downloaded files."""
        return (f"{self.address}/",)


class GalleryDataset(RawDataset):
    """A project of the Cell Painting Gallery: Rohban et al. (cpg0017), JUMP and others."""

    title = "the Cell Painting Gallery"
    plate_archives = True

    source: Literal["gallery"]
    address: str = Field(
        "https://cellpainting-gallery.s3.amazonaws.com",
        description="Public bucket, or a mirror of it.",
    )
    project: str = Field(description="Project folder, for example `cpg0017-rohban-pathways`.")
    institution: str = Field("broad", description="Folder of the institution in the project.")
    batch: str = Field(description="Batch folder, for example `2013_10_11_SIGMA2_Pilot`.")
    plates: list[str] = Field(min_length=1, description="Plates to use, one shard each.")
    load_data: str = Field(
        "load_data.csv", description="Use `load_data_with_illum.csv` if illumination is `given`."
    )
    path_prefix: str | None = Field(
        None,
        description="Prefix of the project folder in the table's paths, if it cannot be detected.",
    )
    annotation: str = Field(
        description="Address (`https:`, `http:` or `file:`) of the table of wells: a CSV with "
        "`plate` (optional), `well`, `perturbation`, and other columns of the field table; or "
        "MorphoDiff's table of Rohban et al., see `layout`."
    )
    layout: Literal["wells", "rohban"] = Field("wells", description="Layout of the annotation.")
    genes: Literal["all", "5", "12"] = Field(
        "all", description="Rohban et al.: MorphoDiff's 5 or 12 genes, with the controls."
    )
    negative_controls: list[str] = Field(
        default_factory=list,
        description="Negative controls, if the table does not mark them.",
    )
    channels: list[str] = Field(
        default_factory=lambda: ["DNA", "ER", "RNA", "AGP", "Mito"],
        min_length=1,
        description="Channels to use, in this order.",
    )
    cell_type: str = "U2OS"
    perturbation_kind: Literal["orf", "crispr", "compound"] = "orf"
    pixel_size: tuple[float, float] | None = Field(
        None, description="Pixel size (y, x) in micrometres."
    )
    licence: str = "CC0 1.0"

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are downloaded in addition to the planes."""
        return ("annotation",)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Prefixes of the addresses of all downloaded files."""
        return f"{self.address}/{self.project}/", self.annotation


class SheetChannel(Model):
    """A channel of a sample sheet."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Short name, also in file names."
    )
    stain: str = Field(description="The dye and its target.")
    column: str | None = Field(
        None, description="Column of the sheet with the paths; null: the channel's name."
    )


class SheetDataset(RawDataset):
    """Your own plates: a table with a row per field and a column of paths per channel."""

    title = "own plates"
    needs_acceptance = False
    names_controls = True

    source: Literal["sheet"]
    sheet: LocalPath = Field(
        description="CSV or Parquet; paths in it are relative to its folder. Validate it with "
        "`morphpipe datasets check`, or create one with `morphpipe datasets sheet`."
    )
    channels: list[SheetChannel] = Field(
        min_length=1, description="Channels, in the order of the planes."
    )
    cell_type: str | None = Field(None, description="Cell type, if the sheet has no such column.")
    perturbation_kind: Literal["sirna", "orf", "crispr", "compound"] = Field(
        "compound", description="Kind of perturbation, if the sheet has no such column."
    )
    negative_controls: list[str] = Field(
        default_factory=list, description="Names of the negative controls."
    )
    positive_controls: list[str] = Field(
        default_factory=list, description="Names of the positive controls."
    )
    pixel_size: tuple[float, float] | None = Field(
        None, description="Pixel size (y, x) in micrometres."
    )
    licence: str = Field("own data", description="Licence or owner of the images.")

    @property
    def origin(self) -> str:
        """Origin of the images."""
        return self.sheet
