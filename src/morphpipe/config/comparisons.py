"""Comparisons of a model with a baseline."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from morphpipe.config.base import Model, Name, PositiveInt, Seed
from morphpipe.config.experiments import Experiment

Distance = Literal[
    "FID",
    "KID",
    "relative_FID",
    "frechet_distance",
    "kernel_distance",
    "relative_frechet_distance",
]


class Ranking(Model):
    """Rank of the matching real images among those of all perturbations (MorphoDiff, table 5)."""

    cohorts: int | None = Field(
        None,
        ge=2,
        description="Number of cohorts to rank: the matching one and others drawn at random. "
        "Null: all, which for RxRx1 are a million pairs.",
    )
    seed: Seed = Field(2020, description="Seed of the drawn cohorts and images.")
    blocks: PositiveInt = Field(1, description="Number of jobs that share the perturbations.")


class Comparison(Model):
    """Two experiments on the same split, compared by a test over perturbations."""

    model: Name = Field(description="One of `experiments`.")
    baseline: Name = Field(
        description="One of `experiments`; in MorphoDiff, Stable Diffusion with one prompt for "
        "all perturbations."
    )
    encoders: list[Name] | None = Field(
        None, min_length=1, description="Some of `encoders`; null: all that both experiments use."
    )
    metrics: list[Distance] | None = Field(
        None, min_length=1, description="Distances to test; null: all."
    )
    comparison: Literal["generated-real@floor-n", "generated-real"] = Field(
        "generated-real@floor-n",
        description="Compare with as many images as the real-vs-real floor, or with all images.",
    )
    ranking: Ranking | None = Field(
        None, description="Rank the cohorts of both experiments; null: no ranking."
    )

    @model_validator(mode="after")
    def _two(self) -> "Comparison":
        if self.model == self.baseline:
            raise ValueError(f"model and baseline are both {self.model!r}: use two experiments")
        return self

    @property
    def experiments(self) -> tuple[str, str]:
        """The model and the baseline."""
        return self.model, self.baseline


def ranking_of(comparisons: Mapping[str, Comparison], experiment: str) -> Ranking | None:
    """Return the ranking settings of an experiment; None if no comparison ranks it."""
    named = [c.ranking for c in comparisons.values() if experiment in c.experiments]
    return next((ranking for ranking in named if ranking is not None), None)


def check_comparisons(
    comparisons: Mapping[str, Comparison], experiments: Mapping[str, Experiment]
) -> None:
    """Raise ValueError unless all comparisons match the experiments, and each other.

    Both experiments must be declared, use the same split, and be evaluated with the encoders; an
    experiment has one ranking only.
    """
    for name, comparison in comparisons.items():
        place = f"comparisons.{name}"
        for side in ("model", "baseline"):
            experiment = getattr(comparison, side)
            if experiment not in experiments:
                raise ValueError(
                    f"{place}.{side} names {experiment!r}, which is not in `experiments` "
                    f"(declared: {', '.join(experiments) or 'none'})"
                )
        model, baseline = (experiments[e] for e in comparison.experiments)
        if model.split != baseline.split:
            raise ValueError(
                f"{place} compares experiments on the splits {model.split!r} and "
                f"{baseline.split!r}: both must use the same split"
            )
        shared = [e for e in model.evaluation.encoders if e in baseline.evaluation.encoders]
        for encoder in comparison.encoders or []:
            if encoder not in shared:
                raise ValueError(
                    f"{place}.encoders names {encoder!r}, which the experiments do not share "
                    f"(shared: {', '.join(shared) or 'none'})"
                )
        if not shared:
            raise ValueError(f"{place} compares experiments without a common encoder")
        for experiment in comparison.experiments:
            ranking = ranking_of(comparisons, experiment)
            if comparison.ranking is not None and comparison.ranking != ranking:
                raise ValueError(
                    f"{place}.ranking differs from that of another comparison of "
                    f"{experiment!r}: an experiment has one ranking only"
                )
