from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morphpipe.config.conditions import MorganCondition
from morphpipe.core.errors import DataError
from morphpipe.perturbations.condition_table import build
from morphpipe.tables.array_shards import write_shard
from morphpipe.training.data import batch_members, open_training_data
from morphpipe.training.settings import Draws


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    number=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    epochs=st.integers(1, 3),
)
def test_every_field_comes_once_an_epoch(seed, number, batch_size, epochs):
    steps = -(-epochs * number // batch_size)
    members = np.concatenate([batch_members(seed, s, batch_size, number) for s in range(steps)])
    for epoch in range(epochs):
        visited = members[epoch * number : (epoch + 1) * number]
        np.testing.assert_array_equal(np.sort(visited), np.arange(number))


def test_order_changes_with_seed_and_epoch():
    orders = [tuple(batch_members(seed, step, 30, 30)) for seed in (0, 1) for step in (0, 1)]
    assert len(set(orders)) == 4
    assert tuple(batch_members(0, 1, 30, 30)) == orders[1]


def _equal(left, right):
    for name in ("latents", "noise", "time", "drop", "targets"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    assert torch.equal(left.condition.perturbation, right.condition.perturbation)
    assert torch.equal(left.condition.cell_type, right.condition.cell_type)


def _join(parts):
    def joined(get):
        return torch.cat([get(part) for part in parts])

    return type(parts[0])(
        joined(lambda p: p.latents),
        joined(lambda p: p.noise),
        joined(lambda p: p.time),
        type(parts[0].condition)(
            joined(lambda p: p.condition.perturbation), joined(lambda p: p.condition.cell_type)
        ),
        joined(lambda p: p.drop),
        joined(lambda p: p.targets),
    )


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_batch_is_the_same_however_devices_share_it(make_data, size):
    data = make_data(transforms=(0, 4), targets=True)
    whole = data.batch(7, 5, range(12), 12, Draws(0.5))
    parts = [data.batch(7, 5, range(i, i + size), 12, Draws(0.5)) for i in range(0, 12, size)]
    _equal(_join(parts), whole)


def test_batch_holds_the_fields_and_labels_it_says(make_data, vocabulary):
    data = make_data(transforms=(0, 4), targets=True)
    batch = data.batch(1, 2, range(6), 6, Draws(0.0))
    members = batch_members(1, 2, 6, 10)
    np.testing.assert_array_equal(batch.condition.perturbation, members % 3)
    np.testing.assert_array_equal(batch.condition.cell_type, members % 2)
    rows = data.moments.read(data.positions[members].reshape(-1)).reshape(6, 2, 2, 4, 4, 4)
    targets = data.targets.read(data.target_positions[members].reshape(-1)).reshape(6, 2, 4, 16)
    for i in range(6):
        # The latent is within the posterior of one orientation, the target of the same one.
        chosen = [t for t in (0, 1) if np.array_equal(batch.targets[i].numpy(), targets[i, t])]
        assert len(chosen) == 1
        mean, deviation = rows[i, chosen[0]].astype(np.float32)
        drawn = (batch.latents[i].numpy() - mean) / deviation
        assert abs(drawn.mean()) < 0.6
        assert 0.6 < drawn.std() < 1.4
    assert not batch.drop.any()


def test_draws_are_of_their_distributions(make_data):
    data = make_data(transforms=(0, 4))
    batches = [data.batch(3, step, range(10), 10, Draws(0.3)) for step in range(60)]
    noise = torch.cat([b.noise for b in batches])
    time = torch.cat([b.time for b in batches])
    drop = torch.cat([b.drop for b in batches]).float()
    assert torch.equal(drop[:, 0], drop[:, 1])
    # Five standard errors of each.
    assert abs(float(noise.mean())) < 5 / noise.numel() ** 0.5
    assert abs(float(noise.std()) - 1) < 5 / (2 * noise.numel()) ** 0.5
    assert abs(float(time.mean()) - 0.5) < 5 * (1 / 12 / 600) ** 0.5
    assert abs(float(drop.mean()) - 0.3) < 5 * (0.21 / 600) ** 0.5
    assert not torch.equal(batches[0].noise, batches[1].noise)


def test_labels_are_dropped_together_or_each_by_itself(make_data):
    data = make_data(4)
    batches = [
        [data.batch(3, step, range(8), 8, Draws(0.3, mode)) for step in range(100)]
        for mode in ("joint", "independent")
    ]
    for joint, independent in zip(*batches, strict=True):
        # Nothing else is drawn otherwise.
        assert torch.equal(joint.noise, independent.noise)
        assert torch.equal(joint.drop[:, 0], independent.drop[:, 0])
    drop = torch.cat([batch.drop for batch in batches[1]]).float()
    standard_error = (0.21 / 800) ** 0.5
    assert abs(float(drop[:, 1].mean()) - 0.3) < 5 * standard_error
    both = float((drop[:, 0] * drop[:, 1]).mean())
    assert abs(both - 0.09) < 5 * (0.09 * 0.91 / 800) ** 0.5


def test_times_are_drawn_as_configured(make_data):
    data = make_data(4)
    uniform, middle = (
        torch.cat(
            [
                data.batch(0, step, range(8), 8, Draws(0.1, time_sampling=name)).time
                for step in range(75)
            ]
        )
        for name in ("uniform", "logit-normal")
    )
    assert (uniform - 0.5).abs().mean() == pytest.approx(1 / 4, abs=0.03)
    # Of 1 / (1 + exp(-u)) with a standard normal u, by numerical integration: 0.1749.
    assert (middle - 0.5).abs().mean() == pytest.approx(0.1749, abs=0.03)


def test_prefetched_batches_are_the_same(make_data):
    data = make_data(targets=True)
    rows = [range(2), range(2, 4)]
    found = list(data.prefetched(5, range(3, 9), rows, 4, Draws(0.1)))
    assert len(found) == 6
    for step, parts in zip(range(3, 9), found, strict=True):
        _equal(_join(parts), data.batch(5, step, range(4), 4, Draws(0.1)))


def test_fault_of_the_reading_thread_reaches_the_loop(make_data):
    data = make_data()
    data.moments.close()
    with pytest.raises(IndexError):
        list(data.prefetched(5, range(3), [range(4)], 4, Draws(0.1)))


def test_order_of_rows_in_the_table_does_not_matter(make_data, tmp_path, vocabulary):
    data = make_data()
    fields = pd.DataFrame(
        {
            "field_id": [f"f{i:03d}" for i in range(9, -1, -1)],
            "perturbation": [vocabulary.perturbations[i % 3] for i in range(9, -1, -1)],
            "cell_type": [vocabulary.cell_types[i % 2] for i in range(9, -1, -1)],
        }
    )
    indices = [tmp_path / f"moments{i}.parquet" for i in (0, 1)]
    assert open_training_data(fields, indices, None, vocabulary, [0]).fingerprint() == (
        data.fingerprint()
    )
    fields.loc[3, "perturbation"] = "p2" if fields.loc[3, "perturbation"] != "p2" else "p1"
    other = open_training_data(fields, indices, None, vocabulary, [0])
    assert other.fingerprint() != data.fingerprint()


def test_missing_arrays_and_labels_are_named(make_data, tmp_path, vocabulary):
    make_data()
    indices = [tmp_path / f"moments{i}.parquet" for i in (0, 1)]
    fields = pd.DataFrame({"field_id": ["f000", "g"], "perturbation": "p1", "cell_type": "U2OS"})
    with pytest.raises(DataError, match=r"1 cached arrays are missing.*'g' in orientation 0"):
        open_training_data(fields, indices, None, vocabulary, [0])
    with pytest.raises(DataError, match="field 'f000' in orientation 4"):
        open_training_data(fields.iloc[:1], indices, None, vocabulary, [0, 4])
    with pytest.raises(DataError, match="perturbation 'p9' is unknown"):
        open_training_data(
            fields.iloc[:1].assign(perturbation="p9"), indices, None, vocabulary, [0]
        )
    with pytest.raises(DataError, match="no field for training"):
        open_training_data(fields.iloc[:0], indices, None, vocabulary, [0])


def test_field_that_is_cached_twice_is_named(tmp_path, vocabulary):
    for name in "ab":
        rows = np.ones((1, 2, 4, 4, 4), np.float16)
        write_shard(tmp_path / name, [("f0", 0)], [rows], shape=rows.shape[1:], dtype=rows.dtype)
    fields = pd.DataFrame({"field_id": ["f0"], "perturbation": "p1", "cell_type": "U2OS"})
    indices = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    with pytest.raises(DataError, match="'f0' in orientation 0 is cached more than once"):
        open_training_data(fields, indices, None, vocabulary, [0])


def _conditions(**settings):
    fields = pd.DataFrame(
        {
            "perturbation": ["control", "p1", "p2"],
            "control": ["negative", "none", "none"],
            "concentration": np.nan,
            "gene": None,
            "smiles": [None, "CCO", None],
        }
    )
    return build(fields, MorganCondition(kind="morgan", bits=256, **settings), None)


def test_batches_carry_the_embeddings_of_their_perturbations(make_data):
    conditions = _conditions(smiles={"p2": "CCN"})
    data = make_data(conditions=conditions)
    batch = data.batch(0, 0, range(10), 10, Draws(0.0))
    names = [("control", "p1", "p2")[i] for i in batch.condition.perturbation]
    expected = conditions.matrix[conditions.rows(names, [None] * 10)]
    np.testing.assert_array_equal(batch.condition.embedding.numpy(), expected)
    other = make_data(conditions=_conditions(smiles={"p2": "c1ccccc1O"}))
    assert data.fingerprint() != other.fingerprint()


def test_fields_without_an_embedding_are_left_out_where_that_is_wanted(make_data):
    data = make_data(conditions=_conditions(missing="leave_out"))
    assert len(data) == 7  # three of ten fields are of p2, which has no structure
    assert 2 not in set(data.perturbations)


def test_what_is_not_finite_is_named(make_data, monkeypatch):
    data = make_data(targets=True, transforms=(0, 1))
    assert data.not_finite(0, range(5), 4) is None
    real = data.targets.read
    wrong = data.target_positions[3, 1]

    def read(positions):
        rows = real(positions)
        rows[np.asarray(positions) == wrong] = np.inf
        return rows

    monkeypatch.setattr(data.targets, "read", read)
    found = data.not_finite(0, range(5), 4)
    assert found.startswith("the alignment targets of the field f003 in")
    # Steps that do not meet the field are fine.
    steps = [n for n in range(5) if 3 not in batch_members(0, n, 4, len(data))]
    assert data.not_finite(0, range(steps[0], steps[0] + 1), 4) is None


def test_embeddings_that_are_not_finite_are_named(make_data):
    data = make_data()
    embeddings = np.ones((3, 4), np.float32)
    embeddings[1, 2] = np.nan
    data = replace(data, embeddings=embeddings, embedding_rows=np.arange(len(data)) % 3)
    assert data.not_finite(0, range(5), 4) == (
        "the numbers in row 1 of the perturbations' embeddings"
    )
