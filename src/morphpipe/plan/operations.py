"""Operations of a network for one image."""

import torch

from morphpipe.config.generators import Generator
from morphpipe.config.sit_presets import PRESETS, token_stride
from morphpipe.config.unet_presets import UNET_PRESETS


def sit_operations(architecture: str, tokens: int) -> float:
    """Operations of one forward pass of a SiT over one image (multiply and add count as two).

    Per block and token 24 width^2 for the linear layers and 4 tokens width for attention; the
    modulation (12 width^2) counts once per image.
    """
    preset = PRESETS[architecture]
    width = preset.width
    per_token = 24 * width**2 + 4 * tokens * width
    return float(preset.depth * (tokens * per_token + 12 * width**2))


def unet_operations(architecture: str, size: int) -> tuple[float, float]:
    """Operations of one forward pass of a U-Net over one latent, and its parameters.

    Counted by torch on tensors without content.
    """
    from diffusers.models import UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

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


def flow_unet_operations(architecture: str, channels: int, size: int) -> tuple[float, float]:
    """Operations of one forward pass of a U-Net of a flow over one latent, and its parameters.

    Counted by torch on tensors without content.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from morphpipe.generators.flow_unet import FlowUNet

    stride = token_stride(architecture)
    size = -(-size // stride) * stride
    with torch.device("meta"):
        network = FlowUNet.from_preset(
            architecture, latent_channels=channels, latent_size=size, perturbations=1, cell_types=1
        )
        label = torch.zeros(1, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, channels, size, size), torch.empty(1), label, label)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return float(counter.get_total_flops()), float(parameters)


def generator_operations(
    generator: Generator, latent_channels: int, latent_size: int
) -> tuple[float, float]:
    """Operations of one forward pass of a generator over one latent, and its parameters."""
    if generator.kind == "unet":
        multiple = UNET_PRESETS[generator.architecture].downsampling
        return unet_operations(generator.architecture, -(-latent_size // multiple) * multiple)
    if generator.kind == "flow_unet":
        return flow_unet_operations(generator.architecture, latent_channels, latent_size)
    preset = PRESETS[generator.architecture]
    tokens = (latent_size // preset.patch) ** 2
    return sit_operations(generator.architecture, tokens), 18.0 * preset.width**2 * preset.depth
