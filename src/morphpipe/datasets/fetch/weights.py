"""Pretrained weights: download, verification and advice if they are unavailable."""

from pathlib import Path
from urllib.parse import quote

import requests

from morphpipe.config.weights import Weights
from morphpipe.core.checksums import RECORD, write_checked_json
from morphpipe.core.errors import DataError, WeightsError
from morphpipe.core.storage import sha256_of_file
from morphpipe.datasets.fetch.connection import new_session, patience
from morphpipe.datasets.fetch.download import fetch, local_path
from morphpipe.datasets.fetch.file_kinds import CutShortError, WrongKindError, check_kind
from morphpipe.datasets.fetch.lock import record_checksum, recorded_checksum


def address(weights: Weights, file: str) -> str:
    """Return the address of a file of declared weights."""
    if weights.source.startswith("hf://"):
        # Only the address: `fetch` resumes, verifies and records.
        from huggingface_hub import hf_hub_url

        return hf_hub_url(weights.source.removeprefix("hf://"), file, revision=weights.revision)
    if weights.folder is not None:
        return f"file:{quote(str((weights.folder / file).absolute()))}"
    return f"{weights.source.rstrip('/')}/{file}"


def _unavailable(name: str, file: str, folder: Path, why: object) -> WeightsError:
    return WeightsError(
        f"The weights {name!r} are unavailable: {why} Either put {file} into {folder} by hand; "
        f"point weights.{name}.source to a mirror (https:// or file:); or configure an autoencoder "
        "of origin `trained` or an encoder of kind `resnet18`, which the workflow trains itself "
        "(the report will say so)."
    )


def look_for_weights(name: str, weights: Weights, folder: str | Path) -> None:
    """Check that declared weights are available, so that a run can stop before any work.

    `folder` is their destination, `name` their name in the configuration, for messages.

    Raises
    ------
    WeightsError
        If a file is neither in the folder nor at its source, with possible remedies.
    """
    folder = Path(folder)
    for file in weights.files:
        if (folder / file).is_file():
            continue
        url = address(weights, file)
        try:
            if local_path(url) is not None:
                continue
        except DataError as error:
            raise _unavailable(name, file, folder, error) from None
        try:
            with new_session() as session:
                status = session.head(
                    url, allow_redirects=True, timeout=(20, patience())
                ).status_code
        except requests.RequestException as error:
            raise _unavailable(name, file, folder, f"{url} does not answer ({error}).") from None
        # Other refusals, such as 405, may concern the HEAD request only.
        if status in (401, 403, 404, 410):
            raise _unavailable(name, file, folder, f"{url} answers with status {status}.")


def fetch_weights(name: str, weights: Weights, folder: str | Path, lock: str | Path) -> None:
    """Download declared weights into a folder, and record their provenance there.

    Files that were put there by hand are used, and verified like any other.

    Parameters
    ----------
    name
        Of the weights in the configuration, for messages.
    weights
        What is declared.
    folder
        Will hold the files and `weights.json`.
    lock
        Lock file of checksums.

    Raises
    ------
    WeightsError
        If a file is unavailable or differs from the declaration, with possible remedies.
    """
    folder = Path(folder)
    checksums = {}
    for file in weights.files:
        path = folder / file
        url = address(weights, file)
        # Files in the repository or on a disk need no lock.
        local = weights.source.startswith("file:")
        try:
            expected = weights.sha256.get(file)
            if path.is_file() and not path.is_symlink():
                if expected is None and not local:
                    expected = recorded_checksum(lock, url)
                found = sha256_of_file(path)
                if expected is not None and found != expected:
                    raise DataError(
                        f"{path} has the SHA-256 {found}, {expected} is declared or was recorded "
                        "at the first download: delete it to download it again."
                    )
                if expected is None:
                    with open(path, "rb") as stream:
                        check_kind(stream, file)
                    if not local:
                        record_checksum(lock, url, found)
            else:
                found = fetch(url, path, sha256=expected, lock=None if local else lock)
        except (WrongKindError, CutShortError) as error:
            why = f"{path} is not the expected file ({error}): delete it to download it again."
            raise _unavailable(name, file, folder, why) from None
        except DataError as error:
            raise _unavailable(name, file, folder, error) from None
        checksums[file] = found
    write_checked_json(
        {
            "name": name,
            "source": weights.source,
            "revision": weights.revision,
            "licence": weights.licence,
            "note": weights.note,
            "sha256": checksums,
        },
        folder / RECORD,
    )
