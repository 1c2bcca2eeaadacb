"""Which fields are for training, for feature encoders, and for evaluation."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from morphpipe.config.base import Model, Name, Seed

# Columns of the field table that can be held out by, and the scaffold of a compound's SMILES.
HOLD_OUT_COLUMNS = (
    "batch",
    "plate",
    "cell_type",
    "perturbation",
    "gene",
    "moa",
    "scaffold",
)


class Split(Model):
    """Which fields are for what. Wells are never divided."""

    dataset: Name = Field(description="One of `datasets`.")
    fractions: dict[str, float] = Field(
        default_factory=lambda: {"train": 0.5, "encoder": 0.25, "test": 0.25},
        description="Share of the wells of every condition: `train` for the generator and the "
        "autoencoder, `encoder` for feature encoders that the workflow trains, `test` for "
        "evaluation (may be left out where something is held out, which is then all that is tested "
        "on).",
    )
    seed: Seed = 0
    hold_out: list[dict[str, str | list[str]]] = Field(
        default_factory=list,
        description="Fields kept out of all but `test`, by batch, plate, cell_type, perturbation, "
        "gene, moa (each of several, `A|B`) or scaffold (Bemis-Murcko, as SMILES). A perturbation "
        "takes along what has the same parent structure under another name. Several keys together "
        "name a pair, for instance `{cell_type: HUVEC, perturbation: '1137'}` (MorphGen, "
        "section 4.5).",
    )
    hold_out_to: Literal["test", "nowhere"] = Field(
        "test",
        description="`test`: all of them are test fields. `nowhere`: those that the draw would put "
        "on another side are left out, and the test side is that of the same split without a "
        "hold-out, so that two models can be judged by the same real images.",
    )
    duplicates: Literal["stop", "list"] = Field(
        "stop",
        description="What to do when two fields with the same pixels stand on different sides: "
        "stop, or list them in the report.",
    )
    single_well: Literal["stop", "all-sides"] = Field(
        "stop",
        description="What to do with data too small to be split by well: stop, or (`all-sides`) "
        "use every field on every side, which tests the machinery and supports no claim; the "
        "report says so.",
    )

    @field_validator("hold_out")
    @classmethod
    def _columns(
        cls, hold_out: list[dict[str, str | list[str]]]
    ) -> list[dict[str, str | list[str]]]:
        for conditions in hold_out:
            for column in conditions:
                if column not in HOLD_OUT_COLUMNS:
                    raise ValueError(
                        f"fields cannot be held out by {column!r}; allowed: "
                        f"{', '.join(HOLD_OUT_COLUMNS)}"
                    )
        return hold_out

    @model_validator(mode="after")
    def _fractions(self) -> "Split":
        unknown = set(self.fractions) - {"train", "encoder", "test"}
        if unknown:
            raise ValueError(f"unknown side {sorted(unknown)}; allowed: train, encoder, test")
        if min(self.fractions.values()) <= 0 or abs(sum(self.fractions.values()) - 1) > 1e-9:
            raise ValueError("the fractions have to be above 0 and to sum to 1")
        if self.hold_out_to == "nowhere" and "test" not in self.fractions:
            raise ValueError(
                "hold_out_to is 'nowhere', which leaves the test side to the draw: give `test` a "
                "fraction"
            )
        return self
