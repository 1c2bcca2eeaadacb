"""The training loop."""

import math
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator
from tqdm import tqdm

from morphpipe.config.experiments import Training
from morphpipe.devices import best_device, uses_bfloat16
from morphpipe.errors import ConfigError, DataError
from morphpipe.generators.build import build_generator
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.training.checkpoint import (
    CheckpointState,
    checkpoint_path,
    checkpoints,
    load_checkpoint,
    load_weights,
    read_state,
    remove_older,
    save_checkpoint,
)
from morphpipe.training.data import TrainingData
from morphpipe.training.ema import ExponentialMovingAverage
from morphpipe.training.log import TrainingLog
from morphpipe.training.model_card import model_card
from morphpipe.training.settings import TrainingSettings

_LOG_EVERY = 20
_COMPARE_EVERY = 10


def learning_rate_at(step: int, training: Training) -> float:
    """Learning rate of a step: linear warm-up, then a cosine to its final share.

    With `final_learning_rate` 1 it stays constant after the warm-up.
    """
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    progress = (step - training.warmup_steps) / max(training.steps - training.warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    share = training.final_learning_rate
    return training.learning_rate * (share + (1 - share) * cosine)


def device_rows(batch_size: int, accumulation: int, processes: int, process: int) -> list[range]:
    """Which places of the global batch a process takes, part by part.

    Raises
    ------
    ConfigError
        When the global batch cannot be divided evenly.
    """
    parts = accumulation * processes
    if batch_size % parts:
        raise ConfigError(
            f"training.batch_size is {batch_size}, which {processes} devices times "
            f"{accumulation} accumulated parts do not divide: choose a multiple of {parts}."
        )
    size = batch_size // parts
    first = process * accumulation
    return [range((first + i) * size, (first + i + 1) * size) for i in range(accumulation)]


class _Termination:
    """Notices SIGTERM, so that the loop can save before it ends."""

    def __init__(self) -> None:
        self.asked = False
        self._before = signal.signal(signal.SIGTERM, self._notice)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def asked_of_any(self, accelerator: Accelerator, step: int) -> bool:
        """Whether some process was asked to end: all of them have to save at the same step.

        Several processes compare every ten steps only, since comparing waits for the device.
        """
        if accelerator.num_processes == 1:
            return self.asked
        if step % _COMPARE_EVERY:
            return False
        asked = torch.tensor([float(self.asked)], device=accelerator.device)
        return bool(accelerator.reduce(asked, "sum").item())

    def restore(self) -> None:
        signal.signal(signal.SIGTERM, self._before)


def _end_after_saving() -> None:
    """Leave after a SIGTERM.

    Under SLURM a preempted job that ends by itself counts as failed, one that waits to be killed
    is requeued and resumes.
    """
    if "SLURM_JOB_ID" in os.environ:
        time.sleep(3600)
    raise SystemExit(128 + signal.SIGTERM)


def _newest(work: Path, earlier: Path | None, identity: str, until: int) -> Path | None:
    """The checkpoint to go on from: the newest in `work` that fits, or that of the slice before."""
    candidates: list[tuple[int, Path]] = []
    if earlier is not None:
        state = read_state(earlier)
        if state.identity != identity:
            raise DataError(
                f"The checkpoint {earlier} was trained with other settings or data: delete it, "
                "and let the workflow train it again."
            )
        candidates.append((state.step, earlier))
    for folder in checkpoints(work):
        try:
            state = read_state(folder)
        except DataError as error:
            tqdm.write(f"Passing over a checkpoint: {error}")
            continue
        if state.identity == identity and state.step <= until:
            candidates.append((state.step, folder))
        else:
            tqdm.write(f"Passing over {folder}: it belongs to other settings or a later slice.")
    return max(candidates, default=(0, None))[1]


def train(
    settings: TrainingSettings,
    data: TrainingData,
    vocabulary: Vocabulary,
    *,
    work: str | Path,
    output: str | Path,
    until: int,
    earlier: str | Path | None = None,
    weights: str | Path | None = None,
    conditions: str | Path | None = None,
) -> None:
    """Train up to a step and write the checkpoint of that step.

    Killed at any time and called again, it goes on from its last checkpoint and ends with the
    same weights as a run left alone (bit for bit on the same hardware; on GPUs with
    `training.deterministic`).

    Parameters
    ----------
    settings
        What to train.
    data
        See `morphpipe.training.data.open_training_data`.
    vocabulary
        Labels of the data.
    work
        Folder for checkpoints on the way, the log and TensorBoard's files.
    output
        The checkpoint's folder, with `log.csv`, `vocabulary.json`, the table of conditions and the
        model card.
    until
        Number of steps done at the end.
    earlier
        The checkpoint of the slice before.
    weights
        Folder of pretrained weights to start from, where `generator.weights` names some.
    conditions
        File of the table that the data's embeddings come from: it is kept in the checkpoint.

    Raises
    ------
    TrainingError
        When the loss is no longer finite.
    DataError
        When a checkpoint belongs to other settings or data.
    ConfigError
        When the global batch cannot be divided evenly, or alignment and its targets do not come
        together.
    """
    if (settings.generator.alignment is None) != (data.targets is None):
        raise ConfigError(
            f"generator.alignment of {settings.experiment} and cached alignment targets have to "
            "come together: give both to the training, or none."
        )
    if (settings.generator.condition is None) != (data.embeddings is None):
        raise ConfigError(
            f"generator.condition of {settings.experiment} and a table of conditions have to come "
            "together: give both to the training, or none."
        )
    work, output = Path(work), Path(output)
    work.mkdir(parents=True, exist_ok=True)
    training = settings.training
    if training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    half = uses_bfloat16(training.precision, best_device())
    accelerator = Accelerator(mixed_precision="bf16" if half else "no")
    rows = device_rows(
        training.batch_size,
        training.accumulation,
        accelerator.num_processes,
        accelerator.process_index,
    )

    channels, height, width = data.moments.shape[1:]
    torch.manual_seed(settings.seed)
    generator = build_generator(
        settings.generator,
        vocabulary,
        (channels, height, width),
        target_width=None if data.targets is None else data.targets.shape[-1],
        condition_width=None if data.embeddings is None else data.embeddings.shape[-1],
        weights=weights,
        gradient_checkpointing=training.gradient_checkpointing,
    ).to(accelerator.device)
    optimizer = torch.optim.AdamW(
        generator.parameters(),
        lr=training.learning_rate,
        betas=training.betas,
        weight_decay=training.weight_decay,
        fused=True,
    )
    average = ExponentialMovingAverage(generator, training.ema_decay, warmup=training.ema_warmup)
    # Where the optimizer and the average began, in steps.
    beginning = 0

    checksums = sorted(set(data.moments.index["sha256"]))
    if data.targets is not None:
        checksums += sorted(set(data.targets.index["sha256"]))
    identity = settings.identity(vocabulary, [*checksums, data.fingerprint()])
    earlier = None if earlier is None else Path(earlier)
    start, step = _newest(work, earlier, identity, until), 0
    if start is not None:
        if settings.fidelity.requeue != "released_code":
            step = load_checkpoint(start, generator, average, optimizer).step
        elif start == earlier:
            step = beginning = load_weights(start, generator).step
            average = ExponentialMovingAverage(
                generator, training.ema_decay, warmup=training.ema_warmup
            )
        else:
            step = load_checkpoint(start, generator, average, optimizer).step
            beginning = 0 if earlier is None else read_state(earlier).step
        tqdm.write(f"Going on from {start} (step {step}).")
    model, prepared = accelerator.prepare(generator, optimizer)
    log = TrainingLog(
        work,
        step,
        None if earlier is None else earlier / "log.csv",
        main=accelerator.is_main_process,
    )

    def save(folder: Path, notes: dict[str, str | Path] | None = None) -> None:
        accelerator.wait_for_everyone()
        if settings.fidelity.average == "released_code":
            average.copy_to(generator)
        if accelerator.is_main_process:
            state = CheckpointState(step, identity, settings.to_dict(), (channels, height, width))
            save_checkpoint(folder, state, generator, average, optimizer, notes=notes)

    termination = _Termination()
    batches = data.prefetched(
        settings.seed,
        range(step, until),
        rows,
        training.batch_size,
        settings.generator.label_dropout,
    )
    with tqdm(
        total=until,
        initial=step,
        desc=f"train {settings.experiment}",
        unit="step",
        mininterval=5,
        disable=not accelerator.is_main_process,
    ) as progress:
        for parts in batches:
            rate = learning_rate_at(step, training)
            for group in optimizer.param_groups:
                group["lr"] = rate
            prepared.zero_grad(set_to_none=True)
            losses = []
            for i, part in enumerate(parts):
                last = i == len(parts) - 1
                with (
                    nullcontext() if last else accelerator.no_sync(model),
                    accelerator.autocast(),
                ):
                    losses.append(model(part.to(accelerator.device)))
                accelerator.backward(losses[-1].total / len(parts))
            norm = accelerator.clip_grad_norm_(model.parameters(), training.gradient_clip)
            prepared.step()
            average.update(generator, step - beginning)
            step += 1
            for part_losses in losses:
                log.add(part_losses, norm)
            progress.update()

            asked = termination.asked_of_any(accelerator, step)
            due = step % training.checkpoint_every == 0 or asked
            if due or step % _LOG_EVERY == 0 or step == until:
                entry = log.write(step, rate)
                progress.set_postfix(loss=f"{entry['loss']:.4f}")
            if due and step < until:
                save(checkpoint_path(work, step))
                if accelerator.is_main_process:
                    remove_older(work)
                if asked:
                    tqdm.write(f"Asked to end: saved step {step}.")
                    _end_after_saving()
    notes: dict[str, str | Path] = {
        "log.csv": log.text(),
        "README.md": model_card(settings, vocabulary, step, len(data), generator),
        "vocabulary.json": vocabulary.to_json(),
    }
    if conditions is not None:
        notes["conditions.parquet"] = Path(conditions)
    save(output, notes)
    log.close()
    termination.restore()
