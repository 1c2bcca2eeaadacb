import pytest
import torch

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.generators.base import Condition, TrainingBatch
from morphpipe.generators.flow import FlowGenerator
from morphpipe.generators.sit import SiT


def generator(alignment_width=None, **options):
    torch.manual_seed(0)
    network = SiT.from_preset(
        "SiT-test/2",
        latent_channels=2,
        latent_size=4,
        perturbations=3,
        cell_types=2,
        alignment_width=alignment_width,
        alignment_depth=2 if alignment_width else None,
        projector_width=8,
    )
    return FlowGenerator(network, **options)


def batch(n=4, targets=None):
    draw = torch.Generator().manual_seed(1)
    return TrainingBatch(
        latents=torch.randn(n, 2, 4, 4, generator=draw),
        noise=torch.randn(n, 2, 4, 4, generator=draw),
        time=torch.rand(n, generator=draw),
        condition=Condition(torch.arange(n) % 3, torch.arange(n) % 2),
        drop=(torch.arange(n) % 4 == 3)[:, None].expand(n, 2),
        targets=targets,
    )


def test_loss_of_a_network_that_predicts_zero_is_the_target_squared():
    data = batch()
    losses = generator().losses(data)
    expected = (data.noise - data.latents).square().mean()
    torch.testing.assert_close(losses.diffusion, expected)
    assert losses.alignment is None
    assert losses.total is losses.diffusion


def test_loss_is_that_of_the_velocity_on_the_path():
    model = generator()
    for weight in model.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    data = batch()
    t = data.time[:, None, None, None]
    keep = ~data.drop[:, 0]
    condition = Condition(data.condition.perturbation[keep], data.condition.cell_type[keep])
    x = (1 - t) * data.latents + t * data.noise
    velocity = torch.empty_like(x)
    velocity[keep] = model.predict(x[keep], data.time[keep], condition)
    velocity[~keep] = model.predict(
        x[~keep], data.time[~keep], Condition(*torch.zeros(2, 1).long()), null=True
    )
    expected = (velocity - (data.noise - data.latents)).square().mean()
    torch.testing.assert_close(model(data).total, expected)


def test_alignment_enters_with_its_weight_and_reaches_the_network():
    targets = torch.randn(4, 4, 6)
    losses = generator(6, alignment_weight=0.25).losses(batch(targets=targets))
    torch.testing.assert_close(losses.total, losses.diffusion + 0.25 * losses.alignment)
    assert -1 <= losses.alignment <= 1
    model = generator(6)
    model.losses(batch(targets=targets)).alignment.backward()
    assert model.network.patches.weight.grad.abs().sum() > 0
    assert model.network.final.linear.weight.grad is None


def test_alignment_needs_both_sides():
    with pytest.raises(ConfigError, match="Alignment"):
        generator(6).losses(batch())
    with pytest.raises(ConfigError, match="Alignment"):
        generator().losses(batch(targets=torch.zeros(4, 4, 6)))
    with pytest.raises(DataError, match="tokens"):
        generator(6).losses(batch(targets=torch.zeros(4, 9, 6)))


def test_null_velocity_ignores_the_condition():
    model = generator()
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    x, time = torch.randn(2, 2, 4, 4), torch.full((2,), 0.5)
    a = model.predict(x, time, Condition(torch.tensor([0, 1]), torch.tensor([0, 1])), null=True)
    b = model.predict(x, time, Condition(torch.tensor([2, 2]), torch.tensor([1, 0])), null=True)
    torch.testing.assert_close(a, b)
    c = model.predict(x, time, Condition(torch.tensor([2, 2]), torch.tensor([1, 0])))
    assert not torch.allclose(b, c)


def test_training_lowers_the_loss():
    model, data = generator(), batch()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = model(data).total.item()
    for _ in range(150):
        optimiser.zero_grad()
        model(data).total.backward()
        optimiser.step()
    assert model(data).total.item() < 0.2 * first


def test_a_batch_moves_as_a_whole():
    moved = batch(targets=torch.zeros(1)).to("meta")
    for tensor in (moved.latents, moved.condition.cell_type, moved.drop, moved.targets):
        assert tensor.device.type == "meta"
    assert batch().to("cpu").targets is None
