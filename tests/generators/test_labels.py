"""Labels of generators, and what their networks predict."""

from dataclasses import replace

import pytest
import torch

from morphpipe.config.generators import IMPA, CellFlux, FlowUNet, SiT, UNet
from morphpipe.config.sampling import Sampling
from morphpipe.generators.base import Condition, TrainingBatch
from morphpipe.generators.flow import FlowGenerator
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.transport.noise import SampleNoise

SHAPE = (4, 8, 8)
VOCABULARY = Vocabulary(("a", "b"), ("x", "y"), ("none", "compound"), ("a",), ("b0", "b1"))
ALL = ("perturbation", "cell_type", "batch")
FAMILIES = [
    (SiT, "sit", "SiT-test/2"),
    (FlowUNet, "flow_unet", "FlowUNet-test"),
    (CellFlux, "cellflux", "CellFlux-test"),
    (UNet, "unet", "SD-test"),
    (IMPA, "impa", "IMPA-test"),
]


@pytest.fixture(params=FAMILIES, ids=lambda family: family[1])
def build(request):
    cls, kind, architecture = request.param

    def make(**options):
        torch.manual_seed(0)
        settings = cls(kind=kind, architecture=architecture, **options)
        built = build_generator(settings, VOCABULARY, SHAPE)
        for parameter in built.parameters():  # fresh ones predict zeros
            parameter.data += 0.05 * torch.randn_like(parameter)
        return built.eval()

    return make


def total(generator, batch):
    """Of all turns, with the same draws."""
    torch.manual_seed(1)
    return sum(generator(batch, turn).total for turn in generator.turns())


def sample(generator, perturbation, cell_type, batch):
    condition = Condition(
        torch.tensor([perturbation]),
        torch.tensor([cell_type]),
        batch=None if batch is None else torch.tensor([batch]),
    )
    return generator.sample(SampleNoise("e", 0, 0).source([3], SHAPE), condition, Sampling(steps=2))


def test_every_label_counts_and_an_unknown_batch_is_none(build):
    generator = build(labels=ALL)
    first = sample(generator, 0, 0, 0)
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not torch.allclose(sample(generator, *other), first)
    unknown = sample(generator, 0, 0, len(VOCABULARY.batches))
    assert torch.equal(unknown, sample(generator, 0, 0, None))
    assert not torch.allclose(unknown, first)


def test_a_label_that_is_left_out_changes_nothing(build):
    generator = build(labels=("perturbation",))
    assert torch.equal(sample(generator, 0, 0, 0), sample(generator, 0, 1, 1))
    assert not torch.allclose(sample(generator, 0, 0, 0), sample(generator, 1, 0, 0))


def test_without_labels_a_generator_is_unconditional(build):
    generator = build(labels=())
    assert torch.equal(sample(generator, 0, 0, 0), sample(generator, 1, 1, 1))
    n = 3
    batch = TrainingBatch(
        torch.randn(n, *SHAPE), torch.randn(n, *SHAPE), torch.rand(n),
        Condition(torch.arange(n) % 2, torch.arange(n) % 2), torch.ones(n, 3, dtype=torch.bool),
    )  # fmt: skip
    assert torch.isfinite(total(generator, batch))


def test_each_label_can_be_dropped_by_itself(build):
    generator = build(labels=ALL)
    n = 2
    batch = TrainingBatch(
        torch.randn(n, *SHAPE), torch.randn(n, *SHAPE), torch.rand(n),
        Condition(torch.tensor([0, 1]), torch.tensor([0, 1]), batch=torch.tensor([0, 1])),
        torch.zeros(n, 3, dtype=torch.bool),
    )  # fmt: skip
    losses = set()
    for column in (None, 0, 1, 2):
        drop = torch.zeros(n, 3, dtype=torch.bool)
        if column is not None:
            drop[:, column] = True
        losses.add(total(generator, replace(batch, drop=drop)).item())
    assert len(losses) == 4


class Oracle(torch.nn.Module):
    """Knows the data; gives them, or the velocity of the straight path to them."""

    projector = None
    perturbation = None

    def __init__(self, data, *, gives_data):
        super().__init__()
        self.data, self.gives_data = data, gives_data

    def forward(self, x, time, perturbation, cell_type, drop=None, batch=None):
        if self.gives_data:
            return self.data.expand_as(x)
        return (x - self.data) / time.clamp(min=1e-6)[:, None, None, None]

    def forward_with_hidden(self, *arguments):
        return self(*arguments), None


@pytest.mark.parametrize("gives_data", [False, True])
def test_predicted_data_are_the_velocity_in_another_form(gives_data):
    data = torch.randn(1, *SHAPE)
    generator = FlowGenerator(Oracle(data, gives_data=gives_data), predicts_data=gives_data)
    n = 5
    batch = TrainingBatch(
        data.expand(n, -1, -1, -1), torch.randn(n, *SHAPE), torch.linspace(0.06, 1, n),
        Condition(torch.zeros(n).long(), torch.zeros(n).long()), torch.zeros(n, 3).bool(),
    )  # fmt: skip
    assert float(generator.losses(batch).total) == pytest.approx(0, abs=1e-9)
    noise = SampleNoise("e", 0, 0).source([1, 2], SHAPE)
    condition = Condition(torch.zeros(2).long(), torch.zeros(2).long())
    sampled = generator.sample(noise, condition, Sampling(sampler="euler", steps=4))
    torch.testing.assert_close(sampled, data.expand(2, -1, -1, -1), rtol=1e-5, atol=1e-5)


class GaussianData(torch.nn.Module):
    """Gives E[x | x_t] of data from N(0, s^2): (1 - t) s^2 / ((1 - t)^2 s^2 + t^2) x_t."""

    projector = None
    perturbation = None

    def forward(self, x, time, perturbation, cell_type, drop=None, batch=None):
        t, variance = time[:, None, None, None], 0.25
        return (1 - t) * variance / ((1 - t) ** 2 * variance + t**2) * x


def test_predicted_data_lead_back_to_the_noise():
    """At t = 0 they are the image itself, from which no velocity follows."""
    data, zero = 0.5 * torch.randn(2, *SHAPE), torch.zeros(2).long()
    generator = FlowGenerator(GaussianData(), predicts_data=True)
    settings = Sampling(sampler="heun", steps=20, last_correction=True)
    noise = generator.invert(data, Condition(zero, zero), settings)
    torch.testing.assert_close(noise, 2 * data, rtol=0.01, atol=1e-3)


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    settings = CellFlux(kind="cellflux", architecture="CellFlux-test")
    generator = build_generator(settings, VOCABULARY, SHAPE)
    for parameter in generator.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    x, zero = torch.randn(1, *SHAPE), torch.zeros(1).long()

    def predict():
        return generator.predict(x, torch.full((1,), 0.5), Condition(zero, zero))

    generator.train()
    assert not torch.equal(predict(), predict())
    generator.eval()
    assert torch.equal(predict(), predict())


def test_cellflux_is_as_large_as_its_configuration_says():
    """ADM's U-Net: per level of the decoder one block more than in the encoder, all with skips."""
    from morphpipe.generators.cellflux import CellFlux as Network

    with torch.device("meta"):
        network = Network.from_preset(
            "CellFlux", latent_channels=3, latent_size=96, perturbations=1, cell_types=1
        )
    assert [len(level) for level in network.down] == [4, 4, 4]
    assert [len(level) for level in network.up] == [5, 5, 5]
    attends = [[stage.attention is not None for stage in level] for level in network.down]
    assert attends == [[False] * 4, [True] * 4, [False] * 4]
    inputs = [[stage.block.first.in_channels for stage in level] for level in network.up]
    assert inputs == [[512] * 5, [512] * 5, [512, 512, 512, 512, 384]]
