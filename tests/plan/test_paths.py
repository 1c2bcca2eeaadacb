"""Where results lie, and of which shards, seeds and views they are."""

import pytest

from morphpipe.config import parse_configuration
from morphpipe.plan.paths import Plan

ONE = "results/experiments/one"


def test_samples_are_of_every_pair_of_seeds_and_every_shard(plan):
    assert plan.samples("one") == [
        f"{ONE}/samples/training-{t}_sampling-{s}/shard-{k}.zip"
        for t in (0, 3)
        for s in (1, 2)
        for k in (0, 1)
    ]


def test_shards_of_rxrx1_are_those_of_the_cell_types(plan):
    # HEPG2, HUVEC, RPE and U2OS have 11, 24, 11 and 5 experiments of four plates each.
    assert list(plan.shards("rxrx1")) == list(range(204))
    assert list(plan.shards("rxrx1", ["U2OS", "HEPG2"])) == [*range(44), *range(184, 204)]


def test_shards_are_all_where_it_is_not_known_which_hold_a_cell_type(plan, content):
    assert list(plan.shards("screen", ["fibroblast"])) == [0, 1]
    content["datasets"]["rxrx1"]["batches"] = ["HUVEC-01", "RPE-01"]
    part = Plan(parse_configuration(content))
    assert list(part.shards("rxrx1", ["RPE"])) == list(range(8))


def test_fields_of_rxrx1_are_read_from_its_own_archive(plan):
    assert plan.shards_of("screen")[1] == "results/datasets/screen/images/shard-1.zip"
    assert plan.shard_fields("rxrx1", "7") == "results/datasets/rxrx1/shards/shard-7.parquet"
    assert plan.missing_fields("screen") == []
    assert plan.missing_fields("rxrx1") == ["results/datasets/rxrx1/catalogue-missing.parquet"]


def test_networks_lie_with_the_weights_or_among_the_results(plan):
    assert plan.autoencoder_record("own") == "results/autoencoders/own/config.json"
    assert plan.autoencoder_record("vae") == "cache/weights/vae/weights.json"
    assert plan.encoder_record("resnet") == "results/encoders/resnet/weights.safetensors"
    assert plan.encoder_record("tokens") == "cache/weights/tokens/weights.json"
    assert plan.autoencoder_histories() == ["results/autoencoders/own/history.csv"]
    assert plan.encoder_histories() == ["results/encoders/resnet/history.csv"]


def test_experiment_samples_the_checkpoints_of_the_one_that_trains_for_it(plan):
    assert plan.last_checkpoint("two", 3) == f"{ONE}/training/seed-3/slice-3"
    assert plan.guide("one", "0") == [f"{ONE}/training/seed-0/slice-1"]
    assert plan.guide("two", "0") == []


def test_slice_continues_the_one_before(plan):
    assert plan.slice_before("one", 0, 0) == []
    assert plan.slice_before("one", 0, 2) == [f"{ONE}/training/seed-0/slice-1"]


def test_training_reads_what_is_cached_for_its_autoencoder_and_augmentation(plan):
    assert plan.moments("one") == [
        f"results/datasets/screen/latents/own-channels-none/shard-{k}.parquet" for k in (0, 1)
    ]
    assert plan.targets("one") == []
    targets = plan.targets("siRNAs")
    folder = "results/datasets/rxrx1/targets/tokens-patch2_vae-channels-flip"
    assert (targets[0], len(targets)) == (f"{folder}/shard-0.parquet", 204)


def test_views_are_those_of_all_experiments_on_the_dataset(plan):
    assert plan.views("datasets/screen", "tokens") == ["all", "DNA", "rgb"]
    assert plan.views("datasets/screen", "resnet") == ["all", "DNA"]
    assert plan.views("datasets/rxrx1", "tokens") == ["ER"]


def test_features_are_of_all_plates_and_those_of_crops_of_some(plan):
    assert len(plan.real_features("siRNAs", "tokens")) == 204
    crops = plan.real_features("siRNAs", "tokens", crops=True)
    folder = "results/datasets/rxrx1/crop-features/fields-48/tokens"
    assert (crops[0], len(crops)) == (f"{folder}/shard-140", 44)
    assert plan.features("siRNAs", crops=True) == [
        *crops,
        "results/experiments/siRNAs/crop-features/fields-48/tokens/training-0_sampling-0/shard-0",
    ]
    assert plan.real_crops("siRNAs")[0] == "results/datasets/rxrx1/crops/fields-48/shard-140.zip"
    assert plan.with_crops() == ["siRNAs"]
    with pytest.raises(ValueError, match=r"experiments\.one"):
        plan.features("one", crops=True)


def test_crops_are_of_the_cell_types_that_experiments_sample(plan, content):
    assert plan.crop_cell_types("rxrx1") == ["RPE"]
    others = content["experiments"]["others"] = dict(content["experiments"]["siRNAs"])
    for cell_types, expected in ((["U2OS"], ["RPE", "U2OS"]), (None, None)):
        others["sampling"] = {"cell_types": cell_types}
        assert Plan(parse_configuration(content)).crop_cell_types("rxrx1") == expected


def test_cells_are_counted_in_real_and_in_generated_fields(plan):
    counts = plan.cell_counts("two")
    assert counts == [
        "results/datasets/screen/cell-counts/shard-0.parquet",
        "results/datasets/screen/cell-counts/shard-1.parquet",
        *(
            f"results/experiments/two/cell-counts/training-{t}_sampling-0/shard-0.parquet"
            for t in (0, 3)
        ),
    ]


def test_table_of_genes_is_read_where_one_is_configured(plan, content):
    assert plan.tables("rxrx1") == []
    content["datasets"]["rxrx1"]["genes"] = "https://x.y/genes.csv"
    other = Plan(parse_configuration(content))
    assert other.tables("rxrx1") == ["cache/datasets/rxrx1/genes.csv.json"]
