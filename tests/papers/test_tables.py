"""Items from metric tables whose numbers are known."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from morphpipe.config.papers import Papers
from morphpipe.core.checksums import read_checked_json
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.distances.comparison import compare
from morphpipe.report.papers.cells import COPY, FLOOR
from morphpipe.report.papers.figures import make_figure
from morphpipe.report.papers.items import ITEMS
from morphpipe.report.papers.measured import Metrics
from morphpipe.report.papers.run import PaperRun
from morphpipe.report.papers.tables import build_table, make_table
from morphpipe.tables.metric_table import metric_table

TABLES = [name for name, item in ITEMS.items() if item.kind == "table"]


def cell(content, row, column, system="MorphGen"):
    """The only cell of a place."""
    found = [
        c for c in content["cells"] if (c["row"], c["column"], c["system"]) == (row, column, system)
    ]
    assert len(found) == 1, [(c["row"], c["column"], c["system"]) for c in content["cells"]]
    return found[0]


@pytest.fixture
def distances(make_metric):
    """Distances of two drawn perturbations in HUVEC and of the control, three seeds."""

    def rows(extractor, view, metric, cell_type="HUVEC", names=("1138", "7", "8")):
        made = []
        for place, perturbation in enumerate(names):
            where = {
                "extractor": extractor, "view": view, "cell_type": cell_type,
                "perturbation": perturbation, "n_left": 500, "n_right": 16,
            }  # fmt: skip
            for seed in range(3):
                value = 100.0 * place + seed
                made += [
                    make_metric(metric, value, comparison=c, sampling_seed=seed, ci_low=value - 3,
                                ci_high=value + 3, **where)
                    for c in ("generated-real", "generated-real@floor-n", "shuffled-real")
                ]  # fmt: skip
            made += [
                make_metric(metric, 10.0, comparison=c, training_seed=None, sampling_seed=None,
                            ci_low=8.0, ci_high=12.0, **where)
                for c in ("real-real", "copy-real")
            ]  # fmt: skip
        return made

    return rows


def test_table_1_averages_the_drawn_perturbations(make_run, paper_facts, distances):
    run = make_run(
        {"model": paper_facts}, {"full": {"distances": distances("inception", "rgb", "FID")}}
    )
    _, content = build_table("morphgen_table1", run)
    here = cell(content, "RxRx1 (HUVEC), 50 perturbations", "FID")
    # The control is named and not drawn; 1138's values are those from 0 on.
    assert here["produced"] == pytest.approx(151)
    assert here["difference"] == pytest.approx(151 - 50.2)
    assert here["published_ci"] == 2.45
    # Two perturbations of ± 3 each; the paper's ± is added in squares to the difference's.
    assert here["ci_high"] - here["produced"] == pytest.approx((2 * 1.5**2) ** 0.5)
    expected = (2 * 1.5**2 + 2.45**2) ** 0.5
    assert here["difference_high"] - here["difference"] == pytest.approx(expected)
    assert here["seeds_high"] - here["produced"] == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert (here["n"], here["n_real"], here["parts"], here["seeds"]) == (500, 16, 2, 3)
    assert cell(content, here["row"], "FID", FLOOR)["produced"] == 10
    assert cell(content, here["row"], "FID", COPY)["published"] is None
    quoted = cell(content, here["row"], "FID", "Stable Diffusion")
    assert (quoted["produced"], quoted["published"], quoted["quoted"]) == (None, 115, True)
    assert "not measured in this run" in quoted["reason"]
    assert content["comparable"] == "partly"
    assert any("RxRx1, as in the paper" in s for s in content["statement"])
    assert any("no experiment in the role rohban_5" in s for s in content["statement"])
    assert any("500 vs 16" in s for s in content["statement"])
    failed = [c["what"] for c in content["checks"] if c["holds"] is False]
    assert failed == []


def test_other_features_are_never_called_fid(make_run, simulated_facts, distances):
    rows = distances("resnet18", "all", "frechet_distance", "epithelial")
    run = make_run(
        {"model": simulated_facts, "cell_types": simulated_facts},
        {"small": {"distances": rows}},
        names={"cell_types": {"HUVEC": "epithelial"}},
    )
    _, content = build_table("morphgen_table1", run)
    row, column = "RxRx1 (HUVEC), 50 perturbations", "Fréchet distance (resnet18)"
    here = cell(content, row, column)
    assert (here["produced"], here["published"]) == (pytest.approx(101), None)
    published = cell(content, row, "FID")
    assert (published["produced"], published["published"]) == (None, 50.2)
    assert "not on Inception features" in published["reason"]
    assert content["comparable"] == "no"
    text = " ".join(content["statement"])
    assert "Data: a simulated screen; the paper uses RxRx1." in text
    assert "Stand-ins for the paper's cell types: epithelial for HUVEC." in text
    _, by_type = build_table("morphgen_table3", run)
    assert "no counterpart of" in cell(by_type, "U2OS", "FID")["reason"]


def test_effects_stand_beside_their_floor(make_run, make_metric, paper_facts):
    where = {"extractor": "openphenom", "view": "all", "cell_type": "HUVEC"}
    rows = [
        make_metric(metric, value, comparison=comparison, perturbation="1137", **where)
        for metric, value, comparison in (
            ("cate", 8.0, "real"), ("cate", 7.0, "generated"),
            ("delta_cate", 1.0, "generated-real"), ("cate_unbiased", 7.5, "real"),
        )
    ]  # fmt: skip
    rows.append(
        make_metric("cate", 0.2, comparison="real-control-floor", perturbation="1138", **where)
    )
    run = make_run({"model": paper_facts}, {"full": {"effects": rows}})
    _, content = build_table("morphgen_table4", run)
    real = cell(content, "1138 vs 1137", "CATE real")
    assert real["difference"] == pytest.approx(8.0 - 7.85)
    assert cell(content, "1138 vs 1137", "CATE real", FLOOR)["produced"] == 0.2
    assert cell(content, "1138 vs 1137", "Delta CATE")["difference"] == pytest.approx(0.57)
    assert cell(content, "1138 vs 1108", "CATE real")["reason"]
    assert content["rows"][:3] == ["1138 vs 1137", "1138 vs 1124", "1138 vs 1108"]


def test_probes_of_a_set(make_run, make_metric, paper_facts):
    where = {
        "extractor": "openphenom", "view": "all", "regime": "generated-real",
        "task": "perturbation", "group": "set: frequent-4",
    }  # fmt: skip
    of_set = where | {"perturbation": "set: frequent-4", "n_left": 1200, "n_right": 1087}
    rows = [
        make_metric("accuracy", 0.8, settings={"chance": 0.3}, **of_set),
        make_metric("cross_validated_accuracy", 0.85,
                    settings={"standard_deviation_over_folds": 0.03}, **of_set),
        make_metric("class_accuracy", 0.6, **where | {"group": "set: frequent-10"},
                    perturbation="1110"),
    ]  # fmt: skip
    run = make_run({"model": paper_facts}, {"full": {"probes": rows}})
    _, content = build_table("morphgen_table11", run)
    row = "Generated → Real, perturbation"
    assert cell(content, row, "Test accuracy")["difference"] == pytest.approx(0.8 - 0.804)
    assert cell(content, row, "CV standard deviation")["produced"] == 0.03
    assert cell(content, row, "Training images")["produced"] == 1200
    assert cell(content, row, "Chance")["produced"] == 0.3
    _, by_class = build_table("morphgen_table13", run)
    assert cell(by_class, "1110", "Generated → Real")["produced"] == 0.6


def test_pairs_of_real_perturbations_are_found_in_either_order(make_run, make_metric, paper_facts):
    where = {
        "extractor": "inception", "view": "rgb", "comparison": "real-real", "cell_type": "HUVEC",
        "training_seed": None, "sampling_seed": None,
    }  # fmt: skip
    rows = [
        make_metric("FID", 250.0, perturbation="1137", settings={"other": "1138"}, **where),
        make_metric("FID", 160.0, perturbation="1108", settings={"other": "1137"}, **where),
        make_metric("KID", 0.2, perturbation="1108",
                    settings={"other": "1137", "subset_standard_deviation": 0.01}, **where),
    ]  # fmt: skip
    run = make_run({"model": paper_facts}, {"full": {"cross_perturbation": rows}})
    _, content = build_table("morphgen_table15", run)
    assert cell(content, "1137 vs 1138", "FID", "real")["produced"] == 250
    assert cell(content, "1137 vs 1108", "FID", "real")["produced"] == 160
    deviation = cell(content, "1137 vs 1108", "KID standard deviation", "real")
    assert (deviation["produced"], deviation["published"]) == (0.01, 0.0126)
    # Real images alone: neither training nor sampling makes a difference.
    assert content["comparable"] == "yes"


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_role_gives_the_published_values_and_says_so(name, make_run, tmp_path):
    run = make_run({}, {})
    make_table(name, run, tmp_path / "item.json", tmp_path / "table.csv")
    content = read_checked_json(tmp_path / "item.json")
    assert content["comparable"] == "published only"
    assert (content["name"], content["kind"]) == (name, "table")
    assert all(c["produced"] is None for c in content["cells"])
    with (tmp_path / "table.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == len(content["cells"])
    assert content["cells"] or content["notes"]
    json.dumps(content, allow_nan=False)


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("morphgen")])
def test_a_table_asks_for_nothing_that_it_does_not_need(name, make_run, paper_facts):
    """The workflow hands over the facts of the roles that an item names, and no others."""
    roles = ("model", "unaligned", "held_out", "cell_types", "crops", "impa_crops", "rohban_5")
    run = make_run({role: replace(paper_facts, name=role) for role in roles}, {})
    needed = {need.role for need in ITEMS[name].needs}
    run.facts = {role: facts for role, facts in run.facts.items() if role in needed}
    for role in run.facts:
        run._metrics[role] = Metrics({})
    _, content = build_table(name, run)
    assert all(c["produced"] is None and c["reason"] for c in content["cells"])


def test_a_figure_without_a_run_says_why(make_run, tmp_path):
    run = make_run({}, {})
    paths = [tmp_path / f"figure.{kind}" for kind in ("png", "pdf")]
    make_figure("morphgen_figure8", run, tmp_path / "item.json", *paths)
    content = read_checked_json(tmp_path / "item.json")
    assert content["reason"] == "this run has no experiment in the role model"
    assert content["files"] == ["figure.png", "figure.pdf"]
    assert all(path.stat().st_size for path in paths)
    assert set(ITEMS["morphgen_figure8"].needs)


def test_means_of_a_comparison_have_intervals_over_perturbations(
    make_metric, paper_facts, tmp_path
):
    """As scipy has them; and where there is nothing to explain there is no reason."""
    values = {"model": [10.0, 14.0, 9.0, 12.0], "baseline": [13.0, 15.0, 14.0, 12.5]}
    where = {"extractor": "inception", "view": "rgb"}

    def table(name, numbers):
        rows = [
            make_metric(metric, value, comparison=comparison, perturbation=f"p{i}", **where)
            for metric in ("FID", "KID")
            for comparison, numbers_of in (
                ("generated-real@floor-n", numbers),
                ("real-real", [5.0, 6.0, 5.5, 4.0]),
            )
            for i, value in enumerate(numbers_of)
        ]
        return metric_table(
            [row | {"experiment": name, "n_left": 40, "n_right": 40} for row in rows]
        ).to_pandas()

    path = tmp_path / "tests.parquet"
    tests = compare(
        *(table(*side) for side in values.items()),
        comparison="generated-real@floor-n",
        metrics=None,
        encoders=None,
    )
    write_parquet(tests, path)
    model, baseline = (replace(paper_facts, name=name) for name in values)
    run = PaperRun(
        Papers.model_validate({"morphodiff": {"rxrx1_all": "pair"}}),
        {"model": model, "baseline": baseline},
        {"pair": ("model", "baseline")},
        {"pair": {"comparison": str(path)}},
    )
    _, content = build_table("morphodiff_table1", run)
    found = {
        c["system"]: c
        for c in content["cells"]
        if (c["row"], c["column"]) == ("RxRx1, All Batches", "FID")
    }
    for system, numbers in (
        ("MorphoDiff", values["model"]),
        ("Stable Diffusion", values["baseline"]),
    ):
        interval = stats.ttest_1samp(numbers, 0).confidence_interval(0.95)
        cell = found[system]
        assert cell["produced"] == pytest.approx(np.mean(numbers))
        assert (cell["ci_low"], cell["ci_high"]) == pytest.approx((interval.low, interval.high))
    paired = stats.ttest_rel(values["model"], values["baseline"])
    assert found["p, paired t-test"]["produced"] == pytest.approx(paired.pvalue)
    assert found["p, paired t-test"]["reason"] == ""
    assert "4 perturbations" in content["notes"][0]
