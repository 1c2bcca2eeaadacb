import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from morphpipe.transport.noise import SampleNoise
from morphpipe.transport.samplers import euler_maruyama


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=6, unique=True), st.integers(0, 49))
def test_noise_belongs_to_the_sample_and_not_to_the_batch(indices, step):
    noise = SampleNoise("experiment", 1, 2)
    batch = noise.draw(indices, step, (2, 3))
    assert batch.dtype == torch.float32
    for row, index in zip(batch, indices, strict=True):
        assert torch.equal(row, noise.draw([index], step, (2, 3))[0])


def test_every_part_of_the_key_matters():
    draws = [
        SampleNoise("a", 1, 2).draw([3], 4, (8,)),
        SampleNoise("b", 1, 2).draw([3], 4, (8,)),
        SampleNoise("a", 2, 2).draw([3], 4, (8,)),
        SampleNoise("a", 2, 1).draw([3], 4, (8,)),
        SampleNoise("a", 12, 0).draw([3], 4, (8,)),
        SampleNoise("a", 1, 20).draw([3], 4, (8,)),
        SampleNoise("a", 1, 2).draw([4], 4, (8,)),
        SampleNoise("a", 1, 2).draw([4], 3, (8,)),
        SampleNoise("a", 1, 2).draw([3], 5, (8,)),
    ]
    # Compared value by value: shifted copies of one stream would share values as well.
    assert len(np.unique(torch.cat(draws).numpy())) == len(draws) * 8


def test_noise_is_standard_normal_and_uncorrelated():
    noise = SampleNoise("experiment", 0, 0)
    x = torch.stack([noise.draw(range(100), step, (50,)) for step in range(4)]).numpy()
    assert kstest(x.ravel(), "norm").pvalue > 1e-3
    flat = x.reshape(4, -1)
    correlation = np.corrcoef(flat)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(flat.shape[1])
    across = np.corrcoef(x.transpose(1, 0, 2).reshape(100, -1))[np.triu_indices(100, 1)]
    assert np.abs(across).max() < 6 / np.sqrt(200)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_samples_do_not_depend_on_the_batch_size(batch):
    noise = SampleNoise("experiment", 0, 0)
    velocity = lambda x, t: torch.sin(x)  # noqa: E731
    whole = euler_maruyama(velocity, noise.source(range(10), (4,)), steps=5)
    parts = [
        euler_maruyama(velocity, noise.source(range(at, at + batch), (4,)), steps=5)
        for at in range(0, 10, batch)
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-6, atol=1e-6)
