"""Trained generators, loaded from checkpoints."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from morphpipe.autoencoders.base import Codec
from morphpipe.autoencoders.load import load_codec
from morphpipe.config.fidelity import Reading
from morphpipe.core.devices import best_device
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.storage import sha256_of_file
from morphpipe.generators.base import Condition, Generator
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.condition_table import ConditionTable
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.tables.checkpoint_state import read_state
from morphpipe.training.checkpoint import load_average
from morphpipe.training.settings import TrainingSettings


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator with its averaged weights, ready to sample.

    Attributes
    ----------
    network
        In evaluation mode, on its device.
    vocabulary
        Its labels.
    settings
        How it was trained.
    step
        Optimizer steps it has seen.
    latent_shape
        [C', h, w].
    checksum
        Of the averaged weights.
    conditions
        Embeddings of perturbations; None where the generator learnt a table.
    """

    network: Generator
    vocabulary: Vocabulary
    settings: TrainingSettings
    step: int
    latent_shape: tuple[int, int, int]
    checksum: str
    conditions: ConditionTable | None = None

    def with_noise(self, reading: Reading) -> "TrainedGenerator":
        """The same generator, sampled with another reading of `fidelity.sampling_noise`."""
        fidelity = self.settings.fidelity.model_copy(update={"sampling_noise": reading})
        return replace(self, settings=replace(self.settings, fidelity=fidelity))

    def condition(self, plan: pd.DataFrame) -> Condition:
        """What the rows of a plan are of.

        Raises
        ------
        DataError
            Naming what the generator does not know: a cell type, a perturbation, or one without
            an embedding.
        """
        cell_types = torch.from_numpy(self.vocabulary.cell_type_indices(plan["cell_type"]))
        if self.conditions is None:
            perturbations = self.vocabulary.perturbation_indices(plan["perturbation"])
            return Condition(torch.from_numpy(perturbations), cell_types)
        rows = self.conditions.rows(plan["perturbation"], plan["concentration"])
        return Condition(
            torch.zeros_like(cell_types), cell_types, torch.from_numpy(self.conditions.matrix[rows])
        )


def load_generator(
    checkpoint: str | Path,
    latent_shape: tuple[int, int, int],
    device: str | torch.device = "cpu",
    *,
    conditions: ConditionTable | None = None,
) -> TrainedGenerator:
    """Load the averaged weights of a checkpoint to a device.

    Parameters
    ----------
    checkpoint
        As training writes it.
    latent_shape
        [C', h, w].
    conditions
        Embeddings, for instance of perturbations that training never saw; none takes the table
        that it was trained with, which stands in the checkpoint.

    Raises
    ------
    DataError
        When the checkpoint is damaged or of another latent size.
    """
    checkpoint = Path(checkpoint)
    state = read_state(checkpoint)
    settings = TrainingSettings.from_dict(state.settings)
    vocabulary = Vocabulary.load(checkpoint / "vocabulary.json")
    if settings.generator.condition is None:
        conditions = None
    elif conditions is None:
        conditions = ConditionTable.read(checkpoint / "conditions.parquet")
    network = build_generator(
        settings.generator,
        vocabulary,
        latent_shape,
        condition_width=None if conditions is None else conditions.width,
    )
    weights = {
        name: tensor
        for name, tensor in load_average(checkpoint).items()
        if not name.startswith("network.projector.")
    }
    try:
        missing = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise DataError(
            f"The checkpoint {checkpoint} does not fit latents of shape {latent_shape}: "
            f"{str(error)[:300]}"
        ) from None
    absent = set(missing.missing_keys) - {name for name, _ in network.named_buffers()}
    if absent or missing.unexpected_keys:
        raise DataError(
            f"The checkpoint {checkpoint} does not fit its settings: "
            f"{sorted(absent) or missing.unexpected_keys} do not match."
        )
    network.eval().requires_grad_(False).to(device)
    return TrainedGenerator(
        network,
        vocabulary,
        settings,
        state.step,
        latent_shape,
        sha256_of_file(checkpoint / "ema.safetensors"),
        conditions,
    )


def load_guide(
    checkpoint: str | Path, generator: TrainedGenerator, number: int | None = None
) -> TrainedGenerator:
    """Load an earlier checkpoint of the training of a generator, to guide it.

    Karras et al. 2024 (arXiv:2406.02507): the guide makes the same errors as the generator, only
    larger ones, so that what leads away from it leads towards the data.

    Parameters
    ----------
    checkpoint
        As training writes it at the end of a slice.
    generator
        The generator that is to be guided; the guide gets the conditions in the same way.
    number
        Number of the slice, from 0; none: any earlier one.

    Raises
    ------
    ConfigError
        When it is of another training, no earlier checkpoint, or that of another slice.
    """
    guide = load_generator(
        checkpoint,
        generator.latent_shape,
        next(generator.network.parameters()).device,
        conditions=generator.conditions,
    )
    same = (generator.settings.experiment, generator.settings.seed, generator.settings.generator)
    if (guide.settings.experiment, guide.settings.seed, guide.settings.generator) != same:
        raise ConfigError(
            f"The guide {checkpoint} is of the training {guide.settings.experiment}, seed "
            f"{guide.settings.seed}; a guide of {same[0]}, seed {same[1]}, is an earlier "
            "checkpoint of that training."
        )
    training = generator.settings.training
    expected = None if number is None else training.steps // training.slices * (number + 1)
    if guide.step >= generator.step or expected not in (None, guide.step):
        raise ConfigError(
            f"The guide {checkpoint} is of step {guide.step:,}, but is to be "
            + (f"earlier than {generator.step:,}" if expected is None else f"of step {expected:,}")
            + ": name the checkpoint of another slice."
        )
    return guide


def load_with_codec(
    checkpoint: str | Path,
    codec: str | Path,
    size: tuple[int, int] | None = None,
    *,
    scaling_factor: float | None = None,
    conditions: ConditionTable | None = None,
    finished: bool = False,
) -> tuple[TrainedGenerator, Codec]:
    """Load a generator and the codec that its latents belong to, on the best device.

    Parameters
    ----------
    checkpoint
        As training writes it.
    codec
        Folder of the AutoencoderKL.
    size
        Height and width of the images, pixels; none: those that it was trained on.
    scaling_factor
        Of the latents; none takes the codec's own.
    conditions
        See `load_generator`.
    finished
        Whether the training has to have come to its end.

    Raises
    ------
    DataError
        When the generator was trained on latents of another autoencoder, or has not been trained
        to its end. See also `load_generator`.
    """
    state = read_state(checkpoint)
    settings = TrainingSettings.from_dict(state.settings)
    device = best_device()
    steps = settings.training.steps
    if finished and state.step != steps:
        raise DataError(
            f"The checkpoint {checkpoint} is of step {state.step:,}, but its training ends at "
            f"{steps:,}: it is that of an earlier slice. Delete it and let the workflow train it "
            "again; `morphpipe generate` samples from checkpoints on the way."
        )
    decoder = load_codec(codec, settings.image_mode, scaling_factor=scaling_factor, device=device)
    found = decoder.fingerprint()
    if state.codec is not None and state.codec != found:
        raise DataError(
            f"The generator {checkpoint} was trained on latents of another autoencoder than "
            f"{codec}, or with another scaling factor (fingerprints {state.codec} and {found}): "
            f"give it the one that its settings call {settings.codec!r}."
        )
    channels = len(settings.channels) if settings.image_mode == "channels" else 3
    latent_shape = state.latent_shape
    if size is not None:
        latent_shape = decoder.latent_shape((channels, *size))
    return load_generator(checkpoint, latent_shape, device, conditions=conditions), decoder
