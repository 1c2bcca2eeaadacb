"""Measure fields with a CellProfiler pipeline: `python -m morphpipe.morphology.measure`.

Runs in CellProfiler's environment, see `morphpipe.morphology.environment`.
"""

import argparse
import hashlib
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from morphpipe.core.console import describe
from morphpipe.core.errors import ConfigError, DataError, MorphpipeError
from morphpipe.core.storage import atomic_path, read_parquet, sha256_of_file, write_parquet
from morphpipe.imaging.rgb import RGB_CHANNELS, to_rgb
from morphpipe.morphology.batch import FieldImages, measure_batch
from morphpipe.morphology.pipeline import LoadedPipeline, load_pipeline
from morphpipe.morphology.selection import select_fields
from morphpipe.morphology.tables import (
    FAILED,
    SECONDS,
    MeasurementSource,
    image_table,
    join,
    object_table,
)
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.lineage import read_from

IMAGE_MODES = ("channels", "rgb")
# Part of the names of finished batches: increase it if results change.
_BATCH_VERSION = 1
# Maximum number of failure reasons in an error.
_REASONS = 3


def measure_fields(
    fields: FieldTable,
    pipeline: Path,
    *,
    channels: Mapping[str, str],
    images: str = "channels",
    batch_size: int = 25,
    maximum_failed: float = 0.05,
    keep_labels: int = 2,
    scratch: Path,
    image_path: Path,
    objects_path: Path,
    labels_path: Path,
) -> None:
    """Measure fields, and write tables of images and objects, and some label images.

    Fields are processed in batches by one thread. Finished batches are kept in `scratch`, named by
    pipeline, fields and files, so that a killed job resumes. A field that cannot be read or fails
    in a module becomes a row with a reason.

    Parameters
    ----------
    fields
        The rows to measure; may be empty.
    pipeline
        `.cppipe` file.
    channels
        Channel by the pipeline's image name; defaults to the channel of the same name.
    images
        `channels`, or `rgb` for the red, green and blue of rendered fields.
    batch_size
        Fields per batch. A pipeline with a module that works on all images together always gets a
        single batch.
    maximum_failed
        Maximum fraction of failed fields, 0 to 1.
    keep_labels
        Number of fields with label images: those with the smallest SHA-256 of their id, a choice
        independent of the measurements.
    scratch
        Folder for finished batches.
    image_path, objects_path
        Tables to write, see `morphpipe.morphology.tables`.
    labels_path
        `.npz` to write: int32 [H, W] under `<field_id>/<compartment>`.

    Raises
    ------
    ConfigError
        If a number is out of range, or `channels` has an image that the pipeline does not use.
    DataError
        If the pipeline cannot be used, the fields lack a channel, an archive is missing or has
        changed, or (at the end) too many fields failed.
    """
    _check_settings(images, batch_size, maximum_failed, keep_labels)
    loaded = load_pipeline(pipeline)
    chosen = _channel_map(loaded, channels, _available(fields, images))
    source = MeasurementSource(
        pipeline=pipeline.name,
        pipeline_sha256=sha256_of_file(pipeline),
        cellprofiler=version("cellprofiler"),
        channels=chosen,
        images=images,
    )
    if loaded.aggregates:
        print(f"{pipeline.name} works on all images together: one batch of {len(fields)} fields")
        batch_size = max(1, len(fields))
    names = _available(fields, images)
    inputs = {image: names.index(channel) for image, channel in chosen.items()}
    kept = frozenset(_smallest(fields.field_ids, keep_labels))
    stems = []
    with (
        FieldReader(fields) as reader,
        tqdm(total=len(fields), desc=pipeline.stem, unit="field", mininterval=5) as progress,
    ):
        reader.open_archives()
        seen = FieldImages(fields, reader, inputs, rgb=images == "rgb")
        # Tables may be empty: a plate may lack the selected fields.
        for start in range(0, max(1, len(fields)), batch_size):
            rows = range(start, min(start + batch_size, len(fields)))
            stem = scratch / _batch_name(fields, rows, source, kept)
            stems.append(stem)
            # Written last.
            if _part(stem, "image").exists():
                progress.update(len(rows))
                continue
            _measure_part(loaded, seen, fields, rows, kept, stem, progress)
    number_failed, reasons = _failures(stems)
    if number_failed > maximum_failed * len(fields):
        raise DataError(
            f"{number_failed} of {len(fields)} fields failed, more than the maximum fraction "
            f"{maximum_failed:.3g}. The first reasons: {' | '.join(reasons)} Finished batches stay "
            f"in {scratch}: fix the images or the pipeline, or raise the limit."
        )
    join([_part(stem, "objects") for stem in stems], objects_path, source)
    _join_labels([_part(stem, "labels") for stem in stems], labels_path)
    join([_part(stem, "image") for stem in stems], image_path, source)
    _report(stems, number_failed)


def _check_settings(images: str, batch_size: int, maximum_failed: float, keep_labels: int) -> None:
    if images not in IMAGE_MODES:
        raise ConfigError(f"Image mode must be {' or '.join(IMAGE_MODES)}, not {images!r}.")
    if batch_size < 1:
        raise ConfigError(f"The batch size must be at least 1, not {batch_size}.")
    if not 0 <= maximum_failed <= 1:
        raise ConfigError(
            f"The maximum fraction of failed fields must be from 0 to 1, not {maximum_failed}."
        )
    if keep_labels < 0:
        raise ConfigError(f"The number of labelled fields must be at least 0, not {keep_labels}.")


def _available(fields: FieldTable, images: str) -> tuple[str, ...]:
    """The channels available to a pipeline.

    Raises
    ------
    DataError
        If the fields have no RGB rule.
    """
    if images == "channels":
        return fields.manifest.names
    manifest = fields.manifest
    kind = np.uint8 if manifest.bit_depth == 8 else np.uint16
    to_rgb(np.zeros((len(manifest.names), 1, 1), kind), manifest.names, manifest.rgb)
    return RGB_CHANNELS


def _channel_map(
    loaded: LoadedPipeline, channels: Mapping[str, str], available: Sequence[str]
) -> dict[str, str]:
    unknown = [name for name in channels if name not in loaded.images]
    if unknown:
        raise ConfigError(
            f"{loaded.path} has no image {unknown[0]!r}, which is in the channel map; it has "
            f"{', '.join(loaded.images)}."
        )
    chosen = {name: channels.get(name, name) for name in loaded.images}
    missing = {name: channel for name, channel in chosen.items() if channel not in available}
    if missing:
        named = ", ".join(
            name if name == channel else f"{name} (channel {channel})"
            for name, channel in missing.items()
        )
        raise DataError(
            f"{loaded.path} needs {named}, but the fields have the channels "
            f"{', '.join(available)}: map each image to a channel as IMAGE=CHANNEL, or use the "
            "pipeline for these stains."
        )
    return chosen


def _smallest(field_ids: Sequence[str], number: int) -> list[str]:
    return sorted(field_ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:number]


def _batch_name(
    fields: FieldTable, rows: range, source: MeasurementSource, kept: frozenset[str]
) -> str:
    """Hash of everything that the measurements of a batch depend on."""
    entries = fields.take(list(rows)).rows()
    files = {plane["file"] for entry in entries for plane in entry["channels"]}
    checksums: dict[str, list[Any] | None] = {}
    for file in sorted(files):
        if file in fields.checksums:
            checksums[file] = [fields.checksums[file].size, fields.checksums[file].directory_sha256]
        else:
            # A plane in its own file: a file fixed later is measured again.
            path = fields.folder / file
            status = path.stat() if path.exists() else None
            checksums[file] = [status.st_size, status.st_mtime_ns] if status else None
    content = {
        "version": _BATCH_VERSION,
        "source": [source.pipeline_sha256, source.cellprofiler, source.channels, source.images],
        "manifest": [fields.manifest.names, fields.manifest.bit_depth, fields.manifest.rgb],
        "fields": [[e["field_id"], e["height"], e["width"], e["channels"]] for e in entries],
        "files": checksums,
        "labels": sorted(kept.intersection(entry["field_id"] for entry in entries)),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def _part(stem: Path, kind: str) -> Path:
    return stem.with_name(f"{stem.name}.{kind}.{'npz' if kind == 'labels' else 'parquet'}")


def _measure_part(
    loaded: LoadedPipeline,
    images: FieldImages,
    fields: FieldTable,
    rows: range,
    kept: frozenset[str],
    stem: Path,
    progress: Any,
) -> None:
    """Measure a batch and write its files; the table of images comes last, with checksums."""
    named = dict(zip(rows, fields.take(list(rows)).field_ids, strict=True))
    batch = measure_batch(loaded, images, named, kept, progress.update)
    for field in batch.fields:
        if field.reason is not None:
            tqdm.write(f"Field {field.field_id} failed: {field.reason}", file=sys.stderr)
    write_parquet(object_table(batch.fields, loaded.compartments), _part(stem, "objects"))
    labels = {
        f"{field_id}/{name}": label
        for field_id, compartments in batch.labels.items()
        for name, label in compartments.items()
    }
    _write_labels(labels, _part(stem, "labels"))
    write_parquet(image_table(batch.fields, loaded.features["Image"]), _part(stem, "image"))


def _write_labels(labels: Mapping[str, NDArray[np.int32]], path: Path) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **cast(dict[str, Any], labels))


def _join_labels(parts: Sequence[Path], output: Path) -> None:
    """Merge all label images into one file, with one in memory at a time."""
    with (
        atomic_path(output) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as joined,
    ):
        for part in parts:
            with zipfile.ZipFile(part) as archive:
                for entry in archive.infolist():
                    joined.writestr(
                        zipfile.ZipInfo(entry.filename),
                        archive.read(entry),
                        zipfile.ZIP_DEFLATED,
                    )


def _failures(stems: Sequence[Path]) -> tuple[int, list[str]]:
    number = 0
    reasons: list[str] = []
    for stem in stems:
        for row in read_parquet(_part(stem, "image"), ["field_id", "status", "reason"]).to_pylist():
            if row["status"] == FAILED:
                number += 1
                if len(reasons) < _REASONS:
                    reasons.append(f"{row['field_id']}: {row['reason']}")
    return number, reasons


def _report(stems: Sequence[Path], failed: int) -> None:
    times = [read_parquet(_part(stem, "image"), [SECONDS])[SECONDS].to_numpy() for stem in stems]
    seconds = np.concatenate(times)
    if not len(seconds):
        print("no selected field is present: the tables are empty")
        return
    print(
        f"{len(seconds) - failed} fields measured, {failed} failed; {np.median(seconds):.2f} s per "
        f"field (median; {seconds.sum():.0f} s in all)"
    )


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m morphpipe.morphology.measure",
        description="Measure fields with a CellProfiler pipeline.",
    )
    parser.add_argument("--fields", type=Path, required=True, help="field table or image archive")
    parser.add_argument("--split", type=Path, help="split table: measure only one of its sides")
    parser.add_argument("--side", default="test", help="side of the split; default: test")
    parser.add_argument(
        "--cell-type", action="append", default=[], help="measure these only; may be repeated"
    )
    parser.add_argument(
        "--perturbation", action="append", default=[], help="measure these only; may be repeated"
    )
    parser.add_argument("--pipeline", type=Path, required=True, help=".cppipe file")
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="IMAGE=CHANNEL",
        help="channel of a pipeline image; default: the channel of the same name",
    )
    parser.add_argument("--images", choices=IMAGE_MODES, default="channels")
    parser.add_argument("--batch-size", type=int, default=25)
    parser.add_argument("--maximum-failed", type=float, default=0.05)
    parser.add_argument("--keep-labels", type=int, default=2)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for finished batches")
    parser.add_argument("--image", type=Path, required=True, help="table of images to write")
    parser.add_argument("--objects", type=Path, required=True, help="table of objects to write")
    parser.add_argument("--labels", type=Path, required=True, help="label images to write (.npz)")
    return parser.parse_args(words)


def _pairs(entries: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for entry in entries:
        image, mark, channel = entry.partition("=")
        if not (image and mark and channel) or image in pairs:
            raise ConfigError(
                f"{entry!r} does not map an image to a channel: write IMAGE=CHANNEL, once per "
                "image."
            )
        pairs[image] = channel
    return pairs


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line; user errors end with one sentence and exit code 1."""
    arguments = _arguments(words)
    # CellProfiler divides by the areas of possibly empty objects, giving NaN.
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    try:
        read_from(filter(None, (arguments.fields, arguments.split)))
        measure_fields(
            select_fields(
                read_fields(arguments.fields),
                split=arguments.split,
                side=arguments.side,
                cell_types=arguments.cell_type,
                perturbations=arguments.perturbation,
            ),
            arguments.pipeline,
            channels=_pairs(arguments.channel),
            images=arguments.images,
            batch_size=arguments.batch_size,
            maximum_failed=arguments.maximum_failed,
            keep_labels=arguments.keep_labels,
            scratch=arguments.scratch,
            image_path=arguments.image,
            objects_path=arguments.objects,
            labels_path=arguments.labels,
        )
    except MorphpipeError as error:
        print(describe(error), file=sys.stderr)
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """End this process at once.

    pyarrow's threads, if just started, abort a regular exit of Python ("terminate called without an
    active exception"), and a finished job would count as failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
