import json

import numpy as np
import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.core.cell_counts import (
    COUNTED,
    cell_count_rows,
    count_cells,
    counts_of,
    read_counts,
)
from morphpipe.evaluation.core.feature_set import FeatureSet
from morphpipe.evaluation.effects.perturbation_effects import perturbation_effects
from morphpipe.evaluation.robustness.cell_count_matched import (
    balanced,
    count_rows,
    matched_effects,
    matched_measures,
)
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.metric_table import metric_table

from .settings import settings_of

CONTEXT = {"dataset": "screen", "experiment": "test", "generator": "SiT"}


def settings_for(perturbations, cells):
    settings = settings_of("matched", count_bins=4, perturbation_sets={"a": perturbations})
    return {"context": CONTEXT, "cells": cells, **settings}


def test_balanced_takes_as_many_of_every_label():
    generator = np.random.default_rng(0)
    labels = generator.choice(["a", "b", "c"], 200, p=[0.6, 0.3, 0.1])
    strata = generator.integers(0, 3, 200)
    labels[strata == 2] = "a"
    ids = [f"f{i}" for i in range(200)]
    chosen = balanced(ids, labels, strata, seed=0)
    for stratum in (0, 1):
        sizes = [np.sum((labels == name) & (strata == stratum)) for name in "abc"]
        taken = [np.sum((labels[chosen] == n) & (strata[chosen] == stratum)) for n in "abc"]
        assert taken == [min(sizes)] * 3
    # There is no b or c in the last one.
    assert not (strata[chosen] == 2).any()
    order = generator.permutation(200)
    again = balanced([ids[i] for i in order], labels[order], strata[order], seed=0)
    assert sorted(order[again]) == chosen.tolist()


def crowded(images, seed):
    """A perturbation that only removes cells, and one that changes what cells look like as well.

    The first feature follows the count alone, the second is the look of the cells.
    """
    generator = np.random.default_rng(seed)
    names = images.column("perturbation")
    cells = generator.integers(20, 60, len(images))
    fewer = (names != "control") & (generator.random(len(images)) < 0.7)
    cells[fewer] -= 15
    features = np.zeros((len(images), 2), dtype=np.float32)
    features[:, 0] = cells / 5
    features[:, 1] = 2.0 * (names == "look") + 0.3 * generator.standard_normal(len(images))
    counts = dict(zip(images.column("field_id"), cells.tolist(), strict=True))
    return FeatureSet(images.keys, features, images.extractor, images.view), counts


@pytest.fixture(scope="module")
def screen(make_features):
    means = {("A", name): 0.0 for name in ("control", "toxic", "look")}
    sets, counts = [], {}
    for seed, (origin, batch, wells) in enumerate(
        [("generated", "b0", 60), ("real", "b0", 40), ("real", "b1", 40)]
    ):
        images = make_features(
            means, seed=seed, origin=origin, batch=batch, wells=wells, fields_per_well=2
        )
        found, cells = crowded(images, seed)
        sets.append(found)
        counts |= cells
    return sets, counts


def test_an_effect_of_the_count_vanishes(screen):
    (_, real, _), counts = screen
    effects, lacking = matched_effects(real, counts, bins=4, seed=2020)
    assert not lacking
    plain = perturbation_effects(real)
    assert plain["A"]["toxic"].unbiased > 2
    assert effects["A"]["toxic"].unbiased < 0.35
    # What cells look like stays: a shift of 2.
    assert effects["A"]["look"].unbiased == pytest.approx(4, abs=0.6)
    assert effects["all"]["look"].unbiased == effects["A"]["look"].unbiased


def test_rows(screen):
    sets, counts = screen
    settings = settings_for(["control", "toxic", "look"], counts)
    table = metric_table(matched_measures(*sets, **settings)).to_pandas()
    notes = table["settings"].map(json.loads)
    assert {note["matched"] for note in notes} == {"cell count"}
    assert {"cate", "cate_unbiased", "delta_cate", "cate_rank_correlation", "accuracy"} <= set(
        table["metric"]
    )
    accuracy = table[table["metric"] == "accuracy"].set_index("regime")["value"]
    # Only "look" can be told from the other two, which are alike.
    assert accuracy["real-real"] == pytest.approx(2 / 3, abs=0.12)
    assert accuracy["generated-real"] == pytest.approx(2 / 3, abs=0.12)
    alone = metric_table(count_rows(*sets, **settings)).to_pandas()
    assert set(zip(alone["extractor"], alone["view"], strict=True)) == {COUNTED}
    assert alone[alone["metric"] == "accuracy"]["value"].max() < 0.6


def test_mean_counts(screen):
    (generated, real, _), counts = screen
    table = metric_table(cell_count_rows(generated, real, counts, context=CONTEXT)).to_pandas()
    assert len(table) == 6
    row = table[(table["comparison"] == "real") & (table["perturbation"] == "toxic")].iloc[0]
    cells = counts_of(real.select(real.column("perturbation") == "toxic"), counts)
    assert row["value"] == pytest.approx(cells.mean())
    assert row["ci_low"] < row["value"] < row["ci_high"]


def test_fields_that_cannot_be_matched_are_said(screen):
    (generated, real, training), counts = screen
    far = {name: cells + (1000 if "toxic" in name else 0) for name, cells in counts.items()}
    settings = settings_for(["control", "toxic"], far)
    rows = matched_measures(generated, real, training, **settings)
    table = metric_table(rows).to_pandas()
    toxic = table[(table["perturbation"] == "toxic") & table["metric"].str.startswith("cate")]
    assert toxic["value"].isna().all()
    assert toxic["settings"].str.contains("0 fields have controls of their cell count").all()
    probes = table[table["metric"] == "accuracy"]
    assert probes["settings"].str.contains("0 fields of each perturbation").all()
    with pytest.raises(DataError, match="have no cell count"):
        counts_of(real, {})


def test_cells_are_counted_in_the_nuclear_channel(make_manifest, make_row, tmp_path):
    y, x = np.mgrid[:60, :80]
    dna = np.zeros((60, 80), np.uint8)
    for centre in (15, 40, 65):
        dna[(y - 30) ** 2 + (x - centre) ** 2 <= 36] = 200
    with write_archive(tmp_path / "f.zip", make_manifest(("actin", "DNA"))) as archive:
        archive.add(make_row("three"), np.stack([np.zeros_like(dna), dna]))
        archive.add(make_row("none"), np.zeros((2, 60, 80), np.uint8))
    fields = read_fields(tmp_path / "f.zip")
    write_parquet(count_cells(fields), tmp_path / "counts.parquet")
    assert read_counts([tmp_path / "counts.parquet"]) == {"three": 3, "none": 0}
    with pytest.raises(DataError, match="the fields have actin, DNA"):
        count_cells(fields, "nuclei")
    write_parquet(fields.table.select(["field_id"]), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="not a table of cell counts"):
        read_counts([tmp_path / "other.parquet"])


@pytest.mark.parametrize("cells", [-1, 2.0, 2.5, None, "3"])
def test_counts_are_whole_numbers_from_0_on(tmp_path, cells):
    table = pa.table({"field_id": ["a", "b"], "cells": pa.array([cells, cells])})
    write_parquet(table, tmp_path / "counts.parquet")
    with pytest.raises(DataError, match=r"counts\.parquet: field 'a' has .* non-negative integer"):
        read_counts([tmp_path / "counts.parquet"])
