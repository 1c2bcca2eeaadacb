# What the rules of morphology.smk need.
import shlex
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

from morphpipe.morphology.environment import folder_of, package_path, sha256_of_lock
from morphpipe.core.storage import sha256_of_file

# Relative, so that a moved repository measures nothing again.
PACKAGE = os.path.relpath(package_path())
CELLPROFILER_LOCK = os.path.relpath(
    f"{workflow.basedir}/workflow/envs/cellprofiler.lock"
)
CELLPROFILER_FOLDER = folder_of(Path(CELLPROFILER_LOCK), Path(ENVIRONMENTS))
# Without the environment's path: nothing is measured again in an environment of the same lock that
# lies elsewhere.
CELLPROFILER_RECORD = f"{RESULTS}/morphology/environment.json"
MEASUREMENTS = ["image", "objects", "labels"]

# Beside measurements that are there already Snakemake would not miss it.
for name, settings in CONFIGURATION.morphology.items():
    if not os.path.isfile(settings.pipeline):
        sys.exit(
            f"\nmorphology.{name}.pipeline: there is no file {settings.pipeline}; give the path "
            "of a .cppipe from the working directory, such as one of workflow/pipelines.\n"
        )


def morphology_of(wildcards):
    return CONFIGURATION.morphology[wildcards.morphology]


def dataset_measured(wildcards):
    return CONFIGURATION.splits[morphology_of(wildcards).split].dataset


def cellprofiler_record(wildcards):
    """CellProfiler's environment, but where conda makes it."""
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
        return []
    return CELLPROFILER_RECORD


def cellprofiler_python(wildcards, input):
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
        return "python"
    return str(CELLPROFILER_FOLDER / "bin" / "python")


def require_environment():
    """Stop where results say that CellProfiler's environment was made, and it is gone."""
    python = CELLPROFILER_FOLDER / "bin" / "python"
    if not cellprofiler_record(None):
        return
    if os.path.exists(CELLPROFILER_RECORD) and not os.access(python, os.X_OK):
        raise MorphpipeError(
            f"CellProfiler's environment {CELLPROFILER_FOLDER} is gone, or paths.environments names "
            f"another folder: make it with `morphpipe environment cellprofiler --folder "
            f"{ENVIRONMENTS}`, or delete {CELLPROFILER_RECORD} to have the workflow make it."
        )


def measure_options(wildcards):
    """Options of the measurement that real and generated fields share."""
    settings = morphology_of(wildcards)
    options = [f"--images={settings.images}"]
    options.append(f"--maximum-failed={settings.maximum_failed}")
    options.append(f"--keep-labels={settings.outlined}")
    options += [f"--channel={i}={c}" for i, c in settings.channels.items()]
    options += [f"--cell-type={name}" for name in settings.cell_types or []]
    options += [f"--perturbation={name}" for name in settings.perturbations or []]
    return shlex.join(options)


def measured_by(wildcards):
    """Options and content of the pipeline: its date, in a fresh clone that of today, does not count."""
    pipeline = Path(morphology_of(wildcards).pipeline)
    return measure_options(wildcards), sha256_of_file(pipeline)


def batch_option(wildcards):
    return f" --batch-size={morphology_of(wildcards).batch_size}"


def real_measurements(name):
    """Files of measured real fields by kind."""
    dataset = CONFIGURATION.splits[CONFIGURATION.morphology[name].split].dataset
    return {
        kind: expand(
            rules.measure_real.output[kind],
            morphology=name,
            shard=shards_with(dataset, CONFIGURATION.morphology[name].cell_types),
        )
        for kind in MEASUREMENTS
    }


def generated_measurements(experiment):
    name = CONFIGURATION.experiments[experiment].evaluation.morphology
    return {
        kind: [
            path
            for t, s, k in sets_of(experiment)
            for path in expand(
                rules.measure_generated.output[kind],
                experiment=experiment,
                morphology=name,
                training_seed=t,
                sampling_seed=s,
                shard=k,
            )
        ]
        for kind in MEASUREMENTS
    }


def real_profiles(wildcards):
    name = experiment_of(wildcards).evaluation.morphology
    return f"{RESULTS}/morphology/{name}/profiles.parquet"


def morphology_params(wildcards):
    evaluation = experiment_of(wildcards).evaluation
    settings = CONFIGURATION.morphology[evaluation.morphology]
    return {
        "context": {
            "experiment": wildcards.experiment,
            "dataset": dataset_of(wildcards.experiment),
            "generator": experiment_of(wildcards).generator.architecture,
        },
        "side": settings.side,
        "recipe": settings.recipe,
        "per_plate": settings.per_plate,
        "settings": {
            "floor_repeats": settings.floor_repeats or evaluation.floor_repeats,
            "correlation": settings.correlation,
            "correlation_floor": settings.correlation_floor,
            "clustering_seeds": settings.clustering_seeds,
            "count_bins": evaluation.count_bins,
            "seed": settings.seed,
        },
    }


def morphology_files(experiment):
    """All that the report shows of an experiment's morphology; none where it was not measured."""
    name = CONFIGURATION.experiments[experiment].evaluation.morphology
    if name is None:
        return {}
    real, generated = real_measurements(name), generated_measurements(experiment)
    return {
        "morphology": {
            "metrics": expand(
                rules.evaluate_morphology.output.metrics, experiment=experiment
            ),
            "differences": expand(
                rules.evaluate_morphology.output.differences, experiment=experiment
            ),
            "correlations": expand(
                rules.evaluate_morphology.output.correlations, experiment=experiment
            ),
            "scores": expand(
                rules.evaluate_morphology.output.scores, experiment=experiment
            ),
            "real_images": real["image"],
            "generated_images": generated["image"],
            "real_labels": real["labels"],
            "generated_labels": generated["labels"],
        }
    }
