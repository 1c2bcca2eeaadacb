"""Load trained generators from checkpoints."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from morphpipe.autoencoders.base import Autoencoder
from morphpipe.autoencoders.load import load_autoencoder
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
        Its training settings.
    step
        Number of optimizer steps.
    latent_shape
        [C', h, w].
    checksum
        Checksum of the averaged weights.
    conditions
        Embeddings of perturbations; None for a learnt table.
    """

    network: Generator
    vocabulary: Vocabulary
    settings: TrainingSettings
    step: int
    latent_shape: tuple[int, int, int]
    checksum: str
    conditions: ConditionTable | None = None

    def with_noise(self, reading: Reading) -> "TrainedGenerator":
        """Copy with another value of `fidelity.sampling_noise`."""
        fidelity = self.settings.fidelity.model_copy(update={"sampling_noise": reading})
        return replace(self, settings=replace(self.settings, fidelity=fidelity))

    def condition(self, plan: pd.DataFrame) -> Condition:
        """Condition of a plan's rows.

        Raises
        ------
        DataError
            If a cell type or perturbation is unknown, or a perturbation has no embedding.
        """
        cell_types = torch.from_numpy(self.vocabulary.cell_type_indices(plan["cell_type"]))
        batches = None
        if self.vocabulary.batches:
            batches = torch.from_numpy(self.vocabulary.batch_indices(plan["batch"]))
        if self.conditions is None:
            perturbations = self.vocabulary.perturbation_indices(plan["perturbation"])
            return Condition(torch.from_numpy(perturbations), cell_types, batch=batches)
        rows = self.conditions.rows(plan["perturbation"], plan["concentration"])
        embeddings = torch.from_numpy(self.conditions.matrix[rows])
        return Condition(torch.zeros_like(cell_types), cell_types, embeddings, batches)


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
        A checkpoint folder.
    latent_shape
        [C', h, w].
    conditions
        Embeddings, e.g. of perturbations unseen in training; None uses the table in the checkpoint.

    Raises
    ------
    DataError
        If the checkpoint is damaged or has another latent size.
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
    """Load an earlier checkpoint of a generator's training as its guide.

    Karras et al. 2024 (arXiv:2406.02507): the guide makes the generator's errors, only larger, so
    that moving away from it leads towards the data.

    Parameters
    ----------
    checkpoint
        The checkpoint of a slice.
    generator
        The generator to guide; the guide has the same conditions.
    number
        Number of the slice, from 0; None for any earlier one.

    Raises
    ------
    ConfigError
        If it belongs to another training, is not earlier, or belongs to another slice.
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
            f"The guide {checkpoint} belongs to the training {guide.settings.experiment}, seed "
            f"{guide.settings.seed}; a guide for {same[0]}, seed {same[1]}, must be an earlier "
            "checkpoint of that training."
        )
    training = generator.settings.training
    expected = None if number is None else training.steps // training.slices * (number + 1)
    if guide.step >= generator.step or expected not in (None, guide.step):
        raise ConfigError(
            f"The guide {checkpoint} is of step {guide.step:,}, but is to be "
            + (f"earlier than {generator.step:,}" if expected is None else f"of step {expected:,}")
            + ": use the checkpoint of another slice."
        )
    return guide


def load_with_autoencoder(
    checkpoint: str | Path,
    autoencoder: str | Path,
    size: tuple[int, int] | None = None,
    *,
    scaling_factor: float | None = None,
    conditions: ConditionTable | None = None,
    finished: bool = False,
) -> tuple[TrainedGenerator, Autoencoder]:
    """Load a generator and the autoencoder of its latents, on the best device.

    Parameters
    ----------
    checkpoint
        A checkpoint folder.
    autoencoder
        Folder of the AutoencoderKL.
    size
        Height and width of the images, pixels; None for those of training.
    scaling_factor
        Scaling factor of the latents; None for the autoencoder's own.
    conditions
        See `load_generator`.
    finished
        Whether to require a finished training.

    Raises
    ------
    DataError
        If the generator was trained on latents of another autoencoder, or its training is
        unfinished. See also `load_generator`.
    """
    state = read_state(checkpoint)
    settings = TrainingSettings.from_dict(state.settings)
    device = best_device()
    steps = settings.training.steps
    if finished and state.step != steps:
        raise DataError(
            f"The checkpoint {checkpoint} is of step {state.step:,}, but its training ends at "
            f"{steps:,}: it belongs to an earlier slice. Delete it and rerun the workflow; "
            "`morphpipe generate` can sample from intermediate checkpoints."
        )
    decoder = load_autoencoder(
        autoencoder, settings.image_mode, scaling_factor=scaling_factor, device=device
    )
    found = decoder.fingerprint()
    if state.autoencoder is not None and state.autoencoder != found:
        raise DataError(
            f"The generator {checkpoint} was trained on latents of another autoencoder than "
            f"{autoencoder}, or with another scaling factor (fingerprints {state.autoencoder} and "
            f"{found}): use the autoencoder {settings.autoencoder!r} of its settings."
        )
    channels = len(settings.channels) if settings.image_mode == "channels" else 3
    latent_shape = state.latent_shape
    if size is not None:
        latent_shape = decoder.latent_shape((channels, *size))
    return load_generator(checkpoint, latent_shape, device, conditions=conditions), decoder
