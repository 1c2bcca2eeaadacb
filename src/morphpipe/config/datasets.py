"""Settings of the datasets."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PositiveFloat, TypeAdapter, model_validator

from morphpipe.config.base import PositiveInt, Seed
from morphpipe.config.dataset_settings import DatasetSettings
from morphpipe.config.preprocessing import Quality
from morphpipe.config.raw_datasets import BBBC021Dataset, GalleryDataset, SheetDataset


class SimulatedDataset(DatasetSettings):
    """A simulated Cell Painting screen whose true effects are known."""

    title = "a simulated screen"
    needs_acceptance = False
    has_true_effects = True

    source: Literal["simulated"]
    seed: Seed = Field(0, description="Random seed of the screen.")
    field_size: PositiveInt = Field(96, description="Height and width of a field, pixels.")
    cell_types: list[str] = Field(
        default_factory=lambda: ["epithelial", "fibroblast"],
        min_length=1,
        description="Simulated cell types, see `morphpipe simulate --list`.",
    )
    perturbations: list[str] = Field(
        default_factory=lambda: ["control", "inert", "graded-low", "graded-mid", "graded-high"],
        min_length=2,
        description="Simulated perturbations, including the negative control `control`.",
    )
    plates: PositiveInt = Field(2, description="Number of plates, one shard each.")
    replicates: PositiveInt = Field(8, description="Wells per condition and plate.")
    sites: PositiveInt = Field(2, description="Fields per well.")
    density: PositiveFloat = Field(
        1.0, description="Cell density, relative to the default of each cell type."
    )
    rgb: tuple[str, str, str] | None = Field(
        None,
        description="Channels of RGB renderings: red, green and blue; null: all six, with RxRx1's "
        "table of colours.",
    )
    licence: str = "none needed (simulated)"

    @property
    def origin(self) -> str:
        """Origin of the images."""
        return f"simulated screen, seed {self.seed}"

    @property
    def quality(self) -> Quality:
        """Quality control: no limits."""
        return Quality()

    @property
    def all_cell_types(self) -> tuple[str, ...]:
        """Cell types of the fields."""
        return tuple(self.cell_types)

    @property
    def all_perturbations(self) -> tuple[str, ...]:
        """Perturbations of the fields."""
        return tuple(self.perturbations)


# Experiments per cell type, of four plates each (RxRx1's metadata; Sypetkowski et al. 2023).
RXRX1_EXPERIMENTS = {"HUVEC": 24, "RPE": 11, "HEPG2": 11, "U2OS": 5}
RXRX1_PLATES_PER_EXPERIMENT = 4
# sirna_ids: 0 to 1107 treatments, 1108 to 1137 positive controls, 1138 the negative control.
RXRX1_PERTURBATIONS = tuple(map(str, range(1139)))


class RxRx1Dataset(DatasetSettings):
    """RxRx1 (Recursion): the official archives, read in place."""

    title = "RxRx1"
    planes_in_place = True
    recursion_colours = True

    source: Literal["rxrx1"]
    images: str = Field(
        "https://storage.googleapis.com/rxrx/rxrx1/rxrx1-images.zip",
        description="The archive of PNG planes: `https:`, `http:` or `file:`.",
    )
    metadata: str = Field(
        "https://storage.googleapis.com/rxrx/rxrx1/rxrx1-metadata.zip",
        description="The archive with `rxrx1/metadata.csv`.",
    )
    images_sha256: str | None = Field(
        None, description="Expected checksum; null: recorded at the first download."
    )
    metadata_sha256: str | None = Field(None, description="As `images_sha256`.")
    fetch: Literal["whole", "selected"] = Field(
        "whole",
        description="`whole` downloads the archive of 47 GB; `selected` downloads only the planes "
        "of the selected experiments, with range requests.",
    )
    genes: str | None = Field(
        None,
        description="Address of Thermo Fisher's table of siRNAs and genes (`siRNA ID`, `Gene "
        "Symbol`; CSV, also .gz), for the column `gene`.",
    )
    cell_types: list[Literal["HUVEC", "RPE", "HEPG2", "U2OS"]] | None = Field(
        None, description="Cell types to use; null: all four."
    )
    batches: list[str] | None = Field(
        None, description="Experiments to use, for example `HUVEC-01`; null: all."
    )
    perturbations: list[str] | None = Field(
        None, description="sirna_ids to use, as strings; null: all 1,139."
    )
    subset: Literal["all", "morphodiff"] = Field(
        "all",
        description="`morphodiff`: the 1,061 annotated siRNAs of MorphoDiff's lists and the "
        "negative control. With `cell_types: [HUVEC]` this is its experiment on all batches; with "
        "one of `batches` as well, the one on a single batch.",
    )
    shards: PositiveInt = Field(
        204,
        description="Number of plates after the selection, one shard each; default: four per "
        "selected experiment, as in the complete archive.",
    )
    quality: Quality = Field(default_factory=lambda: Quality())
    licence: str = "CC BY-NC-SA 4.0"

    @model_validator(mode="before")
    @classmethod
    def _count_shards(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("shards") is None:
            batches, types = content.get("batches"), content.get("cell_types")
            if isinstance(batches, list):
                number = len(batches)
            else:
                known = types if isinstance(types, list) else list(RXRX1_EXPERIMENTS)
                number = sum(RXRX1_EXPERIMENTS.get(name, 0) for name in map(str, known))
            content = content | {"shards": max(number, 1) * RXRX1_PLATES_PER_EXPERIMENT}
        return content

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are downloaded in addition to the planes."""
        return () if self.genes is None else ("genes",)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of all downloaded files."""
        return tuple(a for a in (self.images, self.metadata, self.genes) if a)

    @property
    def downloaded(self) -> dict[str, str]:
        """Downloaded archives: file name in the cache by archive name."""
        return {"images": "rxrx1-images.zip", "metadata": "rxrx1-metadata.zip"}

    @property
    def checksums(self) -> dict[str, str]:
        """Configured SHA-256 of the two archives, by address."""
        known = {self.images: self.images_sha256, self.metadata: self.metadata_sha256}
        return {address: value for address, value in known.items() if value is not None}

    @property
    def fetched(self) -> dict[str, Any]:
        """Settings that the downloaded archives depend on."""
        keys = {"images", "metadata", "images_sha256", "metadata_sha256", "fetch"}
        if self.fetch == "selected":
            keys |= {"cell_types", "batches"}
        return self.model_dump(mode="json", include=keys)

    @property
    def all_cell_types(self) -> tuple[str, ...]:
        """Cell types of the fields."""
        return tuple(self.cell_types or RXRX1_EXPERIMENTS)

    def shards_with(self, cell_types: list[str] | None) -> list[int]:
        """Return the shards with fields of these cell types; all shards if that is unknown.

        Plates are sorted by experiment, and the name of an experiment begins with its only cell
        type, so shards of the complete archive can be counted.
        """
        number = 0
        found: list[int] = []
        for name in sorted(self.all_cell_types):
            plates = RXRX1_EXPERIMENTS[name] * RXRX1_PLATES_PER_EXPERIMENT
            if cell_types is None or name in cell_types:
                found += range(number, number + plates)
            number += plates
        complete = self.batches is None and number == self.shards
        return found if complete else list(range(self.shards))

    @property
    def all_perturbations(self) -> tuple[str, ...]:
        """Perturbations of the fields."""
        return RXRX1_PERTURBATIONS if self.perturbations is None else tuple(self.perturbations)


class CropsDataset(DatasetSettings):
    """Single-cell crops in the layout that IMPA and CellFlux publish (Zenodo record 8307629)."""

    title = "published single-cell crops"
    planes_in_place = True

    source: Literal["crops"]
    images: str = Field(
        description="Zip archive: a path, or an address (`https:`, `http:`, `file:`) to download "
        "it from; or the folder of an unpacked archive. Images are read in place."
    )
    layout: Literal["bbbc021", "rxrx1", "cpg0000"] = Field(
        description="Layout of the crops: their paths by key, and their channels (BBBC021: actin, "
        "tubulin, DNA; RxRx1: w6 to w1; cpg0000: Mito, AGP, ER, RNA, DNA)."
    )
    index: str | None = Field(
        None,
        description="Table of crops in the archive or folder; null: its only `.csv` file.",
    )
    size: PositiveInt = Field(96, description="Height and width of a crop, pixels.")
    shards: PositiveInt = Field(1, description="Number of plates, one shard each.")
    cell_type: str | None = Field(
        None,
        description="Cell type; null: MCF7 for BBBC021, U2OS for cpg0000, from the keys for RxRx1.",
    )
    separate_doses: bool = Field(
        False,
        description="Treat each dose of a compound as a separate perturbation, such as "
        "`cyclohexamide-15`; otherwise only `concentration` contains the dose.",
    )
    batches: list[str] | None = Field(None, description="Batches to use; null: all.")
    plates: list[str] | None = Field(None, description="Plates to use; null: all.")
    perturbations: list[str] | None = Field(
        None, description="Perturbations to use, by their names in the field table; null: all."
    )
    quality: Quality = Field(default_factory=lambda: Quality())
    licence: str = Field(
        description="Licence of the images; the licence of the raw data applies to crops."
    )

    @property
    def is_downloaded(self) -> bool:
        """Whether the images are downloaded, instead of read from a local file or folder."""
        return self.images.startswith(("https:", "http:", "file:"))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of all downloaded files."""
        return (self.images,) if self.is_downloaded else ()

    @property
    def downloaded(self) -> dict[str, str]:
        """Downloaded archives: file name in the cache by archive name."""
        return {"images": "crops.zip"} if self.is_downloaded else {}

    @property
    def own_files(self) -> dict[str, list[str]]:
        """Local files that the images are read from, by name."""
        return {} if self.is_downloaded else {"images": [self.images]}

    @property
    def origin(self) -> str:
        """Origin of the images."""
        return self.images

    @property
    def all_cell_types(self) -> tuple[str, ...] | None:
        """Cell types of the crops; None if they are only known from the data."""
        known = {"bbbc021": "MCF7", "cpg0000": "U2OS"}.get(self.layout)
        found = self.cell_type or known
        return None if found is None else (found,)

    @property
    def all_perturbations(self) -> tuple[str, ...] | None:
        """Perturbations of the crops; None if they are only known from the data."""
        return None if self.perturbations is None else tuple(self.perturbations)


class ArchivesDataset(DatasetSettings):
    """Image archives of morphpipe, such as the single-cell crops that a workflow cuts."""

    title = "image archives"
    # They are one's own, or made by the workflow from data whose licence was accepted.
    needs_acceptance = False
    planes_in_place = True

    source: Literal["archives"]
    images: list[str] = Field(
        min_length=1,
        description="Paths of the archives (`.zip`), read where they are. Files that a rule makes "
        "are made first: `results/datasets/screen/crops/fields-48/shard-0.zip` has the single "
        "cells of the first plate of the dataset `screen`, 48 pixels wide.",
    )
    size: PositiveInt = Field(description="Height and width of an image, pixels.")
    channels: PositiveInt = Field(6, description="Number of channels.")
    shards: PositiveInt = Field(1, description="Number of plates, one shard each.")
    quality: Quality = Field(default_factory=lambda: Quality())
    licence: str = Field(description="Licence of the images.")

    @property
    def own_files(self) -> dict[str, list[str]]:
        """Files of one's own that the images are read from, by name."""
        return {"images": self.images}

    @property
    def origin(self) -> str:
        """Where the images come from."""
        return ", ".join(self.images)

    @property
    def all_cell_types(self) -> None:
        """Only the data know the cell types."""
        return

    @property
    def all_perturbations(self) -> None:
        """Only the data know the perturbations."""
        return


Dataset = Annotated[
    SimulatedDataset
    | RxRx1Dataset
    | BBBC021Dataset
    | GalleryDataset
    | SheetDataset
    | CropsDataset
    | ArchivesDataset,
    Field(discriminator="source"),
]
SETTINGS: dict[str, type[DatasetSettings]] = {
    get_args(kind.model_fields["source"].annotation)[0]: kind
    for kind in get_args(get_args(Dataset)[0])
}
"""Settings class by `source`."""


def parse_dataset(content: Mapping[str, Any]) -> Dataset:
    """Create dataset settings from plain values, as rules pass them to their jobs."""
    dataset: Dataset = TypeAdapter(Dataset).validate_python(content)
    return dataset
