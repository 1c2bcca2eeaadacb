import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.models.attention_processor import AttnProcessor2_0

from morphpipe.config.unet_presets import UNET_PRESETS
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.generators.base import Condition, TrainingBatch
from morphpipe.generators.layers import pad_tokens
from morphpipe.generators.unet import UNetGenerator
from morphpipe.perturbations.tokens import centre_pad
from morphpipe.transport.diffusion import denoise
from morphpipe.transport.noise import SampleNoise

N, WIDTH = 3, 5

# unet/config.json of CompVis/stable-diffusion-v1-4, without the versions.
STABLE_DIFFUSION = {
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": [
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    ],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": [
        "UpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
    ],
}


def build(**options):
    torch.manual_seed(0)
    options = {"condition_width": WIDTH, "latent_channels": 4, "latent_size": (8, 6)} | options
    return UNetGenerator.from_preset("SD-test", perturbations=4, cell_types=2, **options)


def condition(n=N, width=WIDTH):
    draw = torch.Generator().manual_seed(2)
    embedding = None if width is None else torch.randn(n, width, generator=draw)
    return Condition(torch.arange(n) % 4, torch.arange(n) % 2, embedding)


def batch(n=N, width=WIDTH):
    draw = torch.Generator().manual_seed(1)
    latents, noise = torch.randn(2, n, 4, 8, 6, generator=draw)
    time = torch.linspace(0.05, 0.95, n)
    drop = (torch.arange(n) == 1)[:, None].expand(n, 2)
    return TrainingBatch(latents, noise, time, condition(n, width), drop)


def double(generator, data):
    """Both in double precision, so that rounding cannot hide a difference."""
    data = TrainingBatch(
        data.latents.double(), data.noise.double(), data.time, data.condition, data.drop
    )
    return generator.double(), data


def gradients(generator, data):
    generator.losses(data).total.backward()
    return {name: weight.grad for name, weight in generator.named_parameters()}


def test_stable_diffusion_is_the_published_network():
    with torch.device("meta"):
        generator = UNetGenerator.from_preset(
            "SD-v1-4",
            latent_channels=4,
            latent_size=(64, 64),
            perturbations=1,
            cell_types=1,
            condition_width=512,
        )
    assert sum(weight.numel() for weight in generator.parameters()) == 859_520_964
    found = dict(generator.network.config)
    assert found.pop("sample_size") == (64, 64)
    for name, value in STABLE_DIFFUSION.items():
        if name != "sample_size":
            assert found[name] == (tuple(value) if isinstance(value, list) else value), name


@pytest.mark.parametrize(
    ("name", "low", "high"), [("SD-S", 15e6, 30e6), ("SD-Ti", 2e6, 4e6), ("SD-test", 1e5, 3e5)]
)
def test_small_presets_have_their_sizes(name, low, high):
    preset = UNET_PRESETS[name]
    assert preset.cross_attention_dim == 768
    with torch.device("meta"):
        generator = UNetGenerator.from_preset(
            name,
            latent_channels=4,
            latent_size=(12, 12),
            perturbations=1,
            cell_types=1,
            condition_width=0,
        )
    assert low < sum(weight.numel() for weight in generator.parameters()) < high
    # Sizes that cannot be halved evenly are taken as well.
    with torch.device("meta"):
        x = torch.empty(1, 4, 13, 17)
        token = torch.empty(1, 1, preset.cross_attention_dim)
        assert generator.network(x, torch.empty(1), token).sample.shape == x.shape


@pytest.mark.parametrize("width", [0, 1, 5, 173, 512, 767, 768])
@pytest.mark.parametrize("value", [1.0, 0.0])
def test_padding_of_a_batch_is_that_of_each_embedding(width, value):
    embedding = np.random.default_rng(0).standard_normal((2, width)).astype(np.float32)
    found = pad_tokens(torch.from_numpy(embedding), 768, value)
    expected = np.stack([centre_pad(row, 768, value) for row in embedding])
    np.testing.assert_array_equal(found.numpy(), expected)


def test_the_prompt_is_the_padded_embedding_or_constant():
    generator = build(tokens=77)
    given = condition()
    prompt = generator.prompt(given, torch.tensor([[False] * 2, [True] * 2, [False] * 2]))
    assert prompt.shape == (N, 77, 768)
    ones = np.ones(768, np.float32)
    rows = [centre_pad(given.embedding[0].numpy()), ones, centre_pad(given.embedding[2].numpy())]
    for found, expected in zip(prompt.numpy(), rows, strict=True):
        np.testing.assert_array_equal(found, np.broadcast_to(expected, (77, 768)))


def test_the_prompt_of_a_table_and_of_the_cell_type():
    generator = build(condition_width=None, labels=("perturbation", "cell_type"))
    given = condition(width=None)
    prompt = generator.prompt(given, torch.tensor([[False] * 2, [False] * 2, [True] * 2]))
    assert torch.equal(prompt[:2, 0], generator.perturbation.weight[:2])
    assert torch.equal(prompt[:2, 1], generator.cell_type.weight[:2])
    assert torch.equal(prompt[2], torch.ones(2, 768))


@pytest.mark.parametrize("cell_type_token", [False, True])
def test_77_tokens_are_one_token(cell_type_token):
    """Outputs, loss and every gradient agree to rounding, in double precision."""
    found = []
    for tokens in (1, 77):
        generator, data = double(
            build(
                condition_width=None,
                tokens=tokens,
                labels=("perturbation", "cell_type") if cell_type_token else ("perturbation",),
            ),
            batch(width=None),
        )
        timestep = torch.tensor([1, 500, 999])
        with torch.no_grad():
            output = generator.predict(data.latents, timestep, data.condition)
        found.append({"output": output} | gradients(generator, data))
    one, many = found
    for name, value in one.items():
        torch.testing.assert_close(many[name], value, rtol=1e-9, atol=1e-12, msg=name)


def test_77_tokens_are_one_token_in_the_precision_of_training():
    data = batch()
    timestep = torch.tensor([1, 500, 999])
    with torch.no_grad():
        one, many = (
            build(tokens=tokens).predict(data.latents, timestep, data.condition)
            for tokens in (1, 77)
        )
    torch.testing.assert_close(many, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell_type_token", [False, True])
def test_gradients_reach_all_that_equal_tokens_leave_to_learn(cell_type_token):
    generator, data = double(
        build(
            condition_width=None,
            labels=("perturbation", "cell_type") if cell_type_token else ("perturbation",),
        ),
        batch(4, width=None),
    )
    idle = set()
    for name, gradient in gradients(generator, data).items():
        if gradient.abs().max() < 1e-15:
            idle.add(name.rpartition("transformer_blocks.0.")[2])
    # Queries and keys, and the normalisation before the queries, where there is nothing to choose.
    unused = {"attn2.to_q.weight", "attn2.to_k.weight", "norm2.weight", "norm2.bias"}
    assert idle == (set() if cell_type_token else unused)


def test_one_token_can_be_dropped_without_the_other():
    generator = build(labels=("perturbation", "cell_type"))
    drop = torch.tensor([[True, False], [False, True], [False, False]])
    prompt, kept = (generator.prompt(condition(), d) for d in (drop, torch.zeros_like(drop)))
    assert (prompt[drop] == 1).all()
    assert torch.equal(prompt[~drop], kept[~drop])


def test_the_loss_is_the_error_of_the_noise_on_the_published_path():
    """By hand, with diffusers' own schedule and 77 repeated tokens, as the released code has it."""
    generator, data = build(), batch()
    timestep = torch.tensor([50, 500, 950])  # of the times 0.05, 0.5 and 0.95
    scheduler = DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    )
    x = scheduler.add_noise(data.latents, data.noise, timestep)
    rows = [centre_pad(row) for row in data.condition.embedding.numpy()]
    rows[1] = np.ones(768, np.float32)  # dropped
    prompt = torch.from_numpy(np.stack(rows))[:, None].expand(N, 77, 768)
    with torch.no_grad():
        predicted = generator.network(x, timestep, prompt).sample
        losses = generator(data)
    torch.testing.assert_close(
        losses.total, (predicted - data.noise).square().mean(), rtol=1e-4, atol=0
    )
    assert losses.total is losses.diffusion
    assert losses.alignment is None


def test_the_baseline_sees_no_condition():
    baseline = build(condition_width=0)
    data = batch(width=None)
    timestep = torch.full((N,), 300)
    other = Condition(torch.tensor([3, 2, 1]), torch.tensor([1, 1, 1]))
    found = baseline.predict(data.latents, timestep, data.condition)
    assert torch.equal(found, baseline.predict(data.latents, timestep, other))
    prompt = torch.ones(N, 1, 768)
    assert torch.equal(found, baseline.network(data.latents, timestep, prompt).sample)
    # With the same weights, it is what a conditional network predicts without its condition.
    conditional = build()
    null = conditional.predict(data.latents, timestep, condition(), null=True)
    assert torch.equal(null, found)
    given = conditional.predict(data.latents, timestep, condition())
    assert (given - null).abs().amax((1, 2, 3)).min() > 1e-4


def test_gradient_checkpointing_changes_no_gradient():
    plain = gradients(build(), batch())
    recomputed = gradients(build(gradient_checkpointing=True), batch())
    for name, value in plain.items():
        torch.testing.assert_close(recomputed[name], value, msg=name)


def test_bfloat16_autocast_stays_near():
    generator, data = build(), batch()
    exact = generator(data).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = generator(data).total
    assert near.dtype == torch.float32
    assert near.item() == pytest.approx(exact.item(), rel=0.03)


@pytest.mark.parametrize("half", [False, True])
def test_attention_is_that_of_diffusers(half):
    found = []
    for processor in (None, AttnProcessor2_0()):
        generator = build()
        if processor is not None:
            generator.network.set_attn_processor(processor)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = generator(batch()).total
        loss.backward()
        gradient = torch.cat(
            [w.grad.flatten() for w in generator.parameters() if w.grad is not None]
        )
        found.append((loss.detach(), gradient))
    (own, own_gradient), (theirs, their_gradient) = found
    torch.testing.assert_close(own, theirs, rtol=1e-3 if half else 0, atol=0)
    difference = (own_gradient - their_gradient).norm() / their_gradient.norm()
    assert difference <= (0.02 if half else 0)


def test_training_lowers_the_loss():
    generator, data = build(condition_width=None), batch(width=None)
    optimiser = torch.optim.AdamW(generator.parameters(), lr=3e-3)
    first = generator(data).total.item()
    for _ in range(60):
        optimiser.zero_grad()
        generator(data).total.backward()
        optimiser.step()
    assert generator(data).total.item() < 0.5 * first


def test_samples_of_the_network_do_not_depend_on_the_batch_size():
    generator = build().eval()
    noise = SampleNoise("experiment", 0, 0)
    every = condition(3)

    def sample(indices):
        part = Condition(
            every.perturbation[indices], every.cell_type[indices], every.embedding[indices]
        )
        source = noise.source(indices, (4, 8, 6))
        return denoise(lambda x, t: generator.predict(x, t, part), source, steps=4)

    torch.testing.assert_close(
        torch.cat([sample([0]), sample([1, 2])]), sample([0, 1, 2]), rtol=1e-4, atol=1e-5
    )


def test_what_does_not_fit_stops_in_words():
    with pytest.raises(ConfigError, match="SD-XXL"):
        UNetGenerator.from_preset("SD-XXL", latent_channels=4, latent_size=(8, 8))
    with pytest.raises(ConfigError, match="769 numbers"):
        build(condition_width=769)
    with pytest.raises(ConfigError, match="at least 1 token"):
        build(tokens=0)
    generator, data = build(), batch()
    timestep = torch.zeros(N).long()
    with pytest.raises(ConfigError, match="4 channels, not 3"):
        generator.predict(data.latents[:, :3], timestep, data.condition)
    with pytest.raises(DataError, match="but got none"):
        generator.predict(data.latents, timestep, condition(width=None))
    with pytest.raises(DataError, match=r"\[N, 5\], not \[3, 4\]"):
        generator.predict(data.latents, timestep, condition(width=4))
    with pytest.raises(DataError, match="uses no embeddings"):
        build(condition_width=None).predict(data.latents, timestep, condition())
    aligned = TrainingBatch(
        data.latents, data.noise, data.time, data.condition, data.drop, torch.zeros(N, 4, 6)
    )
    with pytest.raises(ConfigError, match="align"):
        generator(aligned)
