"""Features of a set of images, with the metadata of each image."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.datasets.splits.assign import well_index
from morphpipe.evaluation.core.feature_arrays import check_features
from morphpipe.tables.feature_table import Extraction

KEY_COLUMNS = [
    "field_id",
    "cell_type",
    "perturbation",
    "control",
    "moa",
    "batch",
    "plate",
    "well",
    "origin",
    "training_seed",
    "sampling_seed",
]


@dataclass(frozen=True)
class FeatureSet:
    """Features of real or generated images, one row per image.

    Attributes
    ----------
    keys
        One row per image with the columns `KEY_COLUMNS`; moa may be null; batch, plate and well
        are null for generated images, the seeds for real ones.
    features
        float32 [n, d].
    extractor
        Name of the encoder.
    view
        Input of the encoder: ``rgb``, a channel name or ``all``.
    extraction
        Provenance of the features; None if they do not come from a feature table.
    place
        Path of the first feature table, for messages.

    Raises
    ------
    DataError
        If lengths differ, a column is missing, a field_id repeats, a feature is not finite, or real
        and generated images are mixed.
    """

    keys: pd.DataFrame
    features: npt.NDArray[np.float32]
    extractor: str
    view: str
    extraction: Extraction | None = None
    place: str = ""

    def __post_init__(self) -> None:
        """Check that keys and features fit together."""
        missing = [column for column in KEY_COLUMNS if column not in self.keys]
        if missing:
            raise DataError(f"the keys of the {self.extractor} features lack {missing[0]}")
        if len(self.keys) != len(self.features):
            raise DataError(
                f"the {self.extractor} features have {len(self.features)} rows "
                f"for {len(self.keys)} keys"
            )
        repeated = self.keys["field_id"].duplicated()
        if repeated.any():
            raise DataError(
                f"field_id {self.keys['field_id'][repeated].iloc[0]} has {self.extractor} "
                "features more than once; every image counts once"
            )
        if len(self.keys):
            check_features(self.features, self.extractor)
        origins = set(self.keys["origin"])
        if not (origins <= {"real"} or origins <= {"generated"}):
            raise DataError(
                f"a feature set holds real or generated images, not origins {sorted(origins)}"
            )
        # Selections are made by position; a stray index would only invite misalignment.
        object.__setattr__(self, "keys", self.keys.reset_index(drop=True))
        features = np.asarray(self.features, dtype=np.float32)
        object.__setattr__(self, "features", features)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.keys)

    def select(self, mask: npt.ArrayLike) -> "FeatureSet":
        """Select rows by a boolean mask [n] or by position."""
        chosen: npt.NDArray[Any] = np.asarray(mask)
        if chosen.dtype == bool and chosen.shape != (len(self),):
            raise DataError(f"a mask of shape {chosen.shape} cannot select from {len(self)} images")
        positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.intp)
        rows: slice | npt.NDArray[np.intp] = positions
        if len(positions) and (np.diff(positions) == 1).all():
            # Consecutive rows, as those of a seed are, need no copy of what may be gigabytes.
            rows = slice(int(positions[0]), int(positions[-1]) + 1)
        return replace(self, keys=self.keys.iloc[positions], features=self.features[rows])

    def column(self, name: str) -> npt.NDArray[Any]:
        """One key column as an array of strings; null becomes the empty string."""
        return self.keys[name].astype("string").fillna("").to_numpy(dtype=object)

    @property
    def is_generated(self) -> bool:
        """Whether the images are generated (False for an empty set)."""
        return len(self) > 0 and self.keys["origin"].iloc[0] == "generated"

    @cached_property
    def groups(self) -> npt.NDArray[np.intp]:
        """Independent units: the well of a real image, each generated image by itself.

        For generated crops the well column holds their field, and crops of one field are one unit.
        """
        if len(self) == 0 or (self.is_generated and self.keys["well"].isna().any()):
            return np.arange(len(self))
        if self.is_generated:
            return pd.factorize(self.keys["well"])[0].astype(np.intp)
        return well_index(self.keys)

    @cached_property
    def conditions(self) -> npt.NDArray[Any]:
        """Cell type and perturbation of each image as one label."""
        pairs = zip(self.column("cell_type"), self.column("perturbation"), strict=True)
        return np.array(["\x1f".join(pair) for pair in pairs], dtype=object)

    def by_seed(self) -> Iterator[tuple[int | None, int | None, "FeatureSet"]]:
        """Iterate over the (training seed, sampling seed) pairs of generated images, in order."""
        seeds = self.keys[["training_seed", "sampling_seed"]].astype("Int64")
        pairs = sorted(
            {(_seed(a), _seed(b)) for a, b in seeds.itertuples(index=False)},
            key=lambda pair: tuple((seed is not None, seed or 0) for seed in pair),
        )
        for training, sampling in pairs:
            mask = np.ones(len(self), dtype=bool)
            for name, seed in (("training_seed", training), ("sampling_seed", sampling)):
                mask &= (seeds[name].isna() if seed is None else seeds[name].eq(seed)).to_numpy(
                    dtype=bool, na_value=False
                )
            yield training, sampling, self.select(mask)


def _seed(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)


def check_comparable(left: FeatureSet, right: FeatureSet) -> None:
    """Raise DataError unless both sets come from the same encoder, weights and view."""
    if (left.extractor, left.view) != (right.extractor, right.view):
        raise DataError(
            f"features of {left.extractor} on view {left.view} cannot be compared with those of "
            f"{right.extractor} on view {right.view}"
        )
    if left.extraction is not None and right.extraction is not None:
        for what, one, other in _differences(left.extraction, right.extraction):
            raise DataError(
                f"{left.place} was made with the {what} {one}, {right.place} with {other}: such "
                "features cannot be compared. Delete the older of the two and rerun the workflow."
            )
    if left.features.shape[1] != right.features.shape[1]:
        raise DataError(
            f"features of {left.extractor} have {left.features.shape[1]} columns on one side and "
            f"{right.features.shape[1]} on the other; the weights differ"
        )


def _differences(left: Extraction, right: Extraction) -> Iterator[tuple[str, str, str]]:
    for what, one, other in (
        ("encoder", left.extractor, right.extractor),
        ("kind of encoder", left.kind, right.kind),
        ("weights (SHA-256)", left.weights_sha256, right.weights_sha256),
        ("view", left.view, right.view),
    ):
        if one != other:
            yield what, one, other
    # Other views do not depend on the remaining channels.
    if left.view == right.view == "all" and left.channels != right.channels:
        yield "channels", ", ".join(left.channels), ", ".join(right.channels)


def check_sides(
    generated: FeatureSet, real: FeatureSet, training: FeatureSet | None = None
) -> None:
    """Raise DataError unless each set has the right origin and all share encoder and view."""
    if not generated.is_generated:
        raise DataError("there are no generated images")
    for images in [real] if training is None else [real, training]:
        check_comparable(generated, images)
        if images.is_generated:
            raise DataError("generated images were given instead of real ones")


def joined(left: FeatureSet, right: FeatureSet) -> FeatureSet:
    """Concatenate two disjoint sets of the same encoder and view."""
    check_comparable(left, right)
    return replace(
        left,
        keys=pd.concat([left.keys, right.keys], ignore_index=True),
        features=np.concatenate([left.features, right.features]),
    )


def share_fields(left: FeatureSet, right: FeatureSet) -> bool:
    """Whether a field is in both sets, as happens on data too small to be split."""
    return not set(left.keys["field_id"]).isdisjoint(right.keys["field_id"])
