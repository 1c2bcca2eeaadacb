"""Splits into training, encoder and test fields."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from morphpipe.config.base import Model, Name, Seed

# Columns of the field table to hold out by; `scaffold` is that of a compound's SMILES.
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
    """Assignment of fields to sides. Wells are never divided."""

    dataset: Name = Field(description="One of `datasets`.")
    fractions: dict[str, float] = Field(
        default_factory=lambda: {"train": 0.5, "encoder": 0.25, "test": 0.25},
        description="Share of the wells of every condition: `train` for the generator and the "
        "autoencoder, `encoder` for feature encoders that the workflow trains, `test` for "
        "evaluation. With `hold_out`, `test` may be omitted: only held-out fields are then tested.",
    )
    seed: Seed = 0
    hold_out: list[dict[str, str | list[str]]] = Field(
        default_factory=list,
        description="Fields that only `test` may contain, by batch, plate, cell_type, "
        "perturbation, gene, moa (each of several, `A|B`) or scaffold (Bemis-Murcko, as SMILES). "
        "Perturbations with the same parent structure under another name are held out too. Several "
        "keys together select a pair, for example `{cell_type: HUVEC, perturbation: '1137'}` "
        "(MorphGen, section 4.5).",
    )
    hold_out_to: Literal["test", "nowhere"] = Field(
        "test",
        description="`test`: all held-out fields are test fields. `nowhere`: held-out fields that "
        "the random split assigns to another side are excluded, and the test side is that of the "
        "same split without a hold-out, so that two models share the same real test images.",
    )
    duplicates: Literal["stop", "list"] = Field(
        "stop",
        description="What to do if fields with identical pixels are on different sides: stop, or "
        "list them in the report.",
    )
    single_well: Literal["stop", "all-sides"] = Field(
        "stop",
        description="What to do with data too small to split by well: `stop`, or `all-sides`: "
        "use every field on every side. This only tests the pipeline and supports no claims, as "
        "the report states.",
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
            raise ValueError("fractions must be positive and sum to 1")
        if self.hold_out_to == "nowhere" and "test" not in self.fractions:
            raise ValueError(
                "hold_out_to is 'nowhere', so the test side is drawn at random: give `test` a "
                "fraction"
            )
        return self
