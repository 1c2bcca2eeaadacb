"""Measure fields with a CellProfiler pipeline: `python -m morphpipe.morphology.measure`.

Runs in CellProfiler's own environment, see `morphpipe.morphology.environment`.
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
# Part of the names of finished batches: raise it where a batch of today would come out otherwise.
_BATCH_VERSION = 1
# How many reasons of failed fields an error repeats.
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
    """Measure fields, and write the tables of images and objects, and some label images.

    Works through the fields batch by batch in one thread. Finished batches stay in `scratch` under
    a name that depends on the pipeline, the fields and their files: killed and started again, it
    goes on behind the last of them. A field that cannot be read, or fails in a module, becomes a
    row with its reason, and the others go on.

    Parameters
    ----------
    fields
        The rows to measure; of none, there are tables without rows.
    pipeline
        `.cppipe` file.
    channels
        The pipeline's image name to a channel of the fields; those that are not named are the
        channel of the same name.
    images
        `channels`, or `rgb`: fields are rendered by the rule of their data, and the channels are
        red, green and blue.
    batch_size
        Fields at once. A pipeline with a module that works on all images together takes all fields
        as one batch, whatever is said here.
    maximum_failed
        The largest share of failed fields, 0 to 1, that is let through.
    keep_labels
        Of how many fields the objects are kept as label images: those with the smallest SHA-256 of
        their id, which is a choice that does not depend on what is measured.
    scratch
        Folder for finished batches.
    image_path, objects_path
        Tables to write, see `morphpipe.morphology.tables`.
    labels_path
        `.npz` to write: int32 [H, W] under `<field_id>/<compartment>`.

    Raises
    ------
    ConfigError
        When a number is out of its range, or `channels` names an image that the pipeline does not
        ask for.
    DataError
        When the pipeline cannot be used, the fields lack a channel, an archive is missing or has
        changed; and, after everything was tried, when too many fields have failed.
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
        # Of no field at all there are tables without rows: a plate may lack what is asked for.
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
            f"{number_failed} of {len(fields)} fields failed, and {maximum_failed:.3g} is the "
            f"largest share that is let through. The first reasons: {' | '.join(reasons)} Finished "
            f"batches stay in {scratch}: mend the images or the pipeline, or raise the limit."
        )
    join([_part(stem, "objects") for stem in stems], objects_path, source)
    _join_labels([_part(stem, "labels") for stem in stems], labels_path)
    join([_part(stem, "image") for stem in stems], image_path, source)
    _report(stems, number_failed)


def _check_settings(images: str, batch_size: int, maximum_failed: float, keep_labels: int) -> None:
    if images not in IMAGE_MODES:
        raise ConfigError(f"Images are {' or '.join(IMAGE_MODES)}, not {images!r}.")
    if batch_size < 1:
        raise ConfigError(f"A batch has 1 field or more, not {batch_size}.")
    if not 0 <= maximum_failed <= 1:
        raise ConfigError(f"The largest share of failed fields is 0 to 1, not {maximum_failed}.")
    if keep_labels < 0:
        raise ConfigError(f"Labels are kept of 0 fields or more, not of {keep_labels}.")


def _available(fields: FieldTable, images: str) -> tuple[str, ...]:
    """The channels that a pipeline can be given.

    Raises
    ------
    DataError
        When the fields have no rule how they become RGB.
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
    """Which channel each image of the pipeline is."""
    unknown = [name for name in channels if name not in loaded.images]
    if unknown:
        raise ConfigError(
            f"{loaded.path} asks for no image {unknown[0]!r}, which the map of channels names; it "
            f"asks for {', '.join(loaded.images)}."
        )
    chosen = {name: channels.get(name, name) for name in loaded.images}
    missing = {name: channel for name, channel in chosen.items() if channel not in available}
    if missing:
        named = ", ".join(
            name if name == channel else f"{name} (channel {channel})"
            for name, channel in missing.items()
        )
        raise DataError(
            f"{loaded.path} asks for {named}, and the fields have the channels "
            f"{', '.join(available)}: say which channel each image is, as IMAGE=CHANNEL, or take "
            "the pipeline that belongs to these stains."
        )
    return chosen


def _smallest(field_ids: Sequence[str], number: int) -> list[str]:
    return sorted(field_ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:number]


def _batch_name(
    fields: FieldTable, rows: range, source: MeasurementSource, kept: frozenset[str]
) -> str:
    """A hash of all that the measurements of a batch depend on."""
    entries = fields.take(list(rows)).rows()
    files = {plane["file"] for entry in entries for plane in entry["channels"]}
    checksums: dict[str, list[Any] | None] = {}
    for file in sorted(files):
        if file in fields.checksums:
            checksums[file] = [fields.checksums[file].size, fields.checksums[file].directory_sha256]
        else:
            # A plane of its own: a file that is put right later is measured again.
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
    """Measure a batch, and write its files; the table of images, written last, checksums it."""
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
    """Put all label images into one file, without holding more than one of them."""
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
    """How many fields failed, and the first reasons."""
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
        print("no field of those that were asked for is here: the tables are empty")
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
    parser.add_argument("--split", type=Path, help="split table: measure one of its sides only")
    parser.add_argument("--side", default="test", help="of the split; default: test")
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
        help="the channel that an image of the pipeline is; default: that of the same name",
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
                f"{entry!r} does not say which channel an image is: write IMAGE=CHANNEL, once for "
                "each image."
            )
        pairs[image] = channel
    return pairs


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line; a mistake of the user ends in one sentence and the exit code 1."""
    arguments = _arguments(words)
    # CellProfiler divides by the areas of objects that may be empty; what comes of it is NaN.
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

    pyarrow's threads, where they have only just started, abort a Python that ends in the usual way
    ("terminate called without an active exception"), and a finished job would count as failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
