import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from morphpipe.generators.layers import (
    FEW_TOKENS,
    Attention,
    TimeEmbedding,
    attend,
    patchify,
    unpatchify,
)


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 3),
    st.integers(1, 4),
)
@settings(max_examples=25)
def test_unpatchify_inverts_patchify(n, channels, patch, rows, columns):
    x = torch.randn(n, channels, rows * patch, columns * patch)
    tokens = patchify(x, patch)
    assert tokens.shape == (n, rows * columns, patch * patch * channels)
    assert torch.equal(unpatchify(tokens, patch, (rows * patch, columns * patch)), x)
    # Token number r * columns + c is the patch in row r and column c.
    last = x[:, :, -patch:, -patch:].permute(0, 2, 3, 1).flatten(1)
    assert torch.equal(tokens[:, -1], last)


def test_attention_against_its_formula():
    torch.manual_seed(0)
    attention = Attention(8, 2).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    expected = torch.zeros_like(x)
    qkv = x @ attention.qkv.weight.T + attention.qkv.bias
    for sample in range(2):
        for head in range(2):
            q, k, v = (
                qkv[sample, :, part * 8 + head * 4 : part * 8 + head * 4 + 4] for part in range(3)
            )
            weights = torch.exp(q @ k.T / math.sqrt(4))
            expected[sample, :, head * 4 : head * 4 + 4] = (
                weights / weights.sum(1, keepdim=True)
            ) @ v
    expected = expected @ attention.projection.weight.T + attention.projection.bias
    torch.testing.assert_close(attention(x), expected)


@pytest.mark.parametrize("tokens", [20, FEW_TOKENS + 1])
def test_attention_in_bfloat16_is_that_of_torch_up_to_its_rounding(tokens):
    draw = torch.Generator().manual_seed(0)
    given = [torch.randn(1, 2, tokens, 8, generator=draw) for _ in range(4)]
    found = [part.bfloat16().requires_grad_() for part in given[:3]]
    expected = [part.bfloat16().double().requires_grad_() for part in given[:3]]
    ours = attend(*found)
    exact = F.scaled_dot_product_attention(*expected)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=0.02)
    ours.backward(given[3].bfloat16())
    exact.backward(given[3].bfloat16().double())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=0, atol=0.04)


def test_time_embedding_is_sinusoidal():
    embedding = TimeEmbedding(8, frequencies=6, scale=3)
    waves = []
    embedding.first.register_forward_pre_hook(lambda module, x: waves.append(x[0]))
    embedding(torch.tensor([0.25]))
    angles = [0.75 * 10_000 ** (-k / 3) for k in range(3)]
    expected = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
    torch.testing.assert_close(waves[0][0], torch.tensor(expected))
