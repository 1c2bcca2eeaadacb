"""How a batch pairs the ends of its paths, and which labels it has."""

import numpy as np
import pandas as pd
import pytest
import torch

from morphpipe.core.errors import DataError
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.tables.array_shards import write_shard
from morphpipe.training.data import batch_members, control_fields, open_training_data
from morphpipe.training.settings import Draws

TRANSFORMS = [0, 4]
SHAPE = (1, 2, 4, 4)


def fields(number=24):
    """Two cell types in three batches, a third of them controls, in an order of their own."""
    places = np.random.default_rng(1).permutation(number)
    return pd.DataFrame(
        {
            "field_id": [f"f{i:03d}" for i in places],
            "perturbation": [("dmso", "a", "b")[i % 3] for i in places],
            "control": ["negative" if i % 3 == 0 else "none" for i in places],
            "cell_type": [("x", "y")[i // 3 % 2] for i in places],
            "batch": [f"b{i // 6 % 3}" for i in places],
            "concentration": np.nan,
        }
    )


@pytest.fixture
def opened(tmp_path):
    """Pixels that say by their value which field and orientation they are."""

    def make(**options):
        table = fields()
        keys = [(field_id, t) for field_id in table["field_id"] for t in TRANSFORMS]
        values = np.array([int(name[1:]) + 0.25 * (t > 0) for name, t in keys])
        rows = np.broadcast_to(values[:, None, None, None, None], (len(keys), *SHAPE))
        write_shard(
            tmp_path / "moments", keys, [rows.astype(np.float16)], shape=SHAPE, dtype=np.float16
        )
        vocabulary = Vocabulary(
            ("a", "b", "dmso"), ("x", "y"), ("compound", "compound", "none"), ("dmso",),
            options.pop("batches", ()),
        )  # fmt: skip
        data = open_training_data(
            table, [tmp_path / "moments.parquet"], None, vocabulary, TRANSFORMS, **options
        )
        return data, table.sort_values("field_id", ignore_index=True)

    return make


def test_a_source_is_a_control_of_the_same_batch_and_cell_type(opened):
    data, table = opened(from_controls=True)
    seen = set()
    for step in range(60):
        batch = data.batch(0, step, range(8), 8, Draws(source_noise=0.0))
        members = table.iloc[batch_members(0, step, 8, len(table))]
        source, orientation = np.divmod(batch.noise[:, 0, 0, 0].numpy(), 1)
        sources = table.set_index("field_id").loc[[f"f{int(i):03d}" for i in source]]
        assert (sources["control"] == "negative").all()
        assert sources["batch"].tolist() == members["batch"].tolist()
        assert sources["cell_type"].tolist() == members["cell_type"].tolist()
        # In the orientation of the image that the path leads to.
        np.testing.assert_array_equal(orientation, batch.latents[:, 0, 0, 0].numpy() % 1)
        seen.update(sources.index)
    assert seen == set(table.loc[table["control"] == "negative", "field_id"])


def test_noise_is_added_to_all_sources_of_a_batch_or_to_none(opened):
    data, _ = opened(from_controls=True)
    with_noise = []
    for step in range(200):
        batch = data.batch(0, step, range(4), 4, Draws(source_noise=0.3))
        added = batch.noise - batch.noise.round(decimals=2)
        of_image = (batch.noise.std(dim=(1, 2, 3)) > 0.1).tolist()
        assert len(set(of_image)) == 1
        with_noise.append(of_image[0])
        assert torch.isfinite(added).all()
    assert abs(np.mean(with_noise) - 0.3) < 5 * (0.21 / 200) ** 0.5


def test_parts_of_a_batch_share_its_draws(opened):
    data, _ = opened(from_controls=True)
    draws = Draws(0.5, "whole_batch", source_noise=0.5)
    for step in range(20):
        whole = data.batch(3, step, range(6), 6, draws)
        parts = [data.batch(3, step, range(i, i + 2), 6, draws) for i in (0, 2, 4)]
        for name in ("latents", "noise", "time", "drop"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined, getattr(whole, name)), name
        assert len(whole.drop.unique()) == 1


def test_conditions_of_whole_batches_are_dropped_as_often_as_configured(opened):
    data, _ = opened()
    dropped = [
        bool(data.batch(0, step, range(1), 1, Draws(0.2, "whole_batch")).drop.all())
        for step in range(600)
    ]
    assert abs(np.mean(dropped) - 0.2) < 5 * (0.16 / 600) ** 0.5


def test_a_batch_without_controls_is_named():
    table = fields().sort_values("field_id", ignore_index=True)
    lacking = table[(table["batch"] != "b1") | (table["control"] == "none")]
    with pytest.raises(DataError, match="batch 'b1' has no negative control of the cell type 'x'"):
        control_fields(lacking.reset_index(drop=True), "batch")


def test_batches_are_labels_and_part_of_what_is_trained_on(opened):
    data, table = opened(batches=("b0", "b2"))
    batch = data.batch(0, 0, range(24), 24, Draws())
    members = table.iloc[batch_members(0, 0, 24, 24)]
    # One that is not in the vocabulary is the null class.
    expected = members["batch"].map({"b0": 0, "b2": 1}).fillna(2).astype(int)
    assert batch.condition.batch.tolist() == expected.tolist()
    assert data.fingerprint() != opened()[0].fingerprint()
    assert opened(from_controls=True)[0].fingerprint() != opened()[0].fingerprint()


def test_times_near_the_data():
    from morphpipe.transport.interpolant import draw_time

    random = np.random.default_rng(0)
    times = np.array([draw_time(random, "near-data") for _ in range(20_000)])
    # The median of the logistic of a normal is that of its median: 1 / (1 + exp(1.2)).
    assert np.median(times) == pytest.approx(1 / (1 + np.exp(1.2)), abs=0.01)
    assert times.max() <= 1 - 1e-4
