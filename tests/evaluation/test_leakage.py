import pandas as pd
import pytest

from morphpipe.config.splits import Split
from morphpipe.core.errors import DataError
from morphpipe.datasets.splits.leakage import check_leakage, find_leakage, pixel_hashes
from morphpipe.datasets.splits.table import make_split


@pytest.fixture
def fields():
    """Two plates of six wells with two sites, three perturbations, two of one gene."""
    rows = []
    for plate in ("p1", "p2"):
        for number, perturbation in enumerate(["control", "a", "b", "control", "a", "b"]):
            for site in (1, 2):
                rows.append(
                    {
                        "field_id": f"{plate}_{number}_s{site}",
                        "batch": "b1",
                        "plate": plate,
                        "well": f"A{number + 1:02d}",
                        "site": site,
                        "cell_type": "U2OS",
                        "perturbation": perturbation,
                        "gene": {"a": "G", "b": "G"}.get(perturbation),
                        "smiles": {"a": "c1ccccc1CC", "b": "OCC"}.get(perturbation),
                    }
                )
    return pd.DataFrame(rows)


def hashes(fields, **same):
    table = pd.DataFrame(
        {"field_id": fields["field_id"], "pixels_sha256": "h" + fields["field_id"]}
    )
    for one, other in same.items():
        table.loc[table["field_id"] == other, "pixels_sha256"] = f"h{one}"
    return table


SETTINGS = Split(dataset="d", fractions={"train": 0.5, "test": 0.5})


def test_our_own_splits_do_not_leak(fields):
    for hold_out in ([], [{"perturbation": "a"}], [{"plate": "p2"}], [{"gene": "G"}]):
        settings = SETTINGS.model_copy(update={"hold_out": hold_out})
        split = make_split(fields, settings)
        assert check_leakage(split, fields, settings, hashes(fields)).empty


@pytest.mark.parametrize(
    "hold_out",
    [
        {"perturbation": "a"},
        {"plate": "p2"},
        {"batch": "b1", "gene": "G"},
        {"cell_type": "U2OS", "perturbation": ["a", "b"]},
        {"scaffold": "c1ccccc1"},
        {"scaffold": "acyclic"},
    ],
)
def test_hold_outs_go_to_the_test_side_and_are_caught_elsewhere(fields, hold_out):
    settings = SETTINGS.model_copy(update={"hold_out": [hold_out]})
    split = make_split(fields, settings)
    plain = make_split(fields, SETTINGS)
    assert check_leakage(split, fields, settings, hashes(fields)).empty
    held = set(split[split["split"] == "test"]["field_id"]) - set(
        plain[plain["split"] == "test"]["field_id"]
    )
    assert held, "something is held out that would have been trained on"
    with pytest.raises(DataError, match="held-out condition"):
        check_leakage(plain, fields, settings, hashes(fields))


def test_a_well_on_two_sides_is_caught(fields):
    split = make_split(fields, SETTINGS)
    side = split.loc[split["field_id"] == "p1_0_s1", "split"].item()
    split.loc[split["field_id"] == "p1_0_s1", "split"] = "train" if side == "test" else "test"
    with pytest.raises(DataError, match=r"same well: p1_0_s\d on the side"):
        check_leakage(split, fields, SETTINGS, hashes(fields))


def test_identical_pixels_on_two_sides_stop_or_are_listed(fields):
    split = make_split(fields, SETTINGS)
    train = split[split["split"] == "train"]["field_id"].iloc[0]
    test = split[split["split"] == "test"]["field_id"].iloc[0]
    quality = hashes(fields, **{train: test})
    with pytest.raises(DataError, match=r"same pixels: .*duplicates: list"):
        check_leakage(split, fields, SETTINGS, quality)
    listed = check_leakage(
        split, fields, SETTINGS.model_copy(update={"duplicates": "list"}), quality
    )
    assert set(listed.iloc[0][["field_id", "other_field_id"]]) == {train, test}


def test_identical_pixels_on_one_side_are_no_leak(fields):
    split = make_split(fields, SETTINGS)
    one, other = split[split["split"] == "train"]["field_id"].iloc[:2]
    assert check_leakage(split, fields, SETTINGS, hashes(fields, **{one: other})).empty


def test_fields_without_a_hash_are_not_compared(fields):
    quality = hashes(fields)
    quality["pixels_sha256"] = None
    split = make_split(fields, SETTINGS)
    assert find_leakage(split, fields, [], pixel_hashes(fields, quality)).empty


def test_tiles_have_the_hash_of_their_field_and_place():
    tiles = pd.DataFrame({"field_id": ["f1_r0c0", "f1_r0c1", "f2_r0c0", "g"]})
    quality = pd.DataFrame({"field_id": ["f1", "f2"], "pixels_sha256": ["x", "x"]})
    found = pixel_hashes(tiles, quality)
    assert found["f1_r0c0"] == found["f2_r0c0"] != found["f1_r0c1"]
    assert pd.isna(found["g"])


def test_unreadable_smiles_are_named(fields):
    settings = SETTINGS.model_copy(update={"hold_out": [{"scaffold": "acyclic"}]})
    with pytest.raises(DataError, match="cannot read the SMILES 'C1CC'"):
        make_split(fields.assign(smiles="C1CC"), settings)


@pytest.fixture
def compounds(fields):
    """Taxol under two names and as a salt; two mechanisms of one compound."""
    smiles = {"a": "CC(=O)Oc1ccccc1C(=O)O", "b": "[Na+].OC(=O)c1ccccc1OC(C)=O.[Cl-]"}
    moa = {"a": "Aurora inhibitor | JAK inhibitor", "b": "JAK inhibitor"}
    return fields.assign(
        smiles=fields["perturbation"].map(smiles), moa=fields["perturbation"].map(moa)
    )


def test_a_compound_is_held_out_under_all_its_names(compounds):
    settings = SETTINGS.model_copy(update={"hold_out": [{"perturbation": "a"}]})
    split = make_split(compounds, settings).merge(compounds, on="field_id")
    assert set(split["perturbation"][split["split"] == "train"]) == {"control"}
    plain = split[["field_id", "split"]]
    (row,) = check_leakage(plain, compounds, settings, hashes(compounds)).to_dict("records")
    assert (row["kind"], row["detail"]) == ("held out with it", "b has the structure of a")
    # In training under its other name, it leaks.
    wrong = plain.assign(split=plain["split"].where(split["perturbation"] != "b", "train"))
    with pytest.raises(DataError, match="held-out condition"):
        check_leakage(wrong, compounds, settings, hashes(compounds))


def test_each_of_several_mechanisms_counts(compounds):
    settings = SETTINGS.model_copy(update={"hold_out": [{"moa": "JAK inhibitor"}]})
    split = make_split(compounds, settings).merge(compounds, on="field_id")
    assert set(split["perturbation"][split["split"] == "train"]) == {"control"}
    other = SETTINGS.model_copy(update={"hold_out": [{"moa": "Aurora inhibitor"}]})
    split = make_split(compounds, other).merge(compounds, on="field_id")
    assert set(split["perturbation"][split["split"] == "train"]) == {"control", "b"}


def test_a_structure_that_cannot_be_read_leaves_the_name(compounds):
    settings = SETTINGS.model_copy(update={"hold_out": [{"perturbation": "a"}]})
    unreadable = compounds["smiles"].where(compounds["perturbation"] != "b", "restricted")
    split = make_split(compounds.assign(smiles=unreadable), settings).merge(
        compounds, on="field_id"
    )
    assert set(split["perturbation"][split["split"] == "train"]) == {"control", "b"}
