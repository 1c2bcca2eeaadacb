from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from morphpipe.imaging.quality import LIMITS, reasons
from morphpipe.report.evidence import read_evidence
from morphpipe.report.figures.quality import MOST_POINTS, figure_quality
from morphpipe.report.quality import (
    count_changes,
    excluded_table,
    grouped_reasons,
    nuclei,
    nuclei_table,
    quality_checked,
    quality_points,
)

from .own_plates import CHANNELS, FAULTS

MEASURED = {"focus_DNA": -3.0, "saturation_DNA": 0.5, "contrast_DNA": 1.0, "debris_DNA": 0.4,
            "nuclei": 1.0}  # fmt: skip
BOUNDS = {"min_focus": -2.0, "max_saturation": 0.025, "min_contrast": 4.0, "max_debris": 0.1,
          "min_nuclei": 3}  # fmt: skip


@pytest.fixture(scope="module")
def evidence(inputs):
    return read_evidence(inputs.experiments[0], inputs.configuration)


@pytest.fixture(scope="module")
def own(own_inputs):
    return read_evidence(own_inputs.experiments[0], own_inputs.configuration)


def counted(*texts):
    table = pd.DataFrame(
        [(f"f{i}", t) for i, t in enumerate(texts)], columns=["field_id", "reason"]
    )
    found = grouped_reasons(table, frozenset(table["field_id"]))
    return {row.what: (row.channels, row.fields) for row in found.itertuples()}


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_is_told_with_its_value(limit):
    (text,) = reasons(MEASURED, {limit: BOUNDS[limit]})
    ((what, (channels, fields)),) = counted(text).items()
    assert fields == 1
    shown = {"max_saturation": "2.5 %", "max_debris": "10 %"}
    assert shown.get(limit, f"{BOUNDS[limit]:g}") in what
    assert channels == ("" if limit == "min_nuclei" else "DNA 1")


def test_fields_are_counted_once_at_each_limit():
    both = "; ".join(reasons({"focus_DNA": -3.0, "focus_ER": -4.0}, {"min_focus": -2.0}))
    one = "; ".join(reasons({"focus_ER": -4.0, "nuclei": 0.0}, {"min_focus": -2, "min_nuclei": 1}))
    found = counted(both, one)
    assert list(found.values()) == [("ER 2, DNA 1", 2), ("", 1)]


def test_what_is_no_limit():
    constant = reasons({"focus_DNA": np.nan}, {"min_focus": -2.0})[0]
    found = counted(constant, "its maximum after scaling is 12 (limit 60)", "a; b cannot be read")
    assert set(found) == {
        "a constant plane", "too dark: maximum after scaling below 60",
        "a plane is damaged or could not be scaled",
    }  # fmt: skip
    missing = pd.DataFrame([("x", "x.png is not in the archive")], columns=["field_id", "reason"])
    assert grouped_reasons(missing, frozenset())["what"].tolist() == ["a plane is missing"]


def test_own_plates_are_counted_by_fault(own):
    rows = {row[0].text: (row[1].text, row[2].text) for row in excluded_table(own).rows}
    assert rows["out of focus: slope of the power spectrum below -2.2"] == (
        "tubulin 2, actin 1", "2",
    )  # fmt: skip
    assert sum(int(fields) for _, fields in rows.values()) == 7  # one field breaks two limits
    assert quality_checked(own) == len(own.real) + len(FAULTS) + 2


def test_points_are_the_tables_values(own):
    points = quality_points(own.quality, CHANNELS)
    assert points["channel"].drop_duplicates().tolist() == list(CHANNELS)
    debris = points[(points["measure"] == "debris") & (points["channel"] == "actin")]
    assert debris.loc[~debris["kept"], "value"].max() == pytest.approx(12)  # per cent
    # The unreadable field has no measures.
    assert len(debris) == len(own.quality) - 1


def test_figure_draws_kept_and_put_aside_and_the_limits(own):
    points = quality_points(own.quality, CHANNELS)
    figure = figure_quality(points, own.dataset.quality.limits)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["kept", "their median", "excluded", "limit", "beyond it"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Focus", "Contrast", "Saturation", "Debris",
    ]  # fmt: skip
    for axes, limit in zip(figure.axes, (-2.2, None, 1.0, 5.0), strict=True):
        lines = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert [line.get_xdata()[0] for line in lines] == ([] if limit is None else [limit])
        crosses = [line for line in axes.lines if line.get_marker() == "x"]
        assert sum(len(line.get_xdata()) for line in crosses) == 3 * len(FAULTS)


def test_many_fields_are_thinned_and_put_aside_ones_are_not():
    number = 3000
    points = pd.DataFrame({"measure": "focus", "channel": "DNA", "kept": True,
                           "value": np.linspace(-2, -1, number)})  # fmt: skip
    points.loc[:2, "kept"] = False
    (axes,) = figure_quality(points, {}).axes
    sizes = {line.get_marker(): len(line.get_xdata()) for line in axes.lines}
    assert (sizes["o"], sizes["x"]) == (MOST_POINTS, 3)


def test_nuclei_are_medians_of_kept_fields_against_the_controls(evidence):
    table = evidence.quality
    counts = nuclei(evidence).set_index(["cell_type", "perturbation"])
    kept = table[table["reason"].isna() & (table["cell_type"] == "epithelial")]
    high, control = (
        np.median(kept.loc[kept["perturbation"] == name, "nuclei"])
        for name in ("graded-high", "control")
    )
    row = counts.loc[("epithelial", "graded-high")]
    assert row["median"] == high
    assert row["change"] == pytest.approx(high / control - 1)
    # Made with 20 nuclei in controls, 13 in graded-mid and 10 in graded-high.
    assert count_changes(evidence) == (4, 8)
    first = nuclei_table(evidence).rows[0]
    assert first[0].text == "control"
    assert "negative control" in first[1].note


def test_nobody_looked(evidence):
    blind = replace(evidence, quality=None)
    assert nuclei_table(blind) is None
    assert count_changes(blind) == (0, 0)
    assert quality_checked(blind) == len(evidence.real) + 1
