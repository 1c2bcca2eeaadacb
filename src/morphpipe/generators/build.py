"""From settings to a generator."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from morphpipe.config.generators import FlowUNet, Generator, SiT, UNet
from morphpipe.config.unet_presets import UNET_PRESETS
from morphpipe.core.errors import ConfigError
from morphpipe.generators.flow import FlowGenerator
from morphpipe.generators.flow_unet import FlowUNet as FlowUNetNetwork
from morphpipe.generators.sit import SiT as SiTNetwork
from morphpipe.perturbations.vocabulary import Vocabulary

if TYPE_CHECKING:
    from morphpipe.generators.unet import UNetGenerator


def build_generator(
    settings: Generator,
    vocabulary: Vocabulary,
    latent_shape: tuple[int, int, int],
    *,
    target_width: int | None = None,
    condition_width: int | None = None,
    gradient_checkpointing: bool = False,
    weights: str | Path | None = None,
) -> "FlowGenerator | UNetGenerator":
    """Build the generator of an experiment, with the weights that its training starts from.

    Parameters
    ----------
    settings
        The experiment's `generator`.
    vocabulary
        Sizes the label tables.
    latent_shape
        [C', h, w].
    target_width
        Width of the alignment's tokens; none without alignment, and for sampling.
    condition_width
        Width of the perturbations' embeddings; none where the generator learns a table.
    gradient_checkpointing
        Recompute blocks in the backward pass.
    weights
        Folder of a U-Net in diffusers' layout to start from; none: fresh weights.
    """
    if isinstance(settings, UNet):
        return _unet(
            settings, vocabulary, latent_shape, condition_width, gradient_checkpointing, weights
        )
    return _flow(
        settings, vocabulary, latent_shape, target_width, condition_width, gradient_checkpointing
    )


def _flow(
    settings: SiT | FlowUNet,
    vocabulary: Vocabulary,
    latent_shape: tuple[int, int, int],
    target_width: int | None,
    condition_width: int | None,
    gradient_checkpointing: bool,
) -> FlowGenerator:
    alignment = settings.alignment
    options: dict[str, Any] = {"normalise_labels": settings.normalise_labels}
    if alignment is not None and target_width is not None:
        options["alignment_width"] = target_width
        options["projector_width"] = alignment.projector_width
        if isinstance(settings, SiT) and settings.alignment is not None:
            options["alignment_depth"] = settings.alignment.block
    kind = SiTNetwork if isinstance(settings, SiT) else FlowUNetNetwork
    network: SiTNetwork | FlowUNetNetwork = kind.from_preset(
        settings.architecture,
        latent_channels=latent_shape[0],
        latent_size=latent_shape[1:],
        perturbations=len(vocabulary.perturbations),
        cell_types=len(vocabulary.cell_types),
        condition_width=condition_width,
        gradient_checkpointing=gradient_checkpointing,
        **options,
    )
    weight = 0.0 if alignment is None else alignment.weight
    return FlowGenerator(network, alignment_weight=weight)


def _unet(
    settings: UNet,
    vocabulary: Vocabulary,
    latent_shape: tuple[int, int, int],
    condition_width: int | None,
    gradient_checkpointing: bool,
    weights: str | Path | None,
) -> "UNetGenerator":
    # Here alone, since diffusers takes seconds to import.
    from morphpipe.generators.unet import UNetGenerator
    from morphpipe.generators.unet_folder import load_unet

    options: dict[str, Any] = {
        "perturbations": len(vocabulary.perturbations),
        "cell_types": len(vocabulary.cell_types),
        "condition_width": condition_width,
        "tokens": settings.tokens,
        "padding": settings.padding,
        "cell_type_token": settings.cell_type_token,
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
    generator.check_latents(*latent_shape)
    # A checkpoint is built again from the preset's name.
    for key, value in UNET_PRESETS[settings.architecture].settings().items():
        found = network.config[key]
        if (list(found) if isinstance(found, list | tuple) else found) != (
            list(value) if isinstance(value, tuple) else value
        ):
            raise ConfigError(
                f"The U-Net in {weights} has {key} {found}, but generator.architecture is "
                f"{settings.architecture}, which has {value}: name the preset that it is of."
            )
    return generator
