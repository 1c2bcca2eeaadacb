"""Feature selection, one operation at a time.

Most operations are pycytominer's `feature_select`, except the threshold on the absolute
correlation: pycytominer's keeps pairs with r = -1.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pycytominer import feature_select

from morphpipe.core.errors import DataError
from morphpipe.morphology.feature_names import METADATA, is_position


@dataclass(frozen=True)
class Selection:
    r"""One operation and its threshold.

    Attributes
    ----------
    operation
        pycytominer's: ``drop_na_columns`` (maximum fraction of missing values),
        ``variance_threshold`` (minimum variance), ``frequency_threshold`` (few distinct values, by
        pycytominer's two thresholds; called variance_threshold in its releases before July 2026),
        ``blocklist`` (features known as unstable, named by the stains DNA, RNA, ER, AGP and Mito,
        so few or none with other channel names; no threshold), ``drop_outliers`` (maximum absolute
        value), ``correlation_threshold`` (of each pair with a greater r, drops the one more
        correlated with all others), ``noise_removal`` (mean standard deviation within
        perturbations). Ours: ``absolute_correlation`` (like correlation_threshold, but of \|r\|),
        ``positions`` (positions in the field; no threshold).
    threshold
        See above.
    """

    operation: str
    threshold: float | None = None

    def __str__(self) -> str:
        return self.operation + ("" if self.threshold is None else f" {self.threshold:g}")


def select_features(rows: pd.DataFrame, features: list[str], selection: Selection) -> list[str]:
    """Apply one operation.

    Parameters
    ----------
    rows
        Profiles to judge features by, normalised if the operation requires it.
    features
        The remaining features.
    selection
        The operation.

    Returns
    -------
    list of str
        The selected features, in order.

    Raises
    ------
    DataError
        If the operation is unknown, or nothing remains.
    """
    if selection.operation in _OURS:
        kept = _OURS[selection.operation](rows, features, selection.threshold)
    elif selection.operation in _PYCYTOMINER:
        kept = _by_pycytominer(rows, features, selection)
    else:
        known = ", ".join([*_PYCYTOMINER, *_OURS])
        raise DataError(f"features are selected by {known}, not by {selection.operation}")
    if not kept:
        raise DataError(
            f"the feature selection {selection} leaves none of {len(features)} features on "
            f"{len(rows)} fields: take more fields, another threshold or another recipe"
        )
    return kept


# Name of each operation's threshold in `feature_select`.
_PYCYTOMINER = {
    "drop_na_columns": "na_cutoff",
    "variance_threshold": "min_variance",
    "frequency_threshold": None,
    "blocklist": None,
    "drop_outliers": "outlier_cutoff",
    "correlation_threshold": "corr_threshold",
    "noise_removal": "noise_removal_stdev_cutoff",
}


def _by_pycytominer(rows: pd.DataFrame, features: list[str], selection: Selection) -> list[str]:
    argument = _PYCYTOMINER[selection.operation]
    settings: dict[str, object] = {}
    if argument is not None and selection.threshold is not None:
        settings[argument] = selection.threshold
    profiles = rows[features]
    if selection.operation == "noise_removal":
        settings["noise_removal_perturb_groups"] = f"{METADATA}perturbation"
        profiles = rows[[f"{METADATA}perturbation", *features]]
    try:
        # Explicit features: by default pycytominer omits those of whole images.
        selected = feature_select(
            profiles, features=features, operation=[selection.operation], **settings
        )
    except ValueError as error:
        # scikit-learn's message if no variance exceeds the threshold.
        if "meets the variance threshold" not in str(error):
            raise
        return []
    kept = set(selected.columns)
    return [name for name in features if name in kept]


def _absolute_correlation(
    rows: pd.DataFrame, features: list[str], threshold: float | None
) -> list[str]:
    values = rows[features].to_numpy(np.float64)
    centred = np.nan_to_num(values - np.nanmean(values, axis=0))
    norms = np.sqrt((centred**2).sum(axis=0))
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    correlation = np.abs(unit.T @ unit)
    # Rank by correlation with all others, lowest first.
    rank = np.empty(len(features), dtype=np.intp)
    rank[np.argsort(correlation.sum(axis=0), kind="stable")] = np.arange(len(features))
    beaten = (correlation > (threshold or 0.0)) & (rank[:, None] < rank[None, :])
    redundant = beaten.any(axis=0)
    return [name for name, drop in zip(features, redundant, strict=True) if not drop]


def _without_positions(
    rows: pd.DataFrame, features: list[str], threshold: float | None
) -> list[str]:
    return [name for name in features if not is_position(name)]


_OURS = {
    "absolute_correlation": _absolute_correlation,
    "positions": _without_positions,
}
