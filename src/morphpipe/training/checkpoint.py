"""Complete, checksummed checkpoints, written atomically."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from morphpipe.core.checksums import write_checked_json
from morphpipe.core.errors import DataError
from morphpipe.core.finite import check_finite
from morphpipe.core.lineage import lineage_of
from morphpipe.core.storage import atomic_path, sha256_of_file
from morphpipe.tables.checkpoint_state import STATE, CheckpointState, read_state
from morphpipe.training.ema import ExponentialMovingAverage

_MODEL, _EMA, _OPTIMIZER = "model.safetensors", "ema.safetensors", "optimizer.safetensors"


def _optimizer_tensors(
    optimizers: Sequence[torch.optim.Optimizer], model: nn.Module
) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    tensors = {}
    for optimizer in optimizers:
        for parameter, values in optimizer.state.items():
            for key, value in values.items():
                tensors[f"{key}/{names[parameter]}"] = torch.as_tensor(value).cpu().contiguous()
    return tensors


def save_checkpoint(
    folder: str | Path,
    state: CheckpointState,
    model: nn.Module,
    ema: ExponentialMovingAverage,
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    notes: dict[str, str | Path] | None = None,
) -> None:
    """Write a checkpoint folder atomically.

    It contains `model.safetensors`, `ema.safetensors`, `optimizer.safetensors`, `state.json` (with
    the checksums of all files) and `notes` by file name: texts such as the model card, or files to
    copy. The state of all optimizers is by the parameter's name, which one of them trains.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for name, tensors in (
            (_MODEL, {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}),
            (_EMA, {k: v.cpu().contiguous() for k, v in ema.state_dict().items()}),
            (_OPTIMIZER, _optimizer_tensors(optimizers, model)),
        ):
            save_file(tensors, temporary / name)
        for name, note in (notes or {}).items():
            if isinstance(note, Path):
                shutil.copyfile(note, temporary / name)
            else:
                (temporary / name).write_text(note, "utf-8")
        content = {
            "step": state.step,
            "identity": state.identity,
            "settings": state.settings,
            "latent_shape": list(state.latent_shape),
            "autoencoder": state.autoencoder,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "lineage": lineage_of(Path(folder) / STATE),
            "sha256": {file.name: sha256_of_file(file) for file in sorted(temporary.iterdir())},
        }
        write_checked_json(content, temporary / STATE)


def load_weights(folder: str | Path, model: nn.Module) -> CheckpointState:
    """Load only the model weights of a checkpoint.

    Raises
    ------
    DataError
        See `read_state`; or if the weights do not fit the model.
    """
    folder = Path(folder)
    state = read_state(folder)
    weights = _finite(folder / _MODEL)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise DataError(
            f"The checkpoint {folder} does not fit the model: {str(error)[:300]}"
        ) from None
    return state


def load_checkpoint(
    folder: str | Path,
    model: nn.Module,
    ema: ExponentialMovingAverage,
    optimizers: Sequence[torch.optim.Optimizer],
) -> CheckpointState:
    """Load a checkpoint into model, average and optimizers.

    Raises
    ------
    DataError
        See `read_state`; or if the weights do not fit the model.
    """
    folder = Path(folder)
    state = load_weights(folder, model)
    ema.load_state_dict(_finite(folder / _EMA))
    parameters = dict(model.named_parameters())
    values: dict[nn.Parameter, dict[str, Tensor]] = {}
    for key, tensor in load_file(folder / _OPTIMIZER).items():
        kind, name = key.split("/", 1)
        parameter = parameters[name]
        if tensor.shape == parameter.shape:
            # In the parameter's memory format, as fused optimizers require.
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        values.setdefault(parameter, {})[kind] = tensor
    for optimizer in optimizers:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        numbered = {number: values[p] for number, p in enumerate(trained) if p in values}
        optimizer.load_state_dict(
            {"state": numbered, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    return state


def load_average(folder: str | Path) -> dict[str, Tensor]:
    """Load the averaged weights of a checkpoint, for sampling."""
    read_state(folder)
    return _finite(Path(folder) / _EMA)


def _finite(path: Path) -> dict[str, Tensor]:
    content = load_file(path)
    check_finite(content, path)
    return content


def checkpoints(work: str | Path) -> Iterator[Path]:
    """Iterate over the checkpoint folders in a working folder, newest first."""
    work = Path(work)
    if work.is_dir():
        yield from sorted(work.glob("step-*"), reverse=True)


def checkpoint_path(work: str | Path, step: int) -> Path:
    """Return the path of a step's checkpoint in a working folder."""
    return Path(work) / f"step-{step:09d}"


def remove_older(work: str | Path, keep: int = 2) -> None:
    """Delete all but the newest checkpoints of a working folder."""
    for folder in list(checkpoints(work))[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def remove_partial(work: str | Path) -> None:
    """Delete partially written files of a killed job; the working folder must be locked."""
    for leftover in Path(work).glob(".*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
