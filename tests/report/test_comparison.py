import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from morphpipe.core.errors import DataError
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.core.summary import over_seeds, read_metrics
from morphpipe.evaluation.distances.comparison import AT_FLOOR, compare
from morphpipe.evaluation.distances.ranking import ranking_table
from morphpipe.report.comparison import build_comparison, verdict
from morphpipe.report.figures.comparison import MOST_PERTURBATIONS, Panel, figure_comparison
from morphpipe.report.figures.drawing import FLOOR_GREY, MADE
from morphpipe.report.inputs import ComparisonFiles
from morphpipe.report.results import distance_points
from morphpipe.report.tables import distance_table
from morphpipe.tables.metric_table import metric_row, metric_table

NAMES = [f"compound-{i}" for i in range(14)]
GROUPS = {
    "moa: Eg5 inhibitors": NAMES[:2],
    "moa: Actin disruptors": NAMES[2:],
    "distribution: in": NAMES[:10],
    "distribution: out": NAMES[10:],
}


def configuration(aligned=""):
    """What the section asks of a configuration: which encoder served alignment."""
    alignment = SimpleNamespace(encoder=aligned) if aligned else None
    generator = SimpleNamespace(alignment=alignment)
    plain = SimpleNamespace(generator=SimpleNamespace(alignment=None))
    encoders = {
        name: SimpleNamespace(kind=name, model_dump=lambda exclude, name=name: {"name": name})
        for name in ("inception", "resnet18")
    }
    return SimpleNamespace(
        experiments={"morphodiff": SimpleNamespace(generator=generator), "baseline": plain},
        encoders=encoders,
    )


def metric_rows(experiment, shift, *, names=NAMES, views=("rgb",), seed=1):
    """Distances of one experiment, `shift` times as large as they might be."""
    rows = []
    for extractor, metrics in (
        ("inception", ("FID", "KID")),
        ("resnet18", ("frechet_distance", "kernel_distance")),
    ):
        for view in views:
            for metric in metrics:
                scale = 100 if metrics.index(metric) == 0 else 0.1
                generator = np.random.default_rng([seed, *metric.encode()])
                common = {
                    "dataset": "bbbc021", "experiment": experiment, "generator": "g",
                    "extractor": extractor, "view": view, "metric": metric, "cell_type": "all",
                }  # fmt: skip
                for name in names:
                    value = float(scale * generator.gamma(8, 0.15) * shift)
                    for comparison, of in (
                        ("real-real", 0.4 * scale),
                        ("generated-real@floor-n", value),
                    ):
                        rows.append(
                            metric_row(**common, perturbation=name, comparison=comparison, value=of,
                                       n_left=250, n_right=250)
                        )  # fmt: skip
                for group, members in GROUPS.items():
                    rows.append(
                        metric_row(**common, perturbation=group, group=group, value=1.0,
                                   comparison="generated-real@floor-n",
                                   settings={"perturbations": [m for m in members if m in names]})
                    )  # fmt: skip
    return rows


def files_of(folder, *, shift=0.7, noise=1, names=NAMES, ranked=True, views=("rgb",), **settings):
    """A table of tests, and rankings of both experiments."""
    sides = (
        metric_rows("morphodiff", shift, names=names, views=views, seed=noise),
        metric_rows("baseline", 1.0, names=names[:-1] if len(names) < 20 else names, views=views),
    )
    settings = {"comparison": AT_FLOOR, "metrics": None, "encoders": None} | settings
    tests = compare(*(metric_table(rows).to_pandas() for rows in sides), **settings)
    write_parquet(tests, folder / "tests.parquet")
    rankings = {}
    for experiment, ranks in (("morphodiff", [1, 1, 2, 4]), ("baseline", [3, 7, 9, None])):
        rows = [
            {"dataset": "bbbc021", "experiment": experiment, "metric": "FID",
             "extractor": "inception", "view": "rgb", "cell_type": "MCF7", "perturbation": f"p{i}",
             "rank": rank, "cohorts": None if rank is None else 14,
             "expected_rank": None if rank is None else 7.5,
             "reason": "3 images" if rank is None else None, "settings": "{}"}
            for i, rank in enumerate(ranks)
        ]  # fmt: skip
        rankings[experiment] = folder / f"{experiment}.parquet"
        write_parquet(ranking_table(rows), rankings[experiment])
    return ComparisonFiles("pair", folder / "tests.parquet", rankings if ranked else {})


def words(section):
    """All text of a section."""
    every = [*section.tables, *(table for _, table in section.details)]
    cells = [cell for table in every for row in [table.headers, *table.rows] for cell in row]
    said = [*section.statements, *(title for title, _ in section.details)]
    return " ".join([*said, *(f"{c.text} {c.note}" for c in cells), *(t.caption for t in every)])


def test_a_difference_is_said_with_floor_and_smallest_difference(tmp_path):
    files = files_of(tmp_path)
    section = build_comparison(configuration(), files)
    row = pd.read_parquet(files.tests).query("metric == 'FID' and group == 'all'").iloc[0]
    assert row["paired_p"] < 0.05
    said = section.statements[0]
    assert said.startswith(
        "By FID (inception, view “rgb”) images of morphodiff are closer to real images than "
        f"those of baseline: mean {row['mean_model']:.1f} vs"
    )
    assert "over 13 perturbations (real vs real 40.0)" in said
    assert f"{row['ci_low']:.1f} to {row['ci_high']:.1f}" in said
    assert f"smallest detectable difference is {row['smallest_difference']:.2f}" in said
    assert any("for the given trainings" in text for text in section.statements)
    assert not re.search(r"\bnan\b|\bNone\b", words(section))


def test_no_difference_is_not_said_to_be_equality(tmp_path):
    section = build_comparison(configuration(), files_of(tmp_path, shift=1.02, noise=9))
    said = section.statements[0]
    assert "no significant difference between morphodiff and baseline" in said
    assert "does not exclude a difference" in said
    assert "of the value of baseline" in said


def test_a_worse_model_is_called_worse(tmp_path):
    section = build_comparison(configuration(), files_of(tmp_path, shift=1.8))
    assert "morphodiff are further from real images than those of baseline" in section.statements[0]


def test_what_is_left_out_and_what_could_not_be_tested_is_told(tmp_path):
    section = build_comparison(configuration(), files_of(tmp_path))
    text = words(section)
    assert "baseline: not in its table" in text
    assert "Some perturbations could not be compared" in text
    assert "1 excluded" in text
    # Two inhibitors of Eg5 are too few.
    assert "2 perturbations, fewer than 3" in text
    for group in GROUPS:
        assert group in text
    few = build_comparison(configuration(), files_of(tmp_path, names=NAMES[:3]))
    assert few.statements[0].endswith("nothing was tested: 2 perturbations, fewer than 3.")


def test_ranks_stand_beside_chance(tmp_path):
    section = build_comparison(configuration(), files_of(tmp_path))
    (said,) = [s for s in section.statements if "rank" in s and "images of morphodiff" in s]
    assert "is 2.00 of 14" in said
    assert "chance is 7.50" in said
    rows = {row[0].text: row for row in section.tables[-1].rows}
    assert [c.text for c in rows["morphodiff"][4:]] == ["4", "14", "2.00", "1.50", "50%", "100%"]
    assert "chance 7%" in rows["morphodiff"][8].note
    assert rows["baseline"][4].note == "1 without a rank"
    without = build_comparison(configuration(), files_of(tmp_path, ranked=False))
    assert "rank" not in words(without)


def test_encoder_that_served_alignment_is_marked_and_not_the_first(tmp_path):
    section = build_comparison(configuration("inception"), files_of(tmp_path))
    assert section.encoder == "resnet18"
    assert "inception †" in words(section)
    assert "resnet18 †" not in words(section)
    assert build_comparison(configuration(), files_of(tmp_path)).encoder == "inception"


def test_crops_and_fields_are_told_apart_and_channels_stand_aside(tmp_path):
    files = files_of(tmp_path, views=("DNA", "rgb", "crop96 rgb"))
    section = build_comparison(configuration(), files)
    tested = [s for s in section.statements if "paired t-test" in s]
    assert [re.search("view “(.*?)”", s)[1] for s in tested] == ["rgb"] * 2 + ["crop96 rgb"] * 2
    shown = {row[1].text for row in section.tables[0].rows}
    assert shown == {"rgb", "crop96 rgb"}
    (other,) = [table for title, table in section.details if title.startswith("Other tests")]
    assert "DNA" in {row[1].text for row in other.rows}
    figure = section.plots[0].figure
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "FID, rgb", "KID, rgb", "FID, crop96 rgb", "KID, crop96 rgb",
    ]  # fmt: skip


def test_figure_pairs_the_values_of_each_perturbation():
    pairs = pd.DataFrame(
        {"perturbation": ["a", "b", "c"], "model": [3.0, 1.0, 2.0], "baseline": [2.0, 4.0, 2.5],
         "floor": [0.5, 0.5, np.nan]}
    )  # fmt: skip
    (axes,) = figure_comparison([Panel("FID", pairs)], model="m", baseline="n").axes
    # The largest gain first.
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c", "a"]
    squares = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines
               if line.get_color() == MADE}  # fmt: skip
    assert squares == {0: 1.0, 1: 2.0, 2: 3.0}
    circles = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines
               if line.get_marker() == "o"}  # fmt: skip
    assert circles == {0: 4.0, 1: 2.5, 2: 2.0}
    assert len([line for line in axes.lines if line.get_color() == FLOOR_GREY]) == 2


def test_many_perturbations_are_thinned_evenly_and_it_is_said(tmp_path):
    names = [f"s{i}" for i in range(300)]
    section = build_comparison(configuration(), files_of(tmp_path, names=names))
    assert len(section.plots[0].figure.axes[0].get_yticks()) == MOST_PERTURBATIONS
    assert f"{MOST_PERTURBATIONS} of 300 perturbations" in section.plots[0].caption


def test_a_cell_type_is_named():
    row = pd.Series(
        {"metric": "FID", "extractor": "inception", "view": "rgb", "cell_type": "HUVEC",
         "reason": "x", "model": "a", "baseline": "b"}
    )  # fmt: skip
    assert verdict(row) == "By FID (inception, view “rgb”) in HUVEC nothing was tested: x."


def test_other_tables_are_refused(tmp_path):
    files = files_of(tmp_path)
    other = tmp_path / "other.parquet"
    write_parquet(pa.table({"metric": ["FID"]}), other)
    with pytest.raises(DataError, match="not a table of tests"):
        build_comparison(configuration(), ComparisonFiles("x", other))
    with pytest.raises(DataError, match="not a table of ranks"):
        build_comparison(configuration(), ComparisonFiles("x", files.tests, {"a": other}))
    empty = pd.read_parquet(files.tests).iloc[:0]
    write_parquet(pa.Table.from_pandas(empty, preserve_index=False), other)
    with pytest.raises(DataError, match="contains no test"):
        build_comparison(configuration(), ComparisonFiles("x", other))


def test_rows_of_groups_are_in_nothing_that_is_pooled(tmp_path):
    common = {"dataset": "d", "experiment": "e", "extractor": "judge", "view": "all",
              "metric": "frechet_distance", "cell_type": "all", "n_left": 9,
              "n_right": 9}  # fmt: skip
    rows = [
        metric_row(**common, comparison=comparison, perturbation=name, group=group, value=value)
        for comparison in ("real-real", "generated-real@floor-n")
        for name, group, value in (
            ("all", None, 1.0), ("taxol", None, 2.0), ("moa: x", "moa: x", 30.0),
            ("distribution: out", "distribution: out", 40.0),
        )
    ]  # fmt: skip
    write_parquet(metric_table(rows), tmp_path / "metrics.parquet")
    summary = over_seeds(read_metrics([tmp_path / "metrics.parquet"]))
    assert len(summary) == len(rows)
    pooled, single = (
        distance_table(summary, relative=True, by_perturbation=by, mark=str) for by in (False, True)
    )
    assert [row[4].text for row in pooled.rows] == ["1.00"]
    # Beside single perturbations they stand under their own names.
    shown = {row[3].text: row[5].text for row in single.rows}
    assert shown == {"taxol": "2.00", "moa: x": "30.0", "distribution: out": "40.0"}
    points = distance_points(summary, metric="frechet_distance", extractor="judge", relative=False)
    assert points["value"].tolist() == [1.0, 1.0]
