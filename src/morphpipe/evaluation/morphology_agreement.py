"""Rows on how real and generated profiles agree: feature correlations and mean profiles.

Both are measured as the floor of a distance is: real wells are halved at random, one half against
the other is what real images reach among themselves, and as many generated fields are held
against each half. Numbers of fields and noise are then the same on both sides.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from morphpipe.errors import DataError
from morphpipe.evaluation.feature_set import FeatureSet
from morphpipe.evaluation.floor import Halving, draw_matched, halvings
from morphpipe.evaluation.morphology_correlation import (
    MatrixAgreement,
    correlation_matrix,
    matrix_agreement,
)
from morphpipe.evaluation.morphology_sets import MorphologySets
from morphpipe.evaluation.statistics import Array

Rows = list[dict[str, Any]]


def feature_correlation_rows(sets: MorphologySets) -> Rows:
    """Agreement of the correlation matrices of the PCA-selected features.

    Returns
    -------
    list of dict
        ``feature_correlation_agreement`` (Pearson's r between the entries above the diagonal) and
        ``feature_correlation_rms`` (of their differences), generated-real and real-real. Where
        real fields cannot be halved, all of them are compared with all generated ones, and
        real-real is null.
    """
    real, generated = sets.real.images, sets.generated.images
    columns: dict[str, Any] = {"cell_type": "all", "perturbation": "all"}
    found: dict[str, list[MatrixAgreement]] = {"generated-real": [], "real-real": []}
    notes: dict[str, Any] = {"features": len(sets.top)}
    size = 0
    try:
        drawn = _halvings(sets)
    except DataError as error:
        drawn, reasons = [], {"real-real": str(error)}
    else:
        reasons = {}
        notes |= {"halvings": len(drawn), "seed": sets.settings.seed}
        size = len(drawn[0].first)
    try:
        if not drawn:
            found["generated-real"] = [_agreement(sets, generated, real)]
        generator = np.random.default_rng(sets.settings.seed)
        pool, target = generated.conditions, real.conditions
        for halving in drawn:
            first, second = real.select(halving.first), real.select(halving.second)
            found["real-real"].append(_agreement(sets, first, second))
            for half, positions in ((first, halving.first), (second, halving.second)):
                chosen, _ = draw_matched(pool, target[positions], generator)
                found["generated-real"].append(_agreement(sets, generated.select(chosen), half))
    except DataError as error:
        found = {name: [] for name in found}
        reasons = dict.fromkeys(found, str(error))
    rows: Rows = []
    for comparison, results in found.items():
        for metric, part in (("agreement", "pearson"), ("rms", "rms")):
            values = [getattr(result, part) for result in results]
            settings = dict(notes)
            if values:
                settings["standard_deviation_over_draws"] = float(np.std(values))
            else:
                settings["reason"] = reasons[comparison]
            rows.append(
                sets.row(
                    f"feature_correlation_{metric}",
                    float(np.mean(values)) if values else None,
                    comparison=comparison,
                    n_left=size or len(generated),
                    n_right=size or len(real),
                    settings=settings,
                    **columns,
                )
            )
    return rows


def _halvings(sets: MorphologySets) -> list[Halving]:
    return halvings(
        sets.real.images,
        repeats=sets.settings.floor_repeats,
        at_most=len(sets.generated),
        seed=sets.settings.seed,
    )


def _agreement(sets: MorphologySets, left: FeatureSet, right: FeatureSet) -> MatrixAgreement:
    return matrix_agreement(
        correlation_matrix(left.features[:, sets.top]),
        correlation_matrix(right.features[:, sets.top]),
    )


def _row_correlations(left: Array, right: Array) -> Array:
    """Pearson's r between the rows of two sets of mean profiles: [c, d] and [c, d] to [c, c]."""

    def unit(profiles: Array) -> Array:
        centred = profiles - profiles.mean(axis=1, keepdims=True)
        norms = np.sqrt((centred**2).sum(axis=1, keepdims=True))
        result: Array = np.divide(
            centred, norms, out=np.full_like(centred, np.nan), where=norms > 0
        )
        return result

    correlations: Array = unit(left) @ unit(right).T
    return correlations


def profile_correlation_rows(sets: MorphologySets) -> Rows:
    """Correlation of mean profiles, condition by condition.

    Returns
    -------
    list of dict
        ``profile_correlation``: Pearson's r over features between mean profiles, generated-real,
        real-real (two halves by well: what is within reach) and shuffled-real (generated fields
        against real ones of every other perturbation of the cell type: what a pattern that all
        perturbations share is worth). By cell type and perturbation; perturbation by cell type
        ``all`` is the mean over cell types, and ``all`` by ``all`` the mean over perturbations,
        without the negative control where it is the centre of the profiles. Conditions of a
        single real well cannot be halved: all their fields are compared, and they enter means
        only where no condition can be halved.
    """
    real, generated = sets.real.images, sets.generated.images
    pairs = sorted(
        set(zip(real.column("cell_type"), real.column("perturbation"), strict=True))
        & set(zip(generated.column("cell_type"), generated.column("perturbation"), strict=True))
    )
    pairs = [(cell, name) for cell, name in pairs if cell and name]
    if not pairs or real.features.shape[1] < 3:
        reason = "no condition has real and generated fields, or fewer than three features stand"
        return [
            sets.row(
                "profile_correlation",
                None,
                comparison="generated-real",
                cell_type="all",
                perturbation="all",
                settings={"reason": reason},
            )
        ]
    values, sizes, halved = _profile_correlations(sets, pairs)
    controls = set(real.column("perturbation")[real.column("control") == "negative"])
    averaged = halved or set(pairs)
    rows: Rows = []
    for comparison, found in values.items():
        of_condition = dict(zip(pairs, found, strict=True))
        for pair, value in of_condition.items():
            rows.append(
                _profile_row(
                    sets, comparison, *pair, float(value), n=sizes[pair], halved=pair in halved
                )
            )
        means: list[float] = []
        for name in sorted({perturbation for _, perturbation in pairs}):
            known = [
                value
                for pair, value in of_condition.items()
                if pair[1] == name and pair in averaged and np.isfinite(value)
            ]
            value = float(np.mean(known)) if known else float("nan")
            rows.append(_profile_row(sets, comparison, "all", name, value, mean_over=len(known)))
            if known and not (sets.centred_on_controls and name in controls):
                means.append(value)
        mean = float(np.mean(means)) if means else float("nan")
        rows.append(_profile_row(sets, comparison, "all", "all", mean, mean_over=len(means)))
    return rows


def _profile_row(
    sets: MorphologySets,
    comparison: str,
    cell_type: str,
    perturbation: str,
    value: float,
    *,
    mean_over: int | None = None,
    n: int | None = None,
    halved: bool = True,
) -> dict[str, Any]:
    notes: dict[str, Any] = {"seed": sets.settings.seed}
    if mean_over is None:
        notes["halvings"] = sets.settings.floor_repeats if halved else 0
    else:
        notes["mean_over"] = mean_over
    known = bool(np.isfinite(value))
    if not known:
        notes["reason"] = (
            "there is no other perturbation to hold it against"
            if comparison == "shuffled-real"
            else "real fields come from fewer than two wells, which cannot be halved, or a mean "
            "profile is flat"
        )
    return sets.row(
        "profile_correlation",
        value if known else None,
        comparison=comparison,
        cell_type=cell_type,
        perturbation=perturbation,
        n_left=n,
        n_right=n,
        settings=notes,
    )


def _profile_correlations(
    sets: MorphologySets, pairs: list[tuple[str, str]]
) -> tuple[dict[str, Array], dict[tuple[str, str], int], set[tuple[str, str]]]:
    """Mean correlations over halvings, by comparison and condition.

    With the number of fields in each mean profile, and the conditions that could be halved.
    """
    real, generated = sets.real.images, sets.generated.images
    names = ["\x1f".join(pair) for pair in pairs]
    of_real, of_generated = real.conditions, generated.conditions
    pool = [np.flatnonzero(of_generated == name) for name in names]
    try:
        drawn = _halvings(sets)
    except DataError:
        drawn = []
    same_cell = np.array([[a[0] == b[0] and a != b for b in pairs] for a in pairs])
    sizes = dict.fromkeys(pairs, 0)
    collected: dict[str, list[Array]] = {
        name: [] for name in ("generated-real", "real-real", "shuffled-real")
    }
    generator = np.random.default_rng([sets.settings.seed, 1])

    def against(mean: Array, size: list[int]) -> dict[str, Array]:
        """Correlate mean profiles of generated fields, drawn anew, with those of real ones."""
        drawn_fields = [generator.permutation(rows) for rows in pool]
        correlations = _row_correlations(_means(generated, drawn_fields, size), mean)
        others = np.where(same_cell & np.isfinite(correlations), correlations, np.nan)
        found = {
            "generated-real": np.diag(correlations).copy(),
            "shuffled-real": _mean_of_known(others, axis=1),
        }
        for name, values in found.items():
            collected[name].append(values)
        return found

    for halving in drawn:
        halves = [
            [half[of_real[half] == name] for name in names]
            for half in (halving.first, halving.second)
        ]
        size = [
            min(len(a), len(b), len(c)) for a, b, c in zip(halves[0], halves[1], pool, strict=True)
        ]
        sizes = {
            pair: (n if not sizes[pair] else min(n, sizes[pair]))
            for pair, n in zip(pairs, size, strict=True)
        }
        means = [_means(real, half, size) for half in halves]
        collected["real-real"].append(np.diag(_row_correlations(*means)).copy())
        for mean in means:
            against(mean, size)
    result = {
        name: (_mean_of_known(np.array(values), axis=0) if values else np.full(len(pairs), np.nan))
        for name, values in collected.items()
    }
    lacking = ~np.isfinite(result["generated-real"])
    if lacking.any():
        whole = [generator.permutation(np.flatnonzero(of_real == name)) for name in names]
        size = [min(len(a), len(b)) for a, b in zip(whole, pool, strict=True)]
        for name, values in against(_means(real, whole, size), size).items():
            result[name][lacking] = values[lacking]
        sizes |= {pair: n for pair, n, lack in zip(pairs, size, lacking, strict=True) if lack}
    return result, sizes, {pair for pair, lack in zip(pairs, lacking, strict=True) if not lack}


def _means(images: FeatureSet, rows: list[npt.NDArray[np.intp]], sizes: list[int]) -> Array:
    """Mean profile of the first so many rows of every condition; NaN where there are none."""
    result = np.full((len(rows), images.features.shape[1]), np.nan)
    for place, (chosen, size) in enumerate(zip(rows, sizes, strict=True)):
        if size:
            result[place] = images.features[chosen[:size]].mean(axis=0, dtype=np.float64)
    return result


def _mean_of_known(values: Array, axis: int) -> Array:
    """Mean of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    number = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    result: Array = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return result
