"""Generate images with sampler and decoder, resumable within a shard."""

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from morphpipe.autoencoders.base import Autoencoder
from morphpipe.config.sampling import Sampling
from morphpipe.core.devices import uses_bfloat16
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.folder_lock import only_user
from morphpipe.core.storage import atomic_path
from morphpipe.generators.base import Condition
from morphpipe.sampling.load import TrainedGenerator
from morphpipe.sampling.start import StartImages
from morphpipe.tables.archive import write_archive
from morphpipe.tables.fields import name_fault
from morphpipe.tables.manifest import Channel, ChannelManifest
from morphpipe.training.settings import TrainingSettings
from morphpipe.transport.noise import SampleNoise


def sample_latents(
    generator: TrainedGenerator,
    plan: pd.DataFrame,
    settings: Sampling,
    sampling_seed: int,
    guide: TrainedGenerator | None = None,
    start: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sample the latents of a plan's rows as one batch.

    An image's noise depends only on (experiment, training seed, sampling seed, index, step): its
    batch affects nothing but rounding.

    Parameters
    ----------
    generator
        The generator to sample.
    plan
        See `morphpipe.sampling.plan.sampling_plan`; one row per image.
    settings
        Sampler, steps, guidance.
    sampling_seed
        One of `settings.seeds`.
    guide
        Autoguidance: an earlier checkpoint of the same training, see `load_guide`. None for
        classifier-free guidance, if any.
    start
        float32 [n, C', h, w], latents that the images start from, to which the noise is added where
        the generator is of that kind; None for generators that start from noise.

    Returns
    -------
    torch.Tensor
        float32 [n, C', h, w].
    """
    device = next(generator.network.parameters()).device
    condition = generator.condition(plan).to(device)
    # MorphoDiff's released code restarts the noise for each perturbation.
    anew = generator.settings.fidelity.sampling_noise == "released_code"
    noise = SampleNoise(
        generator.settings.experiment, generator.settings.seed, sampling_seed
    ).source(
        plan["index_in_condition" if anew else "image"].tolist(),
        generator.latent_shape,
        device=device,
    )
    if start is not None:
        moved, drawn = start.to(device), noise
        noisy = generator.settings.generator.adds_noise_to_controls

        def noise(step: int) -> torch.Tensor:
            if step > 0:
                return drawn(step)
            return drawn(0) + moved if noisy else moved

    return generator.network.sample(
        noise,
        condition,
        settings,
        guide=None if guide is None else guide.network,
        half=uses_bfloat16(generator.settings.training.precision, device),
    )


def generate(
    generator: TrainedGenerator,
    autoencoder: Autoencoder,
    plan: pd.DataFrame,
    settings: Sampling,
    *,
    dataset: str,
    sampling_seed: int,
    manifest: ChannelManifest,
    path: str | Path,
    work: str | Path,
    guide: TrainedGenerator | None = None,
    start: StartImages | None = None,
) -> None:
    """Generate the images of a plan into an image archive.

    Finished batches are kept in `work`, from which a killed run resumes.

    Parameters
    ----------
    generator, autoencoder
        Generator of latents, and decoder.
    plan
        See `morphpipe.sampling.plan.sampling_plan`.
    settings
        Sampler, steps, guidance, batch size.
    dataset
        Name of the dataset whose conditions are generated.
    sampling_seed
        One of `settings.seeds`.
    manifest
        Manifest of the generated images.
    path
        The archive.
    work
        Folder for finished batches, deleted at the end; used by one job at a time.
    guide
        See `sample_latents`.
    start
        Images that the generated ones start from; None for generators that start from noise.

    Raises
    ------
    ConfigError
        If the settings do not suit the generator, or a required guide is missing.
    DataError
        If a label is unknown, an image is not finite, or another job uses the folder.
    """
    _check_settings(generator, settings, guide)
    if (start is None) == generator.settings.generator.starts_from_controls:
        raise ConfigError(
            f"{generator.settings.experiment} starts from images of negative controls: give the "
            "latents of its training fields, as the workflow's rule `sample` does."
            if start is None
            else f"{generator.settings.experiment} starts from noise: give it no images."
        )
    plan = plan.assign(start_field=None if start is None else start.choose(plan))
    # Check all labels before the first image, not when the archive is written.
    condition = generator.condition(plan)
    for name in pd.unique(plan[["cell_type", "perturbation"]].to_numpy().ravel()):
        fault = name_fault(name)
        if fault is not None:
            raise DataError(f"Images of {name!r} cannot be generated, since {fault}: rename it.")
    images = plan.drop_duplicates("image", ignore_index=True)
    if len(images) < len(plan) and not _alike(condition):
        raise ConfigError(
            "sampling.one_set is true, but the generator's condition differs between "
            "perturbations, each of which needs its own images: remove it."
        )
    rows_of = {image: rows for image, rows in plan.groupby("image", sort=False)}
    finished = Path(work) / _fingerprint(
        generator, autoencoder, plan, settings, sampling_seed, guide
    )
    channels = len(manifest.channels)

    def batches() -> Iterator[tuple[pd.DataFrame, NDArray[np.uint8]]]:
        for begin in tqdm(
            range(0, len(images), settings.batch_size),
            desc=f"sample {generator.settings.experiment}",
            unit="batch",
            mininterval=5,
        ):
            rows = images.iloc[begin : begin + settings.batch_size]
            file = finished / f"batch-{begin:08d}.npz"
            pixels = _finished_batch(file)
            if pixels is None:
                first = None if start is None else start.latents(rows["start_field"].tolist())
                latents = sample_latents(generator, rows, settings, sampling_seed, guide, first)
                if not torch.isfinite(latents).all():
                    raise DataError(
                        f"The generator {generator.settings.experiment} gave latents that are not "
                        "finite: its training has failed; look at its training curve."
                    )
                pixels = autoencoder.decode(latents, channels).numpy()
                with atomic_path(file) as temporary:
                    np.savez(temporary, images=pixels)
            yield rows, pixels

    with only_user(work):
        with write_archive(path, manifest) as archive:
            for rows, pixels in batches():
                for image, planes in zip(rows["image"], pixels, strict=True):
                    first, *others = (
                        field_row(generator, row, dataset, sampling_seed)
                        for row in rows_of[image].to_dict("records")
                    )
                    archive.add(first, planes)
                    for other in others:
                        archive.repeat(other)
        shutil.rmtree(finished, ignore_errors=True)


def _alike(condition: Condition) -> bool:
    embedding = condition.embedding
    return embedding is not None and bool((embedding == embedding[:1]).all())


def _check_settings(
    generator: TrainedGenerator, settings: Sampling, guide: TrainedGenerator | None
) -> None:
    unsuited = settings.unsuited_to(generator.settings.generator.path)
    if unsuited is not None:
        raise ConfigError(f"{unsuited}.")
    if guide is None and settings.guidance.guide is not None:
        raise ConfigError(
            f"sampling.guidance.guide is {settings.guidance.guide}: give the checkpoint of that "
            "slice with --guide."
        )
    if guide is not None and settings.guidance.scale == 1:
        raise ConfigError(
            "A guide is given, but the guidance scale is 1, which disables guidance: set a scale, "
            "or remove the guide."
        )


def _finished_batch(file: Path) -> NDArray[np.uint8] | None:
    """Verified images of an earlier batch (a zip has CRC-32), or None."""
    try:
        with np.load(file) as content:
            return np.asarray(content["images"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        tqdm.write(f"{file} is damaged: generating its images again.")
    return None


def generated_manifest(real: ChannelManifest, settings: TrainingSettings) -> ChannelManifest:
    """Derive the manifest of generated images from that of the training images."""
    channels, rgb = real.channels, real.rgb
    if settings.image_mode == "rgb" and rgb is not None:
        # Three stains, one per colour: each generated plane is one stain.
        known = {channel.name: channel for channel in real.channels}
        channels = tuple(known[name] for name in rgb)
    elif settings.image_mode == "rgb":
        channels = tuple(Channel(name, "RGB rendering") for name in ("red", "green", "blue"))
    return ChannelManifest(
        channels=channels,
        pixel_size=real.pixel_size,
        bit_depth=8,
        licence=real.licence,
        source=f"generated by morphpipe, experiment {settings.experiment}, from {real.source}",
        rgb=rgb,
        preprocessing=real.preprocessing,
    )


def manifest_without_data(settings: TrainingSettings) -> ChannelManifest:
    """Manifest of generated images when the real images are not available."""
    unknown = ChannelManifest(
        channels=tuple(Channel(name, "as in the training images") for name in settings.channels),
        pixel_size=None,
        bit_depth=8,
        licence="see the checkpoint's model card",
        source="the images that the checkpoint was trained on",
    )
    return generated_manifest(unknown, settings)


def field_row(
    generator: TrainedGenerator, row: dict[Any, Any], dataset: str, sampling_seed: int
) -> dict[str, Any]:
    """Columns of a generated field, from a row of a plan with `start_field`."""
    settings = generator.settings
    index = int(row["sample_index"])
    return {
        "field_id": f"{settings.experiment}_t{settings.seed}_s{sampling_seed}_{index:07d}",
        "dataset": dataset,
        "origin": "generated",
        "cell_type": row["cell_type"],
        "perturbation": row["perturbation"],
        "perturbation_kind": row["perturbation_kind"],
        "control": row["control"],
        "concentration": None if np.isnan(row["concentration"]) else row["concentration"],
        "experiment": settings.experiment,
        "training_seed": settings.seed,
        "sampling_seed": sampling_seed,
        "sample_index": index,
        "start_field": row["start_field"],
    }


def _fingerprint(
    generator: TrainedGenerator,
    autoencoder: Autoencoder,
    plan: pd.DataFrame,
    settings: Sampling,
    sampling_seed: int,
    guide: TrainedGenerator | None,
) -> str:
    """Name of the folder for finished batches, specific to weights and settings."""
    digest = hashlib.sha256(generator.checksum.encode())
    digest.update(autoencoder.fingerprint().encode())
    digest.update(str(generator.latent_shape).encode())
    if generator.conditions is not None:
        digest.update(generator.conditions.matrix.tobytes())
    digest.update(plan.to_csv(index=False).encode())
    digest.update(settings.model_dump_json(exclude={"seeds", "shards", "threads"}).encode())
    digest.update(str(sampling_seed).encode())
    if guide is not None:
        digest.update(guide.checksum.encode())
    return digest.hexdigest()[:16]
