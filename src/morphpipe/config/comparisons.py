"""Two experiments beside each other: a model, and the baseline that it has to beat."""

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
    """The rank of each perturbation's own real images among those of all (MorphoDiff, table 5)."""

    cohorts: int | None = Field(
        None,
        ge=2,
        description="Among how many: the own cohort and others drawn at random. Null: all, which "
        "at RxRx1's size are a million pairs.",
    )
    seed: Seed = Field(2020, description="Of the drawn cohorts and images.")
    blocks: PositiveInt = Field(1, description="Jobs, each for a part of the perturbations.")


class Comparison(Model):
    """Two experiments on the same split, tested over perturbations."""

    model: Name = Field(description="One of `experiments`.")
    baseline: Name = Field(
        description="One of `experiments`; MorphoDiff's is Stable Diffusion with one prompt for "
        "all perturbations."
    )
    encoders: list[Name] | None = Field(
        None, min_length=1, description="Some of `encoders`; null: all that both are evaluated by."
    )
    metrics: list[Distance] | None = Field(
        None, min_length=1, description="Distances that are tested; null: all that are measured."
    )
    comparison: Literal["generated-real@floor-n", "generated-real"] = Field(
        "generated-real@floor-n",
        description="At the numbers of images of the real-vs-real floor, or of all images.",
    )
    ranking: Ranking | None = Field(
        None, description="Rank the cohorts of both experiments; null: not."
    )

    @model_validator(mode="after")
    def _two(self) -> "Comparison":
        if self.model == self.baseline:
            raise ValueError(f"model and baseline are both {self.model!r}: name two experiments")
        return self

    @property
    def experiments(self) -> tuple[str, str]:
        """The model and the baseline."""
        return self.model, self.baseline


def ranking_of(comparisons: Mapping[str, Comparison], experiment: str) -> Ranking | None:
    """How an experiment is ranked: as the comparisons say that name it; None if it is not."""
    named = [c.ranking for c in comparisons.values() if experiment in c.experiments]
    return next((ranking for ranking in named if ranking is not None), None)


def check_comparisons(
    comparisons: Mapping[str, Comparison], experiments: Mapping[str, Experiment]
) -> None:
    """Raise ValueError unless all comparisons fit the experiments, and each other.

    Experiments have to be declared and on the same split, encoders to be in the evaluation of
    both; an experiment is ranked in one way only.
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
                f"{baseline.split!r}: they have to be on the same one"
            )
        shared = [e for e in model.evaluation.encoders if e in baseline.evaluation.encoders]
        for encoder in comparison.encoders or []:
            if encoder not in shared:
                raise ValueError(
                    f"{place}.encoders names {encoder!r}, by which not both experiments are "
                    f"evaluated (both: {', '.join(shared) or 'none'})"
                )
        if not shared:
            raise ValueError(f"{place} compares experiments that share no evaluation encoder")
        for experiment in comparison.experiments:
            ranking = ranking_of(comparisons, experiment)
            if comparison.ranking is not None and comparison.ranking != ranking:
                raise ValueError(
                    f"{place}.ranking differs from that of another comparison of "
                    f"{experiment!r}: an experiment is ranked in one way only"
                )
