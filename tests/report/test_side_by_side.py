"""Generators beside each other: what is compared, and what is said of it."""

from dataclasses import replace

import pandas as pd
import pytest

from morphpipe.evaluation.core.summary import prepare
from morphpipe.report.pages import make_pages
from morphpipe.report.side_by_side import side_by_side
from morphpipe.report.site import write_site
from morphpipe.tables.metric_table import metric_row, metric_table


def fidelity(distances):
    """Rows of condition fidelity: energy distances by comparison and perturbation."""
    rows = [
        metric_row(
            dataset="screen", experiment="x", generator="SiT", extractor="judge", view="all",
            metric="energy_distance", comparison=comparison, cell_type="A", perturbation=name,
            value=value, settings={"conditions": 3},
        )
        for comparison, values in distances.items()
        for name, value in values.items()
    ]  # fmt: skip
    return prepare(metric_table(rows).to_pandas())


def other(section, name, distances=None):
    evidence = replace(section.evidence, name=name)
    if distances is not None:
        measures = {**evidence.measures, "condition_fidelity": fidelity(distances)}
        evidence = replace(evidence, measures=measures)
    return replace(section, evidence=evidence)


@pytest.fixture
def sections(content):
    untreated = {"a": 2.0, "b": 4.0}
    good = {"generated-real": {"a": 1.0, "b": 3.0, "control": 0.1}, "untreated-real": untreated}
    bad = {"generated-real": {"a": 2.5, "b": 3.9, "control": 0.2}, "untreated-real": untreated}
    first = content.sections[0]
    return [other(first, "good", good), other(first, "bad", bad)]


def test_one_experiment_has_nothing_beside_it(content):
    assert side_by_side(content.sections, None) == []
    assert not any(page.kind == "side_by_side" for page in make_pages(content, 10**6))


def test_experiments_of_another_split_are_apart(sections):
    experiment = sections[1].evidence.experiment.model_copy(update={"split": "elsewhere"})
    apart = replace(sections[1], evidence=replace(sections[1].evidence, experiment=experiment))
    assert side_by_side([sections[0], apart], None) == []


def test_what_is_worse_than_untreated_cells_is_named(sections):
    (found,) = side_by_side(sections, None)
    assert found.names == ["good", "bad"]
    said = " ".join(found.statements)
    assert "for 2 of 2 treatments: good." in said
    assert "for 1 of 2 treatments: bad." in said
    conditions = found.tables[1]
    rows = {row[1].text: row for row in conditions.rows}
    assert [cell.kind for cell in rows["a"][-2:]] == ["number", "fault"]
    # Controls have no untreated cells beside them.
    assert [cell.kind for cell in rows["control"][-2:]] == ["number", "number"]


def test_measures_and_pictures_of_all_are_there(sections):
    (found,) = side_by_side(sections, None)
    heads = [head.text for head in found.tables[0].headers]
    assert heads[-2:] == ["good", "bad"]
    assert "Fréchet distance ↓" in [row[0].text for row in found.tables[0].rows]
    for rows in found.pictures.values():
        assert [row.source for row in rows] == ["real, held out", "good", "bad"]


def test_costs_are_those_of_the_own_jobs(sections, tmp_path):
    for rule, name, seconds in (
        ("train", "good_0_0", 60), ("train", "good_0_1", 30), ("train", "good_more_0_0", 500),
        ("sample", "good_0_0_0", 4),
    ):  # fmt: skip
        path = tmp_path / rule / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame([{"s": seconds, "max_rss": 1, "cpu_time": 1}]).to_csv(path, sep="\t")
    (found,) = side_by_side(sections, tmp_path)
    good, bad = found.tables[2].rows
    assert good[4].value == 90
    images = len(sections[0].evidence.generated_keys)
    assert good[6].value == pytest.approx(images / 4)
    assert bad[4].text == "not measured"


def test_the_page_shows_them(content, sections, tmp_path, drawn):
    fewer = [
        replace(section, plots={name: [] for name in section.plots}, measures=[])
        for section in sections
    ]
    together = side_by_side(sections, None)
    (tmp_path / "report").mkdir()
    inputs = replace(content.inputs, experiments=content.inputs.experiments * 2)
    shown = replace(content, inputs=inputs, sections=fewer, together=together, stage_plots=[])
    write_site(shown, tmp_path / "report", drawn)
    text = (tmp_path / "report/side_by_side-by-well.html").read_text("utf-8")
    assert "further than untreated cells" in text
    assert text.count("<img") >= 6
    assert (tmp_path / "report/tables/side-by-side-by-well-2.csv").exists()
