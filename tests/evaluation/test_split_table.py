import pandas as pd
import pytest

from morphpipe.config.splits import Split
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.datasets.splits.table import fields_on, make_split

SIDES = ("train", "encoder", "test")


def _fields(wells=8, perturbations=("a", "b")):
    return pd.DataFrame(
        [
            (f"{p}{w}_{s}", "b1", "p1", f"{p}{w}", "HUVEC", p)
            for p in perturbations
            for w in range(wells)
            for s in (1, 2)
        ],
        columns=["field_id", "batch", "plate", "well", "cell_type", "perturbation"],
    )


def test_wells_are_never_divided_and_sides_have_their_shares():
    fields = _fields()
    split = make_split(fields, Split(dataset="d", seed=3))
    assert sorted(split["field_id"]) == sorted(fields["field_id"])
    joined = fields.merge(split, on="field_id")
    assert (joined.groupby("well")["split"].nunique() == 1).all()
    wells = joined.drop_duplicates("well").groupby(["perturbation", "split"]).size()
    assert wells.to_dict() == {
        (p, side): n for p in "ab" for side, n in zip(SIDES, (4, 2, 2), strict=True)
    }
    pd.testing.assert_frame_equal(split, make_split(fields, Split(dataset="d", seed=3)))
    assert not split.equals(make_split(fields, Split(dataset="d", seed=4)))


def test_held_out_conditions_are_for_the_test_only():
    split = make_split(_fields(), Split(dataset="d", hold_out=[{"perturbation": "b"}]))
    held = split[split["field_id"].str.startswith("b")]
    assert set(held["split"]) == {"test"}


def test_without_a_fraction_for_test_what_is_held_out_is_all_of_it():
    fractions = {"train": 0.75, "encoder": 0.25}
    split = make_split(
        _fields(), Split(dataset="d", fractions=fractions, hold_out=[{"perturbation": "b"}])
    )
    tested = split["split"] == "test"
    assert (tested == split["field_id"].str.startswith("b")).all()
    with pytest.raises(ValueError, match="hold_out_to is 'nowhere'"):
        Split(dataset="d", fractions=fractions, hold_out_to="nowhere")


def test_held_out_to_nowhere_keeps_the_test_side_as_it_is():
    pair = [{"cell_type": "HUVEC", "perturbation": "b"}]
    whole = make_split(_fields(), Split(dataset="d"))
    split = make_split(_fields(), Split(dataset="d", hold_out=pair, hold_out_to="nowhere"))
    assert fields_on(split, "test") == fields_on(whole, "test")
    lost = set(whole["field_id"]) - set(split["field_id"])
    expected = whole[(whole["split"] != "test") & whole["field_id"].str.startswith("b")]
    assert lost == set(expected["field_id"])


def test_too_few_wells_stop_with_the_way_out():
    with pytest.raises(DataError, match=r"1 well\(s\), too few.*`single_well: all-sides`"):
        make_split(_fields(wells=1), Split(dataset="d"))


def test_too_few_wells_may_stand_on_every_side():
    fields = _fields(wells=1)
    split = make_split(fields, Split(dataset="d", single_well="all-sides"))
    for side in SIDES:
        assert sorted(fields_on(split, side)) == sorted(fields["field_id"])
    # Where there are wells enough, it changes nothing.
    plain = make_split(_fields(), Split(dataset="d"))
    same = make_split(_fields(), Split(dataset="d", single_well="all-sides"))
    pd.testing.assert_frame_equal(plain, same)


@pytest.mark.parametrize("choice", ["stop", "all-sides"])
def test_other_faults_are_not_taken_for_too_few_wells(choice):
    fields = pd.concat([_fields(), _fields()])
    with pytest.raises(DataError, match="occurs more than once") as caught:
        make_split(fields, Split(dataset="d", single_well=choice))
    assert "all-sides" not in str(caught.value)
    with pytest.raises(ConfigError, match="matches no field"):
        make_split(
            _fields(),
            Split(dataset="d", single_well=choice, hold_out=[{"perturbation": "zz"}]),
        )


def test_empty_side_is_an_error():
    split = pd.DataFrame({"field_id": ["a"], "split": ["train"]})
    assert fields_on(split, "train") == ["a"]
    with pytest.raises(DataError, match="no field on the side 'test'"):
        fields_on(split, "test")
