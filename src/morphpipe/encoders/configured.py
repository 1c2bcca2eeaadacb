"""Encoders by their name in the configuration: loading them, and the features of a shard."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from morphpipe.core.checksums import RECORD, read_record
from morphpipe.core.devices import best_device
from morphpipe.core.errors import ConfigError
from morphpipe.core.storage import atomic_path, sha256_of_file
from morphpipe.encoders.base import Encoder, TokenEncoder
from morphpipe.encoders.extract import expand_views, extract_features
from morphpipe.encoders.registry import build_encoder
from morphpipe.tables.fields import FieldTable

WEIGHTS_NAME = "weights.safetensors"


def weights_file(settings: dict[str, Any], record: str | Path) -> Path:
    """Return the file with an encoder's weights.

    Parameters
    ----------
    settings
        The encoder's configuration, plain values.
    record
        Weights trained by the workflow, or `weights.json` of downloaded ones.
    """
    record = Path(record)
    if settings["kind"] == "resnet18":
        return record
    files = list(read_record(record.parent)["sha256"])
    return record.parent / files[0]


def record_in(folder: str | Path, settings: dict[str, Any]) -> Path:
    """Return the `record` argument of `weights_file` for an encoder's folder."""
    return Path(folder) / (WEIGHTS_NAME if settings["kind"] == "resnet18" else RECORD)


def load_encoder(
    name: str, settings: dict[str, Any], record: str | Path, channels: Sequence[str]
) -> Encoder:
    """Build an encoder by its configuration, on the best device."""
    options = {}
    if settings["kind"] == "openphenom":
        options = {"norm": settings["norm"], "joined": settings["channels"]}
    encoder = build_encoder(
        settings["kind"],
        weights_file(settings, record),
        channels=channels,
        device=best_device(),
        **options,
    )
    encoder.name = name
    return encoder


def load_token_encoder(
    name: str, settings: dict[str, Any], record: str | Path, channels: Sequence[str]
) -> TokenEncoder:
    """Like `load_encoder`, for an alignment encoder.

    Raises
    ------
    ConfigError
        If the encoder has no tokens.
    """
    encoder = load_encoder(name, settings, record, channels)
    if not isinstance(encoder, TokenEncoder):
        raise ConfigError(
            f"The encoder {name} has no tokens for alignment: choose one of kind openphenom or "
            "resnet18."
        )
    return encoder


def extract_shard(
    fields: FieldTable,
    name: str,
    settings: dict[str, Any],
    record: str | Path,
    views: Sequence[str],
    folder: str | Path,
) -> None:
    """Write the feature tables of a shard, `<folder>/<view>.parquet`.

    Raises
    ------
    ConfigError
        If the encoder supports none of the views.
    """
    encoder = load_encoder(name, settings, record, fields.manifest.names)
    wanted = expand_views(views, encoder, fields.manifest.names)
    if not wanted:
        raise ConfigError(
            f"The encoder {name} supports none of the views {', '.join(views)}; choose from "
            f"{', '.join(encoder.views)}."
        )
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        extract_features(
            fields,
            encoder,
            {view: temporary / f"{view}.parquet" for view in wanted},
            kind=settings["kind"],
            weights_sha256=sha256_of_file(weights_file(settings, record)),
            batch_size=settings["batch_size"],
        )
