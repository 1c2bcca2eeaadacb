"""Generating images: sampler and decoder, resumable within a shard."""

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

from morphpipe.autoencoders.base import Codec
from morphpipe.config.sampling import Sampling
from morphpipe.core.devices import uses_bfloat16
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.folder_lock import only_user
from morphpipe.core.storage import atomic_path
from morphpipe.generators.base import Condition
from morphpipe.sampling.load import TrainedGenerator
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
) -> torch.Tensor:
    """Latents of the rows of a plan, as one batch.

    Every image's noise depends on (experiment, training seed, sampling seed, its number, step)
    alone: the batch it stands in changes nothing but rounding.

    Parameters
    ----------
    generator
        What is sampled.
    plan
        See `morphpipe.sampling.plan.sampling_plan`; a row for each image.
    settings
        Sampler, steps, guidance.
    sampling_seed
        One of `settings.seeds`.
    guide
        Autoguidance: an earlier checkpoint of the same training, see `load_guide`. None: where
        there is guidance, it is classifier-free.

    Returns
    -------
    torch.Tensor
        float32 [n, C', h, w].
    """
    device = next(generator.network.parameters()).device
    condition = generator.condition(plan).to(device)
    # The released code of MorphoDiff begins the noise anew for each perturbation.
    anew = generator.settings.fidelity.sampling_noise == "released_code"
    noise = SampleNoise(
        generator.settings.experiment, generator.settings.seed, sampling_seed
    ).source(
        plan["index_in_condition" if anew else "image"].tolist(),
        generator.latent_shape,
        device=device,
    )
    return generator.network.sample(
        noise,
        condition,
        settings,
        guide=None if guide is None else guide.network,
        half=uses_bfloat16(generator.settings.training.precision, device),
    )


def generate(
    generator: TrainedGenerator,
    codec: Codec,
    plan: pd.DataFrame,
    settings: Sampling,
    *,
    dataset: str,
    sampling_seed: int,
    manifest: ChannelManifest,
    path: str | Path,
    work: str | Path,
    guide: TrainedGenerator | None = None,
) -> None:
    """Generate the images of a plan into an image archive.

    Finished batches wait in `work`; a run that was killed goes on behind them.

    Parameters
    ----------
    generator, codec
        What turns noise into latents, and those into images.
    plan
        See `morphpipe.sampling.plan.sampling_plan`.
    settings
        Sampler, steps, guidance, batch size.
    dataset
        Name of the dataset whose conditions are generated.
    sampling_seed
        One of `settings.seeds`.
    manifest
        Of the generated images.
    path
        The archive.
    work
        Folder for finished batches, which are deleted at the end. One job at a time uses it.
    guide
        See `sample_latents`.

    Raises
    ------
    ConfigError
        When the settings do not suit the generator, or ask for a guide that is not given.
    DataError
        When a label is unknown, an image is not finite, or another job works in the folder.
    """
    _check_settings(generator, settings, guide)
    # All labels are looked up before the first image: an archive would be refused at its end.
    condition = generator.condition(plan)
    for name in pd.unique(plan[["cell_type", "perturbation"]].to_numpy().ravel()):
        fault = name_fault(name)
        if fault is not None:
            raise DataError(f"Images cannot be generated of {name!r}, since {fault}: rename it.")
    images = plan.drop_duplicates("image", ignore_index=True)
    if len(images) < len(plan) and not _alike(condition):
        raise ConfigError(
            "sampling.one_set is true, but the generator does not take the same condition for all "
            "perturbations, which then have images of their own: leave it out."
        )
    rows_of = {image: rows for image, rows in plan.groupby("image", sort=False)}
    finished = Path(work) / _fingerprint(generator, codec, plan, settings, sampling_seed, guide)
    channels = len(manifest.channels)

    def batches() -> Iterator[tuple[pd.DataFrame, NDArray[np.uint8]]]:
        for start in tqdm(
            range(0, len(images), settings.batch_size),
            desc=f"sample {generator.settings.experiment}",
            unit="batch",
            mininterval=5,
        ):
            rows = images.iloc[start : start + settings.batch_size]
            file = finished / f"batch-{start:08d}.npz"
            pixels = _finished_batch(file)
            if pixels is None:
                latents = sample_latents(generator, rows, settings, sampling_seed, guide)
                if not torch.isfinite(latents).all():
                    raise DataError(
                        f"The generator {generator.settings.experiment} gave latents that are not "
                        "finite: its training has failed; look at its training curve."
                    )
                pixels = codec.decode(latents, channels).numpy()
                with atomic_path(file) as temporary:
                    np.savez(temporary, images=pixels)
            yield rows, pixels

    with only_user(work):
        with write_archive(path, manifest) as archive:
            for rows, pixels in batches():
                for image, planes in zip(rows["image"], pixels, strict=True):
                    first, *others = (
                        _field_row(generator, row, dataset, sampling_seed)
                        for row in rows_of[image].to_dict("records")
                    )
                    archive.add(first, planes)
                    for other in others:
                        archive.repeat(other)
        shutil.rmtree(finished, ignore_errors=True)


def _alike(condition: Condition) -> bool:
    """Whether all have the same embedding; the labels of perturbations are not looked at then."""
    embedding = condition.embedding
    return embedding is not None and bool((embedding == embedding[:1]).all())


def _check_settings(
    generator: TrainedGenerator, settings: Sampling, guide: TrainedGenerator | None
) -> None:
    """Raise ConfigError unless the settings suit the generator and its guide is at hand."""
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
            "A guide is given, but the scale of guidance is 1, which switches it off: give a "
            "scale, or leave the guide out."
        )


def _finished_batch(file: Path) -> NDArray[np.uint8] | None:
    """Images of a batch from before, checked (a zip carries CRC-32); none where they are to do."""
    try:
        with np.load(file) as content:
            return np.asarray(content["images"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        tqdm.write(f"{file} is damaged: making its images again.")
    return None


def generated_manifest(real: ChannelManifest, settings: TrainingSettings) -> ChannelManifest:
    """The manifest of images that a generator trained on `real` makes."""
    channels, rgb = real.channels, real.rgb
    if settings.image_mode == "rgb" and rgb is not None:
        # Three stains, one a colour: each generated plane is that stain's.
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
    """The manifest of generated images where the real ones are not at hand."""
    unknown = ChannelManifest(
        channels=tuple(Channel(name, "as in the training images") for name in settings.channels),
        pixel_size=None,
        bit_depth=8,
        licence="see the checkpoint's model card",
        source="the images that the checkpoint was trained on",
    )
    return generated_manifest(unknown, settings)


def _field_row(
    generator: TrainedGenerator, row: dict[Any, Any], dataset: str, sampling_seed: int
) -> dict[str, Any]:
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
    }


def _fingerprint(
    generator: TrainedGenerator,
    codec: Codec,
    plan: pd.DataFrame,
    settings: Sampling,
    sampling_seed: int,
    guide: TrainedGenerator | None,
) -> str:
    """Name of the folder for finished batches: other weights or settings, another folder."""
    digest = hashlib.sha256(generator.checksum.encode())
    digest.update(codec.fingerprint().encode())
    digest.update(str(generator.latent_shape).encode())
    if generator.conditions is not None:
        digest.update(generator.conditions.matrix.tobytes())
    digest.update(plan.to_csv(index=False).encode())
    digest.update(settings.model_dump_json(exclude={"seeds", "shards", "threads"}).encode())
    digest.update(str(sampling_seed).encode())
    if guide is not None:
        digest.update(guide.checksum.encode())
    return digest.hexdigest()[:16]
