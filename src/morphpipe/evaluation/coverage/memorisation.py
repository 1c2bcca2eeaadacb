"""Memorisation: whether generated images are closer to training images than new ones would be.

For every image we take the distance to its nearest training image in an encoder's features, and its
nearness: that distance divided by the mean distance to the next 50 training images. A typical image
is near many training images; a copy is near one. Held-out real images give the reference for new
images of the same distribution. In the copy control (training images replayed) distance and
nearness are 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.datasets.splits.assign import halves
from morphpipe.evaluation.core.feature_arrays import Array
from morphpipe.evaluation.core.feature_set import FeatureSet, check_sides
from morphpipe.evaluation.core.scopes import Scope, of_generated_conditions
from morphpipe.evaluation.core.statistics import LEVEL, bootstrap_interval, wilson_interval
from morphpipe.evaluation.core.subsample import thinned
from morphpipe.evaluation.coverage.nearest_training import (
    OTHERS,
    memorised_below,
    nearest,
    probability_nearer,
)
from morphpipe.evaluation.registry import Measure
from morphpipe.tables.metric_table import metric_row
from morphpipe.tables.schemas import PAIR_SCHEMA

Rows = list[dict[str, Any]]
Indices = npt.NDArray[np.intp]


PERCENTILE = 1.0
"""Percentile of the held-out nearness below which an image counts as memorised."""
PAIRS = 24
"""Number of closest pairs kept for the figures."""


@dataclass(frozen=True)
class _Looked:
    images: FeatureSet
    distances: Array
    nearness: Array
    positions: Indices

    def select(self, mask: npt.NDArray[np.bool_]) -> "_Looked":
        return _Looked(
            self.images.select(mask),
            self.distances[mask],
            self.nearness[mask],
            self.positions[mask],
        )

    def of(self, scope: Scope) -> "_Looked":
        ids = set(scope.of(self.images).keys["field_id"])
        return self.select(self.images.keys["field_id"].isin(ids).to_numpy(bool))


def _look(images: FeatureSet, training: FeatureSet, at_most: int, seed: int) -> _Looked:
    ids = list(images.column("field_id"))
    chosen = images.select(thinned(ids, np.zeros(len(ids)), at_most, seed))
    return _Looked(chosen, *nearest(chosen.features, training.features))


def _below(comparison: str, looked: _Looked, held_out: _Looked, seed: int) -> npt.NDArray[np.bool_]:
    """Which images count as memorised: bool [n].

    Each half of the held-out wells is judged by the threshold of the other half.
    """
    if comparison != "real-training":
        return looked.nearness < memorised_below(held_out.nearness, PERCENTILE).value
    below = np.zeros(len(looked.nearness), dtype=bool)
    if len(np.unique(looked.images.groups)) < 2:
        return below
    first = halves(looked.images.keys, [seed], too_few="pool")[0]
    for half in (first, ~first):
        threshold = memorised_below(looked.nearness[~half], PERCENTILE)
        below[half] = looked.nearness[half] < threshold.value
    return below


def _rows(
    comparison: str,
    looked: _Looked,
    held_out: _Looked,
    columns: Mapping[str, Any],
    replicates: int,
    seed: int,
) -> Rows:
    """Rows of one set of images against held-out images of the same scope."""
    groups = None if looked.images.is_generated else looked.images.groups
    units = looked.images.groups
    several = len(np.unique(units)) >= 2
    common = {
        **columns,
        "comparison": comparison,
        "n_left": len(looked.distances),
        "n_right": len(held_out.distances),
    }
    bootstrap = {
        "interval": "bootstrap over wells" if groups is not None else "bootstrap over images",
        "level": LEVEL,
        "replicates": replicates,
        "seed": seed,
    }

    def interval(statistic: Any, *samples: _Looked) -> dict[str, float]:
        low, high = bootstrap_interval(
            statistic,
            [sample.distances for sample in samples],
            [sample.images.groups for sample in samples],
            replicates=replicates,
            seed=seed,
        )
        return {"ci_low": low, "ci_high": high}

    def medians(left: Array, right: Array) -> float:
        return float(np.median(left) / np.median(right))

    rows = [
        metric_row(
            **common,
            **(interval(np.median, looked) if several else {}),
            metric="nearest_training_distance",
            value=float(np.median(looked.distances)),
            settings=bootstrap if several else {"interval": "none: a single well"},
        )
    ]
    both = several and len(np.unique(held_out.images.groups)) >= 2
    if comparison != "real-training" and np.median(held_out.distances) > 0:
        found = {
            "nearest_training_ratio": medians,
            "data_copying": probability_nearer,
        }
        for metric, statistic in found.items():
            rows.append(
                metric_row(
                    **common,
                    **(interval(statistic, looked, held_out) if both else {}),
                    metric=metric,
                    value=statistic(looked.distances, held_out.distances),
                    settings=bootstrap if both else {"interval": "none: a single well"},
                )
            )
    threshold = memorised_below(held_out.nearness, PERCENTILE)
    below = _below(comparison, looked, held_out, seed)
    low, high = wilson_interval(below, groups)
    most = wilson_interval(held_out.nearness <= threshold.value, held_out.images.groups).high
    rows.append(
        metric_row(
            **common,
            metric="memorised_share",
            value=float(below.mean()),
            ci_low=low,
            ci_high=high,
            settings={
                "threshold": threshold.value,
                "percentile": PERCENTILE,
                "neighbours": OTHERS,
                "expected_share": threshold.expected,
                "expected_at_most": most,
                "flagged": bool(low > most),
                "interval": "Wilson, wells as units" if groups is not None else "Wilson",
                "level": LEVEL,
            },
        )
    )
    return rows


def _pairs(
    comparison: str,
    looked: _Looked,
    training: FeatureSet,
    threshold: float,
    columns: Mapping[str, Any],
) -> Rows:
    """Images with their nearest training image, the most suspicious first."""
    order = np.argsort(looked.nearness, kind="stable")[:PAIRS]
    distances, nearness = looked.distances[order], looked.nearness[order]
    left = looked.images.keys.iloc[order]
    right = training.keys.iloc[looked.positions[order]]
    frame = pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            **{name: left[name].to_numpy() for name in ("field_id", "cell_type", "perturbation")},
            **{
                f"training_{name}": right[name].to_numpy()
                for name in ("field_id", "cell_type", "perturbation")
            },
            "distance": distances,
            "nearness": nearness,
            # A copy has nearness 0, whatever its other distances.
            "threshold": np.divide(
                threshold * distances, nearness, out=np.full(len(order), np.nan), where=nearness > 0
            ),
        }
    )
    frame = frame.assign(comparison=comparison, **columns)
    return list(frame.astype(object).where(frame.notna(), None).to_dict("records"))


def memorisation(
    generated: FeatureSet,
    real: FeatureSet,
    training: FeatureSet,
    *,
    context: Mapping[str, Any],
    at_most: int,
    bootstrap: int,
    seed: int,
) -> tuple[Rows, Rows]:
    """Find generated images that are closer to training images than new ones would be.

    Parameters
    ----------
    generated
        Generated images; each pair of seeds is measured separately.
    real
        Real held-out images; conditions that were not generated are ignored.
    training
        All real images the generator was trained on: a copy may come from another condition.
    at_most
        Maximum number of generated and of held-out images, thinned at random; all training images
        are searched.
    bootstrap
        Bootstrap samples of wells.

    Returns
    -------
    rows : list of dict
        Rows of the metric table, overall and by cell type, with the comparisons
        ``generated-training``, ``real-training`` (held-out images) and ``copy-training`` (training
        images replayed). ``nearest_training_distance`` is the median; ``nearest_training_ratio``
        divides it by that of held-out images; ``data_copying`` is the probability of being nearer
        than those; ``memorised_share`` is the fraction below the nearness threshold, and
        ``flagged`` in its settings says whether its interval lies entirely above that of the
        held-out images (see `morphpipe.evaluation.coverage.nearest_training`). Null with a reason
        if a held-out image is also a training image.
    pairs : list of dict
        The closest pairs, as rows of `PAIR_SCHEMA`.

    Raises
    ------
    DataError
        If the sets are inconsistent or empty.
    """
    check_sides(generated, real, training)
    if not (len(real) and len(training)):
        raise DataError("memorisation needs real held-out images and training images")
    real = of_generated_conditions(real, generated)
    common = {**context, "extractor": generated.extractor, "view": generated.view}
    named: dict[str, Any] = {
        "experiment": context["experiment"],
        "extractor": generated.extractor,
        "view": generated.view,
    }
    shared = len(set(real.keys["field_id"]) & set(training.keys["field_id"]))
    if shared or not len(real):
        reason = (
            f"{shared} held-out images are training images: the split leaves none that are new"
            if shared
            else "there is no real held-out image of the generated conditions"
        )
        row = metric_row(
            **common,
            metric="memorised_share",
            comparison="generated-training",
            cell_type="all",
            settings={"reason": reason},
        )
        return [row], []
    held_out = _look(real, training, at_most, seed)
    copies = _look(of_generated_conditions(training, generated), training, at_most, seed)
    sides: list[tuple[str, dict[str, int | None], _Looked]] = [
        ("real-training", {}, held_out),
        ("copy-training", {}, copies),
    ]
    for training_seed, sampling_seed, images in generated.by_seed():
        seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
        sides.append(("generated-training", seeds, _look(images, training, at_most, seed)))
    scopes = [Scope(None, None)]
    scopes += [Scope(name, None) for name in sorted(set(generated.column("cell_type")) - {""})]
    rows: Rows = []
    for scope in scopes:
        new = held_out.of(scope)
        for comparison, seeds, looked in sides:
            columns: dict[str, Any] = {**common, **scope.columns, **seeds}
            of_scope = looked.of(scope)
            if len(of_scope.distances) and len(new.distances):
                rows += _rows(comparison, of_scope, new, columns, bootstrap, seed)
    threshold = memorised_below(held_out.nearness, PERCENTILE).value
    pairs: Rows = []
    for comparison, seeds, looked in sides:
        if comparison != "copy-training":
            pairs += _pairs(comparison, looked, training, threshold, {**named, **seeds})
    return rows, pairs


MEASURE = Measure("memorisation", memorisation, further={"pairs": PAIR_SCHEMA})
