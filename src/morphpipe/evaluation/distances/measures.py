"""A common interface to the Fréchet and kernel distances."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy.typing as npt
import pandas as pd

from morphpipe.evaluation.core.statistics import Statistic
from morphpipe.evaluation.distances.frechet import linearised_frechet_distance
from morphpipe.evaluation.distances.kernel import kernel_distance, linearised_mmd

# The encoder's name in the registry and the network's own.
INCEPTION = ("inception", "Inception v3")


def distance_names(extractor: str) -> tuple[str, str]:
    """Metric names of the Fréchet and kernel distance; FID and KID on Inception features only."""
    return ("FID", "KID") if extractor in INCEPTION else ("frechet_distance", "kernel_distance")


class DistanceMeasure(Protocol):
    """A distance between two sets of features."""

    @property
    def name(self) -> str:
        """Name of the metric in the table."""

    @property
    def relative_name(self) -> str | None:
        """Name of its ratio to the floor; None if a ratio is meaningless."""

    def measure(
        self,
        left: npt.NDArray[Any],
        right: npt.NDArray[Any],
        conditions: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    ) -> tuple[Statistic, dict[str, Any]]:
        """Measure features [n, d] and [m, d] of conditions [n] and [m].

        Also return notes for the settings.
        """


@dataclass(frozen=True)
class Frechet:
    """Fréchet distance, called FID on Inception features only."""

    extractor: str

    @property
    def name(self) -> str:
        """Name of the metric in the table."""
        return distance_names(self.extractor)[0]

    @property
    def relative_name(self) -> str:
        """Name of its ratio to the floor."""
        return f"relative_{self.name}"

    def measure(
        self,
        left: npt.NDArray[Any],
        right: npt.NDArray[Any],
        conditions: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    ) -> tuple[Statistic, dict[str, Any]]:
        """Measure two sets of features."""
        return linearised_frechet_distance(left, right), {}


@dataclass(frozen=True)
class Kernel:
    """Kernel distance, called KID on Inception features only.

    It has no ratio to the floor, which would divide by noise: the expectation is 0 for two samples
    of one distribution.
    """

    extractor: str
    subset_size: int
    subsets: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the metric in the table."""
        return distance_names(self.extractor)[1]

    @property
    def relative_name(self) -> None:
        """No ratio is formed."""

    def measure(
        self,
        left: npt.NDArray[Any],
        right: npt.NDArray[Any],
        conditions: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    ) -> tuple[Statistic, dict[str, Any]]:
        """Measure two sets of features.

        For one condition, or if a set has a single image of a condition, the value is the mean over
        subsets, or the unbiased MMD over all images if a set is smaller than a subset. Both have
        the same expectation and use the contributions of the latter. For several conditions it is
        the unbiased MMD over all images, with pairs weighted by the mix of conditions.
        """
        counts = [pd.Series(of).value_counts() for of in conditions]
        several, fewest = max(map(len, counts)) > 1, min(of.min() for of in counts)
        if several and fewest > 1:
            return linearised_mmd(left, right, conditions), {
                "estimator": "unbiased MMD over all images, within and between conditions"
            }
        overall = linearised_mmd(left, right)
        if min(len(left), len(right)) < self.subset_size:
            return overall, {"estimator": "unbiased MMD over all images"}
        subsets = kernel_distance(
            left, right, subset_size=self.subset_size, subsets=self.subsets, seed=self.seed
        )
        return replace(overall, value=subsets.mean), {
            "estimator": "mean over subsets",
            "subset_size": self.subset_size,
            "subsets": self.subsets,
            "subset_seed": self.seed,
            "subset_standard_deviation": subsets.std,
        }
