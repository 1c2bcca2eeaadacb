import json

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.evaluation.effects.cate import cate, cate_unbiased
from morphpipe.evaluation.effects.rows import treatment_effect_rows
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "d", "experiment": "e", "generator": "g"}
SHIFTS = {"none": 0.0, "weak": 0.4, "middle": 0.8, "strong": 1.2}


def means(offset=0.0):
    """Graded shifts in two cell types whose controls differ."""
    return {
        (cell_type, name): base + shift + offset * (shift > 0)
        for cell_type, base in (("A", 0.0), ("B", 5.0))
        for name, shift in {"control": 0.0, **SHIFTS}.items()
    }


def measure(generated, real, true_effects=None, floor_repeats=4):
    settings = settings_of("effects", floor_repeats=floor_repeats)
    rows = treatment_effect_rows(
        generated, real, context=CONTEXT, true_effects=true_effects, **settings
    )
    table = metric_table(rows).to_pandas()
    return table.assign(settings=[json.loads(s) for s in table["settings"]])


def pick(table, metric, comparison, cell_type, perturbation="all"):
    chosen = table.query(
        "metric == @metric and comparison == @comparison and cell_type == @cell_type "
        "and perturbation == @perturbation"
    )
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.fixture
def sets(make_features):
    return (
        make_features(means(), seed=1, origin="generated", seeds=(7, 8), wells=20),
        make_features(means(), seed=2, wells=20, well_deviation=0.3),
    )


def of(images, cell_type, name):
    mask = (images.column("cell_type") == cell_type) & (images.column("perturbation") == name)
    return images.select(mask)


def test_effects_are_the_squared_shifts_in_their_order(sets):
    table = measure(*sets, true_effects={n: s for n, s in SHIFTS.items()})
    for comparison in ("real", "generated"):
        values = {}
        for name, shift in SHIFTS.items():
            row = pick(table, "cate_unbiased", comparison, "all", name)
            truth = 8 * shift**2
            assert row["value"] == pytest.approx(truth, abs=0.35 + 0.25 * truth)
            assert row["ci_low"] - 0.1 < truth < row["ci_high"] + 0.1
            values[name] = row["value"]
            assert pick(table, "cate", comparison, "all", name)["value"] > row["value"]
        assert sorted(values, key=values.get) == list(SHIFTS)
    row = pick(table, "cate_rank_correlation", "generated-true", "A")
    assert row["value"] == 1
    assert row["settings"]["order_left"] == ["strong", "middle", "weak", "none"]
    for comparison in ("generated-real", "real-true"):
        assert pick(table, "cate_rank_correlation", comparison, "all")["value"] == 1


def test_values_are_those_of_the_functions(sets):
    generated, real = sets
    table = measure(*sets)
    control, treated = of(real, "B", "control"), of(real, "B", "weak")
    row = pick(table, "cate", "real", "B", "weak")
    assert row["value"] == pytest.approx(cate(control.features, treated.features))
    assert (row["n_left"], row["n_right"]) == (80, 80)
    row = pick(table, "cate_unbiased", "real", "B", "weak")
    assert row["value"] == pytest.approx(
        cate_unbiased(
            control.features,
            treated.features,
            control_groups=control.groups,
            treated_groups=treated.groups,
        )
    )
    assert row["settings"]["units"] == "wells (control), wells (treated)"
    row = pick(table, "cate_unbiased", "generated", "B", "weak")
    assert row["value"] == pytest.approx(
        cate_unbiased(of(generated, "B", "control").features, of(generated, "B", "weak").features)
    )
    assert (row["training_seed"], row["sampling_seed"]) == (7, 8)
    both = [pick(table, "cate", "real", c, "weak")["value"] for c in "AB"]
    assert pick(table, "cate", "real", "all", "weak")["value"] == pytest.approx(np.mean(both))


def test_differences(sets, make_features):
    table = measure(*sets)
    real = pick(table, "cate", "real", "A", "strong")["value"]
    generated = pick(table, "cate", "generated", "A", "strong")["value"]
    delta = pick(table, "delta_cate", "generated-real", "A", "strong")
    assert delta["value"] == pytest.approx(abs(real - generated))
    row = pick(table, "cate_difference", "generated-real", "A", "strong")
    assert row["ci_low"] < 0 < row["ci_high"]
    exaggerated = make_features(means(0.8), seed=3, origin="generated", wells=20)
    row = pick(measure(exaggerated, sets[1]), "cate_difference", "generated-real", "A", "strong")
    assert row["ci_low"] > 0


def test_floor_is_control_against_control(sets):
    table = measure(*sets)
    for cell_type in "AB":
        floor = pick(table, "cate", "real-control-floor", cell_type, "control")
        assert (floor["n_left"], floor["n_right"]) == (40, 40)
        # Ten wells a side: 2 x 8 (0.3^2 + 1/4) / 10.
        assert floor["value"] == pytest.approx(2 * 8 * 0.34 / 10, rel=0.5)
        unbiased = pick(table, "cate_unbiased", "real-control-floor", cell_type, "control")
        assert abs(unbiased["value"]) < 0.35
    pooled = table.query("comparison == 'real-control-floor' and cell_type == 'all'")
    assert len(pooled) == 2


def test_the_interval_covers_the_true_effect(make_features):
    covered = 0
    one = {("A", "control"): 0.0, ("A", "1"): 0.5}
    for seed in range(60):
        real = make_features(one, seed=seed, wells=12, well_deviation=0.5)
        generated = make_features(one, seed=seed, origin="generated", wells=2)
        table = measure(generated, real, floor_repeats=1)
        row = pick(table, "cate_unbiased", "real", "A", "1")
        covered += row["ci_low"] <= 8 * 0.25 <= row["ci_high"]
    assert covered / 60 > 0.85


def test_few_wells_are_said_and_not_hidden(make_features):
    one = {("A", "control"): 0.0, ("A", "1"): 0.5}
    generated = make_features(one, seed=0, origin="generated")
    table = measure(generated, make_features(one, seed=1, wells=1))
    row = pick(table, "cate_unbiased", "real", "A", "1")
    assert row["settings"]["units"] == "fields of one well (control), fields of one well (treated)"
    assert pd.isna(row["ci_low"])
    floor = pick(table, "cate", "real-control-floor", "A", "control")
    assert "fewer than four wells" in floor["settings"]["reason"]
    ranking = pick(table, "cate_rank_correlation", "generated-real", "A")
    assert "three are needed" in ranking["settings"]["reason"]
    table = measure(generated, make_features(one, seed=1, wells=1, fields_per_well=1))
    assert pick(table, "cate", "real", "A", "1")["value"] > 0
    row = pick(table, "cate_unbiased", "real", "A", "1")
    assert pd.isna(row["value"])
    assert "single image" in row["settings"]["reason"]


def test_same_input_same_table(sets):
    pd.testing.assert_frame_equal(measure(*sets), measure(*sets))


def test_effects_need_controls(sets):
    generated, real = sets
    without = generated.select(generated.column("control") != "negative")
    table = measure(without, real)
    assert set(table["metric"]) == {"cate", "cate_unbiased"}
    assert set(table["comparison"]) == {"generated"}
    assert table["value"].isna().all()
    assert "no negative control among the generated" in table["settings"].iloc[0]["reason"]
    with pytest.raises(DataError, match="no generated images"):
        measure(real, generated)
