"""The report's section on morphology, on measurements that nobody made of the small screen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.morphology.sets import MorphologySettings
from morphpipe.evaluation.morphology.stage import evaluate_morphology
from morphpipe.morphology.profiles import METADATA_COLUMNS, Profiles, write_profiles
from morphpipe.morphology.tables import FieldMeasurements, MeasurementSource, image_table, join
from morphpipe.report.content import gather
from morphpipe.report.evidence import read_evidence
from morphpipe.report.figures.morphology import compartments, figure_correlations, figure_families
from morphpipe.report.inputs import MorphologyFiles
from morphpipe.report.morphology import build_morphology
from morphpipe.report.site import one_file

from .conftest import CONTEXT, SCRIPT, configuration_of

SOURCE = MeasurementSource("small.cppipe", "0" * 64, "4.2.8.1", {"DNA": "DNA"}, "channels")
NAMES = [
    *(f"Nuclei_AreaShape_Shape{i}" for i in range(6)),
    *(f"Cells_Texture_Contrast_DNA_{i}" for i in range(6)),
    *(f"Image_Granularity_{i}_DNA" for i in range(6)),
]
WRONG = "Nuclei_AreaShape_Shape0"


def profiles_of(tables, *, seed, wrong=0.0):
    """Profiles in which perturbations differ, and one feature may be wrong by so much."""
    generator = np.random.default_rng(seed)
    keys = pd.concat([table.keys()[METADATA_COLUMNS] for table in tables], ignore_index=True)
    means = {name: 0.7 * i for i, name in enumerate(sorted(keys["perturbation"].unique()))}
    values = generator.normal(size=(len(keys), len(NAMES)))
    values += np.outer(keys["perturbation"].map(means), np.linspace(-1, 1, len(NAMES)))
    frame = pd.DataFrame(values, columns=NAMES)
    frame[WRONG] += wrong
    frame["Image_Count_Nuclei"] = generator.poisson(40, len(keys)).astype(float)
    return Profiles(pd.concat([keys.add_prefix("Metadata_"), frame], axis=1), SOURCE)


def write_images(path, field_ids, *, failed=()):
    measured = [FieldMeasurements(i, None, 0.1, {"Count_Nuclei": 40.0}, {}) for i in field_ids]
    broken = [FieldMeasurements(i, reason, 0.1, {}, {}) for i, reason in failed]
    part = path.with_suffix(".part.parquet")
    write_parquet(image_table([*measured, *broken], ["Count_Nuclei"]), part)
    join([part], path, SOURCE)


def write_labels(path, table):
    size = table.table["height"][0].as_py()
    labels = np.zeros((size, size), np.int32)
    labels[10:20, 10:20] = 1
    np.savez_compressed(path, **{f"{i}/Nuclei": labels for i in table.field_ids[:2]})


@pytest.fixture(scope="module")
def evidence(inputs):
    return read_evidence(inputs.experiments[0], inputs.configuration)


@pytest.fixture(scope="module")
def files(evidence, tmp_path_factory):
    folder = tmp_path_factory.mktemp("morphology")
    real, generated = evidence.test_fields, list(evidence.generated)
    write_profiles(profiles_of([real], seed=0), folder / "real.parquet")
    write_profiles(profiles_of(generated, seed=1, wrong=6.0), folder / "generated.parquet")
    tables = {
        name: folder / f"{name}.parquet"
        for name in ("metrics", "differences", "correlations", "scores")
    }
    evaluate_morphology(
        real=[folder / "real.parquet"],
        generated=[folder / "generated.parquet"],
        split=None,
        recipes=["fixed"],
        context=CONTEXT,
        settings=MorphologySettings(10, "pearson", "mean", (42, 43, 44, 45, 46), 10, 2020),
        **tables,
    )
    write_images(folder / "real-image.parquet", real.field_ids, failed=[("lost", f"bad {SCRIPT}")])
    write_images(folder / "made-image.parquet", [i for t in generated for i in t.field_ids])
    write_labels(folder / "real.npz", real)
    write_labels(folder / "made.npz", generated[0])
    return MorphologyFiles(
        **tables,
        real_images=(folder / "real-image.parquet",),
        generated_images=(folder / "made-image.parquet",),
        real_labels=(folder / "real.npz",),
        generated_labels=(folder / "made.npz",),
    )


@pytest.fixture(scope="module")
def section(evidence, files):
    return build_morphology(evidence, files, "fixed")


def test_it_says_what_was_measured_and_what_failed(section, evidence):
    first = section.statements[0]
    generated = sum(map(len, evidence.generated))
    assert f"{len(evidence.test_fields) + 1:,} real and {generated:,} generated" in first
    assert "small.cppipe, CellProfiler 4.2.8.1" in first
    assert "1 real and 0 generated ones failed" in first
    title, table = section.details[-1]
    assert title == "Fields that failed (1)"
    assert [cell.text for cell in table.rows[0]] == ["lost", "real", f"bad {SCRIPT}"]


def test_the_feature_that_is_wrong_comes_first(section):
    table = dict(section.details)["The features that differ most"]
    assert table.rows[0][0].text == WRONG
    assert float(table.rows[0][3].text) > 0.9
    assert abs(float(table.rows[1][3].text)) < 0.6


def test_real_numbers_stand_beside_generated_ones(section):
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in section.tables[0].rows}
    assert rows["Mean nuclei per field"][0] != "not measured"
    real, generated, _ = rows["Correlation of mean profiles, by condition"]
    assert float(real) > float(generated) > 0


def test_outlines_and_figures_are_there(section):
    assert len(section.real) == len(section.generated) == 2
    names = {plot.name for plot in section.plots}
    assert names == {"morphology-families", "morphology-pca", "morphology-correlations"}
    assert all(plot.caption and plot.alternative for plot in section.plots)


def test_the_page_has_the_section_and_escapes_reasons(inputs, files):
    morphology = {"cells": {"split": "by-well", "pipeline": "small.cppipe"}}
    content = configuration_of().model_dump(mode="json") | {"morphology": morphology}
    content["experiments"]["small"]["evaluation"]["morphology"] = "cells"
    configuration = type(inputs.configuration).model_validate(content)
    experiments = (replace(inputs.experiments[0], morphology=files),)
    page = one_file(gather(replace(inputs, configuration=configuration, experiments=experiments)))
    assert "Do CellProfiler measurements match real cells?" in page
    assert "Segmentation by CellProfiler" in page
    assert SCRIPT not in page


def test_a_table_of_another_kind_is_named(evidence, files):
    with pytest.raises(DataError, match=r"scores.parquet is not a valid table"):
        build_morphology(evidence, replace(files, differences=files.scores), "fixed")


def test_compartments_go_from_the_nucleus_outwards():
    found = compartments(["Image", "Cells", "Golgi", "Nuclei", "Image"])
    assert found == ["Nuclei", "Cells", "Golgi", "Image"]


def test_figure_of_families_draws_every_point():
    frame = pd.DataFrame(
        {
            "comparison": ["generated-real", "real-real"] * 3,
            "compartment": ["Nuclei"] * 4 + ["Cells"] * 2,
            "family": ["Texture", "Texture", "AreaShape", "AreaShape", "Texture", "Texture"],
            "cliffs_delta": [0.5, 0.1, -0.9, 0.0, np.nan, 0.2],
        }
    )
    figure = figure_families(frame)
    drawn = [
        x
        for axes in figure.axes
        for line in axes.get_lines()
        if line.get_marker() == "o"
        for x in line.get_xdata()
    ]
    assert sorted(drawn) == [-0.9, 0.0, 0.1, 0.2, 0.5]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Nuclei", "Cells"]


def test_figure_of_correlations_keeps_order_and_scale():
    pairs = pd.DataFrame(
        [
            {"rank_a": a, "rank_b": b, "feature_a": f"f{a}", "real": a * b / 9, "generated": -a / 9}
            for a in (3, 1, 2)
            for b in (1, 2, 3)
        ]
    )
    figure = figure_correlations(pairs)
    real, generated = (axes.get_images()[0] for axes in figure.axes[:2])
    np.testing.assert_allclose(real.get_array(), np.outer([1, 2, 3], [1, 2, 3]) / 9)
    np.testing.assert_allclose(generated.get_array(), -np.outer([1, 2, 3], [1, 1, 1]) / 9)
    assert real.get_clim() == generated.get_clim() == (-1, 1)
