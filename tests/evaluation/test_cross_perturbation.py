import json

import numpy as np
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.floor import split_halves
from morphpipe.evaluation.core.scopes import most_frequent
from morphpipe.evaluation.distances.cross_perturbation import between_perturbations
from morphpipe.evaluation.distances.frechet import frechet_distance
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}
MEANS = {("A", "control"): 0.0, ("A", "near"): 0.5, ("A", "far"): 4.0}


def measure(real, perturbations, **changed):
    settings = settings_of("cross_perturbation", **changed)
    settings.pop("perturbation_sets")
    return between_perturbations(real, perturbations, context=CONTEXT, **settings)


@pytest.fixture(scope="module")
def measured(make_features):
    real = make_features(MEANS, seed=0, wells=16, extractor="inception")
    rows = measure(real, ["control", "near", "far"], floor_repeats=2)
    table = metric_table(rows).to_pandas()
    return real, table.assign(other=table["settings"].map(lambda s: json.loads(s)["other"]))


def value(table, metric, one, other):
    chosen = table[
        (table["metric"] == metric) & (table["perturbation"] == one) & (table["other"] == other)
    ]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_pairs_are_ordered_as_their_means_are_apart(measured):
    _, table = measured
    for metric in ("FID", "KID"):
        own = value(table, metric, "control", "control")
        near = value(table, metric, "control", "near")
        far = value(table, metric, "control", "far")
        assert own["value"] < near["value"] < far["value"]
        assert far["value"] == value(table, metric, "far", "control")["value"]
        assert own["ci_low"] <= own["value"] <= own["ci_high"]
    # KID is unbiased: nothing between two halves of one perturbation.
    assert value(table, "KID", "near", "near")["value"] == pytest.approx(0, abs=0.3)
    # The squared distance between means, and the bias of the number of images.
    assert far["n_left"] == far["n_right"] == 32
    fid = value(table, "FID", "control", "far")["value"]
    assert fid == pytest.approx(8 * 4.0**2, rel=0.15)
    assert set(table["cell_type"]) == {"A"}


def test_self_pairs_are_disjoint_halves(measured):
    real, table = measured
    images = real.select(real.column("perturbation") == "near")
    drawn = split_halves(images, repeats=2, at_most=len(images), seed=2020)
    expected = [frechet_distance(images.features[h.first], images.features[h.second])
                for h in drawn]  # fmt: skip
    assert value(table, "FID", "near", "near")["value"] == pytest.approx(np.mean(expected))


def test_few_images_and_wrong_input(make_features):
    real = make_features({**MEANS, ("B", "control"): 0.0}, seed=0, wells=8)
    few = real.select(
        (real.column("perturbation") != "far") | (np.arange(len(real)) % 4 == 0)
    )  # fmt: skip
    table = metric_table(
        measure(few, ["control", "far"], floor_repeats=1, subset_size=8)
    ).to_pandas()
    far = table[(table["perturbation"] == "far") & (table["cell_type"] == "A")]
    assert far["value"].isna().all()
    assert far["settings"].str.contains("halves of 4 images, fewer than the minimum of 16").all()
    known = table[(table["perturbation"] == "control") & (table["cell_type"] == "all")]
    assert known["value"].notna().all()
    assert set(known["metric"]) == {"frechet_distance", "kernel_distance"}
    assert most_frequent(few, 2) == ["control", "near"]
    alone = measure(real, ["far", "far"])
    assert [row["value"] for row in alone] == [None, None]
    assert "at least two" in alone[0]["settings"]
    with pytest.raises(DataError, match="generated images"):
        measure(make_features(MEANS, seed=0, origin="generated"), ["far"])
