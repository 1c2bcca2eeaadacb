"""Probes trained on one fold of batches and tested on the other, per cell type."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.core.statistics import LEVEL, wilson_interval
from morphpipe.evaluation.probes.classifier import probe
from morphpipe.evaluation.probes.macro_f1 import macro_f1_row
from morphpipe.tables.metric_table import metric_row

Rows = list[dict[str, Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FoldedSets:
    """Corrected images of one cell type, with the folds of the real batches.

    Attributes
    ----------
    test, training
        Real held-out and training images.
    generated
        By (training seed, sampling seed).
    test_folds, training_folds
        0 or 1 by batch.
    test_batches
        The batch of each held-out image.
    """

    test: FeatureSet
    training: FeatureSet
    generated: Mapping[tuple[int | None, int | None], FeatureSet]
    test_folds: npt.NDArray[np.intp]
    training_folds: npt.NDArray[np.intp]
    test_batches: npt.NDArray[Any]


@dataclass
class _Tests:
    labels: list[npt.NDArray[Any]] = field(default_factory=list)
    predicted: list[npt.NDArray[Any]] = field(default_factory=list)
    wells: list[npt.NDArray[Any]] = field(default_factory=list)
    trained_on: int = 0


Key = tuple[str, str, int | None, int | None]


@dataclass
class BatchProbes:
    """Probes of one correction by regime, cell type and seeds.

    Attributes
    ----------
    common
        Columns that all rows share.
    notes
        Settings of every row.
    seed
        Seed of draws and fits.
    tests
        Predictions, filled by `add`.
    lacking
        Cell types that could not be probed, with the reason.
    """

    common: Mapping[str, Any]
    notes: Mapping[str, Any]
    seed: int
    tests: dict[Key, _Tests] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)

    def add(self, sets: FoldedSets, cell_type: str) -> None:
        """Train and test the probes of one cell type."""
        classes = _shared_classes(sets)
        if len(classes) < 2:
            self.lacking[cell_type] = (
                f"{len(classes)} perturbations have held-out and training wells in both folds of "
                "batches, fewer than two"
            )
            return
        for fold in (0, 1):
            test = _of(sets.test, classes, sets.test_folds == fold)
            own, other = (
                _of(sets.training, classes, (sets.training_folds == fold) == same)
                for same in (True, False)
            )
            # Equal numbers of training images per class on both sides.
            own, other = _alike(own, other, self.seed)
            self._probe("real-real@within-batches", cell_type, own, test)
            self._probe("real-real@across-batches", cell_type, other, test)
            for (training_seed, sampling_seed), images in sets.generated.items():
                seeds = {"training_seed": training_seed, "sampling_seed": sampling_seed}
                made = _of(images, classes)
                self._probe("generated-real", cell_type, made, test, **seeds)
                both = _Labelled(
                    np.concatenate([other.features, made.features]),
                    np.concatenate([other.labels, made.labels]),
                    other.wells,
                )
                self._probe("real+generated-real@across-batches", cell_type, both, test, **seeds)

    def _probe(
        self,
        regime: str,
        cell_type: str,
        train: "_Labelled",
        test: "_Labelled",
        training_seed: int | None = None,
        sampling_seed: int | None = None,
    ) -> None:
        result = probe(train.features, train.labels, test.features, test.labels, seed=self.seed)
        for name in (cell_type, "all"):
            tests = self.tests.setdefault((regime, name, training_seed, sampling_seed), _Tests())
            tests.labels.append(test.labels.astype(str))
            tests.predicted.append(result.predicted)
            tests.wells.append(np.char.add(f"{cell_type}\x1f", test.wells.astype(str)))
            tests.trained_on += len(train.labels)

    def rows(self) -> Rows:
        """Rows of all regimes, cell types and seeds."""
        rows: Rows = [
            metric_row(
                **self.common,
                metric="accuracy",
                regime="real-real@across-batches",
                task="perturbation",
                cell_type=cell_type,
                perturbation="all",
                settings={**self.notes, "reason": reason},
            )
            for cell_type, reason in self.lacking.items()
        ]
        for (regime, cell_type, training_seed, sampling_seed), tests in self.tests.items():
            labels, predicted, wells = (
                np.concatenate(part) for part in (tests.labels, tests.predicted, tests.wells)
            )
            correct = labels == predicted
            _, counts = np.unique(labels, return_counts=True)
            low, high = wilson_interval(correct, wells)
            columns = {
                **self.common,
                "regime": regime,
                "task": "perturbation",
                "cell_type": cell_type,
                "perturbation": "all",
                "training_seed": training_seed,
                "sampling_seed": sampling_seed,
                # Mean per fold.
                "n_left": tests.trained_on // len(tests.labels),
                "n_right": len(labels),
            }
            notes = {
                **self.notes,
                "classes": len(counts),
                "chance": max(1 / len(counts), float(counts.max() / counts.sum())),
                "folds": 2,
            }
            rows.append(
                metric_row(
                    **columns,
                    metric="accuracy",
                    value=float(correct.mean()),
                    ci_low=low,
                    ci_high=high,
                    settings=notes | {"interval": "Wilson, wells as units", "level": LEVEL},
                )
            )
            rows.append(macro_f1_row(columns, notes, labels, predicted, wells))
        return rows


@dataclass(frozen=True)
class _Labelled:
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[Any]
    wells: npt.NDArray[Any]


def _of(images: FeatureSet, classes: Sequence[str], mask: Mask | None = None) -> _Labelled:
    chosen = images.keys["perturbation"].isin(list(classes)).to_numpy(bool)
    if mask is not None:
        chosen = chosen & mask
    return _Labelled(
        images.features[chosen], images.column("perturbation")[chosen], images.groups[chosen]
    )


def _shared_classes(sets: FoldedSets) -> list[str]:
    """Perturbations in held-out and training images of both folds, and in all seeds."""

    def sides() -> Iterator[set[str]]:
        for fold in (0, 1):
            yield set(sets.test.column("perturbation")[sets.test_folds == fold])
            yield set(sets.training.column("perturbation")[sets.training_folds == fold])
        for images in sets.generated.values():
            yield set(images.column("perturbation"))

    return sorted(set.intersection(*sides()) - {""})


def _alike(left: _Labelled, right: _Labelled, seed: int) -> tuple[_Labelled, _Labelled]:
    generator = np.random.default_rng(seed)
    quota = pd.concat(
        [pd.Series(side.labels).value_counts() for side in (left, right)], axis=1
    ).min(axis=1)
    thinned = []
    for side in (left, right):
        order = generator.permutation(len(side.labels))
        labels = pd.Series(side.labels[order])
        kept = np.sort(order[(labels.groupby(labels).cumcount() < labels.map(quota)).to_numpy()])
        thinned.append(_Labelled(side.features[kept], side.labels[kept], side.wells[kept]))
    return thinned[0], thinned[1]
