"""State of a checkpoint, read without its weights and without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphpipe.core.checksums import read_checked_json
from morphpipe.core.errors import DataError
from morphpipe.core.storage import sha256_of_file

STATE = "state.json"


@dataclass(frozen=True)
class CheckpointState:
    """Identity and settings of a checkpoint.

    Attributes
    ----------
    step
        Number of optimizer steps. With the seed it determines the position in the data and all
        random draws (see `morphpipe.training.data`).
    identity
        Hash of everything the weights depend on: settings, data, seed.
    settings
        Training settings, as plain values.
    latent_shape
        [C', h, w] of the training latents.
    autoencoder
        Fingerprint of the autoencoder that made these latents, see
        `morphpipe.autoencoders.base.Autoencoder`; none where it is not known.
    """

    step: int
    identity: str
    settings: dict[str, Any]
    latent_shape: tuple[int, int, int]
    autoencoder: str | None = None


def read_state(folder: str | Path) -> CheckpointState:
    """Read a checkpoint's state and verify the checksums of its files.

    Raises
    ------
    DataError
        If a file is missing or differs from its checksum.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a checkpoint. A checkpoint is a folder written by training, such as "
            "results/experiments/EXPERIMENT/training/seed-0/slice-0."
        )
    try:
        content = read_checked_json(folder / STATE)
        for name, checksum in content["sha256"].items():
            if sha256_of_file(folder / name) != checksum:
                raise DataError(
                    f"{folder / name} is damaged (other checksum than {STATE} says): delete the "
                    "folder, and training resumes from the previous checkpoint."
                )
        channels, height, width = content["latent_shape"]
        return CheckpointState(
            content["step"],
            content["identity"],
            content["settings"],
            (channels, height, width),
            content.get("autoencoder"),
        )
    except FileNotFoundError as error:
        raise DataError(
            f"The checkpoint {folder} lacks {Path(error.filename).name}. A checkpoint needs all "
            "files of its folder: copy it again completely."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / STATE} cannot be read ({error!r}).") from None
