import math

import pytest
import torch
import torch.nn.functional as F

from morphpipe.config.sit_presets import PRESETS
from morphpipe.core.errors import ConfigError
from morphpipe.generators.layers import patchify
from morphpipe.generators.sit import SiT

N = 3


def tiny(**options):
    torch.manual_seed(0)
    options = {"latent_channels": 4, "latent_size": (8, 6), **options}
    return SiT.from_preset("SiT-test/2", perturbations=5, cell_types=2, **options)


def inputs(network):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, network.latent_channels, *network.latent_size, generator=generator)
    return x, torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0, 1, 4]), torch.tensor([1, 0, 1])


def perturb(network):
    """Move all weights away from their initial zeros."""
    generator = torch.Generator().manual_seed(2)
    for weight in network.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    return network


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


def test_size_is_the_published_one():
    """DiT-XL/2 for ImageNet has 675,129,632 parameters.

    That counts the fixed positions (256 tokens) and four more output channels, for the variance
    that SiT does not predict, and has no second label table.
    """
    with torch.device("meta"):
        network = SiT.from_preset(
            "SiT-XL/2", latent_channels=4, latent_size=32, perturbations=1000, cell_types=1
        )
    width = PRESETS["SiT-XL/2"].width
    fixed = network.positions.numel()
    variance = 4 * 4 * (width + 1)
    cell_types = 2 * width
    assert fixed == 256 * width
    assert parameters(network) + fixed + variance - cell_types == 675_129_632


def test_size_for_rxrx1():
    """1,139 perturbations, 4 cell types, 24 channels and OpenPhenom's 384: 683.7 M numbers.

    Projector (7.3 M) and fixed positions (1.2 M) included.
    """
    with torch.device("meta"):
        network = SiT.from_preset(
            "SiT-XL/2",
            latent_channels=24,
            latent_size=64,
            perturbations=1139,
            cell_types=4,
            alignment_width=384,
        )
    total = parameters(network) + network.positions.numel()
    assert total / 1e6 == pytest.approx(683.7, abs=0.05)
    assert network.alignment_depth == 8
    assert network.token_grid == (32, 32)


def test_a_new_network_predicts_zero_and_its_blocks_are_the_identity():
    network = tiny()
    x, *others = inputs(network)
    velocity, hidden = network.forward_with_hidden(x, *others)
    assert torch.equal(velocity, torch.zeros_like(x))
    expected = network.patches(patchify(x, 2)) + network.positions
    assert torch.equal(hidden, expected)


def test_initial_weights_follow_their_distributions():
    network = SiT.from_preset(
        "SiT-Ti/2", latent_channels=4, latent_size=8, perturbations=400, cell_types=2
    )
    for weight in (network.perturbation.weight, network.time.first.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.03)
    weight = network.blocks[3].attention.qkv.weight
    bound = math.sqrt(6 / (256 + 768))
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_condition_and_time_matter():
    network = perturb(tiny())
    x, time, perturbation, cell_type = inputs(network)
    base = network(x, time, perturbation, cell_type)
    for others in (
        (time, perturbation.flip(0), cell_type),
        (time, perturbation, 1 - cell_type),
        (time / 2, perturbation, cell_type),
    ):
        difference = (network(x, *others) - base).abs().amax((1, 2, 3))
        unchanged = torch.stack(
            [a == b for a, b in zip(others, (time, perturbation, cell_type), strict=True)]
        ).all(0)
        assert (difference[~unchanged] > 1e-4).all()
        assert (difference[unchanged] < 1e-5).all()


def test_dropped_labels_are_the_null_class_of_their_own():
    network = perturb(tiny())
    x, time, perturbation, cell_type = inputs(network)
    drop = torch.tensor([True, False, True])
    dropped = network(x, time, perturbation, cell_type, torch.stack([drop, drop], 1))
    null = network(x, time, torch.full((N,), 5), torch.full((N,), 2))
    kept = network(x, time, perturbation, cell_type)
    torch.testing.assert_close(dropped[drop], null[drop])
    torch.testing.assert_close(dropped[~drop], kept[~drop])
    assert not torch.allclose(dropped[drop], kept[drop])
    # The null class is no class: its rows belong to no label.
    assert network.perturbation.num_embeddings == 6
    assert network.cell_type.num_embeddings == 3


def test_one_label_can_be_dropped_without_the_other():
    network = perturb(tiny())
    x, time, perturbation, cell_type = inputs(network)
    drop = torch.tensor([[True, False]] * N)
    dropped = network(x, time, perturbation, cell_type, drop)
    torch.testing.assert_close(dropped, network(x, time, torch.full((N,), 5), cell_type))
    dropped = network(x, time, perturbation, cell_type, drop.flip(1))
    torch.testing.assert_close(dropped, network(x, time, perturbation, torch.full((N,), 2)))


def test_normalised_labels_are_divided_by_the_root_of_their_number():
    plain, normalised = perturb(tiny()), perturb(tiny(normalise_labels=True))
    given = inputs(plain)
    assert not torch.allclose(plain(*given), normalised(*given))
    for table in (plain.perturbation, plain.cell_type):
        table.weight.data /= 2**0.5
    torch.testing.assert_close(plain(*given), normalised(*given))


def test_hidden_tokens_are_those_after_the_asked_block():
    network = perturb(tiny(alignment_width=7, alignment_depth=1, projector_width=16))
    x, *others = inputs(network)
    velocity, hidden = network.forward_with_hidden(x, *others)
    assert hidden.shape == (N, 4 * 3, 64)
    assert network.projector(hidden).shape == (N, 12, 7)
    again, last = network.forward_with_hidden(x, *others, depth=2)
    assert torch.equal(velocity, again)
    assert not torch.allclose(hidden, last)
    network.blocks[1] = torch.nn.Identity()
    network.blocks[1].forward = lambda tokens, condition: tokens + 1
    torch.testing.assert_close(network.forward_with_hidden(x, *others)[1], hidden)


def test_positions_are_no_part_of_a_checkpoint():
    assert "positions" not in tiny().state_dict()


def test_gradient_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        network = perturb(tiny(gradient_checkpointing=checkpointing))
        F.mse_loss(network(*inputs(network)), torch.ones(N, 4, 8, 6)).backward()
        gradients.append([weight.grad for weight in network.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_bfloat16_autocast_stays_near():
    network = perturb(tiny())
    exact = network(*inputs(network))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = network(*inputs(network)).float()
    assert (near - exact).norm() / exact.norm() < 0.03


def test_sizes_that_are_no_multiple_of_the_patch_are_extended_at_their_edge():
    whole, cut = perturb(tiny(latent_size=(8, 8))), tiny(latent_size=(8, 7))
    cut.load_state_dict(whole.state_dict())
    x, *others = inputs(cut)
    extended = torch.cat([x, x[..., -1:]], dim=-1)
    assert torch.equal(cut(x, *others), whole(extended, *others)[..., :7])


def test_sizes_that_do_not_fit_stop():
    with pytest.raises(ConfigError, match="SiT-XXL"):
        SiT.from_preset("SiT-XXL", latent_channels=4, latent_size=8, perturbations=1, cell_types=1)
    with pytest.raises(ConfigError, match="patches"):
        tiny(latent_size=(8, 7), alignment_width=4, alignment_depth=1)
    with pytest.raises(ConfigError, match="block 8"):
        tiny(alignment_width=4)
    network = tiny()
    x, *others = inputs(network)
    with pytest.raises(ConfigError, match="4 channels"):
        network(x[:, :3], *others)
