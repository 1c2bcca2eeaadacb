from itertools import product

import pytest

from morphpipe.datasets.simulated import true_effect
from morphpipe.report.papers.cells import AT_FLOOR, COPY, FLOOR, Cell, PaperTable
from morphpipe.report.papers.checks import (
    _ascending,
    bayes_limit,
    floor_checks,
    item_checks,
    memorisation,
)
from morphpipe.report.papers.items import ITEMS
from morphpipe.report.papers.measured import Estimate
from morphpipe.report.papers.tables import build_table

NAMES = {
    "cell_types": {"HUVEC": "epithelial"},
    "perturbations": {
        "1138": "control", "1137": "graded-high", "1124": "graded-mid", "1108": "graded-low",
        "1109": "inert",
    },
}  # fmt: skip


def test_bayes_limit_is_that_of_the_best_rule():
    """Against all rules that may depend on what an image shows: `a` and `b` look the same."""
    counts = {"a": 7, "b": 5, "c": 4}
    looks = {"a": "same", "b": "same", "c": "other"}
    best = max(
        sum(n for name, n in counts.items() if rule[looks[name] == "other"] == name)
        for rule in product("abc", repeat=2)
    )
    assert bayes_limit(counts, [["a", "b"]]) == best / 16
    assert bayes_limit(counts, []) == 1


def test_a_floor_above_what_it_bounds_is_found():
    def cells(generated, copy):
        floor = Estimate(10.0, 9.0, 11.0)
        return [
            Cell("r", "FID", FLOOR, floor),
            Cell("r", "FID", AT_FLOOR.format("MorphGen"), generated),
            Cell("r", "FID", COPY, copy),
        ]

    same, lower, higher = (Estimate(v, v - 1, v + 1) for v in (10.5, 5.0, 20.0))
    assert [c["holds"] for c in floor_checks(cells(higher, same))] == [True, True]
    assert [c["holds"] for c in floor_checks(cells(lower, same))] == [False, True]
    assert [c["holds"] for c in floor_checks(cells(same, higher))] == [True, False]


@pytest.mark.parametrize("right", [True, False])
def test_order_of_effects_is_held_against_the_truth(make_run, make_metric, simulated_facts, right):
    series = ["graded-low", "graded-mid", "graded-high"]
    sizes = [true_effect(name, "epithelial") for name in series]
    assert sizes == sorted(sizes)
    where = {"extractor": "resnet18", "view": "all", "cell_type": "epithelial"}
    rows = []
    for name, size in zip(series, sizes, strict=True):
        value = size if right else -size
        limits = {"ci_low": value - 0.1, "ci_high": value + 0.1}
        where |= {"comparison": "real", "perturbation": name}
        rows.append(make_metric("cate_unbiased", value, **limits, **where))
    run = make_run({"model": simulated_facts}, {"small": {"effects": rows}}, names=NAMES)
    table, _ = build_table("morphgen_table4", run)
    found = {c["what"]: c for c in item_checks(table, run)}
    check = found["epithelial, Unbiased CATE real: in the order of the true effects"]
    assert (check["holds"], check["of"]) == (right, "measure")


def test_a_probe_above_its_limit_is_found(make_run, make_metric, simulated_facts):
    where = {
        "extractor": "resnet18", "view": "all", "regime": "real-real", "task": "perturbation",
        "group": "set: frequent-10",
    }  # fmt: skip

    def run(accuracy):
        rows = [
            make_metric("class_accuracy", 0.5, perturbation=name, n_right=10, **where)
            for name in ("control", "inert", "graded-high")
        ]
        rows.append(
            make_metric("accuracy", accuracy, ci_low=accuracy - 0.1, ci_high=accuracy + 0.1,
                        perturbation="set: frequent-10", n_right=30, **where)
        )  # fmt: skip
        return make_run({"model": simulated_facts}, {"small": {"probes": rows}}, names=NAMES)

    for accuracy, holds in ((0.7, True), (0.9, False)):
        made = run(accuracy)
        table, _ = build_table("morphgen_table13", made)
        (check,) = item_checks(table, made)
        assert check["holds"] is holds
        assert "0.667 since control and inert are indistinguishable" in check["detail"]


def test_a_copy_that_is_not_found_out_is_told(make_run, make_metric, simulated_facts):
    where = {"extractor": "resnet18", "view": "all"}
    rows = [
        make_metric("memorised_share", 0.9, comparison="copy-training",
                    settings={"flagged": True}, **where),
        make_metric("memorised_share", 0.3, comparison="real-training",
                    settings={"flagged": True}, **where),
    ]  # fmt: skip
    run = make_run({"model": simulated_facts}, {"small": {"memorisation": rows}})
    table = PaperTable(ITEMS["morphgen_table1"])
    assert [c["holds"] for c in memorisation(table, run)] == [True, False]


def test_an_order_that_the_noise_allows_is_left_open():
    near = [Estimate(2.0, 0.5, 3.5), Estimate(1.0, -0.5, 2.5)]
    far = [Estimate(2.0, 1.9, 2.1), Estimate(1.0, 0.9, 1.1)]
    assert _ascending(near) is None
    assert _ascending(far) is False
    assert _ascending(near[::-1]) is True
