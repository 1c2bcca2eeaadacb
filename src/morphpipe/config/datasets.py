"""Where fields of view come from, and how they are split."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from morphpipe.config.base import Model, Name, PositiveInt, Seed


class SimulatedDataset(Model):
    """A simulated Cell Painting screen whose true effects are known."""

    source: Literal["simulated"]
    seed: Seed = Field(0, description="The screen is a function of this number.")
    field_size: PositiveInt = Field(96, description="Height and width of a field, pixels.")
    cell_types: list[str] = Field(
        default_factory=lambda: ["epithelial", "fibroblast"],
        min_length=1,
        description="Simulated cell types, see `morphpipe simulate --list`.",
    )
    perturbations: list[str] = Field(
        default_factory=lambda: ["control", "inert", "graded-low", "graded-mid", "graded-high"],
        min_length=2,
        description="Simulated perturbations, the negative control `control` among them.",
    )
    plates: PositiveInt = Field(2, description="Plates, one shard of images each.")
    replicates: PositiveInt = Field(8, description="Wells per condition and plate.")
    sites: PositiveInt = Field(2, description="Fields per well.")
    licence: str = "none needed (simulated)"

    @property
    def shards(self) -> int:
        """Number of shards: one per plate."""
        return self.plates


RXRX1_CELL_TYPES = ("HUVEC", "RPE", "HEPG2", "U2OS")
# sirna_ids: 0 to 1107 treatments, 1108 to 1137 positive controls, 1138 the negative control.
RXRX1_PERTURBATIONS = tuple(map(str, range(1139)))


class RxRx1Dataset(Model):
    """RxRx1 (Recursion): the official archives, read in place."""

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
        None, description="Expected checksum; recorded at the first download where not given."
    )
    metadata_sha256: str | None = Field(None, description="As `images_sha256`.")
    cell_types: list[Literal["HUVEC", "RPE", "HEPG2", "U2OS"]] | None = Field(
        None, description="Cell types to take; none means all four."
    )
    perturbations: list[str] | None = Field(
        None, description="sirna_ids to take, as strings; none means all 1,139."
    )
    shards: PositiveInt = Field(
        204, description="Plates that remain after the selection, one shard each."
    )
    quarantine: bool = Field(
        False,
        description="True: fields with a missing or unreadable plane go into a quarantine table "
        "that the report shows. False: such a field stops the run.",
    )
    licence: str = "CC BY-NC-SA 4.0"


Dataset = Annotated[SimulatedDataset | RxRx1Dataset, Field(discriminator="source")]


class Split(Model):
    """Which fields are for what. Wells are never divided."""

    dataset: Name = Field(description="One of `datasets`.")
    fractions: dict[str, float] = Field(
        default_factory=lambda: {"train": 0.5, "encoder": 0.25, "test": 0.25},
        description="Share of the wells of every condition: `train` for the generator and the "
        "codec, `encoder` for feature encoders that the workflow trains, `test` for evaluation.",
    )
    seed: Seed = 0
    hold_out: list[dict[str, str]] = Field(
        default_factory=list,
        description="Conditions kept out of all but `test`, for instance "
        "`{cell_type: HUVEC, perturbation: '1137'}` (MorphGen, section 4.5).",
    )
    single_well: Literal["stop", "all-sides"] = Field(
        "stop",
        description="What to do with data too small to be split by well: stop, or (`all-sides`) "
        "use every field on every side, which tests the machinery and supports no claim; the "
        "report says so.",
    )

    @model_validator(mode="after")
    def _fractions(self) -> "Split":
        unknown = set(self.fractions) - {"train", "encoder", "test"}
        if unknown:
            raise ValueError(f"unknown side {sorted(unknown)}; allowed: train, encoder, test")
        if min(self.fractions.values()) <= 0 or abs(sum(self.fractions.values()) - 1) > 1e-9:
            raise ValueError("the fractions have to be above 0 and to sum to 1")
        return self
