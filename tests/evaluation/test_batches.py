import json

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.core.feature_set import FeatureSet, joined
from morphpipe.evaluation.robustness.batches import (
    batch_labels,
    batch_rows,
    fold_of_batches,
)
from morphpipe.evaluation.robustness.effects_across_batches import partners
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}


def effects(strength=3.0):
    direction = np.eye(8) * strength
    return {("A", name): direction[place] * (name != "control")
            for place, name in enumerate(["control", "1", "2", "3"])}  # fmt: skip


def settings_for(perturbations):
    return {"context": CONTEXT, **settings_of("batches", perturbation_sets={"a": perturbations})}


def screen(make_features, seed, side, batch_shift):
    """Four batches, each with a shift and scale of its own."""
    parts = []
    for number in range(4):
        part = make_features(effects(), seed=seed + number, wells=4, batch=f"b{number}")
        generator = np.random.default_rng(number)
        shift = batch_shift * generator.standard_normal(8)
        keys = part.keys.assign(
            field_id=side + part.keys["field_id"], well=side + part.keys["well"]
        )
        scale = np.exp(0.02 * batch_shift * generator.standard_normal(8))
        parts.append(FeatureSet(keys, part.features * scale + shift, "test", "rgb"))
    whole = parts[0]
    for part in parts[1:]:
        whole = joined(whole, part)
    return whole


@pytest.fixture(scope="module")
def table(make_features):
    test = screen(make_features, 0, "test", 4.0)
    training = screen(make_features, 10, "train", 4.0)
    generated = make_features(effects(), seed=99, origin="generated")
    rows = batch_rows(
        generated,
        test,
        training,
        **settings_for(["control", "1", "2", "3"]),
    )
    table = metric_table(rows).to_pandas()
    return table.assign(correction=table["settings"].map(lambda s: json.loads(s)["correction"]))


def one(table, **columns):
    chosen = table
    for name, wanted in columns.items():
        chosen = chosen[chosen[name] == wanted]
    assert len(chosen) == 1, columns
    return chosen.iloc[0]


def test_raw_features_do_not_cross_batches_and_corrected_ones_do(table):
    def accuracy(regime, correction):
        return one(
            table, metric="accuracy", regime=regime, correction=correction, cell_type="all"
        )["value"]  # fmt: skip

    assert accuracy("real-real@within-batches", "none") > 0.8
    assert accuracy("real-real@across-batches", "none") < 0.7
    assert accuracy("generated-real", "none") < 0.7
    for correction in ("centre-scale", "tvn"):
        for regime in (
            "real-real@across-batches",
            "generated-real",
            "real+generated-real@across-batches",
        ):
            assert accuracy(regime, correction) > 0.75
    row = one(table, metric="accuracy", regime="real-real@across-batches", correction="tvn",
              cell_type="A")  # fmt: skip
    assert row["ci_low"] < row["value"] <= row["ci_high"]
    # Every held-out image is tested once, and both regimes are trained on as many.
    assert row["n_right"] == 4 * 4 * 4 * 4
    within = one(table, metric="accuracy", regime="real-real@within-batches", correction="tvn",
                 cell_type="A")  # fmt: skip
    assert within["n_left"] == row["n_left"]


def test_the_batch_is_no_effect_after_correction(table):
    def effect(comparison, correction, perturbation):
        return one(
            table,
            metric="cate_unbiased",
            comparison=comparison,
            correction=correction,
            perturbation=perturbation,
        )["value"]

    batch = effect("control@across-batches", "none", "control")
    assert effect("real@within-batches", "none", "1") < effect("real@across-batches", "none", "1")
    assert batch > 3
    assert abs(effect("control@across-batches", "centre-scale", "control")) < 0.1 * batch
    for comparison in ("real@within-batches", "real@across-batches", "generated"):
        assert effect(comparison, "centre-scale", "1") == pytest.approx(10, rel=0.4)
    ranked = table[table["metric"] == "cate_rank_correlation"]
    assert set(ranked["comparison"]) == {
        "generated-real@within-batches",
        "generated-real@across-batches",
    }


def test_batches_are_plates_where_there_is_one(make_features):
    images = make_features(effects(), seed=0)
    assert batch_labels(images)[1] == "plate"
    both = joined(images, make_features(effects(), seed=1, batch="b1"))
    labels, level = batch_labels(both)
    assert level == "batch"
    assert pd.Series(fold_of_batches(list(labels), 0)).tolist() in ([0, 1], [1, 0])
    found = partners(list("abcaad"), 0)
    assert sorted(found) == sorted(found.values()) == list("abcd")
    assert all(batch != other for batch, other in found.items())
    folds = fold_of_batches(list("abcdefg"), 3)
    assert sorted(folds.values()) == [0, 0, 0, 0, 1, 1, 1]


def test_a_single_batch_is_said(make_features):
    test = make_features(effects(), seed=0)
    training = make_features(effects(), seed=1)
    keys = training.keys.assign(
        field_id="t" + training.keys["field_id"], well="t" + training.keys["well"]
    )
    training = FeatureSet(keys, training.features, "test", "rgb")
    generated = make_features(effects(), seed=2, origin="generated")
    table = metric_table(
        batch_rows(generated, test, training, **settings_for(["control", "1"]))
    ).to_pandas()
    assert table["value"].isna().all()
    assert table["settings"].str.contains("from one batch and one plate").all()
    rows = batch_rows(generated, test, training, **settings_for(["4"]))
    assert "no cell type has generated" in rows[0]["settings"]
    # Two batches, but held-out images of one only.
    other = make_features(effects(), seed=3, batch="b1")
    rows = batch_rows(
        generated,
        test,
        joined(training, other),
        **settings_for(["control", "1"]),
        corrections=["none"],
    )
    assert [row["value"] for row in rows] == [None, None]
    reasons = " ".join(row["settings"] for row in rows)
    assert "1 batches have held-out negative controls" in reasons
    assert "0 perturbations have held-out and training wells in both folds" in reasons
    with pytest.raises(DataError, match="no generated images"):
        batch_rows(test, test, training, **settings_for(["control"]))
