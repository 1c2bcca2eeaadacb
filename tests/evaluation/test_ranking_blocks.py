import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from morphpipe.config.comparisons import Comparison, Ranking
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.distances.comparison_stage import compare_experiments
from morphpipe.evaluation.distances.ranking import RANKING_SCHEMA
from morphpipe.evaluation.distances.ranking_blocks import rank_block
from morphpipe.evaluation.stage import EvaluationInputs
from morphpipe.tables.archive import read_fields
from morphpipe.tables.feature_table import Extraction, FeatureTable, write_features
from morphpipe.tables.metric_table import metric_row, metric_table

NAMES = ("a", "b", "c")


@pytest.fixture
def inputs(make_fields, make_row, tmp_path):
    """Two archives of generated images that share their perturbations, features of two views."""

    def write(name, rows, archive):
        make_fields(archive, len(rows), names=("DNA",), size=(2, 2), rows=rows)
        generator = np.random.default_rng(len(name))
        place = read_fields(archive).keys()["perturbation"].map(NAMES.index).to_numpy(float)
        for view in ("all", "DNA"):
            values = generator.normal(0, 1, (len(rows), 3)) + 4 * place[:, None]
            table = FeatureTable(
                tuple(row["field_id"] for row in rows), np.zeros(len(rows), np.int8),
                values.astype(np.float32), Extraction("judge", "resnet18", "", view, ("DNA",)),
            )  # fmt: skip
            write_features(table, tmp_path / name / f"{view}.parquet")

    real = [
        make_row(f"r-{name}-{i}", perturbation=name, well=f"{name}{i}")
        for name in NAMES for i in range(8)
    ]  # fmt: skip
    write("real", real, tmp_path / "real.zip")
    for shard in range(2):
        made = [
            make_row(
                f"g-{name}-{shard}-{i}", perturbation=name, origin="generated", batch=None,
                plate=None, well=None, site=None, training_seed=0, sampling_seed=0, sample_index=i,
            )
            for name in NAMES for i in range(3)
        ]  # fmt: skip
        write(f"made-{shard}", made, tmp_path / f"made-{shard}.zip")
    # The last two fields of every perturbation are trained on.
    sides = [(row["field_id"], "train" if i % 8 > 5 else "test") for i, row in enumerate(real)]
    split = pd.DataFrame(sides, columns=["field_id", "split"])
    write_parquet(pa.Table.from_pandas(split, preserve_index=False), tmp_path / "split.parquet")
    return EvaluationInputs(
        fields=str(tmp_path / "real.zip"), split=str(tmp_path / "split.parquet"),
        samples=[str(tmp_path / f"made-{shard}.zip") for shard in range(2)], experiment="e",
        dataset="d", generator="g", source="sheet",
        evaluation={"encoders": ["judge"], "minimum_images": 6},
        real={"judge": [str(tmp_path / "real")]},
        generated={"judge": [str(tmp_path / f"made-{shard}") for shard in range(2)]},
    )  # fmt: skip


def test_blocks_together_are_the_whole(inputs):
    (whole,) = [rank_block(inputs, Ranking(), 0)]
    table = whole.to_pandas()
    assert table["perturbation"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert set(table["view"]) == {"all"}
    # Six of eight are held out; all six generated ones of both archives count.
    assert (table["n_real"] == 6).all()
    assert (table["n_generated"] == 6).all()
    assert (table["rank"] == 1).all()
    ranking = Ranking(blocks=4)
    parts = [rank_block(inputs, ranking, block) for block in range(4)]
    assert [len(part) for part in parts] == [2, 2, 2, 0]
    assert all(part.schema.equals(RANKING_SCHEMA) for part in parts)
    assert pa.concat_tables(parts).equals(whole)


def test_mistakes(inputs, tmp_path):
    with pytest.raises(ConfigError, match="no block 1: choose one from 0 to 0"):
        rank_block(inputs, Ranking(), 1)
    (tmp_path / "real" / "all.parquet").unlink()
    with pytest.raises(DataError, match="Ranking needs whole images"):
        rank_block(inputs, Ranking(), 0)


def _distances(path, experiment, metric="FID"):
    rows = [
        metric_row(
            dataset="d", experiment=experiment, metric=metric, extractor="inception", view="rgb",
            comparison="generated-real@floor-n", cell_type="all", perturbation=name, n_left=9,
            n_right=9, value=float(len(experiment) + 2 * place**2),
        )
        for place, name in enumerate(NAMES)
    ]  # fmt: skip
    write_parquet(metric_table(rows), path)
    return path


def test_a_comparison_reads_all_tables_of_both_sides(tmp_path):
    paths = {
        name: [_distances(tmp_path / f"{name}-{m}.parquet", name, m) for m in ("FID", "KID")]
        for name in ("new", "older")
    }
    comparison = Comparison(model="new", baseline="older")
    tests = compare_experiments(comparison, paths["new"], paths["older"]).to_pandas()
    assert tests["metric"].tolist() == ["FID", "KID"]
    assert tests["difference"].tolist() == [-2.0, -2.0]
    only = Comparison(model="new", baseline="older", metrics=["KID"], encoders=["inception"])
    assert len(compare_experiments(only, paths["new"], paths["older"])) == 1
    with pytest.raises(DataError, match="do not belong to new"):
        compare_experiments(comparison, paths["older"], paths["new"])
