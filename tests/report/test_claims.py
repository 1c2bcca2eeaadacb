from dataclasses import replace

import pandas as pd
import pytest

from morphpipe.config.datasets import RxRx1Dataset
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.core.summary import read_metrics
from morphpipe.report.evidence import read_evidence
from morphpipe.report.findings.claims import check_claims
from morphpipe.tables.metric_table import metric_row, metric_table

from .conftest import CELL_TYPES, CONTEXT

RIGHT = {"inert": 1.0, "graded-low": 2.0, "graded-mid": 3.0, "graded-high": 4.0}


def rows_of(effects, accuracy, chance=0.2, seeds=(0,)):
    """Metric rows with these generated effects by (cell type, seed) and this accuracy."""
    common = {**CONTEXT, "extractor": "judge", "view": "all", "training_seed": 0}
    rows = []
    for seed in seeds:
        for cell_type in (*CELL_TYPES, "all"):
            for name, value in effects.get((cell_type, seed), RIGHT).items():
                settings = {} if value is not None else {"reason": "too few images or wells"}
                rows.append(
                    metric_row(
                        **common, metric="cate", comparison="generated", sampling_seed=seed,
                        cell_type=cell_type, perturbation=name, value=value, settings=settings,
                    )
                )  # fmt: skip
        rows.append(
            metric_row(
                **common, metric="accuracy", regime="generated-real", task="perturbation",
                sampling_seed=seed, cell_type="all", perturbation="all", value=accuracy,
                settings={"chance": chance},
            )
        )  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def evidence(inputs):
    return read_evidence(inputs.experiments[0], inputs.configuration)


@pytest.fixture
def check(evidence, tmp_path):
    def with_rows(rows, **changes):
        write_parquet(metric_table(rows), tmp_path / "metrics.parquet")
        metrics = read_metrics([tmp_path / "metrics.parquet"])
        claims = check_claims(
            replace(evidence, metrics=metrics, **changes), extractor="judge", view="all"
        )
        return {
            "epithelial": claims[0], "fibroblast": claims[1], "all": claims[2], "probe": claims[3]
        }  # fmt: skip

    return with_rows


def test_series_is_in_the_order_of_the_datasets_own_truth(check, true_order):
    claims = check(rows_of({}, 0.5))
    assert " < ".join(true_order) in claims["all"].text


def test_all_hold(check):
    assert [claim.holds for claim in check(rows_of({}, 0.41)).values()] == [True] * 4


@pytest.mark.parametrize("swapped", [("inert", "graded-low"), ("graded-mid", "graded-high")])
def test_one_swap_fails_its_cell_type_alone(check, swapped):
    a, b = swapped
    wrong = RIGHT | {a: RIGHT[b], b: RIGHT[a]}
    claims = check(rows_of({("epithelial", 0): wrong}, 0.41))
    assert {name: claim.holds for name, claim in claims.items()} == {
        "epithelial": False, "fibroblast": True, "all": True, "probe": True,
    }  # fmt: skip


def test_ties_are_no_order(check):
    claims = check(rows_of({("all", 0): RIGHT | {"inert": 2.0}}, 0.41))
    assert claims["all"].holds is False


@pytest.mark.parametrize(
    ("accuracy", "chance", "holds"),
    [(0.4, 0.2, True), (0.399, 0.2, False), (0.6, 0.25, True), (0.45, 0.25, False)],
)
def test_probe_against_twice_chance(check, accuracy, chance, holds):
    assert check(rows_of({}, accuracy, chance))["probe"].holds is holds


@pytest.mark.parametrize(("accuracy", "holds"), [(0.75, True), (0.74, False)])
def test_probe_of_two_perturbations_goes_half_way_to_perfection(check, accuracy, holds):
    claim = check(rows_of({}, accuracy, 0.5))["probe"]
    assert claim.holds is holds
    assert "half-way" in claim.text


def test_missing_value_is_not_checked_and_gives_the_reason(check):
    claims = check(rows_of({("fibroblast", 0): RIGHT | {"graded-mid": None}}, 0.41))
    assert claims["fibroblast"].holds is None
    assert claims["fibroblast"].verdict == "not checked"
    assert "graded-mid: too few images or wells" in claims["fibroblast"].detail


def test_mean_over_seeds_decides_and_single_seeds_are_counted(check):
    wrong = RIGHT | {"inert": 2.5, "graded-low": 2.0}
    claims = check(rows_of({("all", 1): wrong}, 0.41, seeds=(0, 1)))
    assert claims["all"].holds is True  # means 1.75 < 2
    assert "Single seeds: 1 of 2." in claims["all"].detail


def test_no_rows_are_no_success(check):
    claims = check(rows_of({("epithelial", 0): {}}, 0.41)[:1])
    assert all(claim.holds is None for claim in claims.values())


def test_perturbation_that_was_not_generated_is_named(check, evidence):
    tables = tuple(
        table.take([i for i, r in enumerate(table.rows()) if r["perturbation"] != "inert"])
        for table in evidence.generated
    )
    claims = check(rows_of({}, 0.41), generated=tables)
    assert "Not generated: inert." in claims["all"].detail


def test_real_data_give_no_claims(evidence):
    dataset = RxRx1Dataset(source="rxrx1")
    assert check_claims(replace(evidence, dataset=dataset), extractor="judge", view="all") == []


def test_fixture_rows_are_what_evaluation_writes(evidence):
    found = set(evidence.metrics["comparison"]) - {""}
    assert {"real", "generated", "real-control-floor", "real-real", "copy-real"} <= found
    assert isinstance(evidence.metrics, pd.DataFrame)
