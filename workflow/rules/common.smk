# Where things lie, and which shards, seeds and views there are. Nothing is computed here.
import json
import re
import sys
from contextlib import ExitStack

from morphpipe.plan.checks import plan_run
from morphpipe.plan.plates import number_of_shards
from morphpipe.config.datasets import RAW_SOURCES
from morphpipe.config.yaml_files import read_yaml
from morphpipe.core.errors import MorphpipeError
from morphpipe.config.sit_presets import token_stride

# Snakemake hands the path of this Python to bash, which takes what follows a blank for an argument.
if re.search(r"\s", sys.executable):
    sys.exit(
        f"\nmorphpipe's Python, {sys.executable}, has a blank in its path, with which no job starts: "
        "put the folder, or the environment, where there is none.\n"
    )

try:
    # Snakemake lets the last of two equal keys count.
    for _file in workflow.configfiles:
        if str(_file).endswith((".yaml", ".yml")):
            read_yaml(_file)
    CONFIGURATION = plan_run(config)
except MorphpipeError as error:
    sys.exit(f"\n{error}\n")

RESULTS = CONFIGURATION.paths.results
CACHE = CONFIGURATION.paths.cache
SCRATCH = CONFIGURATION.paths.scratch
ENVIRONMENTS = CONFIGURATION.paths.environments
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
# Held until Snakemake ends, see weights.smk.
RESULTS_IN_USE = ExitStack()
EXPERIMENTS = list(CONFIGURATION.experiments)
COMPARISONS = list(CONFIGURATION.comparisons)
WITH_CROPS = [
    name
    for name, e in CONFIGURATION.experiments.items()
    if e.evaluation.crops is not None
]
# Dihedral transforms that are cached: the identity, and the left-right flip as number 4.
TRANSFORMS = {"none": [0], "flip": [0, 4], "dihedral": list(range(8))}


def one_of(names):
    """A wildcard's pattern: one of these names, or nothing at all."""
    return "|".join(map(re.escape, names)) or "(?!)"


def datasets_from(*sources):
    return [name for name, d in CONFIGURATION.datasets.items() if d.source in sources]


wildcard_constraints:
    dataset=one_of(CONFIGURATION.datasets),
    split=one_of(CONFIGURATION.splits),
    codec=one_of(CONFIGURATION.codecs),
    encoder=one_of(CONFIGURATION.encoders),
    experiment=one_of(CONFIGURATION.experiments),
    weights=one_of(CONFIGURATION.weights),
    condition=one_of(CONFIGURATION.conditions),
    morphology=one_of(CONFIGURATION.morphology),
    mode="channels|rgb",
    augmentation="none|flip|dihedral",
    shard=r"\d+",
    patch=r"\d+",
    slice=r"\d+",
    training_seed=r"\d+",
    sampling_seed=r"\d+",


def growing(value):
    """Memory (MB) or time (minutes) of which a job that failed gets more at the next attempt."""
    return lambda wildcards, attempt: value * attempt


# A job is repeated when one of its params has changed. Snakemake compares those that depend on
# wildcards alone: what a result does not depend on (paths, batch sizes, devices) is passed on by
# functions of `input`, and what else it depends on stands in `compared`. docs/reruns.md has the list
# for every key of the configuration.
def plain(model, *without):
    """A part of the configuration as plain values, without what results do not depend on."""
    return model.model_dump(mode="json", exclude={"threads", *without})


def experiment_of(wildcards):
    return CONFIGURATION.experiments[wildcards.experiment]


def dataset_of(experiment):
    """Name of the dataset that an experiment is on."""
    return CONFIGURATION.splits[CONFIGURATION.experiments[experiment].split].dataset


def real_fields(wildcards):
    return f"{RESULTS}/datasets/{dataset_of(wildcards.experiment)}/fields.parquet"


def split_table(wildcards):
    return f"{RESULTS}/splits/{experiment_of(wildcards).split}.parquet"


def weights_record(name):
    return f"{CACHE}/weights/{name}/weights.json"


def codec_record(name):
    """The file whose presence says that a codec is there; its folder is what is loaded."""
    codec = CONFIGURATION.codecs[name]
    if codec.origin == "pretrained":
        return weights_record(codec.weights)
    return f"{RESULTS}/codecs/{name}/config.json"


def encoder_record(name):
    encoder = CONFIGURATION.encoders[name]
    if encoder.kind == "resnet18":
        return f"{RESULTS}/encoders/{name}/weights.safetensors"
    return weights_record(encoder.weights)


def scaling_factor(name):
    return getattr(CONFIGURATION.codecs[name], "scaling_factor", None)


def codec_dataset(name):
    return CONFIGURATION.splits[CONFIGURATION.codecs[name].split].dataset


def encoder_dataset(name):
    return CONFIGURATION.splits[CONFIGURATION.encoders[name].split].dataset


def dataset_shards(dataset):
    return range(number_of_shards(CONFIGURATION.datasets[dataset]))


def shards_with(dataset, cell_types):
    """Shards that can hold fields of these cell types (none: of all)."""
    settings = CONFIGURATION.datasets[dataset]
    if settings.source == "rxrx1":
        return settings.shards_with(cell_types)
    return dataset_shards(dataset)


def shard_fields(dataset, shard):
    """The fields of one plate: RxRx1's are a table beside its archive, others an archive."""
    folder = f"{RESULTS}/datasets/{dataset}"
    if CONFIGURATION.datasets[dataset].source == "rxrx1":
        return f"{folder}/shards/shard-{shard}.parquet"
    return f"{folder}/images/shard-{shard}.zip"


def shards_of(dataset):
    return [shard_fields(dataset, shard) for shard in dataset_shards(dataset)]


def moments(experiment):
    """Indices of the cached latents that an experiment draws from."""
    settings = CONFIGURATION.experiments[experiment]
    return expand(
        f"{RESULTS}/datasets/{{dataset}}/latents/{{codec}}-{{mode}}-{{augmentation}}/"
        "shard-{shard}.parquet",
        dataset=dataset_of(experiment),
        codec=settings.codec,
        mode=settings.image_mode,
        augmentation=settings.training.augmentation,
        shard=dataset_shards(dataset_of(experiment)),
    )


def conditions(experiment):
    """The table of what an experiment's perturbations are known by; none if it is learnt."""
    name = CONFIGURATION.experiments[experiment].generator.condition
    if name is None:
        return []
    return f"{RESULTS}/datasets/{dataset_of(experiment)}/conditions/{name}.parquet"


def starting_weights(experiment):
    """Pretrained weights that a training starts from; none if from scratch."""
    name = getattr(CONFIGURATION.experiments[experiment].generator, "weights", None)
    return [] if name is None else weights_record(name)


def targets(experiment):
    """Indices of the cached alignment targets; none without alignment."""
    settings = CONFIGURATION.experiments[experiment]
    if settings.generator.alignment is None:
        return []
    return expand(
        f"{RESULTS}/datasets/{{dataset}}/targets/{{encoder}}-patch{{patch}}_"
        "{codec}-{mode}-{augmentation}/shard-{shard}.parquet",
        dataset=dataset_of(experiment),
        encoder=settings.generator.alignment.encoder,
        patch=token_stride(settings.generator.architecture),
        codec=settings.codec,
        mode=settings.image_mode,
        augmentation=settings.training.augmentation,
        shard=dataset_shards(dataset_of(experiment)),
    )


def checkpoint(experiment, seed, slice_number):
    """A checkpoint's folder: of the experiment itself, or of the one that it is trained by."""
    trained = CONFIGURATION.experiments[experiment].trained_by or experiment
    return f"{RESULTS}/experiments/{trained}/training/seed-{seed}/slice-{slice_number}"


def last_checkpoint(experiment, seed):
    last = CONFIGURATION.experiments[experiment].training.slices - 1
    return checkpoint(experiment, seed, last)


def guide(experiment, seed):
    """The earlier checkpoint that guides the sampling of the last one; none without it."""
    number = CONFIGURATION.experiments[experiment].sampling.guidance.guide
    return [] if number is None else checkpoint(experiment, seed, number)


def sets_of(experiment):
    """(training seed, sampling seed, shard) of every archive of generated images."""
    settings = CONFIGURATION.experiments[experiment]
    return [
        (t, s, k)
        for t in settings.training.seeds
        for s in settings.sampling.seeds
        for k in range(settings.sampling.shards)
    ]


def samples(experiment):
    return [
        f"{RESULTS}/experiments/{experiment}/samples/training-{t}_sampling-{s}/shard-{k}.zip"
        for t, s, k in sets_of(experiment)
    ]


def generated_features(experiment, encoder):
    return [
        f"{RESULTS}/experiments/{experiment}/features/{encoder}/"
        f"training-{t}_sampling-{s}/shard-{k}"
        for t, s, k in sets_of(experiment)
    ]


def real_features(dataset, encoder):
    return [
        f"{RESULTS}/datasets/{dataset}/features/{encoder}/shard-{shard}"
        for shard in dataset_shards(dataset)
    ]
