import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.morphology.selection import select_fields


@pytest.fixture
def fields(make_fields, make_row, tmp_path):
    conditions = [(c, p) for c in ("HUVEC", "RPE") for p in ("1108", "1138")] * 2
    rows = [
        make_row(f"f{i}", cell_type=cell_type, perturbation=perturbation)
        for i, (cell_type, perturbation) in enumerate(conditions)
    ]
    return make_fields(tmp_path / "fields.zip", len(rows), rows=rows)[0]


@pytest.fixture
def split(fields, tmp_path):
    ids = fields.field_ids
    sides = ["test" if place % 2 else "train" for place in range(len(ids))]
    write_parquet(pa.table({"field_id": ids, "split": sides}), tmp_path / "split.parquet")
    return tmp_path / "split.parquet"


def test_all_are_taken_where_nothing_is_asked_for(fields):
    assert select_fields(fields).field_ids == fields.field_ids


def test_a_side_is_taken_in_order(fields, split):
    assert select_fields(fields, split=split, side="test").field_ids == fields.field_ids[1::2]


def test_cell_types_and_perturbations_are_taken_together(fields, split):
    keys = fields.keys()
    name, kind = keys["perturbation"].iloc[1], keys["cell_type"].iloc[1]
    chosen = select_fields(
        fields, split=split, side="test", cell_types=[kind], perturbations=[name, "none such"]
    )
    expected = keys[1::2]
    expected = expected[(expected["perturbation"] == name) & (expected["cell_type"] == kind)]
    assert chosen.field_ids == expected["field_id"].tolist()
    assert len(chosen) > 0


def test_a_shard_without_any_gives_none(fields):
    assert len(select_fields(fields, perturbations=["none such"])) == 0


def test_an_unknown_side_is_an_error(fields, split):
    with pytest.raises(DataError, match="no field on the side 'encoder'; its sides are test, tra"):
        select_fields(fields, split=split, side="encoder")
