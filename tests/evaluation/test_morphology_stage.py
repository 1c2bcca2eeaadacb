"""Tables of morphology, from tables of profiles on the disk."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morphpipe.core.errors import ConfigError
from morphpipe.core.storage import write_parquet
from morphpipe.datasets.splits.assign import split_by_well
from morphpipe.evaluation.morphology.sets import MorphologySettings
from morphpipe.evaluation.morphology.stage import evaluate_morphology
from morphpipe.morphology.profiles import write_profiles
from morphpipe.morphology.recipes import RECIPES
from morphpipe.tables.metric_table import read_metric_table
from morphpipe.tables.schemas import MATCHED, SCORES_KEY

from .morphology_data import screen

CONTEXT = {"dataset": "d", "experiment": "e", "generator": "g"}
FEW = MorphologySettings(3, "pearson", "mean", (42, 43), 10, 2020, permutations=20, folds=2)


@pytest.fixture
def written(tmp_path):
    real, generated = screen("real", seed=0), screen("generated", seed=1)
    write_profiles(real, tmp_path / "real.parquet")
    write_profiles(generated, tmp_path / "generated.parquet")
    fields = real.table.filter(like="Metadata_").rename(
        columns=lambda n: n.removeprefix("Metadata_")
    )
    split = split_by_well(fields, {"train": 0.5, "test": 0.5}, 0)
    write_parquet(pa.Table.from_pandas(split, preserve_index=False), tmp_path / "split.parquet")
    return tmp_path


def run_stage(folder, **options):
    outputs = {
        name: folder / "out" / f"{name}.parquet"
        for name in ("metrics", "differences", "correlations", "scores")
    }
    evaluate_morphology(
        real=[folder / "real.parquet"],
        generated=[folder / "generated.parquet"],
        context=CONTEXT,
        settings=FEW,
        **{"split": folder / "split.parquet", "recipes": list(RECIPES)} | options,
        **outputs,
    )
    return outputs


def test_the_stage_writes_its_tables(written):
    outputs = run_stage(written)
    frame = read_metric_table(outputs["metrics"]).to_pandas()
    views = {*RECIPES, *(f"{name}{MATCHED}" for name in RECIPES)}
    assert set(frame["view"]) == views
    assert set(frame["extractor"]) == {"cellprofiler"}
    scores = pq.read_table(outputs["scores"])
    explained = json.loads(scores.schema.metadata[SCORES_KEY])
    assert [part["recipe"] for part in explained] == list(RECIPES)
    assert all(sum(part["explained_variance"]) <= 1 + 1e-9 for part in explained)
    table = scores.to_pandas()
    # Half of the 120 real fields are held out; all generated ones are there.
    assert table.groupby(["recipe", "origin"]).size().to_dict() == {
        (name, origin): number for name in RECIPES
        for origin, number in (("real", 60), ("generated", 120))
    }  # fmt: skip
    of_paper = table[table["recipe"] == "morphgen"]
    assert of_paper[["pc1", "pc2"]].var().is_monotonic_decreasing
    correlations = pq.read_table(outputs["correlations"]).to_pandas()
    one = correlations[correlations["recipe"] == "fixed"]
    assert len(one) == 100
    assert one[one["rank_a"] == one["rank_b"]]["real"].to_numpy() == pytest.approx(1)
    differences = pq.read_table(outputs["differences"]).to_pandas()
    assert set(differences["channel"]) == {"", "DNA", "ER"}
    assert set(differences["family"]) == {"AreaShape", "Texture", "Intensity", "Count"}


def test_the_stage_is_the_same_twice(written):
    first, second = (
        {name: path.read_bytes() for name, path in run_stage(written, recipes=["morphgen"]).items()}
        for _ in range(2)
    )
    assert first == second


def test_an_unknown_recipe_is_named(written):
    with pytest.raises(ConfigError, match="recipe 'best'"):
        run_stage(written, recipes=["best"])
