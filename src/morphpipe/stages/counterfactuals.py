"""Making the counterfactuals of an archive's fields, and the page that shows them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

import morphpipe
from morphpipe.autoencoders.base import Autoencoder
from morphpipe.config.sampling import Sampling
from morphpipe.core.storage import atomic_path
from morphpipe.report.counterfactuals import (
    MOST_SHOWN,
    CounterfactualPage,
    Differences,
    Pair,
    counterfactual_page,
    mean_difference,
)
from morphpipe.sampling.counterfactuals import counterfactuals
from morphpipe.sampling.generate import field_row, generated_manifest
from morphpipe.sampling.load import TrainedGenerator
from morphpipe.tables.archive import write_archive
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.manifest import ChannelManifest

ARCHIVE, PAGE = "images.zip", "index.html"


def write_counterfactuals(
    fields: FieldTable,
    generator: TrainedGenerator,
    autoencoder: Autoencoder,
    own: pd.DataFrame,
    wanted: pd.DataFrame,
    settings: Sampling,
    output: Path,
    *,
    source: str,
    sampling_seed: int = 0,
    notes: Sequence[str] = (),
) -> Differences:
    """Write a folder with an image archive and a page.

    Parameters
    ----------
    fields
        Start fields.
    generator, autoencoder
        Generator of latents, and their autoencoder.
    own, wanted
        Labels of the start fields, and those that they get, see
        `morphpipe.sampling.counterfactuals`.
    settings
        Sampler, steps, guidance, batch size.
    output
        The folder. For every start field `images.zip` has the treated field and the reconstruction
        under its own label, both with its `field_id` as `start_field`; `index.html` shows them.
    source
        Name of the file of the start fields.
    sampling_seed
        See `morphpipe.sampling.counterfactuals.counterfactuals`.
    notes
        Sentences for the page.

    Returns
    -------
    Differences
        How much changes.
    """
    keys = fields.keys()
    manifest = _manifest(fields.manifest, generator, source)
    treatment = _treatment(wanted)
    pairs: list[Pair] = []
    parts: list[list[NDArray[np.float64]]] = []
    before = None
    with atomic_path(output) as temporary:
        temporary.mkdir()
        with write_archive(temporary / ARCHIVE, manifest) as archive, FieldReader(fields) as reader:
            for rows, images in tqdm(
                reader.batches(settings.batch_size),
                total=-(-len(fields) // settings.batch_size),
                desc=treatment,
                unit="batch",
                mininterval=5,
            ):
                labels, treated = own.iloc[rows], wanted.iloc[rows]
                made = counterfactuals(
                    images, fields.manifest, generator, autoencoder, labels, treated, settings,
                    sampling_seed,
                )  # fmt: skip
                for plan, planes, suffix in (
                    (labels, made.reconstructed, "reconstructed"),
                    (treated, made.treated, _in_file_names(treatment)),
                ):
                    for row, image in zip(plan.to_dict("records"), planes, strict=True):
                        archive.add(
                            _row(generator, row, keys, sampling_seed, suffix, len(fields)), image
                        )
                shown = slice(0, MOST_SHOWN - len(pairs))
                for row, *sides in zip(
                    labels.to_dict("records")[shown],
                    made.start, made.reconstructed, made.treated,
                    strict=False,
                ):  # fmt: skip
                    label = f"{row['cell_type']}, {row['perturbation']}"
                    pairs.append(Pair(row["start_field"], label, *sides))
                others = made.start if before is None else np.concatenate([before, made.start])
                parts.append(
                    [
                        mean_difference(made.start, made.encoded),
                        mean_difference(made.start, made.reconstructed),
                        mean_difference(made.start, made.treated),
                        mean_difference(made.reconstructed, made.treated),
                        mean_difference(others[1:], others[:-1]),
                    ]
                )
                before = made.start[-1:]
        differences = Differences(*map(np.concatenate, zip(*parts, strict=True)))
        page = CounterfactualPage(
            treatment=treatment,
            from_images=generator.settings.generator.starts_from_controls,
            guidance=settings.guidance.scale,
            fields=len(fields),
            pairs=pairs,
            differences=differences,
            manifest=manifest,
            facts=_facts(generator, own, wanted, settings, source, sampling_seed),
            notes=notes,
        )
        (temporary / PAGE).write_text(counterfactual_page(page), "utf-8")
    return differences


def _treatment(wanted: pd.DataFrame) -> str:
    """The treatment in words."""
    first = wanted.iloc[0]
    dose = first["concentration"]
    return str(first["perturbation"]) + ("" if np.isnan(dose) else f", {dose:g} uM")


def _in_file_names(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=+-]+", "-", name).strip("-.") or "treated"


def _manifest(real: ChannelManifest, generator: TrainedGenerator, source: str) -> ChannelManifest:
    made = generated_manifest(real, generator.settings)
    return replace(made, source=f"{made.source}; start fields of {source}")


def _row(
    generator: TrainedGenerator,
    row: dict[Any, Any],
    keys: pd.DataFrame,
    sampling_seed: int,
    suffix: str,
    number: int,
) -> dict[str, Any]:
    """Columns of the archive's field table."""
    start = row["start_field"]
    index = int(row["image"]) + (0 if suffix == "reconstructed" else number)
    dataset = keys["dataset"].iloc[int(row["image"])]
    made = field_row(generator, row | {"sample_index": index}, dataset, sampling_seed)
    return made | {"field_id": f"{start}_{suffix}"}


def _facts(
    generator: TrainedGenerator,
    own: pd.DataFrame,
    wanted: pd.DataFrame,
    settings: Sampling,
    source: str,
    sampling_seed: int,
) -> dict[str, str]:
    of_training, path = generator.settings, generator.settings.generator.path
    from_images = of_training.generator.starts_from_controls
    steps = f"{settings.steps_for(path)} steps of {settings.sampler_for(path)}"
    if from_images:
        way = f"from the image, with noise of sampling seed {sampling_seed}, in {steps}"
    else:
        way = f"from the image to noise in {steps}, and back in as many"
    scale = settings.guidance.scale
    return {
        "start fields": source,
        "labels of the start fields": ", ".join(sorted(own["perturbation"].unique())),
        "cell types": ", ".join(sorted(own["cell_type"].unique())),
        "treatment": _treatment(wanted),
        "way": way,
        "guidance": "none" if scale == 1 else f"{scale:g}, of the treated fields",
        "experiment": of_training.experiment,
        "generator": f"{of_training.generator.kind}, {of_training.generator.architecture}, "
        f"training seed {of_training.seed}, step {generator.step:,}",
        "autoencoder": of_training.autoencoder,
        "SHA-256 of the weights": generator.checksum,
        "morphpipe": morphpipe.__version__,
    }
