"""Params of rules.

Snakemake reruns a job if the text of its params has changed, so values and the order of keys must
stay the same (docs/reruns.md).
"""

import json
import shlex
from pathlib import Path
from typing import Any

from morphpipe.config.base import Model
from morphpipe.config.experiments import Experiment, Training
from morphpipe.config.morphology import Morphology
from morphpipe.core.storage import sha256_of_file
from morphpipe.plan.paths import Plan


def plain(model: Model, *without: str) -> dict[str, Any]:
    """Return settings as plain values, without those that do not affect results."""
    return model.model_dump(mode="json", exclude={"threads", *without})


def options(name: str, values: Any) -> str:
    """Return an option of a shell command, quoted and repeated for each value.

    Parameters
    ----------
    name
        Name, for example `--moments`.
    values
        List of values, a single value, or None.
    """
    listed = values if isinstance(values, list) else [] if values is None else [values]
    return shlex.join(word for value in listed for word in (name, str(value)))


def training_settings(plan: Plan, experiment: str, seed: int | str) -> dict[str, Any]:
    """Return the settings of `morphpipe train`."""
    settings = plan.configuration.experiments[experiment]
    return {
        "experiment": experiment,
        "seed": int(seed),
        "image_mode": settings.image_mode,
        "autoencoder": settings.autoencoder,
        "generator": plain(settings.generator),
        "training": plain(settings.training),
        "fidelity": plain(settings.fidelity),
    }


def training_params(plan: Plan, experiment: str, seed: int | str) -> dict[str, Any]:
    """Return the settings that trained weights depend on."""
    settings = plan.configuration.experiments[experiment]
    return training_settings(plan, experiment, seed) | {
        "training": settings.training.in_weights(settings.fidelity),
        "fidelity": plain(settings.fidelity, "sampling_noise"),
    }


def training_devices(training: Training) -> dict[str, Any]:
    """Return the resources of a training, on one or several nodes.

    On several nodes `gres` requests GPUs per node, as `gpu` may be distributed unevenly, with one
    task per node: with `mpi`, the training starts the other processes.
    """
    several = training.nodes > 1
    return {
        "gpu": None if several else training.devices,
        "gres": f"gpu:{training.devices}" if several else None,
        "mpi": "srun" if several else None,
        "tasks": training.nodes if several else None,
        "tasks_per_gpu": 0 if several else None,
    }


def sampling_settings(experiment: Experiment) -> str:
    """Return the settings of `morphpipe sample` as JSON."""
    return json.dumps(plain(experiment.sampling) | {"noise": experiment.fidelity.sampling_noise})


def evaluation_params(plan: Plan, experiment: str, measure: str) -> dict[str, Any]:
    """Return the features of a measure, and the settings that it depends on.

    Parameters
    ----------
    plan
        Paths and configuration.
    experiment
        Name of the experiment.
    measure
        One of `morphpipe.config.experiments.READ_BY`.
    """
    settings = plan.configuration.experiments[experiment]
    dataset, encoders = plan.dataset_of(experiment), settings.evaluation.encoders
    return {
        "experiment": experiment,
        "dataset": dataset,
        "source": plan.configuration.datasets[dataset].source,
        "generator": settings.generator.architecture,
        "evaluation": settings.evaluation.read_by(measure),
        "real": {e: plan.real_features(experiment, e) for e in encoders},
        "generated": {e: plan.generated_features(experiment, e) for e in encoders},
    }


def crop_evaluation_params(plan: Plan, experiment: str) -> dict[str, Any]:
    """Return `evaluation_params` for distances of single-cell crops."""
    settings = plan.configuration.experiments[experiment]
    crops, encoders = plan.crops(experiment), settings.evaluation.encoders
    return {
        "experiment": experiment,
        "dataset": plan.dataset_of(experiment),
        "generator": settings.generator.architecture,
        "evaluation": settings.evaluation.read_by("distances"),
        "order": crops.order,
        "size": crops.size,
        "real": {e: plan.real_features(experiment, e, crops=True) for e in encoders},
        "generated": {e: plan.generated_features(experiment, e, crops=True) for e in encoders},
    }


def reconstruction_params(plan: Plan, experiment: str) -> dict[str, Any]:
    """Return the params of the reconstruction of held-out fields."""
    settings = plan.configuration.experiments[experiment]
    return {
        "experiment": experiment,
        "dataset": plan.dataset_of(experiment),
        "generator": settings.generator.architecture,
        "autoencoder": settings.autoencoder,
        "image_mode": settings.image_mode,
        "scaling_factor": plan.configuration.autoencoders[settings.autoencoder].scaling_factor,
        "fields_at_most": settings.evaluation.reconstruction_fields,
        "seed": settings.evaluation.seed,
    }


def morphology_params(plan: Plan, experiment: str) -> dict[str, Any]:
    """Return the params of the morphology comparison of an experiment."""
    settings = plan.configuration.experiments[experiment]
    evaluation = settings.evaluation
    measured = plan.configuration.morphology[str(evaluation.morphology)]
    return {
        "context": {
            "experiment": experiment,
            "dataset": plan.dataset_of(experiment),
            "generator": settings.generator.architecture,
        },
        "side": measured.side,
        "recipe": measured.recipe,
        "per_plate": measured.per_plate,
        "settings": {
            "floor_repeats": measured.floor_repeats or evaluation.floor_repeats,
            "correlation": measured.correlation,
            "correlation_floor": measured.correlation_floor,
            "clustering_seeds": measured.clustering_seeds,
            "count_bins": evaluation.count_bins,
            "seed": measured.seed,
        },
    }


def _measured(settings: Morphology) -> str:
    options = [f"--images={settings.images}"]
    options.append(f"--maximum-failed={settings.maximum_failed}")
    options.append(f"--keep-labels={settings.outlined}")
    options += [f"--channel={i}={c}" for i, c in settings.channels.items()]
    options += [f"--cell-type={name}" for name in settings.cell_types or []]
    options += [f"--perturbation={name}" for name in settings.perturbations or []]
    return shlex.join(options)


def measured_by(settings: Morphology) -> tuple[str, str]:
    """Return options that affect measurements, and the hash of the pipeline.

    The hash replaces the modification time of the pipeline, which changes with every clone.
    """
    return _measured(settings), sha256_of_file(Path(settings.pipeline))


def measure_options(settings: Morphology) -> str:
    """Return the common options of measurements of real and generated fields, quoted."""
    return f"{_measured(settings)} --batch-size={settings.batch_size}"
