"""What CellProfiler measures on real and generated fields, and how it becomes profiles."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from morphpipe.config.base import ImageMode, LocalPath, Model, Name, PositiveInt, Seed
from morphpipe.config.experiments import Experiment

Recipe = Literal["fixed", "morphodiff", "morphgen"]


class Morphology(Model):
    """One CellProfiler pipeline on one side of a split, and on the images generated for it."""

    split: Name = Field(description="One of `splits`.")
    side: str = Field("test", description="Side of the split whose real fields are measured.")
    pipeline: LocalPath = Field(
        description="A CellProfiler pipeline (.cppipe): one of workflow/pipelines, or one's own."
    )
    channels: dict[str, str] = Field(
        default_factory=dict,
        description="Image names in the pipeline with the channel of the fields that each is, "
        "where the two names differ.",
    )
    images: ImageMode = Field(
        "channels", description="The channels as they are, or red, green and blue of renderings."
    )
    cell_types: list[str] | None = Field(None, description="None: all that there are.")
    perturbations: list[str] | None = Field(
        None,
        description="None: all that there are. A field of 512x512 pixels takes ten seconds to a "
        "minute: name those that matter.",
    )
    batch_size: PositiveInt = Field(
        25, description="Fields that are measured before their values are written down."
    )
    maximum_failed: float = Field(
        0.05, ge=0, le=1, description="A larger share of failed fields stops the stage."
    )
    outlined: int = Field(
        2, ge=0, description="Fields of a shard whose segmentation is kept for pictures."
    )
    recipe: Recipe = Field(
        "fixed",
        description="How measurements become profiles: `fixed` fits everything on real images "
        "alone; `morphodiff` and `morphgen` do as the papers say.",
    )
    correlation: Literal["pearson", "spearman"] = Field(
        "pearson",
        description="Of mean profiles: `spearman`, between the ranks of their features, as "
        "MorphoDiff's released code.",
    )
    correlation_floor: Literal["mean", "minimum"] = Field(
        "mean",
        description="What halves of the real wells agree by: the mean over random split halves, or "
        "their minimum, as MorphoDiff's released code (of 100).",
    )
    floor_repeats: PositiveInt | None = Field(
        None,
        description="Random split halves of the real wells; null: as many as the experiment's "
        "`evaluation.floor_repeats`.",
    )
    clustering_seeds: list[Seed] = Field(
        default_factory=lambda: [42, 43, 44, 45, 46],
        min_length=1,
        description="Seeds of k-means over which the normalised mutual information of clusters "
        "and labels is averaged (MorphoDiff's released code).",
    )
    per_plate: bool = Field(
        False, description="Standardise real fields plate by plate (recipe `fixed` only)."
    )
    seed: Seed = Field(2020, description="Of halves, folds and matched samples.")


def check_morphology(
    morphology: Mapping[str, Morphology], experiments: Mapping[str, Experiment]
) -> None:
    """Check that real and generated fields of an experiment can be measured alike.

    Raises
    ------
    ValueError
        Naming the key that does not fit, and what would.
    """
    for name, experiment in experiments.items():
        chosen = experiment.evaluation.morphology
        if chosen is None:
            continue
        place = f"experiments.{name}.evaluation.morphology"
        settings = morphology[chosen]
        if settings.split != experiment.split:
            raise ValueError(
                f"{place}: {chosen!r} measures real fields of split {settings.split!r}, the "
                f"experiment is on {experiment.split!r}"
            )
        if experiment.image_mode == "rgb" and settings.images != "rgb":
            raise ValueError(
                f"{place}: the experiment generates RGB images, so morphology.{chosen}.images "
                "has to be 'rgb'"
            )
