"""CellProfiler measurements of real and generated fields, and their profiles."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from morphpipe.config.base import ImageMode, LocalPath, Model, Name, PositiveInt, Seed
from morphpipe.config.experiments import Experiment

Recipe = Literal["fixed", "morphodiff", "morphgen"]


class Morphology(Model):
    """A CellProfiler pipeline, applied to one side of a split and to generated images."""

    split: Name = Field(description="One of `splits`.")
    side: str = Field("test", description="Side of the split whose real fields are measured.")
    pipeline: LocalPath = Field(
        description="CellProfiler pipeline (.cppipe): one of workflow/pipelines, or your own."
    )
    channels: dict[str, str] = Field(
        default_factory=dict,
        description="Channel of each image name in the pipeline, where the names differ.",
    )
    images: ImageMode = Field(
        "channels", description="Measure the channels, or red, green and blue of RGB renderings."
    )
    cell_types: list[str] | None = Field(None, description="Cell types to measure; null: all.")
    perturbations: list[str] | None = Field(
        None,
        description="Perturbations to measure; null: all. A field of 512x512 pixels takes ten "
        "seconds to a minute, so consider a selection.",
    )
    batch_size: PositiveInt = Field(
        25, description="Fields per batch; results are written after each batch."
    )
    maximum_failed: float = Field(
        0.05, ge=0, le=1, description="Maximum fraction of failed fields; above it the job fails."
    )
    outlined: int = Field(
        2, ge=0, description="Fields per shard whose segmentation is kept for figures."
    )
    recipe: Recipe = Field(
        "fixed",
        description="How profiles are computed: `fixed` fits all transformations on real images "
        "only; `morphodiff` and `morphgen` follow the papers.",
    )
    correlation: Literal["pearson", "spearman"] = Field(
        "pearson",
        description="Correlation of mean profiles; `spearman` as in MorphoDiff's released code.",
    )
    correlation_floor: Literal["mean", "minimum"] = Field(
        "mean",
        description="Agreement of split halves of the real wells: the mean over random split "
        "halves, or their minimum, as in MorphoDiff's released code (100 split halves).",
    )
    floor_repeats: PositiveInt | None = Field(
        None,
        description="Number of random split halves of the real wells; null: the experiment's "
        "`evaluation.floor_repeats`.",
    )
    clustering_seeds: list[Seed] = Field(
        default_factory=lambda: [42, 43, 44, 45, 46],
        min_length=1,
        description="Seeds of k-means; the normalised mutual information of clusters and labels "
        "is averaged over them (MorphoDiff's released code).",
    )
    per_plate: bool = Field(
        False, description="Standardise real fields plate by plate (recipe `fixed` only)."
    )
    seed: Seed = Field(2020, description="Seed of split halves, folds and matched samples.")


def check_morphology(
    morphology: Mapping[str, Morphology], experiments: Mapping[str, Experiment]
) -> None:
    """Check that real and generated fields of an experiment can be measured the same way.

    Raises
    ------
    ValueError
        With the invalid key, and the value that it needs.
    """
    for name, experiment in experiments.items():
        chosen = experiment.evaluation.morphology
        if chosen is None:
            continue
        place = f"experiments.{name}.evaluation.morphology"
        settings = morphology[chosen]
        if settings.split != experiment.split:
            raise ValueError(
                f"{place}: {chosen!r} measures real fields of split {settings.split!r}, but the "
                f"experiment uses {experiment.split!r}"
            )
        if experiment.image_mode == "rgb" and settings.images != "rgb":
            raise ValueError(
                f"{place}: the experiment generates RGB images, so morphology.{chosen}.images "
                "has to be 'rgb'"
            )
