"""IMPA: its losses against closed forms and finite differences, and a training of seconds."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from morphpipe.config.experiments import Training
from morphpipe.config.generators import IMPA as Settings
from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.generators.base import Condition, TrainingBatch
from morphpipe.generators.impa import DISCRIMINATOR, GENERATOR
from morphpipe.generators.impa_networks import AdaptiveNorm, Block, Judge
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.training.turns import turns_of
from morphpipe.transport.noise import SampleNoise

SHAPE = (2, 4, 4)
VOCABULARY = Vocabulary(("a", "b", "dmso"), ("x", "y"), ("compound", "compound", "none"), ("dmso",))


def build(shape=SHAPE, *, condition_width=None, checkpointing=False, **settings):
    torch.manual_seed(0)
    return build_generator(
        Settings(kind="impa", **{"architecture": "IMPA-test", **settings}),
        VOCABULARY, shape, condition_width=condition_width, gradient_checkpointing=checkpointing,
    )  # fmt: skip


def batch_of(n=3, shape=SHAPE, dtype=torch.float32, **changes):
    draws = torch.Generator().manual_seed(3)
    images = torch.randn(2, n, *shape, generator=draws, dtype=dtype)
    batch = TrainingBatch(
        images[0], images[1], torch.zeros(n),
        Condition(torch.arange(n) % 3, torch.arange(n) % 2), torch.zeros(n, 3, dtype=torch.bool),
    )  # fmt: skip
    return replace(batch, **changes)


@pytest.mark.parametrize("turn", [DISCRIMINATOR, GENERATOR])
def test_gradients_are_those_of_finite_differences(turn):
    """In double precision; of the discriminator through R1, which has a gradient in itself."""
    generator = build(condition="c", condition_width=5).double()
    condition = Condition(torch.arange(3), torch.zeros(3).long(), torch.eye(3, 5).double())
    batch = batch_of(dtype=torch.float64, condition=condition, step=25_000)
    own = {id(parameter) for parameter in generator.turns()[turn]}
    names = [name for name, p in generator.named_parameters() if id(p) in own and p.ndim == 1]
    # All biases, and of every matrix a line through its numbers.
    shifted = [n for n, p in generator.named_parameters() if id(p) in own and p.ndim > 1]
    weights = {name: p.detach() for name, p in generator.named_parameters()}

    def total(*values):
        given = dict(weights)
        given |= dict(zip(names, values, strict=False))
        for name, value in zip(shifted, values[len(names) :], strict=True):
            given[name] = given[name] + value * torch.linspace(
                -1, 1, given[name].numel(), dtype=value.dtype
            ).view_as(given[name])
        torch.manual_seed(5)
        return functional_call(generator, given, (batch, turn)).total

    values = [weights[name].clone().requires_grad_() for name in names]
    values += [torch.zeros((), dtype=torch.float64).requires_grad_() for _ in shifted]
    # Small steps, between the kinks of rectifiers and absolute values.
    assert torch.autograd.gradcheck(total, values, eps=1e-7, atol=1e-6, rtol=1e-4)


def test_r1_is_half_of_the_squared_gradient_by_the_image():
    generator, batch = build().double(), batch_of(dtype=torch.float64)
    losses = generator(batch, DISCRIMINATOR)
    step, found = 1e-5, 0.0
    for n, label in enumerate(batch.condition.perturbation.tolist()):
        for place in range(batch.latents[n].numel()):
            moved = batch.latents[n].repeat(2, 1, 1, 1)
            moved.view(2, -1)[:, place] += torch.tensor([step, -step])
            up, down = generator.discriminator(moved)[:, label].tolist()
            found += ((up - down) / (2 * step)) ** 2 / 2 / len(batch.latents)
    assert losses.parts["gradient_penalty"].item() == pytest.approx(found, rel=1e-5)


def test_cross_entropy_is_that_of_the_perturbations_own_output():
    generator, batch = build(), batch_of()
    with torch.no_grad():
        generator.discriminator.last.weight.zero_()
        generator.discriminator.last.bias.copy_(torch.tensor([-1.0, 0.5, 2.0]))
    own = torch.tensor([-1.0, 0.5, 2.0])
    losses = generator(batch, DISCRIMINATOR)
    torch.testing.assert_close(losses.parts["real"], F.softplus(-own).mean())
    torch.testing.assert_close(losses.parts["made"], F.softplus(own).mean())
    assert losses.parts["gradient_penalty"] == 0
    torch.testing.assert_close(
        generator(batch, GENERATOR).parts["adversarial"], F.softplus(-own).mean()
    )


def test_diversity_decays_to_nothing():
    generator = build(diversity_steps=200, diversity_weight=3.0)
    assert [generator.diversity_weight(step) for step in (0, 50, 200, 500)] == [3, 2.25, 0, 0]
    totals = {}
    for step in (0, 100, 200):
        torch.manual_seed(2)
        losses = generator(batch_of(step=step), GENERATOR)
        parts = losses.parts
        totals[step] = losses.total.item()
        expected = parts["adversarial"] + parts["style"] + parts["cycle"]
        if step < 200:
            expected = expected - 3 * (1 - step / 200) * parts["diversity"]
        else:
            assert torch.isnan(parts["diversity"])
        torch.testing.assert_close(losses.total.detach(), expected)
    assert totals[0] < totals[100] < totals[200]


def test_after_adaptive_normalisation_an_image_has_the_statistics_of_its_style():
    norm, style = AdaptiveNorm(3, 5).double(), torch.randn(2, 5).double()
    y = norm(7 + 4 * torch.randn(2, 3, 16, 16).double(), style)
    scale, shift = norm.modulation(style).chunk(2, dim=1)
    torch.testing.assert_close(y.mean(dim=(2, 3)), shift)
    torch.testing.assert_close(
        y.std(dim=(2, 3), correction=0), (1 + scale).abs(), rtol=1e-5, atol=1e-6
    )


def test_blocks_keep_the_variance():
    """A sum of two independent parts over √2: where the convolutions give zeros, a half."""
    block = Block(4, 4, normalise=True, halve=False)
    torch.nn.init.zeros_(block.second.weight)
    torch.nn.init.zeros_(block.second.bias)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x), x / 2**0.5)


def test_the_networks_have_the_sizes_of_the_paper():
    with torch.device("meta"):
        generator = build((3, 96, 96), architecture="IMPA")
        image, style = torch.empty(2, 3, 96, 96), torch.empty(2, 64)
        assert generator.transformation(image, style).shape == image.shape
        assert generator.style_encoder(image).shape == style.shape
        assert generator.discriminator(image).shape == (2, 3)
    widths = [block.second.out_channels for block in generator.transformation.encoder]
    assert widths == [128, 256, 512, 512, 512]
    widths = [block.second.out_channels for block in generator.transformation.decoder]
    assert widths == [512, 512, 256, 128, 64]
    assert [layer.out_features for layer in generator.mapping if hasattr(layer, "weight")] == [
        512, 64,
    ]  # fmt: skip
    assert generator.mapping[0].in_features == 64 + 16


def test_a_judge_sees_the_whole_of_an_image_of_any_size():
    for size in ((4, 4), (7, 12), (96, 64)):
        judge, image = Judge(1, size, 4, 8, 2), torch.randn(1, 1, *size, requires_grad=True)
        judge(image).sum().backward()
        assert (image.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((3, 8, 8), {"architecture": "IMPA"}, r"these are 8x8: choose larger"),
        ((1, 4, 4), {"noise_width": 17}, r"noise_width is 17, but images have only 16 numbers"),
    ],
)
def test_images_that_do_not_fit_are_named(shape, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(shape, **settings)


def test_a_turn_changes_the_weights_of_its_networks_alone():
    generator, batch = build(), batch_of()
    training = Training(slices=1, steps=1, optimizer="adam", betas=(0.0, 0.99), weight_decay=1e-4)
    for turn in turns_of(generator, training):
        before = {name: p.detach().clone() for name, p in generator.named_parameters()}
        turn.begin()
        turn.optimizer.zero_grad()
        generator(batch, turn.name).total.backward()
        turn.optimizer.step()
        changed = {n for n, p in generator.named_parameters() if not torch.equal(p, before[n])}
        judged = {n for n in before if n.startswith("discriminator.")}
        assert changed == (judged if turn.name == DISCRIMINATOR else before.keys() - judged)


def test_recomputed_blocks_have_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        generator = build(checkpointing=checkpointing)
        torch.manual_seed(1)
        generator(batch_of(), GENERATOR).total.backward()
        gradients.append([p.grad for p in generator.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_unseen_perturbations_are_made_from_their_embeddings():
    generator = build(condition="c", condition_width=5).eval()
    source = SampleNoise("e", 0, 0).source([1], SHAPE)
    zero = torch.zeros(1).long()
    first, second = (
        generator.sample(source, Condition(zero, zero, torch.full((1, 5), value)), Sampling())
        for value in (0.0, 1.0)
    )
    assert not torch.allclose(first, second)
    with pytest.raises(ConfigError, match="the batch has none"):
        generator.sample(source, Condition(zero, zero), Sampling())


def test_the_same_control_is_transformed_in_many_ways():
    generator = build().eval()
    source = SampleNoise("e", 0, 0).source([1, 2], SHAPE)
    zeros = torch.zeros(2).long()

    def noise(step):
        return torch.ones(2, *SHAPE) if step == 0 else source(step)

    first, second = generator.sample(noise, Condition(zeros, zeros), Sampling())
    assert not torch.allclose(first, second)


def test_a_short_training_moves_controls_to_the_colour_of_treated_images():
    """Grey controls, red treated images; 150 steps of a few milliseconds."""
    shape, steps, n = (3, 16, 16), 150, 8
    generator = build(shape, diversity_weight=0.0)
    draws = torch.Generator().manual_seed(1)
    red = torch.tensor([0.8, -0.6, -0.6])[:, None, None]

    def images(colour):
        return colour + 0.1 * torch.randn(n, *shape, generator=draws)

    training = Training(
        steps=steps, slices=1, optimizer="adam", betas=(0.0, 0.99), learning_rate=2e-3
    )
    turns = turns_of(generator, training)
    condition = Condition(torch.zeros(n).long(), torch.zeros(n).long())
    for step in range(steps):
        batch = batch_of(
            n, shape, latents=images(red), noise=images(0.0), condition=condition, step=step
        )
        torch.manual_seed(step)
        for turn in turns:
            turn.begin()
            turn.optimizer.zero_grad()
            generator(batch, turn.name).total.backward()
            turn.optimizer.step()
    control, source = images(0.0), SampleNoise("e", 0, 0).source(list(range(n)), shape)
    made = generator.sample(lambda step: source(step) if step else control, condition, Sampling())

    def distance(x):
        return (x.mean(dim=(2, 3)) - red[:, 0, 0]).norm(dim=1).mean().item()

    assert distance(made) < 0.5 * distance(control)


@pytest.mark.parametrize("size", [(17, 17), (12, 9)])
def test_sizes_that_cannot_be_halved_evenly_are_taken(size):
    settings = Settings(kind="impa", architecture="IMPA-test", labels=("perturbation",))
    impa = build_generator(settings, VOCABULARY, (3, *size))
    x, style = torch.randn(2, 3, *size), torch.randn(2, 8)
    assert impa.transformation(x, style).shape == x.shape
    assert impa.discriminator(x).shape == (2, len(VOCABULARY.perturbations))
