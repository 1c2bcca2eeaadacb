"""The embeddings that a generator is conditioned on, and where they come from."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from morphpipe.config.base import LocalPath, Model, Name, PositiveInt, Seed

Control = Literal["ones", "zeros", "as_data"]
_CONTROL = (
    "Embedding of negative controls (untreated, DMSO): `ones`, which MorphoDiff gives RxRx1's "
    "EMPTY (released code) and which is also what tokens are padded with; `zeros`; or `as_data`, "
    "like any other perturbation."
)


class _Condition(Model):
    """What all kinds share."""

    missing: Literal["stop", "leave_out"] = Field(
        "stop",
        description="What to do when perturbations have no embedding: stop, or leave them and "
        "their fields out. They are listed by name and reason in both cases.",
    )
    concentration: Literal["ignored", "appended"] = Field(
        "ignored",
        description="`appended` puts two numbers behind the embedding: log10 of the concentration "
        "in micromolar and 1, or 0 and 0 where there is none. MorphoDiff ignores the "
        "concentration (released code).",
    )
    extra: list[str] = Field(
        default_factory=list,
        description="Perturbations that are not in the dataset, and shall have an embedding: to "
        "generate what was never seen. With `appended` they get one at every concentration of "
        "the dataset.",
    )


class _OfStructure(_Condition):
    """What the kinds that are computed from structures share."""

    smiles: dict[str, str] = Field(
        default_factory=dict,
        description="Structures by perturbation, for those that the dataset has none of and for "
        "`extra`; they go before the dataset's own.",
    )


class ConstantCondition(_Condition):
    """The same for all: the prompt of MorphoDiff's baseline, "Stable Diffusion"."""

    kind: Literal["constant"]
    control: Control = Field("as_data", description=_CONTROL)
    width: PositiveInt = Field(768, description="A prompt token's (MorphoDiff, released code).")
    value: float = Field(1.0, description="Of every number (MorphoDiff, released code).")


class ScGPTCondition(_Condition):
    """Gene embeddings of scGPT, by the dataset's column `gene`; of `extra`, by their names."""

    kind: Literal["scgpt"]
    control: Control = Field("zeros", description=_CONTROL)
    weights: Name = Field(description="One of `weights`.")
    form: Literal["table", "checkpoint"] = Field(
        "table",
        description="What the weights are: a table of genes and numbers, as MorphoDiff publishes "
        "it, or scGPT's own checkpoint (best_model.pt, vocab.json, args.json), whose gene tokens "
        "are taken.",
    )
    file: str | None = Field(
        None, description="Which file of the weights the table is; null: their only table."
    )
    width: PositiveInt = Field(512, description="scGPT's (embsize of its published args.json).")

    @model_validator(mode="after")
    def _file(self) -> "ScGPTCondition":
        if self.form == "checkpoint" and self.file is not None:
            raise ValueError("`file` is for the form table: a checkpoint's files have fixed names")
        return self


class RDKitCondition(_OfStructure):
    """200 RDKit descriptors of the structure, those that vary, standardised (MorphoDiff: 173)."""

    kind: Literal["rdkit"]
    control: Control = Field(
        "zeros", description=f"{_CONTROL} Zeros are the mean compound of the dataset."
    )
    form: Literal["computed", "table"] = Field(
        "computed",
        description="Computed from SMILES and standardised over the dataset's compounds, or a "
        "published table of them, by perturbation.",
    )
    weights: Name | None = Field(
        None, description="One of `weights`: the published table, for the form table."
    )
    file: str | None = Field(
        None, description="Which file of the weights the table is; null: their only table."
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
    """Morgan fingerprint: which circular substructures a compound has, as 0 and 1."""

    kind: Literal["morgan"]
    control: Control = Field("zeros", description=_CONTROL)
    radius: int = Field(2, ge=0, description="Bonds around an atom; 2 is known as ECFP4.")
    bits: PositiveInt = Field(1024, description="Length (CellFlux: 1024).")


class TableCondition(_Condition):
    """A table of one's own."""

    kind: Literal["table"]
    control: Control = Field("as_data", description=_CONTROL)
    file: LocalPath = Field(
        min_length=1,
        description="CSV (also gzipped) or Parquet: the first column, `perturbation`, holds names "
        "as in the dataset, all others numbers. Relative to the working directory.",
    )


class RandomCondition(_Condition):
    """Standard normal numbers that depend on seed and name alone, where nothing is known."""

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
