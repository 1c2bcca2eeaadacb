import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.distances.crops import (
    CropInputs,
    crop_sets,
    draw_crops,
    field_of,
    measure_crop_distances,
)
from morphpipe.evaluation.distances.frechet import frechet_distance
from morphpipe.tables.archive import read_fields
from morphpipe.tables.feature_table import Extraction, FeatureTable, write_features
from morphpipe.tables.metric_table import metric_table

EXTRACTION = Extraction("judge", "resnet18", "a" * 64, "all", ("DNA",))
PERTURBATIONS = ("control", "taxol")
CROPS = 6


def _features(archive, folder, seed):
    """Features of an archive's crops: those of one field are alike."""
    generator = np.random.default_rng(seed)
    ids = read_fields(archive).field_ids
    own = {field: generator.normal(0, 1, 4) for field in sorted({field_of(i) for i in ids})}
    values = np.array([own[field_of(i)] + generator.normal(0, 0.5, 4) for i in ids])
    table = FeatureTable(
        tuple(ids), np.zeros(len(ids), np.int8), values.astype(np.float32), EXTRACTION
    )
    folder.mkdir()
    write_features(table, folder / "all.parquet")


@pytest.fixture
def inputs(make_fields, make_row, tmp_path):
    """Two shards a side. Of eight wells a perturbation, half are held out."""

    def shard(name, fields):
        rows = [
            make_row(f"{field}_c{i:03d}", **known)
            for field, known in fields.items()
            for i in range(CROPS)
        ]
        path = tmp_path / f"{name}.zip"
        make_fields(path, len(rows), names=("DNA",), size=(4, 4), rows=rows)
        _features(path, tmp_path / name, len(name))
        return str(path), str(tmp_path / name)

    real, made, split = [], [], []
    for number, perturbation in enumerate(PERTURBATIONS):
        wells = {
            f"r{number}{w}": {"perturbation": perturbation, "well": f"{number}{w}"}
            for w in range(8)
        }
        real.append(shard(f"real-{number}", wells))
        split += [(field, "train" if w < 4 else "test") for w, field in enumerate(wells)]
        fields = {
            f"g{number}-{i}": {
                "perturbation": perturbation, "origin": "generated", "batch": None, "plate": None,
                "well": None, "site": None, "experiment": "e", "training_seed": 0,
                "sampling_seed": 0, "sample_index": i,
            }
            for i in range(10)
        }  # fmt: skip
        made.append(shard(f"made-{number}", fields))
    sides = pd.DataFrame(split, columns=["field_id", "split"])
    write_parquet(pa.Table.from_pandas(sides, preserve_index=False), tmp_path / "split.parquet")
    return CropInputs(
        split=str(tmp_path / "split.parquet"),
        real_crops=[archive for archive, _ in real],
        generated_crops=[archive for archive, _ in made],
        experiment="e",
        dataset="d",
        generator="g",
        evaluation={"encoders": ["judge"], "minimum_images": 8, "floor_repeats": 2,
                    "subset_size": 8, "subsets": 4},
        order="impa-bbbc021",
        size=96,
        real={"judge": [folder for _, folder in real]},
        generated={"judge": [folder for _, folder in made]},
        per_condition=16,
    )  # fmt: skip


def test_a_crop_knows_its_field():
    assert field_of("week1_B02_s1_c007") == "week1_B02_s1"
    assert field_of("a_c001_c1234") == "a_c001"
    for name in ("week1_B02_s1", "x_c12", "_c001"):
        with pytest.raises(DataError, match=f"'{name}' is not a crop id"):
            field_of(name)


def test_crops_are_on_the_side_of_their_field_and_not_too_many(inputs):
    ((generated, test, train),) = crop_sets(inputs)
    assert {s.view for s in (generated, test, train)} == {"crop96 all"}
    # At most 16 a perturbation; held out twice as many, and there are but 24.
    for crops, number in ((generated, 16), (test, 24), (train, 16)):
        counts = crops.keys["perturbation"].value_counts().to_dict()
        assert counts == dict.fromkeys(PERTURBATIONS, number)
    fields = [{field_of(i) for i in s.keys["field_id"]} for s in (test, train)]
    assert fields[0] == {f"r{n}{w}" for n in (0, 1) for w in range(4, 8)}
    assert fields[1] <= {f"r{n}{w}" for n in (0, 1) for w in range(4)}


def test_wells_and_generated_fields_are_the_units(inputs):
    ((generated, test, _),) = crop_sets(inputs)
    assert len(set(test.groups)) == 8
    made = generated.keys["field_id"].map(field_of)
    assert len(set(generated.groups)) == made.nunique() < len(generated)
    pairs = set(zip(made, generated.groups, strict=True))
    assert len(pairs) == made.nunique()


def test_distances_are_those_of_the_crops_that_were_drawn(inputs):
    ((generated, test, _),) = crop_sets(inputs)
    table = metric_table(measure_crop_distances(inputs)).to_pandas()
    assert set(table["view"]) == {"crop96 all"}
    assert set(table["experiment"]) == {"e"}
    row = table.query(
        "metric == 'frechet_distance' and comparison == 'generated-real' "
        "and cell_type == 'all' and perturbation == 'taxol'"
    ).iloc[0]
    sets = [s.features[s.column("perturbation") == "taxol"] for s in (generated, test)]
    assert row["value"] == pytest.approx(frechet_distance(*sets))
    assert (row["n_left"], row["n_right"]) == (16, 24)
    settings = json.loads(row["settings"])
    assert settings["crops"] == {"order": "impa-bbbc021", "size": 96, "per_condition": 16}
    assert "wells" in settings["interval"]
    assert {"real-real", "copy-real", "generated-real@floor-n"} <= set(table["comparison"])


def test_archives_of_fields_and_empty_sides_are_refused(inputs, make_fields, tmp_path):
    make_fields(tmp_path / "fields.zip", 2)
    with pytest.raises(DataError, match="archives of crops, not of fields"):
        draw_crops([str(tmp_path / "fields.zip")], {"f0"}, 5, 0)
    with pytest.raises(DataError, match="No crop belongs to a field on the required side"):
        draw_crops(inputs.real_crops, {"elsewhere"}, 5, 0)
