"""What training, sampling, the estimate and the report ask of a generator, of every family."""

from typing import get_args

import pytest
import torch

from morphpipe.config.generators import Generator as Settings
from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.generators.base import Condition, Generator, TrainingBatch
from morphpipe.generators.registry import FAMILIES, build_generator, operations
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.transport.noise import SampleNoise

CLASSES = {cls.model_fields["kind"].annotation: cls for cls in get_args(get_args(Settings)[0])}
FAMILY = {get_args(literal)[0]: cls for literal, cls in CLASSES.items()}
SHAPE = (4, 8, 8)
VOCABULARY = Vocabulary(("a", "b", "c"), ("x", "y"), ("none", "compound", "compound"))


def test_every_kind_of_settings_has_a_family():
    assert FAMILY.keys() == FAMILIES.keys()


@pytest.fixture(params=sorted(FAMILIES))
def settings(request):
    family = FAMILY[request.param]
    smallest = next(name for name in family.presets if name.endswith(("test", "test/2")))
    return family(kind=request.param, architecture=smallest)


@pytest.fixture
def generator(settings):
    torch.manual_seed(0)
    built = build_generator(settings, VOCABULARY, SHAPE)
    for parameter in built.parameters():  # fresh ones predict zeros
        parameter.data += 0.05 * torch.randn_like(parameter)
    return built.eval()


def condition(perturbations, cell_types):
    return Condition(torch.tensor(perturbations), torch.tensor(cell_types))


def test_a_batch_has_losses_whose_gradients_reach_every_label(generator):
    assert isinstance(generator, Generator)
    n = 6
    batch = TrainingBatch(
        torch.randn(n, *SHAPE), torch.randn(n, *SHAPE), torch.rand(n),
        condition([0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1]), torch.zeros(n, 2, dtype=torch.bool),
    )  # fmt: skip
    for turn in generator.turns():
        losses = generator(batch, turn)
        assert losses.total.ndim == 0
        assert torch.isfinite(losses.total)
        losses.total.backward()
    assert all(
        parameter.grad is not None and torch.isfinite(parameter.grad).all()
        for name, parameter in generator.named_parameters()
        if name.startswith(("network.perturbation", "perturbation"))
    )


def test_each_parameter_is_trained_in_one_turn(generator):
    trained = [parameter for turn in generator.turns().values() for parameter in turn]
    assert {*trained} == {*generator.parameters()}
    assert len(trained) == len({*trained})


def test_a_sample_does_not_depend_on_its_batch_and_follows_its_condition(generator):
    def sample(numbers, perturbations):
        noise = SampleNoise("e", 0, 0).source(numbers, SHAPE)
        return generator.sample(
            noise, condition(perturbations, [0] * len(numbers)), Sampling(steps=3)
        )

    both = sample([4, 9], [0, 1])
    assert both.shape == (2, *SHAPE)
    assert both.dtype == torch.float32
    torch.testing.assert_close(sample([9], [1]), both[1:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(sample([9], [2]), both[1:])


def test_guidance_by_an_equal_guide_changes_nothing(generator):
    noise = SampleNoise("e", 0, 0).source([1], SHAPE)
    plain = generator.sample(noise, condition([1], [1]), Sampling(steps=3))
    guided = Sampling(steps=3, guidance={"scale": 3.0})
    same = generator.sample(noise, condition([1], [1]), guided, guide=generator)
    torch.testing.assert_close(same, plain, rtol=1e-4, atol=1e-5)


def test_a_sample_leads_back_to_its_noise_or_the_family_says_that_it_cannot(generator, settings):
    sampler = settings.path.reversible
    if sampler is None:
        with pytest.raises(ConfigError, match="no path from an image back to noise"):
            generator.invert(torch.zeros(1, *SHAPE), condition([0], [0]), Sampling())
        return
    of_image, noise = condition([1, 2], [0, 1]), SampleNoise("e", 0, 0).draw([3, 4], 0, SHAPE)
    how = Sampling(sampler=sampler, steps=20, last_correction=sampler == "heun")
    sample = generator.sample(lambda step: noise, of_image, how)
    torch.testing.assert_close(generator.invert(sample, of_image, how), noise, rtol=0, atol=0.02)
    # The noise is that of the image under its own label.
    other = generator.invert(sample, condition([0, 0], [0, 1]), how)
    assert (other - noise).abs().max() > 0.02
    with pytest.raises(ConfigError, match="cannot be gone back"):
        generator.invert(sample, of_image, Sampling(sampler=settings.path.samplers[0]))


def test_without_a_path_the_sentence_names_what_has_one():
    with pytest.raises(ConfigError, match="no path from an image back to noise"):
        Generator().invert(torch.zeros(1, *SHAPE), condition([0], [0]), Sampling())


def test_what_a_pass_takes_is_known_beforehand(settings):
    forward, parameters = operations(settings, *SHAPE[:2])
    assert forward > 0
    assert parameters > 0


def test_settings_say_what_cannot_be(settings):
    wrong = settings.model_copy(update={"architecture": "none such"})
    assert "none such" in wrong.fault()
    assert settings.fault() is None
    assert Sampling().unsuited_to(settings.path) is None


def test_what_diffusers_does_not_know_is_not_written_in_its_layout(tmp_path):
    network = build_generator(
        FAMILY["sit"](kind="sit", architecture="SiT-test/2"), VOCABULARY, SHAPE
    )
    with pytest.raises(ConfigError, match="diffusers does not support this network"):
        network.save_diffusers(tmp_path / "out")
