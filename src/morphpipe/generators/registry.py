"""Registry of generator families, by the `kind` of their settings."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from morphpipe.config.generators import Generator as Settings
from morphpipe.generators.base import Generator
from morphpipe.perturbations.vocabulary import Vocabulary

# Imported lazily, since diffusers takes seconds.
FAMILIES = {
    "sit": "morphpipe.generators.sit",
    "flow_unet": "morphpipe.generators.flow_unet",
    "cellflux": "morphpipe.generators.cellflux",
    "unet": "morphpipe.generators.unet",
    "impa": "morphpipe.generators.impa",
}


def _family(settings: Settings) -> ModuleType:
    return import_module(FAMILIES[settings.kind])


def build_generator(
    settings: Settings,
    vocabulary: Vocabulary,
    latent_shape: tuple[int, int, int],
    *,
    target_width: int | None = None,
    condition_width: int | None = None,
    gradient_checkpointing: bool = False,
    weights: str | Path | None = None,
) -> Generator:
    """Build the generator of an experiment, with its initial weights.

    Parameters
    ----------
    settings
        The experiment's `generator`.
    vocabulary
        Defines the sizes of the label tables.
    latent_shape
        [C', h, w].
    target_width
        Width of the alignment tokens; None without alignment, and for sampling.
    condition_width
        Width of the perturbation embeddings; None for a learnt table.
    gradient_checkpointing
        Recompute blocks in the backward pass.
    weights
        Folder of initial weights; None for random initialisation.
    """
    built: Generator = _family(settings).build(
        settings,
        vocabulary,
        latent_shape,
        target_width=target_width,
        condition_width=condition_width,
        gradient_checkpointing=gradient_checkpointing,
        weights=weights,
    )
    return built


def operations(settings: Settings, channels: int, size: int) -> tuple[float, float]:
    """Count the operations of one pass over one latent, and the parameters.

    Parameters
    ----------
    settings
        The experiment's `generator`.
    channels, size
        Shape of the latent.
    """
    forward, parameters = _family(settings).operations(settings.architecture, channels, size)
    return float(forward), float(parameters)
