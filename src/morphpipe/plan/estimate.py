"""Estimates of images, jobs, run time and disk space of a run.

Times on a GPU are computed from operation counts at 40 % of an H200's dense bf16 rate, times on a
CPU from rates measured on two cores. They are for planning, not for benchmarks.
"""

from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from morphpipe.config.configuration import Configuration
from morphpipe.config.experiments import Experiment
from morphpipe.config.morphology import Morphology
from morphpipe.config.networks import Autoencoder
from morphpipe.config.sit_presets import token_stride
from morphpipe.core.errors import WeightsError
from morphpipe.core.json_files import read_json
from morphpipe.datasets.sources.registry import source_of
from morphpipe.generators.registry import operations
from morphpipe.plan.images import count_cell_types, count_conditions, generated_images
from morphpipe.transport.times import evaluations

# Dense bf16 operations per second that training and sampling reach on one H200.
_GPU_RATE = 0.4 * 989e12
# Operations per second of small trainings on two cores, with AVX2 in float32 or AVX-512 in bfloat16
# (SiT-Na/1; 4e10 for SD-Ti).
_CPU_RATE = 5e10
# Start-up time in seconds of a job that imports torch and diffusers.
_START = 8
# Operations per plane of 512x512 through Stable Diffusion's encoder and decoder, and per pixel
# through the small autoencoder that the workflow trains.
_SD_ENCODE, _SD_DECODE = 1.1e12, 2.5e12
_SMALL_AUTOENCODER = 4e4
# Operations of ResNet-18 per image of 224x224 (He et al. 2016, table 1, give multiply-adds).
_RESNET18 = 3.6e9
# Bytes of a token in half precision: 384 features for OpenPhenom; ResNet-18 has fewer (256).
_TOKEN_BYTES = 768.0
# CellProfiler on one core, for a field of 512x512 with six channels: 8 s were measured with 70
# cells, 25 s with 200 cells.
_CELLPROFILER_SECONDS = 15
# Counting the nuclei of a field of 512x512 on one core, including reading the plane.
_COUNTING_SECONDS = 0.04
# A measure on one core; most take less time with few fields.
_MEASURE_SECONDS = 15


@dataclass
class Estimate:
    """Resources of a run.

    Attributes
    ----------
    stages
        Name, number of jobs, operations and bytes of each stage.
    """

    stages: list[tuple[str, int, float, float]] = field(default_factory=list)

    def as_table(self) -> Table:
        """Return the estimate as a table for the terminal."""
        table = Table(title="Estimated resources")
        for column in ("stage", "jobs", "one H200", "2 CPU cores", "disk"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        totals = [0.0, 0.0, 0.0]
        for name, jobs, number, size in self.stages:
            table.add_row(
                name,
                str(jobs),
                _duration(number / _GPU_RATE),
                _duration(number / _CPU_RATE),
                _size(size),
            )
            totals[0] += jobs
            totals[1] += number
            totals[2] += size
        starting = totals[0] * _START / 2
        table.add_row("job start-up", "", "-", _duration(starting), "-")
        table.add_section()
        table.add_row(
            "total",
            str(int(totals[0])),
            _duration(totals[1] / _GPU_RATE),
            _duration(totals[1] / _CPU_RATE + starting),
            _size(totals[2]),
        )
        table.caption = (
            "Without downloads; GPU times are for arithmetic only. "
            "Disk: total size of results/, cache/ and scratch/."
        )
        return table


def estimate_run(configuration: Configuration) -> Estimate:
    """Estimate the stages of a run."""
    estimate = Estimate()
    for name in sorted({configuration.splits[e.split].dataset for e in _used(configuration)}):
        for what, jobs, seconds, size in source_of(configuration.datasets[name]).work():
            estimate.stages.append((f"{name}: {what}", jobs, seconds * _CPU_RATE, size))
    _estimate_networks(estimate, configuration)
    cached: set[tuple[str, str, str]] = set()
    for name, experiment in configuration.experiments.items():
        _estimate_experiment(estimate, configuration, name, experiment, cached)
    return estimate


def _estimate_networks(estimate: Estimate, configuration: Configuration) -> None:
    """Add trained autoencoders and encoders; a training step is three forward passes."""
    autoencoders = {experiment.autoencoder for experiment in _used(configuration)}
    encoders = {name for e in _used(configuration) for name in e.evaluation.encoders}
    encoders |= {
        e.generator.alignment.encoder for e in _used(configuration) if e.generator.alignment
    }
    for name in sorted(autoencoders):
        autoencoder = configuration.autoencoders[name]
        if autoencoder.origin == "trained":
            # Encoder and decoder, which has twice the operations.
            work = (
                autoencoder.steps
                * autoencoder.batch_size
                * 9
                * _SMALL_AUTOENCODER
                * autoencoder.crop**2
            )
            estimate.stages.append((f"autoencoder {name}: train", 1, work, 4e6))
    for name in sorted(encoders):
        encoder = configuration.encoders[name]
        if encoder.kind == "resnet18":
            split = configuration.splits[encoder.split]
            fields, size = source_of(configuration.datasets[split.dataset]).fields()
            images = fields * split.fractions[encoder.side] * encoder.epochs
            work = images * 3 * _RESNET18 * (size / 224) ** 2
            estimate.stages.append((f"encoder {name}: train", 1, work, 45e6))


def _used(configuration: Configuration) -> list[Experiment]:
    return list(configuration.experiments.values())


def _latent_shape(
    configuration: Configuration, autoencoder: Autoencoder, size: int
) -> tuple[int, int]:
    """Return channels and size of the latent of one plane or one RGB image."""
    if autoencoder.origin == "trained":
        return autoencoder.latent_channels, size // autoencoder.downsampling
    if autoencoder.origin == "pixels":
        return autoencoder.patch**2, size // autoencoder.patch
    source = configuration.weights[autoencoder.weights].source
    known = Path(source.removeprefix("file:")) / "config.json"
    if source.startswith("file:") and known.is_file():
        try:
            content = read_json(known)
            reduction = 2 ** (len(content["block_out_channels"]) - 1)
            return int(content["latent_channels"]), size // reduction
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"{known} is not the configuration of an autoencoder ({error!r}): copy the folder "
                "of the weights again."
            ) from None
    # Not downloaded yet: assume Stable Diffusion's.
    return 4, size // 8


def _estimate_experiment(
    estimate: Estimate,
    configuration: Configuration,
    name: str,
    experiment: Experiment,
    cached: set[tuple[str, str, str]],
) -> None:
    dataset = configuration.splits[experiment.split].dataset
    source = source_of(configuration.datasets[dataset])
    (fields, size), shards = source.fields(), source.number_of_shards
    planes = source.channels if experiment.image_mode == "channels" else 1
    autoencoder = configuration.autoencoders[experiment.autoencoder]
    per_plane, side = _latent_shape(configuration, autoencoder, size)
    small = autoencoder.origin == "trained" or size < 512
    encode = _SMALL_AUTOENCODER * size**2 if small else _SD_ENCODE * (size / 512) ** 2
    decode = _SMALL_AUTOENCODER * 2 * size**2 if small else _SD_DECODE * (size / 512) ** 2
    if autoencoder.origin == "pixels":
        encode = decode = 0.0
    latent = per_plane * planes * side**2
    training, sampling = experiment.training, experiment.sampling
    orientations = len(training.transforms)
    key = (dataset, experiment.autoencoder, training.augmentation)
    if key not in cached:
        cached.add(key)
        estimate.stages.append(
            (
                f"{dataset}: latents ({experiment.autoencoder}, {training.augmentation})",
                shards,
                fields * orientations * planes * encode,
                fields * orientations * latent * 2 * 2.0,
            )
        )
    # Shared trainings are counted once.
    trains = experiment.trained_by is None
    if trains and experiment.generator.alignment:
        tokens = (side // token_stride(experiment.generator.architecture)) ** 2
        encoder = configuration.encoders[experiment.generator.alignment.encoder]
        joined = encoder.kind == "openphenom" and encoder.channels == "concatenate"
        of_field = orientations * tokens * _TOKEN_BYTES * (planes if joined else 1)
        estimate.stages.append((f"{name}: alignment targets", shards, 0.0, fields * of_field))
    forward, parameters = operations(experiment.generator, per_plane * planes, side)
    steps = training.steps * len(training.seeds)
    if trains:
        estimate.stages.append(
            (
                f"{name}: train {experiment.generator.architecture}",
                training.slices * len(training.seeds),
                experiment.generator.training_passes * forward * training.batch_size * steps,
                # Weights, average and two moments of the optimizer, float32.
                training.slices * len(training.seeds) * parameters * 16.0,
            )
        )
    conditions = count_conditions(configuration, experiment, dataset)
    images = generated_images(configuration, experiment)
    # With one set, all perturbations of a cell type share its images.
    shared = conditions // count_cell_types(configuration, sampling, dataset)
    sampled = images // shared if sampling.one_set else images
    passes = evaluations(sampling, experiment.generator.path)
    estimate.stages.append(
        (
            f"{name}: sample {sampled:,} images",
            sampling.shards * len(sampling.seeds) * len(training.seeds),
            sampled * (forward * passes + planes * decode),
            sampled * planes * size**2 * 0.5,
        )
    )
    encoders = len(experiment.evaluation.encoders)
    sets = sampling.shards * len(sampling.seeds) * len(training.seeds)
    estimate.stages.append(
        (
            f"{name}: features",
            encoders * (shards + sets),
            # ResNet-18, Inception and OpenPhenom lie within a factor of ten; about 4 GFLOP a
            # view of 224x224.
            (fields + images) * encoders * 7 * 4e9 * (size / 224) ** 2 / 4,
            (fields + images) * encoders * 7 * 4096.0,
        )
    )
    measured = experiment.evaluation.morphology
    if measured is not None:
        settings = configuration.morphology[measured]
        share = _measured_share(configuration, settings, dataset)
        # The size of a side of held-out fields only is unknown: assume RxRx1's, 0.35.
        fraction = configuration.splits[settings.split].fractions.get(settings.side, 0.35)
        number = fields * fraction * share + images * share
        seconds = number * _CELLPROFILER_SECONDS * (size / 512) ** 2 / 2
        estimate.stages.append(
            (f"{name}: CellProfiler", shards + sets, seconds * _CPU_RATE, number * 1e5)
        )
    measures = experiment.measures
    if "matched" in measures:
        seconds = (fields + images) * _COUNTING_SECONDS * (size / 512) ** 2 / 2
        estimate.stages.append((f"{name}: count cells", shards + sets, seconds * _CPU_RATE, 0.0))
    # Also distances, effects, probes, figures and the report.
    seconds = 60 + len(measures) * _MEASURE_SECONDS / 2
    jobs = 5 + len(measures)
    estimate.stages.append((f"{name}: metrics, figures, report", jobs, seconds * _CPU_RATE, 2e7))


def _measured_share(configuration: Configuration, settings: Morphology, dataset: str) -> float:
    """Fraction of measured conditions, estimated from the configuration."""
    known = configuration.datasets[dataset]
    share = 1.0
    for chosen, all_of_them in (
        (settings.cell_types, known.all_cell_types),
        (settings.perturbations, known.all_perturbations),
    ):
        if chosen is not None and all_of_them:
            share *= min(1.0, len(chosen) / len(all_of_them))
    return share


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 200 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def _size(count: float) -> str:
    for unit, limit in (("GB", 1e9), ("MB", 1e6)):
        if count >= limit:
            return f"{count / limit:,.1f} {unit}"
    return "-"
