"""Common options of verbs, and their helpers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from morphpipe.cli.outputs import place_of_log
from morphpipe.core.console import log_to
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.core.json_files import parse_json, read_json

if TYPE_CHECKING:  # pydantic is not needed for `morphpipe --help`
    from pydantic import BaseModel

    from morphpipe.config import Configuration

Settings = TypeVar("Settings", bound="BaseModel")

CONFIG = Path("config/config.yaml")
Config = Annotated[Path, typer.Option(help="Configuration file (YAML).")]
Fields = Annotated[Path, typer.Option(help="Field table (.parquet) or image archive (.zip).")]
Split = Annotated[Path, typer.Option(help="Split table (.parquet) of the workflow.")]
AutoencoderFolder = Annotated[
    Path,
    typer.Option(help="Folder of an AutoencoderKL in diffusers' layout."),
]
EncoderFolder = Annotated[
    Path, typer.Option(help="Folder of the encoder's weights, as the workflow writes it.")
]
Conditions = Annotated[
    Path | None,
    typer.Option(help="Table of conditions (.parquet), as `conditions` writes it."),
]
Embeddings = Annotated[
    Path | None,
    typer.Option(
        help="Table of conditions (.parquet), as written by the verb `conditions`, with "
        "unseen perturbations; default: the checkpoint's own."
    ),
]
Checkpoint = Annotated[Path, typer.Option(help="Checkpoint folder, as training writes it.")]
ScalingFactor = Annotated[
    float | None,
    typer.Option(
        help="Scaling factor of the latents; default: from the autoencoder's config.json."
    ),
]
Guide = Annotated[
    Path | None,
    typer.Option(
        help="Autoguidance: folder of an earlier checkpoint of the same training, which is used "
        "for guidance instead of the unconditional generator."
    ),
]
Threads = Annotated[int | None, typer.Option(help="Threads on the CPU; default: all cores.")]
Log = Annotated[
    Path | None,
    typer.Option(callback=place_of_log, help="Also write all messages to this file (.log)."),
]


def prepare(threads: int | None, log: Path | None) -> None:
    """Set the log file and the number of threads, before heavy imports."""
    if log is not None:
        log_to(log, echo=True)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def configured(config: Path, section: str, name: str) -> tuple["Configuration", Any]:
    """Read a configuration, and look up a name in one of its sections.

    Raises
    ------
    ConfigError
        If the configuration is invalid or has no such name.
    """
    from morphpipe.plan.checks import read_plan

    configuration = read_plan(config)
    declared = getattr(configuration, section)
    if name not in declared:
        raise ConfigError(
            f"{config} has no {name!r} in `{section}`; it has {', '.join(declared) or 'none'}."
        )
    return configuration, declared[name]


def checked(model: type[Settings], content: dict[str, Any], place: str) -> Settings:
    """Validate settings from outside a configuration file.

    Raises
    ------
    ConfigError
        With every invalid key.
    """
    from pydantic import ValidationError

    from morphpipe.config.messages import faults

    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{place} cannot be used: {'; '.join(faults(error, model))}.") from None


def read_settings(settings: str) -> dict[str, Any]:
    """Read settings from JSON text or a `.json` file.

    Raises
    ------
    ConfigError
        If the file does not exist, or is not a JSON object.
    """
    try:
        content = read_json(settings) if settings.endswith(".json") else parse_json(settings)
    except FileNotFoundError:
        raise ConfigError(f"There is no file {settings} (--settings).") from None
    except ValueError as error:
        raise ConfigError(f"--settings is not valid JSON ({error}).") from None
    if not isinstance(content, dict):
        raise ConfigError("--settings must be a JSON object.")
    return content


def expand_folders(paths: list[Path], pattern: str) -> list[Path]:
    """Replace folders by their files that match a pattern, sorted.

    Raises
    ------
    DataError
        If a folder has no such file.
    """
    files = []
    for path in paths:
        found = sorted(path.glob(pattern)) if path.is_dir() else [path]
        if not found:
            raise DataError(f"The folder {path} contains no file {pattern}.")
        files += found
    return files
