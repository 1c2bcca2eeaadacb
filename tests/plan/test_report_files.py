"""Files that the report and the papers' items are made from."""

from morphpipe.plan.paper_files import chosen_items, item_inputs, item_params
from morphpipe.plan.report_files import distance_tables, flatten, report_files
from morphpipe.report.papers.items import ITEMS


def test_report_shows_what_is_measured(plan):
    one, two = report_files(plan, "one"), report_files(plan, "two")
    assert {"morphology", "pairs"} == one.keys() - two.keys()
    names = [path.rsplit("/", 1)[1] for path in two["metrics"]]
    assert names == [f"{n}.parquet" for n in ("distances", "effects", "probes", "variance")]
    assert len(one["morphology"]["generated_labels"]) == len(plan.samples("one"))
    assert two["checkpoints"] == one["checkpoints"]


def test_crops_are_compared_where_they_are_cut(plan):
    assert len(distance_tables(plan, "one")) == 1
    assert distance_tables(plan, "siRNAs")[1].endswith("/metrics/crop-distances.parquet")


def test_flatten_finds_the_paths_at_any_depth():
    assert flatten({"a": "x", "b": ["y"], "c": {"d": ["z"], "e": []}}) == ["x", "y", "z"]


def test_items_are_those_whose_experiments_there_are(plan):
    names = [path.split("/")[-2] for path in chosen_items(plan)]
    assert names == [name for name in ITEMS if name in names]
    assert {"morphgen_table4", "morphgen_table8"} <= set(names)
    assert "morphgen_table9" not in names
    assert "morphodiff_table2" in names


def test_item_waits_for_files_and_knows_where_they_are(plan):
    assert item_inputs(plan, "morphgen_table8") == distance_tables(plan, "siRNAs")[1:]
    inputs = item_inputs(plan, "morphodiff_figure5")
    params = item_params(plan, "morphodiff_figure5")
    assert "results/autoencoders/own/config.json" in inputs
    assert params["files"]["two"]["autoencoder"]["folder"] == "results/autoencoders/own"
    assert "results/autoencoders/own" not in inputs
    assert params["comparisons"] == {"pair": ["one", "two"]}
    assert list(params["facts"]) == ["one", "two"]


def test_item_without_an_experiment_has_the_published_values_alone(plan):
    assert item_inputs(plan, "morphgen_table9") == []
    assert item_params(plan, "morphgen_table9")["facts"] == {}
