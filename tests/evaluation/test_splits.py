import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.datasets.splits.assign import halves, split_by_well, well_index

THREE = {"train": 0.5, "encoder": 0.25, "test": 0.25}


def make_fields(wells_of, sites=2):
    """One well of each condition per batch: wells_of maps (cell type, perturbation) to a number."""
    return pd.DataFrame(
        [
            {
                "field_id": f"{cell_type}-{batch}_{perturbation}_s{site}",
                "batch": f"{cell_type}-{batch:02}",
                "plate": 1 + batch % 4,
                "well": f"B{int(perturbation):02}",
                "cell_type": cell_type,
                "perturbation": perturbation,
            }
            for (cell_type, perturbation), wells in wells_of.items()
            for batch in range(wells)
            for site in range(sites)
        ]
    )


FIELDS = make_fields({(c, str(p)): 8 for c in ("HUVEC", "RPE") for p in range(5)})


def joined(fields, split):
    return fields.merge(split, on="field_id", validate="one_to_one")


@settings(max_examples=40, deadline=None)
@given(
    wells=st.lists(st.integers(3, 30), min_size=1, max_size=6),
    sites=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_wells_are_whole_and_conditions_shared_out(wells, sites, seed):
    fields = make_fields({("HUVEC", str(i)): n for i, n in enumerate(wells)}, sites)
    split = split_by_well(fields, THREE, seed)
    table = joined(fields, split)
    assert len(table) == len(fields) == len(split)
    assert (table.groupby(["batch", "plate", "well"])["split"].nunique() == 1).all()
    counts = table.groupby(["perturbation", "split"])["field_id"].size().unstack() / sites
    for perturbation, number in enumerate(wells):
        for name, fraction in THREE.items():
            assert counts.loc[str(perturbation), name] >= 1
            assert abs(counts.loc[str(perturbation), name] - fraction * number) <= 1


def test_independent_of_the_order_of_rows_and_dependent_on_the_seed():
    split = split_by_well(FIELDS, THREE, 3)
    shuffled = FIELDS.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(split_by_well(shuffled, THREE, 3), split)
    assert not split_by_well(FIELDS, THREE, 4).equals(split)
    first = pd.Series(halves(FIELDS, [3])[0], index=FIELDS["field_id"])
    again = pd.Series(halves(shuffled, [3])[0], index=shuffled["field_id"])
    pd.testing.assert_series_equal(first.sort_index(), again.sort_index())


def test_well_names_repeat_between_plates():
    fields = make_fields({("RPE", "1"): 4, ("RPE", "2"): 3})
    assert len(set(well_index(fields))) == 7
    # The same position on four plates is four wells.
    assert len(set(fields["well"])) == 2


def test_a_held_out_condition_goes_to_the_test_split_and_to_no_other():
    hold_outs = [{"cell_type": "HUVEC", "perturbation": "3"}, {"perturbation": ["1", "2"]}]
    table = joined(FIELDS, split_by_well(FIELDS, THREE, 0, hold_outs=hold_outs))
    held = (table["cell_type"].eq("HUVEC") & table["perturbation"].eq("3")) | table[
        "perturbation"
    ].isin(["1", "2"])
    assert set(table[held]["split"]) == {"test"}
    counts = table[~held].groupby(["cell_type", "perturbation", "split"]).size()
    assert counts.unstack().notna().all(axis=None)
    # A batch may be held out as well, and numbers may be given as text.
    table = joined(FIELDS, split_by_well(FIELDS, THREE, 0, hold_outs=[{"plate": "1"}]))
    assert set(table[table["plate"] == 1]["split"]) == {"test"}


def test_held_out_conditions_need_not_be_divisible():
    fields = pd.concat([FIELDS, make_fields({("U2OS", "9"): 1})])
    split = split_by_well(fields, THREE, 0, hold_outs=[{"cell_type": "U2OS"}])
    assert set(joined(fields, split).query("cell_type == 'U2OS'")["split"]) == {"test"}


@pytest.mark.parametrize(
    ("hold_out", "message"),
    [
        ({"gene": "X"}, "column gene"),
        ({"perturbation": "77"}, "matches no field"),
        ({}, "empty"),
        ({"field_id": "HUVEC-0_3_s0"}, "part of a well"),
    ],
)
def test_senseless_hold_outs_are_refused(hold_out, message):
    with pytest.raises(ConfigError, match=message):
        split_by_well(FIELDS, THREE, 0, hold_outs=[hold_out])


@pytest.mark.parametrize(
    "fractions", [{}, {"train": 0.5}, {"train": 1.5, "test": -0.5}, {"train": 1.0, "test": 0.0}]
)
def test_fractions_sum_to_one(fractions):
    with pytest.raises(ConfigError, match="sum to 1"):
        split_by_well(FIELDS, fractions, 0)


def test_halves_are_disjoint_and_stratified():
    first = halves(FIELDS, [0])[0]
    for _, rows in FIELDS.assign(first=first).groupby(["cell_type", "perturbation"]):
        assert rows["first"].sum() == len(rows) // 2
    wells = well_index(FIELDS)
    assert not set(wells[first]) & set(wells[~first])
    # Odd numbers of wells do not all fall to one side.
    odd = make_fields({("RPE", str(p)): 3 for p in range(60)}, 1)
    assert 70 < halves(odd, [0])[0].sum() < 110


def test_too_few_wells_name_the_condition():
    fields = pd.concat([FIELDS, make_fields({("RPE", "9"): 1, ("U2OS", "7"): 1})])
    with pytest.raises(DataError, match=r"perturbation 9 of cell type RPE has 1 well.* 1 more"):
        halves(fields, [0])[0]
    with pytest.raises(DataError, match=r"perturbation 9 of cell type RPE.*3 sides"):
        split_by_well(fields, THREE, 0)
    # Pooled, the single wells are shared out among themselves.
    first = halves(fields, [0], too_few="pool")[0]
    assert first[-4:].sum() == 2
    split = joined(fields, split_by_well(fields, THREE, 0, too_few="pool"))
    assert (split.groupby(["batch", "plate", "well"])["split"].nunique() == 1).all()


def test_all_sides_is_taken_only_where_it_is_needed():
    small = make_fields({("RPE", "1"): 1, ("RPE", "2"): 5})
    everywhere = split_by_well(small, THREE, 0, too_few="all-sides")
    assert len(everywhere) == 3 * len(small)
    assert not everywhere.duplicated().any()
    pd.testing.assert_frame_equal(
        split_by_well(FIELDS, THREE, 0, too_few="all-sides"), split_by_well(FIELDS, THREE, 0)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="plate"), "plate"),
        (lambda f: f.drop(columns="cell_type"), "cell_type"),
        (lambda f: f.iloc[:0], "no fields"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "more than once"),
        (lambda f: f.assign(well=np.where(f.index == 4, None, f["well"])), "no batch, plate or"),
        (lambda f: f.assign(perturbation=np.where(f.index == 4, "x", f["perturbation"])), "holds"),
    ],
)
def test_broken_field_tables_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        split_by_well(change(FIELDS), THREE, 0)


def test_a_single_well_has_no_halves():
    with pytest.raises(DataError, match="single well"):
        halves(make_fields({("RPE", "1"): 1}), [0], too_few="pool")
