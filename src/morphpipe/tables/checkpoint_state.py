"""What a checkpoint says of itself, read without its weights and without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphpipe.core.checksums import read_checked_json
from morphpipe.core.errors import DataError
from morphpipe.core.storage import sha256_of_file

STATE = "state.json"


@dataclass(frozen=True)
class CheckpointState:
    """What a checkpoint belongs to.

    Attributes
    ----------
    step
        Optimizer steps that have been done. Together with the seed it is the position in the
        data and in all random draws (see `morphpipe.training.data`).
    identity
        Hash of everything that the weights depend on: settings, data, seed.
    settings
        What was trained, in plain values.
    latent_shape
        [C', h, w] of the latents that it was trained on.
    codec
        Fingerprint of the autoencoder that made these latents, see
        `morphpipe.autoencoders.base.Codec`; none where it is not known.
    """

    step: int
    identity: str
    settings: dict[str, Any]
    latent_shape: tuple[int, int, int]
    codec: str | None = None


def read_state(folder: str | Path) -> CheckpointState:
    """What a checkpoint belongs to, after comparing its files with their checksums.

    Raises
    ------
    DataError
        When a file is missing or is not the one that was written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"There is no checkpoint {folder}. A checkpoint is a folder that training has written, "
            "such as results/experiments/EXPERIMENT/training/seed-0/slice-0."
        )
    try:
        content = read_checked_json(folder / STATE)
        for name, checksum in content["sha256"].items():
            if sha256_of_file(folder / name) != checksum:
                raise DataError(
                    f"{folder / name} is damaged (other checksum than {STATE} says): delete the "
                    "folder, and training goes on from the checkpoint before it."
                )
        channels, height, width = content["latent_shape"]
        return CheckpointState(
            content["step"],
            content["identity"],
            content["settings"],
            (channels, height, width),
            content.get("codec"),
        )
    except FileNotFoundError as error:
        raise DataError(
            f"The checkpoint {folder} lacks {Path(error.filename).name}. It is used as training "
            "has written it, all files of the folder together: copy it once more, whole."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / STATE} cannot be read ({error!r}).") from None
