"""Counterfactuals: the cells of an image as a generator would have them under a treatment.

Generators that start from images take the image as their start. The others find the noise that
leads to the image under its own label, and go from there under the treatment's: DDIM inversion, or
the flow's ordinary differential equation both ways. (Su et al. 2023, arXiv:2203.08382, call it a
dual diffusion implicit bridge.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from morphpipe.autoencoders.base import Autoencoder
from morphpipe.autoencoders.latents import autoencoder_input
from morphpipe.config.sampling import Guidance, Path, Sampling
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.imaging.rgb import RGB_CHANNELS
from morphpipe.perturbations.names import closest
from morphpipe.sampling.generate import sample_latents
from morphpipe.sampling.load import TrainedGenerator
from morphpipe.sampling.plan import with_kinds
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.manifest import ChannelManifest
from morphpipe.training.settings import TrainingSettings

STEPS = 25
"""Of a flow both ways, where nothing is said: see docs/sampling.md."""


@dataclass(frozen=True)
class Counterfactuals:
    """What became of a batch of start fields, uint8 [n, C, H, W] each.

    Attributes
    ----------
    start
        As the autoencoder is given them.
    encoded
        Through the autoencoder and back, without the generator.
    reconstructed
        By the generator, under the label that they have.
    treated
        By the generator, under the treatment's label.
    """

    start: NDArray[np.uint8]
    encoded: NDArray[np.uint8]
    reconstructed: NDArray[np.uint8]
    treated: NDArray[np.uint8]


def start_fields(
    fields: FieldTable,
    *,
    every: bool = False,
    field_ids: Sequence[str] = (),
    most: int | None = None,
) -> FieldTable:
    """Choose the fields to start from.

    Parameters
    ----------
    fields
        The fields at hand.
    every
        Take all fields, not only negative controls.
    field_ids
        Take these fields.
    most
        Take at most so many, the first of the table.

    Raises
    ------
    DataError
        If none is left, a name is not in the table, or the fields differ in size.
    """
    if field_ids:
        missing = sorted(set(field_ids) - set(fields.field_ids))
        if missing:
            raise DataError(
                f"None of the {len(fields)} fields has the field_id {missing[0]!r}, which --field "
                "names: look at the names of the folders in the archive."
            )
        chosen = fields.select(field_ids)
    elif every:
        chosen = fields
    else:
        chosen = fields.take(np.flatnonzero(fields.keys()["control"] == "negative"))
        if not len(chosen):
            raise DataError(
                f"None of the {len(fields)} fields is a negative control (column `control`): name "
                "fields with --field, or take all with --all."
            )
    chosen = chosen.take(np.arange(len(chosen))[:most])
    if not len(chosen):
        raise DataError("There are no fields to start from: the field table is empty.")
    sizes = chosen.keys()[["height", "width"]].drop_duplicates()
    if len(sizes) > 1:
        listed = ", ".join(f"{row.height}x{row.width}" for row in sizes.itertuples())
        raise DataError(f"The fields have several sizes ({listed}): crop them to one.")
    return chosen


def check_channels(manifest: ChannelManifest, settings: TrainingSettings) -> None:
    """Check that a generator can take images.

    Parameters
    ----------
    manifest
        Of the images.
    settings
        Of the generator.

    Raises
    ------
    DataError
        If channels or bit depth are not those of training.
    """
    # What is RGB already says nothing of its stains.
    if settings.image_mode == "channels" or RGB_CHANNELS not in (manifest.names, settings.channels):
        manifest.require(settings.channels, f"The generator {settings.experiment}")
    if manifest.bit_depth != 8:
        raise DataError(
            f"The fields have {manifest.bit_depth} bits, but generators take 8: scale them as the "
            "training images were, with `morphpipe datasets preprocess`."
        )


def own_labels(
    fields: pd.DataFrame,
    generator: TrainedGenerator,
    *,
    perturbation: str | None = None,
    cell_type: str | None = None,
) -> pd.DataFrame:
    """Labels of the start fields as the generator calls them, as a sampling plan.

    Parameters
    ----------
    fields
        Columns of the field table, see `FieldTable.keys`.
    generator
        The generator.
    perturbation, cell_type
        What the generator calls those of all fields; None for the names in the table. Negative
        controls of unknown name get the name of the generator's negative control, if it has one.

    Raises
    ------
    DataError
        If a label is unknown to the generator.
    """
    vocabulary, conditions = generator.vocabulary, generator.conditions
    plan = fields[["cell_type", "perturbation", "concentration"]].reset_index(drop=True)
    plan["concentration"] = plan["concentration"].astype("float64")
    plan["batch"] = fields[generator.settings.generator.batch_by].to_numpy()
    plan["start_field"] = fields["field_id"].to_numpy()
    plan["image"] = plan["index_in_condition"] = np.arange(len(plan))
    if cell_type is not None:
        plan["cell_type"] = cell_type
    if perturbation is not None:
        plan["perturbation"] = perturbation
    doses = {} if conditions is None else conditions.concentrations()
    known = vocabulary.perturbations if conditions is None else tuple(doses)
    negative = (fields["control"] == "negative").to_numpy()
    unknown = ~plan["perturbation"].isin(known)
    controls = [name for name in vocabulary.negative_controls if name in known]
    if perturbation is None and len(controls) == 1:
        renamed = unknown & negative
        plan.loc[renamed, "perturbation"] = controls[0]
        unknown &= ~renamed
    if unknown.any():
        name = plan.loc[unknown, "perturbation"].iloc[0]
        similar = closest(name, known) or next(iter([*controls, *known]))
        raise DataError(
            f"The start field {plan.loc[unknown, 'start_field'].iloc[0]} is of the perturbation "
            f"{name!r}, which is unknown to the generator: say with --start-perturbation what it "
            f"is there, {similar!r} for instance."
        )
    # A vehicle's concentration says nothing: 0 here, and none or its share of the medium there.
    for row in np.flatnonzero(negative):
        of_label = doses.get(plan.at[row, "perturbation"], [])
        if len(of_label) == 1:
            plan.loc[row, "concentration"] = of_label[0]
    return with_kinds(plan, vocabulary)


def treated_labels(
    own: pd.DataFrame,
    generator: TrainedGenerator,
    perturbation: str,
    concentration: float | None = None,
) -> pd.DataFrame:
    """The labels of the start fields with another perturbation, see `own_labels`.

    Parameters
    ----------
    own
        Output of `own_labels`.
    generator
        The generator.
    perturbation
        The treatment.
    concentration
        Micromolar; not used if the generator ignores it.

    Raises
    ------
    ConfigError
        If the generator makes no difference between the perturbations.
    DataError
        If a label is unknown.
    """
    settings = generator.settings
    if "perturbation" not in settings.generator.labels:
        raise ConfigError(
            f"The generator {settings.experiment} is not conditioned on the perturbation, so there "
            "is nothing to change: use one whose `labels` have it."
        )
    dose = np.nan if concentration is None else concentration
    wanted = with_kinds(
        own.assign(perturbation=perturbation, concentration=dose), generator.vocabulary
    )
    before, after = generator.condition(own).embedding, generator.condition(wanted).embedding
    if before is not None and after is not None and torch.equal(before, after):
        raise ConfigError(
            f"The generator {settings.experiment} has the same embedding for {perturbation!r} as "
            "for the start fields, so there is nothing to change: choose another perturbation."
        )
    return wanted


def ignores_concentration(generator: TrainedGenerator) -> bool:
    """Whether the concentration has no effect on what is generated."""
    conditions = generator.conditions
    return conditions is None or conditions.settings["concentration"] == "ignored"


def counterfactual_sampling(
    generator: TrainedGenerator, steps: int | None, guidance: float
) -> Sampling:
    """How counterfactuals of a generator are sampled.

    Parameters
    ----------
    generator
        The generator.
    steps
        Steps of the sampler, one way; None for 25 of a flow that is gone back, and the usual
        number of others.
    guidance
        Guidance scale of the treatment; 1 is off. The way back and the reconstruction are not
        guided.
    """
    scale = Guidance(scale=guidance)
    path: Path = generator.settings.generator.path
    if generator.settings.generator.starts_from_controls or path.reversible is None:
        return Sampling(steps=steps, guidance=scale)
    return Sampling(
        sampler=path.reversible,
        steps=steps or (STEPS if path.continuous else None),
        last_correction=path.reversible == "heun",
        guidance=scale,
    )


def counterfactuals(
    images: NDArray[np.uint8],
    manifest: ChannelManifest,
    generator: TrainedGenerator,
    autoencoder: Autoencoder,
    own: pd.DataFrame,
    wanted: pd.DataFrame,
    settings: Sampling,
    sampling_seed: int = 0,
) -> Counterfactuals:
    """Make the counterfactuals of a batch of fields.

    Parameters
    ----------
    images
        Start fields, uint8 [n, C, H, W].
    manifest
        Of their channels.
    generator, autoencoder
        Generator of latents, and their autoencoder.
    own, wanted
        The n rows of `own_labels` and `treated_labels`.
    settings
        See `counterfactual_sampling`.
    sampling_seed
        Seed of the noise that generators which start from images add to these.

    Raises
    ------
    ConfigError
        If the generator has no path from an image back to noise.
    DataError
        If what was generated is not finite.
    """
    planes = autoencoder_input(images, manifest, autoencoder.mode)
    network = generator.network
    device = next(network.parameters()).device
    latents = autoencoder.moments(torch.from_numpy(planes))[:, 0].to(device)
    from_images = generator.settings.generator.starts_from_controls
    if not from_images:
        # In single precision: in bfloat16 the way back would miss the noise.
        noise = network.invert(latents, generator.condition(own).to(device), settings)

    def make(plan: pd.DataFrame, how: Sampling) -> torch.Tensor:
        if from_images:
            return sample_latents(generator, plan, how, sampling_seed, None, latents)
        return network.sample(lambda step: noise, generator.condition(plan).to(device), how)

    unguided = settings.model_copy(update={"guidance": Guidance()})
    made = [make(own, unguided), make(wanted, settings)]
    if not all(torch.isfinite(part).all() for part in made):
        raise DataError(
            f"The generator {generator.settings.experiment} gave latents that are not finite: its "
            "training has failed; look at its training curve."
        )
    channels = planes.shape[1]
    decoded = [autoencoder.decode(part, channels).numpy() for part in (latents, *made)]
    return Counterfactuals(planes, *decoded)
