"""Batches of cached latents, determined by seed and step.

A resumed training therefore sees the same batches, and so does any number of devices.
"""

import hashlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.generators.base import Condition, TrainingBatch
from morphpipe.perturbations.condition_table import ConditionTable
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.tables.array_shards import ArrayShards, sample_latents
from morphpipe.training.settings import Draws
from morphpipe.transport.interpolant import draw_time

# Purposes of random draws, each with its own stream.
_ORDER, _SAMPLE, _SHARED = 1, 2, 3


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, number: int) -> NDArray[np.int64]:
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(number)


def batch_members(seed: int, step: int, batch_size: int, number: int) -> NDArray[np.int64]:
    """Select the fields (of `number`) in the global batch of a step: int64 [batch_size].

    Every field appears once per epoch, in a new random order; batches may span epochs.
    """
    places = step * batch_size + np.arange(batch_size, dtype=np.int64)
    epochs = places // number
    members = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        members[here] = _permutation(seed, int(epoch), number)[places[here] % number]
    return members


@dataclass(frozen=True)
class TrainingData:
    """Cached latents (and alignment targets) of the training fields.

    Attributes
    ----------
    moments
        Rows [2, C', h, w].
    targets
        Rows [tokens, width]; None without alignment.
    positions
        int64 [fields, transforms]: rows of `moments`.
    target_positions
        The same for `targets`.
    perturbations, cell_types
        int64 [fields]: indices into the vocabulary.
    embeddings
        float32 [rows, d]: conditioning embeddings; None for a learnt table.
    embedding_rows
        int64 [fields]: rows of `embeddings`.
    batches
        int64 [fields]: indices of batches; None without such labels.
    controls
        For each field the fields whose images can be the source of its path: negative controls of
        its batch and cell type. None where paths begin at noise.
    """

    moments: ArrayShards
    targets: ArrayShards | None
    positions: NDArray[np.int64]
    target_positions: NDArray[np.int64] | None
    perturbations: NDArray[np.int64]
    cell_types: NDArray[np.int64]
    embeddings: NDArray[np.float32] | None = None
    embedding_rows: NDArray[np.int64] | None = None
    batches: NDArray[np.int64] | None = None
    controls: Sequence[NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def fingerprint(self) -> str:
        """Hash of the training fields, their transforms and labels."""
        digest = hashlib.sha256()
        arrays: list[NDArray[Any]] = [self.positions, self.perturbations, self.cell_types]
        if self.embeddings is not None and self.embedding_rows is not None:
            arrays.append(self.embeddings[self.embedding_rows])
        if self.batches is not None:
            arrays.append(self.batches)
        if self.controls is not None:
            arrays += self.controls
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def batch(
        self,
        seed: int,
        step: int,
        rows: range,
        batch_size: int,
        draws: Draws,
    ) -> TrainingBatch:
        """Assemble part of the global batch of a step.

        Parameters
        ----------
        seed
            Training seed.
        step
            From 0.
        rows
            Positions in the global batch for this device.
        batch_size
            Size of the global batch.
        draws
            What is drawn.
        """
        members = batch_members(seed, step, batch_size, len(self))[rows.start : rows.stop]
        shape = self.moments.shape[1:]
        posterior_noise = np.empty((len(members), *shape), np.float32)
        noise = np.empty_like(posterior_noise)
        transforms = np.empty(len(members), np.int64)
        time = np.empty(len(members), np.float32)
        drop = np.empty((len(members), 3), bool)
        sources = np.empty(len(members), np.int64)
        # For the whole batch, wherever its parts are.
        shared = np.random.Generator(
            np.random.Philox(np.random.SeedSequence([_SHARED, seed, step]))
        ).random(2)
        for i, place in enumerate(rows):
            random = np.random.Generator(
                np.random.Philox(np.random.SeedSequence([_SAMPLE, seed, step, place]))
            )
            transforms[i] = random.integers(self.positions.shape[1])
            time[i] = draw_time(random, draws.time_sampling)
            drop[i] = random.random() < draws.label_dropout
            random.standard_normal(dtype=np.float32, out=posterior_noise[i])
            random.standard_normal(dtype=np.float32, out=noise[i])
            if draws.label_dropout_mode == "independent":
                drop[i, 1] = random.random() < draws.label_dropout
                drop[i, 2] = random.random() < draws.label_dropout
            if self.controls is not None:
                sources[i] = random.choice(self.controls[members[i]])
        if draws.label_dropout_mode == "whole_batch":
            drop[:] = shared[0] < draws.label_dropout
        moments = self.moments.read(self.positions[members, transforms])
        if self.controls is not None:
            # In the orientation of the image that the path leads to.
            images = self.moments.read(self.positions[sources, transforms])[:, 0]
            noise = images.astype(np.float32) + noise * (shared[1] < draws.source_noise)
        targets = None
        if self.targets is not None and self.target_positions is not None:
            targets = torch.from_numpy(
                self.targets.read(self.target_positions[members, transforms])
            )
        embedding = None
        if self.embeddings is not None and self.embedding_rows is not None:
            embedding = torch.from_numpy(self.embeddings[self.embedding_rows[members]])
        return TrainingBatch(
            latents=torch.from_numpy(sample_latents(moments, posterior_noise)),
            noise=torch.from_numpy(noise),
            time=torch.from_numpy(time),
            condition=Condition(
                perturbation=torch.from_numpy(self.perturbations[members]),
                cell_type=torch.from_numpy(self.cell_types[members]),
                embedding=embedding,
                batch=None if self.batches is None else torch.from_numpy(self.batches[members]),
            ),
            drop=torch.from_numpy(drop),
            targets=targets,
            step=step,
        )

    def not_finite(self, seed: int, steps: range, batch_size: int) -> str | None:
        """Describe the first cached array of some steps that is not finite, or return None."""
        for step in steps:
            fields = np.unique(batch_members(seed, step, batch_size, len(self)))
            for what, shards, positions in (
                ("latents", self.moments, self.positions),
                ("alignment targets", self.targets, self.target_positions),
            ):
                if shards is None or positions is None:
                    continue
                for position in positions[fields].reshape(-1, 1):
                    if not np.isfinite(shards.read(position)).all():
                        row = shards.index.iloc[int(position[0])]
                        return f"the {what} of the field {row['field_id']} in {row['shard']}"
            if self.embeddings is not None and self.embedding_rows is not None:
                rows = self.embedding_rows[fields]
                wrong = rows[~np.isfinite(self.embeddings[rows]).all(axis=1)]
                if len(wrong):
                    return f"the numbers in row {wrong[0]} of the perturbations' embeddings"
        return None

    def prefetched(
        self,
        seed: int,
        steps: range,
        rows: Sequence[range],
        batch_size: int,
        draws: Draws,
    ) -> Iterator[list[TrainingBatch]]:
        """Yield the batches of many steps, prefetched by a thread.

        Parameters
        ----------
        seed, batch_size, draws
            See `batch`.
        steps
            Steps to prefetch.
        rows
            One range per accumulated part.

        Yields
        ------
        list of TrainingBatch
            One per part.
        """
        ready: queue.Queue[list[TrainingBatch] | Exception] = queue.Queue(maxsize=4)
        stopped = threading.Event()

        def work() -> None:
            try:
                for step in steps:
                    parts = [self.batch(seed, step, part, batch_size, draws) for part in rows]
                    while not stopped.is_set():
                        try:
                            ready.put(parts, timeout=0.5)
                            break
                        except queue.Full:
                            continue
                    if stopped.is_set():
                        return
            except Exception as error:
                ready.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            for _ in steps:
                item = ready.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            stopped.set()
            thread.join(timeout=5)


def _positions(
    shards: ArrayShards, field_ids: pd.Series, transforms: list[int]
) -> NDArray[np.int64]:
    places = shards.index.set_index(["field_id", "transform"])["position"]
    wanted = pd.MultiIndex.from_product([list(field_ids), transforms])
    if places.index.has_duplicates:
        field_id, transform = places.index[places.index.duplicated()][0]
        raise DataError(
            f"Field {field_id!r} in orientation {transform} is cached more than once: delete the "
            "cached shards and rerun the workflow."
        )
    missing = wanted.difference(places.index)
    if len(missing):
        field_id, transform = missing[0]
        raise DataError(
            f"{len(missing)} cached arrays are missing for training, for example field "
            f"{field_id!r} in orientation {transform}: delete the cached shards and rerun the "
            "workflow."
        )
    return places.loc[wanted].to_numpy(np.int64).reshape(len(field_ids), len(transforms))


def open_training_data(
    fields: pd.DataFrame,
    moments: Sequence[str | Path],
    targets: Sequence[str | Path] | None,
    vocabulary: Vocabulary,
    transforms: list[int],
    conditions: ConditionTable | None = None,
    *,
    batch_by: str = "batch",
    from_controls: bool = False,
    verify: bool = True,
) -> TrainingData:
    """Open the cached arrays of the training fields.

    Parameters
    ----------
    fields
        `field_id`, `perturbation`, `cell_type`, `concentration` of the training fields.
    moments, targets
        Indices of the array shards.
    vocabulary
        Indices of labels.
    transforms
        Dihedral transforms to draw from.
    conditions
        Embeddings of the perturbations. With `missing: leave_out`, fields of perturbations without
        an embedding are excluded.
    batch_by
        Column of the batches.
    from_controls
        Whether paths begin at images of controls of the same batch and cell type.
    verify
        Verify the checksum of every shard; one of several processes does it for all.

    Raises
    ------
    DataError
        If there are no fields, an array is missing, or a label is not in the vocabulary.
    """
    if fields.empty:
        raise DataError("The split leaves no field for training: raise its `train` fraction.")
    if conditions is not None:
        fields = fields[~fields["perturbation"].isin(conditions.missing["perturbation"])]
        if fields.empty:
            raise DataError("None of the training fields has an embedding of its perturbation.")
    # Sort, so that the order of rows does not depend on files.
    fields = fields.sort_values("field_id", ignore_index=True)
    batches = vocabulary.batch_indices(fields[batch_by]) if vocabulary.batches else None
    shards = ArrayShards(moments, verify=verify)
    target_shards = ArrayShards(targets, verify=verify) if targets else None
    return TrainingData(
        moments=shards,
        targets=target_shards,
        positions=_positions(shards, fields["field_id"], transforms),
        target_positions=None
        if target_shards is None
        else _positions(target_shards, fields["field_id"], transforms),
        perturbations=vocabulary.perturbation_indices(fields["perturbation"]),
        cell_types=vocabulary.cell_type_indices(fields["cell_type"]),
        embeddings=None if conditions is None else conditions.matrix,
        embedding_rows=None
        if conditions is None
        else conditions.rows(fields["perturbation"], fields["concentration"]),
        batches=batches,
        controls=control_fields(fields, batch_by) if from_controls else None,
    )


def control_fields(fields: pd.DataFrame, batch_by: str) -> list[NDArray[np.int64]]:
    """For each field the positions of the negative controls of its batch and cell type.

    Raises
    ------
    DataError
        If a batch has no control of a cell type.
    """
    groups = [fields["cell_type"], fields[batch_by].fillna("")]
    negative = fields.index[fields["control"] == "negative"]
    found: dict[Any, NDArray[np.int64]] = {
        key: part.index.intersection(negative).to_numpy(np.int64)
        for key, part in fields.groupby(groups)
    }
    for (cell_type, batch), controls in found.items():
        if not len(controls):
            raise DataError(
                f"The {batch_by} {batch!r} has no negative control of the cell type {cell_type!r} "
                "among the training fields, which the coupling `control` begins at: set "
                "`batch_by`, leave the fields out, or use the coupling `noise`."
            )
    return [found[key] for key in zip(*groups, strict=True)]
