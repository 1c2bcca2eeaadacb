"""Read and write U-Nets in diffusers' layout, without network access."""

import inspect
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers.models import UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from morphpipe.core.checksums import check_recorded
from morphpipe.core.errors import DataError, WeightsError
from morphpipe.core.finite import check_finite
from morphpipe.core.json_files import read_json
from morphpipe.core.storage import atomic_path
from morphpipe.transport.diffusion import NoiseSchedule, ddpm_scheduler

_UNET, _AVERAGE, _SCHEDULER = "unet", "unet_ema", "scheduler"
_TABLES = "condition.safetensors"
_WEIGHTS = tuple(
    f"diffusion_pytorch_model.{suffix}"
    for suffix in ("safetensors", "safetensors.index.json", "bin", "bin.index.json")
)


class ConditionalUNet(Protocol):
    """Interface of `morphpipe.generators.unet.UNetGenerator` used here."""

    network: UNet2DConditionModel
    schedule: NoiseSchedule

    def state_dict(self) -> dict[str, Any]:
        """All weights by name; those of the U-Net start with `network.`."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any:
        """Load weights by name."""


def save_unet(
    folder: str | Path, generator: ConditionalUNet, average: Mapping[str, Tensor] | None = None
) -> None:
    """Write a generator in diffusers' layout, as one folder, atomically.

    `unet/` and `scheduler/` can be read by `UNet2DConditionModel.from_pretrained` and
    `DDPMScheduler.from_pretrained`. Learnt tokens are stored in `condition.safetensors`:
    `perturbation.weight` [perturbations, width] and `cell_type.weight` [cell types, width], if the
    generator has them.

    Parameters
    ----------
    folder
        Output folder; replaced if it exists.
    generator
        The network and its tables.
    average
        Averaged weights by parameter name, see
        `morphpipe.training.ema.ExponentialMovingAverage.state_dict`, written instead of the
        generator's own.

    Raises
    ------
    DataError
        If the averaged weights belong to another generator.
    """
    weights = generator.state_dict() if average is None else dict(average)
    expected = generator.state_dict()
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    if shapes != {name: tensor.shape for name, tensor in expected.items()}:
        raise DataError(
            f"The averaged weights do not fit the generator to be written to {folder}: pass both "
            "from one checkpoint."
        )
    weights = {name: tensor.detach().float().cpu() for name, tensor in weights.items()}
    tables = {k: v.contiguous() for k, v in weights.items() if not k.startswith("network.")}
    # Drops other entries, such as the path it was loaded from.
    known = inspect.signature(UNet2DConditionModel.__init__).parameters
    settings = {k: v for k, v in generator.network.config.items() if k in known}
    with torch.device("meta"):
        network = UNet2DConditionModel(**settings)
    network.load_state_dict(
        {k.removeprefix("network."): v for k, v in weights.items() if k not in tables}, assign=True
    )
    with atomic_path(folder) as temporary:
        network.save_pretrained(temporary / _UNET)
        ddpm_scheduler(generator.schedule).save_pretrained(temporary / _SCHEDULER)
        if tables:
            save_file(tables, temporary / _TABLES)


def load_unet(folder: str | Path) -> UNet2DConditionModel:
    """Load a U-Net in diffusers' layout.

    It is searched in the folder itself, in `unet_ema/` and in `unet/`. Checkpoints of MorphoDiff's
    released code have both; like that code, the averaged one is preferred.

    Parameters
    ----------
    folder
        Folder with `config.json` and the weights, as safetensors or a pickle of tensors (`.bin`,
        read with `weights_only`).

    Returns
    -------
    UNet2DConditionModel
        In float32, on the CPU, in evaluation mode.

    Raises
    ------
    WeightsError
        If there is none, a file is missing or damaged, or the weights do not fit `config.json`.
    DataError
        If a file differs from the record of its download.
    """
    place = _place(Path(folder))
    weights = next((name for name in _WEIGHTS if (place / name).is_file()), None)
    if weights is None:
        raise WeightsError(
            f"{place} has a config.json but no weights: put one of {', '.join(_WEIGHTS)} there."
        )
    for file in sorted(place.iterdir()):
        check_recorded(file)
    try:
        network, found = UNet2DConditionModel.from_pretrained(
            place,
            local_files_only=True,
            use_safetensors="safetensors" in weights,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except (
        RuntimeError,
        ValueError,
        TypeError,
        OSError,
        SafetensorError,
        pickle.UnpicklingError,
    ) as error:
        raise WeightsError(
            f"The U-Net in {place} cannot be read or does not fit its config.json: "
            f"{str(error)[:300]}"
        ) from None
    faults = [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]
    if faults:
        raise WeightsError(
            f"The weights in {place} do not fit their config.json: {len(faults)} tensors are "
            f"missing, unknown or of another shape, e.g. {faults[0]}."
        )
    check_finite(network.state_dict(), place / weights)
    return network.float()


def load_tables(folder: str | Path, generator: ConditionalUNet) -> None:
    """Load the learnt tokens written by `save_unet` into a generator (if it has any).

    Raises
    ------
    WeightsError
        If they are missing, damaged, or belong to other vocabularies.
    """
    tables = {k: v for k, v in generator.state_dict().items() if not k.startswith("network.")}
    if not tables:
        return
    path = Path(folder) / _TABLES
    try:
        content = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"The learnt tokens of {', '.join(tables)} cannot be read from {path} "
            f"({str(error)[:300]}): write the folder again."
        ) from None
    expected = {name: list(tensor.shape) for name, tensor in tables.items()}
    shapes = {name: list(tensor.shape) for name, tensor in content.items()}
    if shapes != expected:
        raise WeightsError(
            f"{path} has tokens of the shapes {shapes}, but the generator has {expected}: it "
            "belongs to other perturbations or cell types."
        )
    check_finite(content, path)
    generator.load_state_dict(content, strict=False)


def _place(folder: Path) -> Path:
    """Folder that contains the U-Net."""
    place = folder
    if not (folder / "config.json").is_file():
        # An existing folder is used and must be complete: there is no fallback.
        places = [folder / name for name in (_AVERAGE, _UNET) if (folder / name).is_dir()]
        place = places[0] if places else folder
    try:
        kind = read_json(place / "config.json")["_class_name"]
    except FileNotFoundError:
        raise WeightsError(
            f"There is no U-Net in diffusers' layout in {folder}: looked for config.json in it, in "
            f"{_AVERAGE}/ and in {_UNET}/. Pass the folder that contains one of these."
            if place == folder
            else f"{place} has no config.json, which diffusers' layout requires."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise WeightsError(
            f"{place / 'config.json'} is not the configuration of one of diffusers' networks."
        ) from None
    if kind != UNet2DConditionModel.__name__:
        raise WeightsError(
            f"{place} contains a {kind}, not a {UNet2DConditionModel.__name__}: pass the U-Net's "
            "folder or its parent."
        )
    return place
