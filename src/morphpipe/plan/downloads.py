"""What a configuration needs from outside: to be read before a run, or to be fetched by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from morphpipe.config.configuration import Configuration
from morphpipe.config.datasets import BBBC021Dataset, GalleryDataset, RxRx1Dataset
from morphpipe.datasets.fetch.lock import recorded_checksum
from morphpipe.datasets.fetch.weights import address
from morphpipe.datasets.sources.gallery import GalleryBatch
from morphpipe.plan.addresses import archive_address
from morphpipe.plan.plates import number_of_shards

# Recursion's page of RxRx1 says 47 GB.
_RXRX1_BYTES = 47_000_000_000
_PARTS = (
    "many small parts, put together by the workflow's own rule: run that where there is a network"
)


@dataclass(frozen=True)
class Download:
    """A file from outside.

    Attributes
    ----------
    what
        The part of the configuration that needs it.
    source
        Address.
    path
        Where the workflow looks for it.
    licence
        Of the configuration; none where it does not say.
    size
        Bytes, none where not known beforehand.
    sha256
        Expected checksum, configured or recorded at an earlier download; none where not known.
    note
        What a person who fetches it by hand should know.
    """

    what: str
    source: str
    path: str
    licence: str | None
    size: int | None = None
    sha256: str | None = None
    note: str = ""

    @property
    def is_there(self) -> bool:
        """Whether the file is in its place; whether it is the right one is not looked at."""
        return Path(self.path).exists()


def list_downloads(configuration: Configuration) -> list[Download]:
    """Every file that the chosen experiments need from outside, in the order of the workflow.

    Files on a disk of one's own (`file:` addresses) are among them only where they are missing.

    Parameters
    ----------
    configuration
        Its `paths` say where the files belong.
    """
    found = [*_weights(configuration)]
    for name in configuration.datasets_in_use():
        dataset = configuration.datasets[name]
        folder = f"{configuration.paths.cache}/datasets/{name}"
        if isinstance(dataset, RxRx1Dataset):
            found += _rxrx1(name, dataset, folder)
        elif isinstance(dataset, BBBC021Dataset):
            found += _bbbc021(name, dataset, folder)
        elif isinstance(dataset, GalleryDataset):
            found += _gallery(name, dataset, folder)
    lock = configuration.paths.lock
    return [
        download
        if download.sha256
        else Download(**vars(download) | {"sha256": recorded_checksum(lock, download.source)})
        for download in found
        if not _lies_ready(download.source)
    ]


def _lies_ready(source: str) -> bool:
    parts = urlsplit(source)
    return parts.scheme == "file" and Path(unquote(parts.path)).exists()


def _weights(configuration: Configuration) -> Iterator[Download]:
    for name in configuration.weights_in_use():
        weights = configuration.weights[name]
        note = ""
        if weights.source.startswith("file:"):
            note = "has no address: to be put there by hand"
        elif weights.source.startswith("hf://") and weights.revision is None:
            note = "no revision is configured: the newest"
        for file in weights.files:
            yield Download(
                what=f"weights.{name}",
                source=address(weights, file),
                path=f"{configuration.paths.cache}/weights/{name}/{file}",
                licence=weights.licence,
                sha256=weights.sha256.get(file),
                note=note,
            )


def _rxrx1(name: str, dataset: RxRx1Dataset, folder: str) -> Iterator[Download]:
    what, whole = f"datasets.{name}", dataset.fetch == "whole"
    yield Download(
        what,
        dataset.images,
        f"{folder}/rxrx1-images.zip",
        dataset.licence,
        _RXRX1_BYTES if whole else None,
        dataset.images_sha256,
        "" if whole else _PARTS,
    )
    yield Download(
        what,
        dataset.metadata,
        f"{folder}/rxrx1-metadata.zip",
        dataset.licence,
        None,
        dataset.metadata_sha256,
        "",
    )
    if dataset.genes is not None:
        note = "the configuration names no licence of this table"
        yield Download(f"{what}.genes", dataset.genes, f"{folder}/genes.csv", None, note=note)


def _bbbc021(name: str, dataset: BBBC021Dataset, folder: str) -> Iterator[Download]:
    what = f"datasets.{name}"
    for table in dataset.tables:
        source = dataset.table_address(table)
        yield Download(what, source, f"{folder}/{table}.csv", dataset.licence)
    for shard in range(number_of_shards(dataset)):
        yield Download(
            what,
            archive_address(dataset, shard),
            f"{folder}/plates/shard-{shard}.zip",
            dataset.licence,
            note="some 0.8 GB",
        )


def _gallery(name: str, dataset: GalleryDataset, folder: str) -> Iterator[Download]:
    what = f"datasets.{name}"
    note = "the configuration names no licence of this table"
    place = f"{folder}/annotation.csv"
    yield Download(f"{what}.annotation", dataset.annotation, place, None, note=note)
    batch = GalleryBatch(dataset.project, dataset.institution, dataset.batch)
    bucket = dataset.address.rstrip("/")
    for shard, plate in enumerate(dataset.plates):
        table = f"{bucket}/{batch.load_data_key(plate, dataset.load_data)}"
        place = f"{folder}/plates/shard-{shard}"
        yield Download(what, table, f"{place}.csv", dataset.licence)
        yield Download(
            what, f"the planes that {table} names", f"{place}.zip", dataset.licence, note=_PARTS
        )
