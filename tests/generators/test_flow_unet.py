import pytest
import torch

from morphpipe.config.sit_presets import FLOW_UNET_PRESETS, token_stride
from morphpipe.core.errors import ConfigError
from morphpipe.generators.flow_unet import FlowUNet, optimal_linear

N = 3


def tiny(**options):
    torch.manual_seed(0)
    options = {"latent_channels": 4, "latent_size": (8, 6), **options}
    return FlowUNet.from_preset("FlowUNet-test", perturbations=5, cell_types=2, **options)


def inputs(network):
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(N, network.latent_channels, *network.latent_size, generator=draw)
    return x, torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0, 1, 4]), torch.tensor([1, 0, 1])


def perturb(network):
    """Move all weights away from their initial zeros."""
    draw = torch.Generator().manual_seed(2)
    for weight in network.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=draw)
    return network


@pytest.mark.parametrize("time", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_skip_and_scale_are_those_of_linear_regression(time):
    """Of v = eps - x on x_t, for data of unit variance: slope and residual deviation."""
    draw = torch.Generator().manual_seed(3)
    data, noise = torch.randn(2, 200_000, dtype=torch.float64, generator=draw)
    state, velocity = (1 - time) * data + time * noise, noise - data
    slope = (state * velocity).mean() / state.square().mean()
    residual = (velocity - slope * state).std()
    found = optimal_linear(torch.tensor([time], dtype=torch.float64))
    for value, expected in zip(found, (slope, residual, 1 / state.std()), strict=True):
        torch.testing.assert_close(value.item(), expected.item(), atol=0.01, rtol=0)


def test_a_new_network_predicts_the_linear_velocity():
    network = tiny()
    x, time, *labels = inputs(network)
    skip, _, _ = optimal_linear(time)
    torch.testing.assert_close(network(x, time, *labels), skip[:, None, None, None] * x)


def test_every_input_matters():
    network = perturb(tiny())
    given = inputs(network)
    before = network(*given)
    assert before.shape == given[0].shape
    for place, other in (
        (0, given[0] + 0.1),
        (1, given[1] * 0.9),
        (2, (given[2] + 1) % 5),
        (3, 1 - given[3]),
    ):
        changed = list(given)
        changed[place] = other
        assert (network(*changed) - before).abs().amax(dim=(1, 2, 3)).min() > 1e-5


def test_dropped_labels_do_not_matter():
    network = perturb(tiny())
    x, time, perturbation, cell_type = inputs(network)
    drop = torch.ones(N, 2, dtype=torch.bool)
    one = network(x, time, perturbation, cell_type, drop)
    other = network(x, time, perturbation.flip(0), 1 - cell_type, drop)
    torch.testing.assert_close(one, other)
    assert not torch.allclose(one, network(x, time, perturbation, cell_type))


def test_normalised_labels_are_divided_by_the_root_of_their_number():
    plain, normalised = perturb(tiny()), perturb(tiny(normalise_labels=True))
    given = inputs(plain)
    assert not torch.allclose(plain(*given), normalised(*given))
    for table in (plain.perturbation, plain.cell_type):
        table.weight.data /= 2**0.5
    torch.testing.assert_close(plain(*given), normalised(*given))


def test_embeddings_take_the_place_of_labels():
    network = perturb(tiny(condition_width=7))
    x, time, _, cell_type = inputs(network)
    one, other = torch.randn(2, N, 7, generator=torch.Generator().manual_seed(4))
    assert not torch.allclose(network(x, time, one, cell_type), network(x, time, other, cell_type))


def test_hidden_tokens_are_those_of_the_coarsest_grid():
    network = tiny(alignment_width=9, projector_width=16)
    _, hidden = network.forward_with_hidden(*inputs(network))
    stride = token_stride("FlowUNet-test")
    assert hidden.shape == (N, (8 // stride) * (6 // stride), 32)
    assert network.projector(hidden).shape == (N, 12, 9)


def test_a_token_is_at_the_place_that_it_stands_for():
    """Without attention a far corner of the latent does not reach a token."""
    torch.manual_seed(0)
    network = perturb(
        FlowUNet(
            latent_channels=2,
            latent_size=(32, 32),
            perturbations=1,
            cell_types=1,
            width=16,
            multipliers=(1, 1),
            blocks=1,
            middle_blocks=1,
            attention_levels=0,
        )
    ).eval()
    # GroupNorm takes in the whole grid; here only places count.
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.forward = lambda x: x
    label = torch.zeros(1, dtype=torch.long)
    x = torch.zeros(1, 2, 32, 32)
    changed = x.clone()
    changed[0, :, 8, 20] = 1
    time = torch.tensor([0.5])
    moved = (
        network.forward_with_hidden(changed, time, label, label)[1]
        - network.forward_with_hidden(x, time, label, label)[1]
    )
    places = moved.abs().sum(-1)[0].reshape(16, 16).nonzero()
    assert places.float().mean(dim=0).tolist() == pytest.approx([4, 10], abs=1.01)


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        network = perturb(tiny(gradient_checkpointing=checkpointing))
        network(*inputs(network)).square().mean().backward()
        gradients.append([w.grad for w in network.parameters() if w.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", FLOW_UNET_PRESETS)
def test_presets_take_sizes_that_cannot_be_halved_evenly(name):
    with torch.device("meta"):
        size = 2 * token_stride(name) + 1
        options = {"latent_channels": 24, "latent_size": size, "perturbations": 1, "cell_types": 1}
        network = FlowUNet.from_preset(name, **options)
        label = torch.zeros(2, dtype=torch.int64)
        x = torch.empty(2, 24, size, size)
        assert network(x, torch.empty(2), label, label).shape == x.shape
    # Its coarsest grid is then none of equal squares.
    with pytest.raises(ConfigError, match="halved"), torch.device("meta"):
        FlowUNet.from_preset(name, alignment_width=8, **options)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="FlowUNet-S"):
        FlowUNet.from_preset(
            "huge", latent_channels=4, latent_size=8, perturbations=1, cell_types=1
        )
    network = tiny()
    x, *others = inputs(network)
    with pytest.raises(ConfigError, match="4 channels and 8x6"):
        network(x[:, :2], *others)
