"""From settings to a generator."""

from morphpipe.config.experiments import Generator
from morphpipe.generators.morphgen import SiTGenerator
from morphpipe.generators.sit import SiT
from morphpipe.perturbations.vocabulary import Vocabulary


def build_generator(
    settings: Generator,
    vocabulary: Vocabulary,
    latent_shape: tuple[int, int, int],
    *,
    target_width: int | None = None,
    gradient_checkpointing: bool = False,
) -> SiTGenerator:
    """Build the generator of an experiment, with fresh weights.

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
    gradient_checkpointing
        Recompute blocks in the backward pass.
    """
    alignment = settings.alignment
    options = {}
    if alignment is not None and target_width is not None:
        options = {
            "alignment_width": target_width,
            "alignment_depth": alignment.block,
            "projector_width": alignment.projector_width,
        }
    network = SiT.from_preset(
        settings.architecture,
        latent_channels=latent_shape[0],
        latent_size=latent_shape[1:],
        perturbations=len(vocabulary.perturbations),
        cell_types=len(vocabulary.cell_types),
        gradient_checkpointing=gradient_checkpointing,
        **options,
    )
    weight = 0.0 if alignment is None else alignment.weight
    return SiTGenerator(network, alignment_weight=weight)
