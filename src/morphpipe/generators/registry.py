"""The families of generators: by the `kind` of their settings, the module that has the rest."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from morphpipe.config.generators import Generator as Settings
from morphpipe.generators.base import Generator
from morphpipe.perturbations.vocabulary import Vocabulary

# Imported when one is built, since diffusers takes seconds.
FAMILIES = {
    "sit": "morphpipe.generators.sit",
    "flow_unet": "morphpipe.generators.flow_unet",
    "unet": "morphpipe.generators.unet",
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
        Folder of weights to start from; none: fresh ones.
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
    """Operations of one pass of a network over one latent, and its number of parameters.

    Parameters
    ----------
    settings
        The experiment's `generator`.
    channels, size
        Of the latent.
    """
    forward, parameters = _family(settings).operations(settings.architecture, channels, size)
    return float(forward), float(parameters)
