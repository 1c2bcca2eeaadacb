"""Files that a run downloads."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from morphpipe.config.configuration import Configuration
from morphpipe.datasets.fetch.lock import recorded_checksum
from morphpipe.datasets.fetch.weights import address
from morphpipe.datasets.sources.registry import source_of
from morphpipe.datasets.sources.source import Download


def list_downloads(configuration: Configuration) -> list[Download]:
    """Return all downloads of the selected experiments, in the order of the workflow.

    Local files (`file:` addresses) are only included if they are missing.

    Parameters
    ----------
    configuration
        Its `paths` give the locations of the files.
    """
    found = [*_weights(configuration)]
    for name in configuration.datasets_in_use():
        folder = f"{configuration.paths.cache}/datasets/{name}"
        found += source_of(configuration.datasets[name]).downloads(f"datasets.{name}", folder)
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
            note = "no address: copy the file manually"
        elif weights.source.startswith("hf://") and weights.revision is None:
            note = "no revision configured: the latest"
        for file in weights.files:
            yield Download(
                what=f"weights.{name}",
                source=address(weights, file),
                path=f"{configuration.paths.cache}/weights/{name}/{file}",
                licence=weights.licence,
                sha256=weights.sha256.get(file),
                note=note,
            )
