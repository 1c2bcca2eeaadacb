"""Perturbation embeddings that generators are conditioned on."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from morphpipe.config.base import LocalPath, Model, Name, PositiveInt, Seed

Control = Literal["ones", "zeros", "as_data"]
_CONTROL = (
    "Embedding of negative controls (untreated, DMSO): `ones`, as for RxRx1's EMPTY in "
    "MorphoDiff's released code, and the same as the padding of tokens; `zeros`; or `as_data`, "
    "like any other perturbation."
)


class _Condition(Model):
    """Settings of all kinds."""

    missing: Literal["stop", "leave_out"] = Field(
        "stop",
        description="What to do if perturbations have no embedding: stop, or exclude them and "
        "their fields. Both list them with the reason.",
    )
    concentration: Literal["ignored", "appended"] = Field(
        "ignored",
        description="`appended` appends two numbers to the embedding: log10 of the concentration "
        "in micromolar and 1, or 0 and 0 without a concentration. MorphoDiff ignores the "
        "concentration (released code).",
    )
    extra: list[str] = Field(
        default_factory=list,
        description="Additional perturbations that are not in the dataset, for generating unseen "
        "perturbations. With `appended` they are embedded at every concentration of the dataset.",
    )


class _OfStructure(_Condition):
    """Settings of kinds that are computed from chemical structures."""

    smiles: dict[str, str] = Field(
        default_factory=dict,
        description="SMILES by perturbation, for those without a structure in the dataset and for "
        "`extra`. They take precedence over the dataset's.",
    )


class ConstantCondition(_Condition):
    """One constant embedding, the prompt of MorphoDiff's baseline "Stable Diffusion"."""

    kind: Literal["constant"]
    control: Control = Field("as_data", description=_CONTROL)
    width: PositiveInt = Field(768, description="Width of a token (MorphoDiff, released code).")
    value: float = Field(1.0, description="Value of all elements (MorphoDiff, released code).")


class ScGPTCondition(_Condition):
    """Gene embeddings of scGPT, by the dataset's column `gene`; `extra` by name."""

    kind: Literal["scgpt"]
    control: Control = Field("zeros", description=_CONTROL)
    weights: Name = Field(description="One of `weights`.")
    form: Literal["table", "checkpoint"] = Field(
        "table",
        description="Form of the weights: a table of gene embeddings, as published by MorphoDiff, "
        "or the gene tokens of scGPT's checkpoint (best_model.pt, vocab.json, args.json).",
    )
    file: str | None = Field(
        None, description="File name of the table in the weights; null: their only table."
    )
    width: PositiveInt = Field(512, description="Embedding width (`embsize` in args.json).")

    @model_validator(mode="after")
    def _file(self) -> "ScGPTCondition":
        if self.form == "checkpoint" and self.file is not None:
            raise ValueError("`file` is for the form table: checkpoint files have fixed names")
        return self


class RDKitCondition(_OfStructure):
    """Standardised RDKit descriptors, those of 200 that vary (MorphoDiff: 173)."""

    kind: Literal["rdkit"]
    control: Control = Field(
        "zeros", description=f"{_CONTROL} Zeros equal the mean compound of the dataset."
    )
    form: Literal["computed", "table"] = Field(
        "computed",
        description="Compute descriptors from SMILES and standardise them over the dataset's "
        "compounds, or read a published table, by perturbation.",
    )
    weights: Name | None = Field(
        None, description="One of `weights`: the published table, for `form: table`."
    )
    file: str | None = Field(
        None, description="File name of the table in the weights; null: their only table."
    )

    @model_validator(mode="after")
    def _form(self) -> "RDKitCondition":
        if self.form == "table":
            if self.weights is None:
                raise ValueError("the form table needs `weights`: the name of a published table")
            if self.smiles:
                raise ValueError("`smiles` has no effect on the form table: use `form: computed`")
        elif self.weights is not None or self.file is not None:
            raise ValueError("`weights` and `file` are for the form table; add `form: table`")
        return self


class MorganCondition(_OfStructure):
    """Binary Morgan fingerprint of the circular substructures of a compound."""

    kind: Literal["morgan"]
    control: Control = Field("zeros", description=_CONTROL)
    radius: int = Field(2, ge=0, description="Radius in bonds; 2 is ECFP4.")
    bits: PositiveInt = Field(1024, description="Number of bits (CellFlux: 1024).")


class TableCondition(_Condition):
    """A table of your own embeddings."""

    kind: Literal["table"]
    control: Control = Field("as_data", description=_CONTROL)
    file: LocalPath = Field(
        min_length=1,
        description="CSV (also gzipped) or Parquet: the first column, `perturbation`, contains "
        "names as in the dataset, all others numbers. Relative to the working directory.",
    )


class RandomCondition(_Condition):
    """Random embeddings from a standard normal distribution, by seed and name."""

    kind: Literal["random"]
    control: Control = Field("as_data", description=_CONTROL)
    width: PositiveInt = 64
    seed: Seed = 0


Condition = Annotated[
    ConstantCondition
    | ScGPTCondition
    | RDKitCondition
    | MorganCondition
    | TableCondition
    | RandomCondition,
    Field(discriminator="kind"),
]
