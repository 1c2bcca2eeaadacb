"""MorphoDiff: Stable Diffusion's U-Net on latents of RGB images, conditioned on a perturbation.

The prompt's tokens are replaced by a perturbation embedding, centre-padded to a token's width and
repeated (MorphoDiff, section 3.1 and released code); the network predicts the noise. The paper's
baseline ("Stable Diffusion") is the same network with a constant prompt.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from diffusers.models import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from morphpipe.config.generators import UNet as Settings
from morphpipe.config.sampling import DIFFUSION, Sampling
from morphpipe.config.unet_presets import UNET_PRESETS
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.generators.base import Condition, Generator, Losses, TrainingBatch
from morphpipe.generators.layers import FEW_TOKENS, pad_tokens
from morphpipe.generators.unet_folder import load_unet, save_unet
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.transport.diffusion import STABLE_DIFFUSION, denoise, invert
from morphpipe.transport.noise import NoiseSource
from morphpipe.transport.samplers import Velocity


class UNetAttention:
    """diffusers' attention processor with `layers.attend`."""

    def __init__(self) -> None:
        self.fused = AttnProcessor2_0()
        self.plain = AttnProcessor()

    def __call__(self, attention: Attention, x: Tensor, *args: Any, **options: Any) -> Tensor:
        """Attend from the tokens x [N, T, width] as `AttnProcessor` does."""
        half = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        attend = self.plain if half and x.shape[1] <= FEW_TOKENS else self.fused
        return attend(attention, x, *args, **options)


class UNetGenerator(Generator):
    """A conditional U-Net with its loss.

    All copies of a token are equal, so attention over them is uniform: 77 tokens, as in MorphoDiff,
    and one give the same outputs and gradients, and the condition acts as a bias of each attention
    layer. Queries and keys of these layers matter (and receive a gradient) only with
    several labels.

    Parameters
    ----------
    network
        The U-Net; its `enable_gradient_checkpointing` saves memory in training.
    perturbations, cell_types
        Number of classes.
    condition_width
        Width of the condition embeddings, at most a token's. None: a learnt token per perturbation.
        0: a constant prompt (the baseline).
    tokens
        Repetitions of the condition's tokens; 77 in MorphoDiff.
    padding
        Padding value of embeddings; 1 in MorphoDiff's code. A token of only this value is the
        constant prompt, also used for dropped labels.
    batches
        Number of batches.
    labels
        Labels with a token each: `perturbation`, and `cell_type` and `batch`, which have learnt
        ones; MorphoDiff has the perturbation alone. Without any there is the constant prompt.

    Raises
    ------
    ConfigError
        If an embedding is wider than a token, or there is no token.
    """

    def __init__(
        self,
        network: UNet2DConditionModel,
        *,
        perturbations: int,
        cell_types: int,
        condition_width: int | None,
        tokens: int = 1,
        padding: float = 1.0,
        batches: int = 0,
        labels: Sequence[str] = ("perturbation",),
    ) -> None:
        super().__init__()
        self.token_width = int(network.config["cross_attention_dim"])
        if condition_width is not None and not 0 <= condition_width <= self.token_width:
            raise ConfigError(
                f"An embedding of {condition_width} numbers does not fit into a token of "
                f"{self.token_width}, which this U-Net attends to: choose a narrower condition."
            )
        if tokens < 1:
            raise ConfigError(f"A U-Net needs at least 1 token, not {tokens}.")
        self.network = network
        # diffusers' annotation allows only its own classes.
        self.network.set_attn_processor(UNetAttention())  # type: ignore[arg-type]
        self.condition_width = condition_width
        self.tokens = tokens
        self.padding = padding
        self.schedule = STABLE_DIFFUSION
        # Tables from N(0, 1), the scale of Stable Diffusion's tokens.
        self.labels = tuple(labels)
        self.perturbation: nn.Embedding | None = None
        if condition_width is None and "perturbation" in labels:
            self.perturbation = nn.Embedding(perturbations, self.token_width)
        self.cell_type: nn.Embedding | None = None
        if "cell_type" in labels:
            self.cell_type = nn.Embedding(cell_types, self.token_width)
        # One more, for batches that are not known.
        self.batch: nn.Embedding | None = None
        if "batch" in labels:
            self.batch = nn.Embedding(batches + 1, self.token_width)

    @classmethod
    def from_preset(
        cls,
        name: str,
        *,
        latent_channels: int,
        latent_size: tuple[int, int],
        gradient_checkpointing: bool = False,
        **options: Any,
    ) -> Self:
        """Build a size from `morphpipe.config.unet_presets`; `options` as for the class.

        Raises
        ------
        ConfigError
            If the preset is unknown, or the sizes do not fit together.
        """
        if name not in UNET_PRESETS:
            raise ConfigError(
                f'Unknown U-Net preset "{name}"; choose from {", ".join(UNET_PRESETS)}.'
            )
        network = UNet2DConditionModel(
            sample_size=latent_size,
            in_channels=latent_channels,
            out_channels=latent_channels,
            **UNET_PRESETS[name].settings(),
        )
        if gradient_checkpointing:
            network.enable_gradient_checkpointing()
        generator = cls(network, **options)
        generator.check_channels(latent_channels)
        return generator

    def check_channels(self, channels: int) -> None:
        """Raise ConfigError unless the network is for latents of so many channels."""
        expected = self.network.config["in_channels"]
        if channels != expected:
            raise ConfigError(
                f"This U-Net needs latents of {expected} channels, not {channels}: MorphoDiff "
                "encodes RGB images (image_mode rgb)."
            )

    def compile_blocks(self) -> None:
        """Compile the levels of the U-Net with torch.compile."""
        for block in (*self.network.down_blocks, self.network.mid_block, *self.network.up_blocks):
            # With fixed shapes, as in `FlowGenerator`.
            block.compile(dynamic=False)

    def losses(self, batch: TrainingBatch) -> Losses:
        """Mean squared error of the noise, at the timesteps floor(1000 time).

        Raises
        ------
        ConfigError
            If the batch has alignment targets, or its latents do not fit the network.
        DataError
            If the condition does not match the generator.
        """
        if batch.targets is not None:
            raise ConfigError("A U-Net has no tokens to align: remove generator.alignment.")
        timestep = self.schedule.timestep(batch.time)
        x = self.schedule.diffuse(batch.latents, batch.noise, timestep)
        predicted = self._predict(x, timestep, batch.condition, batch.drop)
        diffusion = F.mse_loss(predicted.float(), batch.noise.float())
        return Losses(diffusion, diffusion, None)

    def predict(
        self, x: Tensor, time: Tensor, condition: Condition, *, null: bool = False
    ) -> Tensor:
        """Predict the noise at a state and timestep.

        Parameters
        ----------
        x
            float [N, C, h, w].
        time
            Timesteps [N], in [0, 1000): int64, or float between two timesteps.
        condition
            Conditions of the N images.
        null
            Replace the condition by the constant prompt, for guidance.

        Returns
        -------
        Tensor
            [N, C, h, w].

        Raises
        ------
        ConfigError, DataError
            See `losses`.
        """
        drop = torch.full((len(x), 3), null, dtype=torch.bool, device=x.device)
        return self._predict(x, time, condition, drop)

    def solve(self, field: Velocity, noise: NoiseSource, settings: Sampling) -> Tensor:
        """Remove the predicted noise step by step."""
        sampler, steps = settings.sampler_for(DIFFUSION), settings.steps_for(DIFFUSION)
        return denoise(field, noise, sampler=sampler, steps=steps)

    def solve_back(self, field: Velocity, data: Tensor, settings: Sampling) -> Tensor:
        """Add the predicted noise step by step."""
        sampler, steps = settings.sampler_for(DIFFUSION), settings.steps_for(DIFFUSION)
        return invert(field, data, sampler=sampler, steps=steps)

    def save_diffusers(self, folder: str | Path) -> None:
        """Write the U-Net in diffusers' layout; see `unet_folder.save_unet`."""
        save_unet(folder, self)

    def prompt(self, condition: Condition, drop: Tensor) -> Tensor:
        """Return the tokens that the network attends to.

        Parameters
        ----------
        condition
            Conditions of N images.
        drop
            bool [N, 3]; where true, the token of the perturbation (first column), of the cell type
            (second) or of the batch (third) is the constant prompt.

        Returns
        -------
        Tensor
            float32 [N, T, width of a token].

        Raises
        ------
        DataError
            If the condition does not match the generator.
        """
        parts, dropped = [], []
        if "perturbation" in self.labels:
            parts.append(self._perturbation_token(condition))
            dropped.append(drop[:, 0])
        if self.cell_type is not None:
            parts.append(self.cell_type(condition.cell_type))
            dropped.append(drop[:, 1])
        if self.batch is not None:
            unknown = torch.full_like(condition.cell_type, self.batch.num_embeddings - 1)
            parts.append(self.batch(unknown if condition.batch is None else condition.batch))
            dropped.append(drop[:, 2])
        if not parts:
            shape = (len(condition.cell_type), 1, self.token_width)
            prompt = torch.full(shape, self.padding, device=condition.cell_type.device)
            return prompt.repeat(1, self.tokens, 1)
        tokens = torch.where(
            torch.stack(dropped, dim=1)[:, :, None], self.padding, torch.stack(parts, dim=1)
        )
        return tokens.repeat(1, self.tokens, 1)

    def _perturbation_token(self, condition: Condition) -> Tensor:
        """Token of the perturbation, float32 [N, width of a token]."""
        embedding = condition.embedding
        if self.perturbation is not None:
            if embedding is not None:
                raise DataError(
                    "This U-Net has learnt a token per perturbation and uses no embeddings: remove "
                    "the condition, or train a U-Net with it."
                )
            return self.perturbation(condition.perturbation)
        if embedding is None and self.condition_width == 0:
            embedding = condition.perturbation.new_empty((len(condition.perturbation), 0))
        if embedding is None:
            raise DataError(
                f"This U-Net is conditioned on embeddings of {self.condition_width} numbers, but "
                "got none: pass the condition that it was trained with."
            )
        if embedding.ndim != 2 or embedding.shape[1] != self.condition_width:
            raise DataError(
                f"This U-Net is conditioned on embeddings [N, {self.condition_width}], not "
                f"{list(embedding.shape)}: pass the condition that it was trained with."
            )
        return pad_tokens(embedding, self.token_width, self.padding)

    def _predict(self, x: Tensor, timestep: Tensor, condition: Condition, drop: Tensor) -> Tensor:
        self.check_channels(x.shape[1])
        prompt = self.prompt(condition, drop)
        return self.network(x, timestep, encoder_hidden_states=prompt).sample


def build(
    settings: Settings,
    vocabulary: Vocabulary,
    latent_shape: tuple[int, int, int],
    *,
    condition_width: int | None,
    gradient_checkpointing: bool,
    weights: str | Path | None,
    **_: Any,
) -> UNetGenerator:
    """Build MorphoDiff's generator; see `registry.build_generator`."""
    options: dict[str, Any] = {
        "perturbations": len(vocabulary.perturbations),
        "cell_types": len(vocabulary.cell_types),
        "condition_width": condition_width,
        "tokens": settings.tokens,
        "padding": settings.padding,
        "batches": len(vocabulary.batches),
        "labels": settings.labels,
    }
    if weights is None:
        return UNetGenerator.from_preset(
            settings.architecture,
            latent_channels=latent_shape[0],
            latent_size=latent_shape[1:],
            gradient_checkpointing=gradient_checkpointing,
            **options,
        )
    network = load_unet(weights)
    if gradient_checkpointing:
        network.enable_gradient_checkpointing()
    generator = UNetGenerator(network, **options)
    generator.check_channels(latent_shape[0])
    # Checkpoints are rebuilt from the preset's name.
    for key, value in UNET_PRESETS[settings.architecture].settings().items():
        found = network.config[key]
        if (list(found) if isinstance(found, list | tuple) else found) != (
            list(value) if isinstance(value, tuple) else value
        ):
            raise ConfigError(
                f"The U-Net in {weights} has {key} {found}, but generator.architecture is "
                f"{settings.architecture}, which has {value}: configure the matching preset."
            )
    return generator


def operations(architecture: str, channels: int, size: int) -> tuple[float, float]:
    """Operations of one forward pass over one latent, and parameters.

    Counted by torch on meta tensors, for an RGB image whatever the channels.
    """
    preset = UNET_PRESETS[architecture]
    with torch.device("meta"):
        network = UNet2DConditionModel(
            in_channels=4, out_channels=4, sample_size=size, **preset.settings()
        )
        latent = torch.empty(1, 4, size, size)
        token = torch.empty(1, 1, preset.cross_attention_dim)
        with FlopCounterMode(display=False) as counter:
            network(latent, torch.zeros(1, dtype=torch.int64), token)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return float(counter.get_total_flops()), float(parameters)
