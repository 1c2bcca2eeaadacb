"""Linear probes: logistic regression on frozen features (MorphGen, appendices G and H)."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_arrays import checked, checked_pair
from morphpipe.evaluation.core.statistics import group_index

# Far more than standardised features need; non-convergence is reported.
_ITERATIONS = 5000

FOLDS = 5
"""Folds of the cross-validation (MorphGen, appendix G.1)."""
TEST_FRACTION = 0.3
"""Test fraction (MorphGen's table 11)."""


@dataclass(frozen=True)
class ProbeResult:
    """Test result of a probe.

    Attributes
    ----------
    accuracy
        Accuracy on the test images.
    per_class
        Accuracy per class of the test images.
    n_train, n_test
        Numbers of images.
    chance
        Accuracy without looking at an image: the larger of 1 / training classes and the fraction of
        the most frequent test class.
    converged
        Whether the fit converged.
    correct
        bool [n_test], for intervals over wells.
    predicted
        str [n_test], the predicted classes.
    """

    accuracy: float
    per_class: dict[str, float]
    n_train: int
    n_test: int
    chance: float
    converged: bool
    correct: npt.NDArray[np.bool_] = field(repr=False)
    predicted: npt.NDArray[np.str_] = field(repr=False)


@dataclass(frozen=True)
class CrossValidation:
    """Accuracy over folds: mean and standard deviation as in MorphGen's table 11."""

    mean: float
    std: float
    folds: int


def _labels(values: npt.ArrayLike, length: int, name: str) -> npt.NDArray[np.str_]:
    labels = np.asarray(values).astype(str)
    if labels.shape != (length,):
        raise DataError(f"the {name} set has {length} images, but {labels.size} labels")
    return labels


def probe(
    train_x: npt.ArrayLike,
    train_y: npt.ArrayLike,
    test_x: npt.ArrayLike,
    test_y: npt.ArrayLike,
    *,
    seed: int,
) -> ProbeResult:
    """Train a logistic regression on one set of features and test it on another.

    Features are standardised by the training images; L2 penalty of strength 1, multinomial.

    Parameters
    ----------
    train_x, train_y
        [n, d] and n labels.
    test_x, test_y
        [m, d] and m labels, all of them among the training labels.

    Raises
    ------
    DataError
        If a value is not finite, shapes do not match, there are fewer than two classes, or a test
        class is missing from training.
    """
    train, test = checked_pair(train_x, test_x, names=("training", "test"))
    known, wanted = _labels(train_y, len(train), "training"), _labels(test_y, len(test), "test")
    classes = np.unique(known)
    if len(classes) < 2:
        raise DataError(f"a probe needs at least two classes, but all images are {classes[0]}")
    missing = np.setdiff1d(wanted, classes)
    if len(missing):
        raise DataError(
            f"the probe is tested on {missing[0]}, of which it has no training image; leave the "
            "class out or add images"
        )
    model = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=_ITERATIONS, random_state=seed)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train, known)
    predicted = model.predict(test)
    correct = predicted == wanted
    present, counts = np.unique(wanted, return_counts=True)
    return ProbeResult(
        accuracy=float(correct.mean()),
        per_class={str(name): float(correct[wanted == name].mean()) for name in present},
        n_train=len(train),
        n_test=len(test),
        chance=max(1 / len(classes), float(counts.max() / counts.sum())),
        converged=not any(issubclass(w.category, ConvergenceWarning) for w in caught),
        correct=correct,
        predicted=predicted,
    )


def _fewest_groups(labels: npt.NDArray[np.str_], groups: npt.NDArray[np.intp]) -> int:
    return min(len(np.unique(groups[labels == name])) for name in np.unique(labels))


def cross_validated(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    *,
    folds: int = FOLDS,
    seed: int,
) -> CrossValidation:
    """Cross-validate a probe, with folds of whole wells stratified by class.

    Parameters
    ----------
    x, y
        [n, d] and n labels.
    groups
        The well of each image; None for (independent) generated images.
    folds
        Number of folds.

    Raises
    ------
    DataError
        If a class has fewer wells than there are folds.
    """
    features = checked(x, "training")
    labels = _labels(y, len(features), "training")
    index, _ = group_index(np.arange(len(features)) if groups is None else groups, len(features))
    fewest = _fewest_groups(labels, index)
    if folds < 2 or fewest < folds:
        raise DataError(
            f"{folds} folds need {max(folds, 2)} {'images' if groups is None else 'wells'} "
            f"of every class, but one has {fewest}"
        )
    splitter = (
        StratifiedKFold(folds, shuffle=True, random_state=seed)
        if groups is None
        else StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    )
    scores = []
    for inside, outside in splitter.split(features, labels, None if groups is None else index):
        known = np.isin(labels[outside], labels[inside])
        if not known.all():
            raise DataError(
                f"class {labels[outside][~known][0]} has too few wells for {folds} folds"
            )
        result = probe(
            features[inside], labels[inside], features[outside], labels[outside], seed=seed
        )
        scores.append(result.accuracy)
    return CrossValidation(float(np.mean(scores)), float(np.std(scores)), folds)


def split_by_group(
    y: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    *,
    test_fraction: float = TEST_FRACTION,
    seed: int,
) -> npt.NDArray[np.bool_]:
    """Select the test images of each class by whole wells.

    Parameters
    ----------
    y
        n labels.
    groups
        The well of each image; None for independent images. A well belongs to one class.
    test_fraction
        Fraction of each class's wells; 30 % in MorphGen's table 11.

    Returns
    -------
    numpy.ndarray
        bool [n]: whether the image is a test image.

    Raises
    ------
    DataError
        If a class has a single well, or a well contains several classes.
    """
    labels = np.asarray(y).astype(str)
    index, number = group_index(np.arange(len(labels)) if groups is None else groups, len(labels))
    if not 0 < test_fraction < 1:
        raise DataError(f"the test fraction lies between 0 and 1, not {test_fraction}")
    generator = np.random.default_rng(seed)
    chosen = np.zeros(number, dtype=bool)
    seen = np.zeros(number, dtype=bool)
    for name in np.unique(labels):
        wells = np.unique(index[labels == name])
        if len(wells) < 2:
            raise DataError(
                f"class {name} has a single well and cannot be used for both training and test"
            )
        if seen[wells].any():
            raise DataError(f"a well of class {name} also holds images of another class")
        seen[wells] = True
        size = min(max(round(test_fraction * len(wells)), 1), len(wells) - 1)
        chosen[generator.permutation(wells)[:size]] = True
    return chosen[index]
