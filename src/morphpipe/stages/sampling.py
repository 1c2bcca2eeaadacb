"""The job that generates a shard of an experiment's images."""

from collections.abc import Sequence
from pathlib import Path

from morphpipe.config.fidelity import Fidelity
from morphpipe.config.sampling import Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.perturbations.condition_table import ConditionTable
from morphpipe.sampling.generate import generate, generated_manifest
from morphpipe.sampling.load import load_guide, load_with_autoencoder
from morphpipe.sampling.plan import plan_shard, sampling_plan
from morphpipe.sampling.start import StartImages
from morphpipe.tables.archive import read_fields
from morphpipe.tables.lineage import read_from
from morphpipe.training.termination import ending_when_asked


def sample(
    settings: Sampling,
    fidelity: Fidelity,
    fields: Path,
    split: Path,
    checkpoint: Path,
    autoencoder: Path,
    output: Path,
    *,
    work: Path,
    sampling_seed: int = 0,
    shard: int = 0,
    scaling_factor: float | None = None,
    conditions: Path | None = None,
    guide: Path | None = None,
    moments: Sequence[Path] = (),
) -> None:
    """Generate one shard of a sampling plan; killed and called again, go on.

    Parameters
    ----------
    settings, fidelity
        As configured; of the latter the sampling noise is read.
    fields, split
        Field table and split table of the experiment.
    checkpoint, autoencoder
        Folders of the generator and of the autoencoder.
    output, work
        Image archive to write, and folder for finished batches.
    sampling_seed, shard
        Seed, and which shard of the plan.
    scaling_factor
        Scaling factor of the latents; None: that of the autoencoder's `config.json`.
    conditions
        Table of conditions.
    guide
        Checkpoint for autoguidance.
    moments
        Indices of the latents of real fields, for generators that start from controls.

    Raises
    ------
    ConfigError
        When there is no such shard, or a guide is given that the settings do not name.
    DataError
        When the inputs are damaged or do not fit together.
    """
    if not 0 <= shard < settings.shards:
        raise ConfigError(
            f"There is no shard {shard}: they are counted from 0 to {settings.shards - 1}."
        )
    number = settings.guidance.guide
    if guide is not None and number is None:
        raise ConfigError(
            "--guide is given, but sampling.guidance.guide does not name the slice: set it, with "
            "a scale, or leave --guide out."
        )
    inputs = (fields, split, checkpoint, autoencoder, conditions, guide, *moments)
    read_from(path for path in inputs if path is not None)
    with ending_when_asked():
        table = read_fields(fields)
        sides = read_split(split)
        chosen = table.select(sides["field_id"]).keys()
        generator, decoder = load_with_autoencoder(
            checkpoint,
            autoencoder,
            (int(chosen["height"].iloc[0]), int(chosen["width"].iloc[0])),
            scaling_factor=scaling_factor,
            conditions=None if conditions is None else ConditionTable.read(conditions),
            finished=True,
        )
        of_generator = generator.settings.generator
        start = None
        trained_on = table.select(fields_on(sides, "train")).keys()
        batches = generator.vocabulary.batches
        if of_generator.starts_from_controls:
            start = StartImages(moments, trained_on, generator, sampling_seed)
            batches = batches or tuple(start.controls["batch"].dropna().unique())
        plan = sampling_plan(
            chosen,
            settings,
            generator.conditions,
            batch_by=of_generator.batch_by,
            batches=batches,
            compared_with=table.select(fields_on(sides, "test")).keys(),
        )
        generate(
            generator.with_noise(fidelity.sampling_noise),
            decoder,
            plan_shard(plan, shard, settings.shards),
            settings,
            dataset=str(chosen["dataset"].iloc[0]),
            sampling_seed=sampling_seed,
            manifest=generated_manifest(table.manifest, generator.settings),
            path=output,
            work=work,
            guide=None if guide is None else load_guide(guide, generator, number),
            start=start,
        )
