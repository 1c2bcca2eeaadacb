"""CellFlux: a flow from images of controls to images of treated cells of the same batch.

The network is ADM's U-Net (Dhariwal and Nichol 2021, arXiv:2105.05233) on pixels, which predicts
the velocity of the straight path from a control, with noise added, to a treated image. The coupling
is in `morphpipe.training.data` and `morphpipe.sampling.start`.
"""

from typing import Any

from morphpipe.config.generators import CellFlux as Settings
from morphpipe.config.sit_presets import CELLFLUX_PRESETS
from morphpipe.generators.flow import FlowGenerator, build_flow, count_operations
from morphpipe.generators.flow_unet import FlowUNet
from morphpipe.perturbations.vocabulary import Vocabulary


class CellFlux(FlowUNet):
    """CellFlux's U-Net by its presets."""

    presets = CELLFLUX_PRESETS


def build(
    settings: Settings, vocabulary: Vocabulary, latent_shape: tuple[int, int, int], **options: Any
) -> FlowGenerator:
    """Build a generator with this network; see `registry.build_generator`."""
    return build_flow(CellFlux, settings, vocabulary, latent_shape, preconditioned=False, **options)


def operations(architecture: str, channels: int, size: int) -> tuple[float, float]:
    """Operations of one forward pass over one image, and parameters."""
    return count_operations(CellFlux, architecture, channels, size)
