"""The training loop."""

import math
import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from tqdm import tqdm

from morphpipe.config.experiments import Training
from morphpipe.core.devices import best_device, uses_bfloat16
from morphpipe.core.errors import ConfigError, DataError, TrainingError
from morphpipe.core.folder_lock import only_user
from morphpipe.generators.base import Generator
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.tables.checkpoint_state import CheckpointState, read_state
from morphpipe.training.checkpoint import (
    checkpoint_path,
    checkpoints,
    load_checkpoint,
    load_weights,
    remove_older,
    remove_partial,
    save_checkpoint,
)
from morphpipe.training.data import TrainingData
from morphpipe.training.ema import ExponentialMovingAverage
from morphpipe.training.log import TrainingLog
from morphpipe.training.model_card import model_card
from morphpipe.training.processes import join_processes
from morphpipe.training.settings import TrainingSettings
from morphpipe.training.termination import Termination, end
from morphpipe.training.turns import joined, joint_norm, turns_of

_LOG_EVERY = 20


def learning_rate_at(step: int, training: Training) -> float:
    """Learning rate of a step: linear warm-up, then cosine decay to its final fraction.

    With `final_learning_rate` 1 it stays constant after the warm-up.
    """
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    progress = (step - training.warmup_steps) / max(training.steps - training.warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    share = training.final_learning_rate
    return training.learning_rate * (share + (1 - share) * cosine)


def device_rows(batch_size: int, accumulation: int, processes: int, process: int) -> list[range]:
    """Split the global batch: positions of a process, per accumulated part.

    Raises
    ------
    ConfigError
        If the global batch cannot be divided evenly.
    """
    parts = accumulation * processes
    if batch_size % parts:
        raise ConfigError(
            f"training.batch_size is {batch_size}, which is not divisible by {processes} devices "
            f"times {accumulation} accumulated parts: choose a multiple of {parts}."
        )
    size = batch_size // parts
    first = process * accumulation
    return [range((first + i) * size, (first + i + 1) * size) for i in range(accumulation)]


def _seed_of(*place: int) -> int:
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)


def _slice_before(training: Training, until: int) -> int | None:
    """Steps at the end of the previous slice; None if `until` is not the end of a slice."""
    length = training.steps // training.slices
    return until - length if training.slices > 1 and until % length == 0 else None


def _newest(
    work: Path, earlier: Path | None, identity: str, until: int, before: int | None
) -> Path | None:
    """The checkpoint to resume from: the newest that fits in `work`, or the previous slice's.

    One process searches for all, so that they agree.
    """
    candidates: list[tuple[int, Path]] = []
    if earlier is not None:
        state = read_state(earlier)
        if state.identity != identity:
            raise DataError(
                f"The checkpoint {earlier} was trained with other settings or data: delete it, and "
                "rerun the workflow to train it again."
            )
        if state.step > until or before not in (None, state.step):
            raise DataError(
                f"The checkpoint {earlier} is of step {state.step:,}, but the slice to step "
                f"{until:,} continues from "
                f"{'an earlier one' if before is None else f'{before:,}'}: it belongs to another "
                "slice. Delete it, and rerun the workflow to train it again."
            )
        candidates.append((state.step, earlier))
    for folder in checkpoints(work):
        try:
            state = read_state(folder)
        except DataError as error:
            tqdm.write(f"Skipping a checkpoint: {error}")
            continue
        if state.identity == identity and state.step <= until:
            candidates.append((state.step, folder))
        else:
            tqdm.write(f"Skipping {folder}: it belongs to other settings or a later slice.")
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

    Killed at any time and called again, it resumes from its last checkpoint and ends with the same
    weights as an uninterrupted run (bit for bit on the same hardware and number of processes; on
    GPUs with `training.deterministic`).

    Several processes (started by torchrun) share the global batch: data, order and random draws are
    the same, and one process writes. The sum of gradients is rounded differently, which training
    amplifies. Measured with 1, 2 and 4 processes (SiT-test/2, fp32, learning rate 1e-3; distance of
    all weights over their norm): 4e-7 after 20 steps, 9e-5 after 200 and 3e-4 after 1,000; for the
    averaged weights 2e-9, 6e-7 and 2e-5. Tests require less than 1e-6 after 20 steps.

    Parameters
    ----------
    settings
        Settings of the training.
    data
        See `morphpipe.training.data.open_training_data`.
    vocabulary
        Labels of the data.
    work
        Folder for intermediate checkpoints, the log and TensorBoard files.
    output
        The final checkpoint's folder, with `log.csv`, `vocabulary.json`, the table of conditions
        and the model card.
    until
        Number of steps at the end.
    earlier
        The checkpoint of the previous slice.
    weights
        Folder of pretrained weights to start from, if `generator.weights` names any.
    conditions
        File of the data's embedding table, copied into the checkpoint.

    Raises
    ------
    TrainingError
        If the loss is no longer finite although the data are.
    DataError
        If a checkpoint belongs to other settings, data or another slice, or cached arrays are not
        finite.
    ConfigError
        If the global batch cannot be divided evenly, or only one of alignment and targets is given.
    """
    if (settings.generator.alignment is None) != (data.targets is None):
        raise ConfigError(
            f"generator.alignment of {settings.experiment} and cached alignment targets belong "
            "together: give both to the training, or neither."
        )
    if (settings.generator.condition is None) != (data.embeddings is None):
        raise ConfigError(
            f"generator.condition of {settings.experiment} and a table of conditions belong "
            "together: give both to the training, or neither."
        )
    if settings.training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    half = uses_bfloat16(settings.training.precision, best_device())
    join_processes()
    # Accelerate keeps the precision of a process's first training and rejects another.
    AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision="bf16" if half else "no")
    termination = Termination()
    try:
        with only_user(work) if accelerator.is_main_process else nullcontext():
            _train(
                accelerator,
                termination,
                settings,
                data,
                vocabulary,
                work=Path(work),
                output=Path(output),
                until=until,
                earlier=None if earlier is None else Path(earlier),
                weights=weights,
                conditions=conditions,
            )
    finally:
        termination.restore()


def new_average(generator: Generator, training: Training) -> ExponentialMovingAverage:
    """Start the configured average of a generator's weights."""
    return ExponentialMovingAverage(
        generator,
        training.ema_decay,
        warmup=training.ema_warmup,
        deviation=training.ema_deviation,
    )


def _train(
    accelerator: Accelerator,
    termination: Termination,
    settings: TrainingSettings,
    data: TrainingData,
    vocabulary: Vocabulary,
    *,
    work: Path,
    output: Path,
    until: int,
    earlier: Path | None,
    weights: str | Path | None,
    conditions: str | Path | None,
) -> None:
    training, main = settings.training, accelerator.is_main_process
    if main:
        remove_partial(work)
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
    turns = turns_of(generator, training)
    optimizers = [turn.optimizer for turn in turns]
    average = new_average(generator, training)
    # Step at which optimizers and average started.
    beginning = 0

    checksums = sorted(set(data.moments.index["sha256"]))
    if data.targets is not None:
        checksums += sorted(set(data.targets.index["sha256"]))
    identity = settings.identity(vocabulary, [*checksums, data.fingerprint()])
    before = _slice_before(training, until)
    found = [_newest(work, earlier, identity, until, before) if main else None]
    start, step = broadcast_object_list(found)[0], 0
    if start is not None:
        if settings.fidelity.requeue != "released_code":
            step = load_checkpoint(start, generator, average, optimizers).step
        elif start == earlier:
            step = beginning = load_weights(start, generator).step
            average = new_average(generator, training)
        else:
            step = load_checkpoint(start, generator, average, optimizers).step
            beginning = 0 if earlier is None else read_state(earlier).step
        if main:
            tqdm.write(f"Resuming from {start} (step {step}).")
    if training.compile:
        generator.compile_blocks()
    if len(turns) > 1:
        # In a turn, the parameters of the others get no gradient.
        accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
    model, *prepared = accelerator.prepare(generator, *optimizers)
    log = TrainingLog(
        work,
        step,
        None if earlier is None else earlier / "log.csv",
        main=main,
        mean=lambda values: accelerator.reduce(values, "mean"),
    )

    # What is needed to sample from any checkpoint.
    labels: dict[str, str | Path] = {"vocabulary.json": vocabulary.to_json()}
    if conditions is not None:
        labels["conditions.parquet"] = Path(conditions)

    def save(folder: Path, notes: dict[str, str] | None = None) -> None:
        accelerator.wait_for_everyone()
        # Only at the steps in the settings, independent of interruptions.
        regular = step % training.checkpoint_every == 0 or step == training.steps
        if settings.fidelity.average == "released_code" and regular:
            average.copy_to(generator)
        if main:
            shape = (channels, height, width)
            state = CheckpointState(step, identity, settings.to_dict(), shape, data.moments.made_by)
            beside = {**labels, **(notes or {})}
            save_checkpoint(folder, state, generator, average, optimizers, notes=beside)
        # A process that exits early would take the writing process along.
        accelerator.wait_for_everyone()

    batches = data.prefetched(
        settings.seed,
        range(step, until),
        rows,
        training.batch_size,
        settings.draws,
    )
    with tqdm(
        total=until,
        initial=step,
        desc=f"train {settings.experiment}",
        unit="step",
        mininterval=5,
        disable=not main,
    ) as progress:
        for parts in batches:
            rate = learning_rate_at(step, training)
            parts = [part.to(accelerator.device) for part in parts]
            losses, norms = [], []
            for turn, optimizer in zip(turns, prepared, strict=True):
                for group in turn.optimizer.param_groups:
                    group["lr"] = rate
                turn.begin()
                optimizer.zero_grad(set_to_none=True)
                for i, part in enumerate(parts):
                    # What losses draw: by step and place, so that resumed training repeats it.
                    torch.manual_seed(_seed_of(settings.seed, step, rows[i].start))
                    last = i == len(parts) - 1
                    with (
                        nullcontext() if last else accelerator.no_sync(model),
                        accelerator.autocast(),
                    ):
                        losses.append(model(part, turn.name))
                    accelerator.backward(losses[-1].total / len(parts))
                norms.append(accelerator.clip_grad_norm_(turn.parameters, training.gradient_clip))
                optimizer.step()
            average.update(generator, step - beginning)
            step += 1
            for i in range(len(parts)):
                log.add(joined(losses[i :: len(parts)]), joint_norm(norms))
            progress.update()

            asked = termination.asked_of_any(accelerator, step)
            due = step % training.checkpoint_every == 0 or asked
            if due or step % _LOG_EVERY == 0 or step == until:
                try:
                    entry = log.write(step, rate)
                except TrainingError:
                    # Everything was finite up to the last entry.
                    since = range(max(step - _LOG_EVERY, 0), step)
                    fault = data.not_finite(settings.seed, since, training.batch_size)
                    if fault is None:
                        raise
                    raise DataError(
                        f"The loss is not finite at step {step} because the data are not: {fault} "
                        "contain infinities or NaN. Delete the cached arrays, and check the image "
                        "and the weights that made them."
                    ) from None
                progress.set_postfix(loss=f"{entry['loss']:.4f}")
            if due and step < until:
                save(checkpoint_path(work, step))
                if main:
                    remove_older(work)
                if asked:
                    if main:
                        tqdm.write(f"Termination requested: saved step {step}.")
                    end()
    card = model_card(settings, vocabulary, step, len(data), generator)
    save(output, {"log.csv": log.text(), "README.md": card})
    log.close()
