# What the rules need: input functions and params that take more than a line.
import shlex

from morphpipe.config.comparisons import ranking_of
from morphpipe.datasets.sources.bbbc021 import PLATES as BBBC021_PLATES
from morphpipe.datasets.sources.bbbc021 import archive_name
from morphpipe.datasets.sources.sheet import ILLUMINATION
from morphpipe.datasets.sources.sheet_plates import files_sha256, rows_sha256
from morphpipe.plan.plates import own_plates
from morphpipe.imaging.crop_orders import CROP_ORDERS as NAMED_ORDERS
from morphpipe.imaging.crop_orders import OWN_ORDER

CROP_ORDERS = [OWN_ORDER, *NAMED_ORDERS]
METRICS = ["distances", "effects", "probes"]


def dataset_downloads(wildcards):
    from morphpipe.plan.downloads import list_downloads

    found = list_downloads(CONFIGURATION)
    return [f"{d.path}.json" for d in found if d.what.startswith("datasets.")]


def local_file(address):
    """The file that a `file:` address names, so that its changes are noticed."""
    from morphpipe.datasets.fetch.download import local_path

    try:
        path = local_path(address)
    except MorphpipeError:
        return []
    return [] if path is None else [str(path)]


def local_files(dataset, keys):
    settings = CONFIGURATION.datasets[dataset]
    return [path for key in keys for path in local_file(getattr(settings, key))]


def rxrx1_download(dataset):
    """What the archives of RxRx1 that are fetched depend on."""
    settings = CONFIGURATION.datasets[dataset]
    keys = {"images", "metadata", "images_sha256", "metadata_sha256", "fetch"}
    if settings.fetch == "selected":
        keys |= {"cell_types", "batches"}
    return settings.model_dump(mode="json", include=keys)


def without_plates(dataset):
    """A dataset's settings but its plates: one more of them changes nothing for the others."""
    return CONFIGURATION.datasets[dataset].model_dump(mode="json", exclude={"plates"})


def table_address(dataset, table):
    settings = CONFIGURATION.datasets[dataset]
    if settings.source == "bbbc021":
        return f"{settings.address}/BBBC021_v1_{table}.csv"
    return getattr(settings, table)


def genes_table(wildcards):
    if CONFIGURATION.datasets[wildcards.dataset].genes is None:
        return []
    return [f"{CACHE}/datasets/{wildcards.dataset}/genes.csv.json"]


def bbbc021_plate(dataset, shard):
    return (CONFIGURATION.datasets[dataset].plates or BBBC021_PLATES)[shard]


def bbbc021_address(dataset, shard):
    address = CONFIGURATION.datasets[dataset].address
    return f"{address}/{archive_name(bbbc021_plate(dataset, shard))}"


def bbbc021_tables(dataset):
    tables = ["image", "moa"]
    if CONFIGURATION.datasets[dataset].compound_table:
        tables.append("compound")
    return [f"{CACHE}/datasets/{dataset}/{table}.csv.json" for table in tables]


def raw_archive(wildcards):
    """The downloaded planes of a plate; one's own lie where the sheet says."""
    if CONFIGURATION.datasets[wildcards.dataset].source == "sheet":
        return []
    return (
        f"{CACHE}/datasets/{wildcards.dataset}/plates/shard-{wildcards.shard}.zip.json"
    )


def plate_rows_sha256(dataset, shard):
    settings = CONFIGURATION.datasets[dataset]
    return rows_sha256(settings.sheet, own_plates(settings)[shard])


def plate_files_sha256(dataset, shard):
    """What one's own planes are told apart by: as inputs, thousands a plate, they are too many."""
    settings = CONFIGURATION.datasets[dataset]
    if settings.source != "sheet":
        return None
    columns = [channel.column or channel.name for channel in settings.channels]
    if settings.preprocessing.illumination == "given":
        columns += [f"{ILLUMINATION}{channel.name}" for channel in settings.channels]
    return files_sha256(settings.sheet, own_plates(settings)[shard], columns)


def missing_fields(wildcards):
    """Tables of fields that have no image at all."""
    folder = f"{RESULTS}/datasets/{wildcards.dataset}"
    source = CONFIGURATION.datasets[wildcards.dataset].source
    if source == "rxrx1":
        return [f"{folder}/catalogue-missing.parquet"]
    if source in RAW_SOURCES:
        return [
            f"{folder}/sheets/shard-{shard}-missing.parquet"
            for shard in dataset_shards(wildcards.dataset)
        ]
    return []


def nuclear_channel(dataset):
    settings = CONFIGURATION.datasets[dataset]
    return settings.quality.nuclear if settings.source != "simulated" else "DNA"


def alignment_of(wildcards):
    """The shard of cached latents whose grid the targets follow."""
    w = wildcards
    return (
        f"{RESULTS}/datasets/{w.dataset}/latents/{w.codec}-{w.mode}-{w.augmentation}/"
        f"shard-{w.shard}.parquet"
    )


def condition_files(name):
    """What a condition is read from beside the field table: declared weights, a table."""
    settings = CONFIGURATION.conditions[name]
    if getattr(settings, "weights", None) is not None:
        return [weights_record(settings.weights)]
    return [settings.file] if settings.kind == "table" else []


def slice_before(wildcards):
    number = int(wildcards.slice)
    if number == 0:
        return []
    return checkpoint(wildcards.experiment, wildcards.training_seed, number - 1)


def first_slice(wildcards, files):
    """Files that a training's first slice waits for.

    The slices after it read them as well, but wait for the slice before alone: listed again for
    each slice they were a fifth of the edges in the graph of config/config.yaml. What is deleted
    between two slices is not made again: the training stops and names the file.
    """
    return files if int(wildcards.slice) == 0 else []


def slice_end(wildcards):
    training = experiment_of(wildcards).training
    return training.steps // training.slices * (int(wildcards.slice) + 1)


def views_on(dataset, encoder):
    """All views of a dataset that some experiment wants from an encoder."""
    views = []
    for experiment in CONFIGURATION.experiments.values():
        if CONFIGURATION.splits[experiment.split].dataset == dataset:
            if encoder in experiment.evaluation.encoders:
                views += [v for v in experiment.evaluation.views if v not in views]
    return views


def training_settings(wildcards, training, *without):
    """What `morphpipe train` is told, with these settings of the optimization."""
    experiment = experiment_of(wildcards)
    return {
        "experiment": wildcards.experiment,
        "seed": int(wildcards.training_seed),
        "image_mode": experiment.image_mode,
        "codec": experiment.codec,
        "generator": plain(experiment.generator),
        "training": training,
        "fidelity": plain(experiment.fidelity, *without),
    }


def sampling_settings(experiment):
    """What `morphpipe sample` is told."""
    return json.dumps(
        plain(experiment.sampling) | {"noise": experiment.fidelity.sampling_noise}
    )


def evaluation_input(wildcards):
    """Features of all encoders of an experiment, real and generated."""
    name = wildcards.experiment
    return [
        path
        for encoder in experiment_of(wildcards).evaluation.encoders
        for path in real_features(dataset_of(name), encoder)
        + generated_features(name, encoder)
    ]


def evaluation_params(wildcards, measure):
    """What a measure is made from, beside its inputs; with the settings that it reads alone."""
    name = wildcards.experiment
    experiment = experiment_of(wildcards)
    dataset = CONFIGURATION.datasets[dataset_of(name)]
    return {
        "experiment": name,
        "dataset": dataset_of(name),
        "source": dataset.source,
        "generator": experiment.generator.architecture,
        "evaluation": experiment.evaluation.read_by(measure),
        "real": {
            e: real_features(dataset_of(name), e)
            for e in experiment.evaluation.encoders
        },
        "generated": {
            e: generated_features(name, e) for e in experiment.evaluation.encoders
        },
    }


def reconstruction_params(wildcards):
    experiment = experiment_of(wildcards)
    return {
        "experiment": wildcards.experiment,
        "dataset": dataset_of(wildcards.experiment),
        "generator": experiment.generator.architecture,
        "codec": experiment.codec,
        "image_mode": experiment.image_mode,
        "scaling_factor": scaling_factor(experiment.codec),
        "fields_at_most": experiment.evaluation.reconstruction_fields,
        "seed": experiment.evaluation.seed,
    }


def cell_counts(experiment):
    """Cell counts of all real fields of an experiment's dataset, and of its generated ones."""
    dataset = dataset_of(experiment)
    real = expand(
        rules.real_cell_counts.output.counts,
        dataset=dataset,
        shard=dataset_shards(dataset),
    )
    return real + [
        path
        for t, s, k in sets_of(experiment)
        for path in expand(
            rules.generated_cell_counts.output.counts,
            experiment=experiment,
            training_seed=t,
            sampling_seed=s,
            shard=k,
        )
    ]


def measure_files(experiment):
    """Metric tables beside distances, effects and probes, by the name of the measure."""
    folder = f"{RESULTS}/experiments/{experiment}/metrics"
    files = {
        name: f"{folder}/{name}.parquet"
        for name in CONFIGURATION.experiments[experiment].measures
    }
    if "memorisation" in files:
        files["memorisation_pairs"] = f"{folder}/memorisation_pairs.parquet"
    return files


def trained_codecs():
    """Codecs that the workflow trains and some experiment uses."""
    used = {CONFIGURATION.experiments[name].codec for name in EXPERIMENTS}
    return sorted(
        name for name in used if CONFIGURATION.codecs[name].origin == "trained"
    )


def trained_encoders():
    used = set()
    for name in EXPERIMENTS:
        experiment = CONFIGURATION.experiments[name]
        used.update(experiment.evaluation.encoders)
        if experiment.generator.alignment is not None:
            used.add(experiment.generator.alignment.encoder)
    return sorted(
        name for name in used if CONFIGURATION.encoders[name].kind == "resnet18"
    )


def report_files(name):
    """All that the report shows of an experiment, by kind."""
    dataset = dataset_of(name)
    settings = CONFIGURATION.experiments[name]
    encoder = settings.evaluation.encoders[0]
    return {
        "fields": f"{RESULTS}/datasets/{dataset}/fields.parquet",
        "quarantine": f"{RESULTS}/datasets/{dataset}/quarantine.parquet",
        "quality": f"{RESULTS}/datasets/{dataset}/quality.parquet",
        "leakage": f"{RESULTS}/splits/{settings.split}-leakage.parquet",
        "split": f"{RESULTS}/splits/{settings.split}.parquet",
        "samples": samples(name),
        "checkpoints": [
            last_checkpoint(name, seed) for seed in settings.training.seeds
        ],
        "metrics": expand(
            rules.evaluate.output.metrics, experiment=name, metrics=METRICS
        ),
        "features": real_features(dataset, encoder),
        "generated_features": generated_features(name, encoder),
        **morphology_files(name),
    }


def shown_files(experiment):
    """All that the report shows of an experiment, by kind: with every metric table there is."""
    files = report_files(experiment)
    measures = measure_files(experiment)
    pairs = measures.pop("memorisation_pairs", None)
    files["metrics"] = files["metrics"] + list(measures.values())
    return files if pairs is None else {**files, "pairs": pairs}


def comparison_files(name):
    """All that the report shows of a comparison, by kind."""
    comparison = CONFIGURATION.comparisons[name]
    return {
        "tests": f"{RESULTS}/comparisons/{name}/tests.parquet",
        "rankings": {
            experiment: f"{RESULTS}/experiments/{experiment}/metrics/ranking.parquet"
            for experiment in comparison.experiments
            if comparison.ranking is not None
        },
    }


def options(name, files):
    """A shell command's option for each of these files, quoted."""
    return shlex.join(word for file in flatten(files) for word in (name, str(file)))


def flatten(files):
    """The paths in a list or mapping, however deep."""
    if isinstance(files, str):
        return [files]
    values = files.values() if isinstance(files, dict) else files
    return [path for value in values for path in flatten(value)]


def crops_of(experiment):
    return CONFIGURATION.experiments[experiment].evaluation.crops


def crop_cell_types(dataset):
    """Cell types of which an experiment wants crops; none where one wants those of all."""
    wanted = [
        CONFIGURATION.experiments[name].sampling.cell_types
        for name in WITH_CROPS
        if dataset_of(name) == dataset
    ]
    if any(types is None for types in wanted):
        return None
    return sorted({cell_type for types in wanted for cell_type in types})


def real_crop_archives(experiment):
    dataset, crops = dataset_of(experiment), crops_of(experiment)
    return expand(
        rules.real_crops.output.archive,
        dataset=dataset,
        order=crops.order,
        size=crops.size,
        shard=shards_with(dataset, crop_cell_types(dataset)),
    )


def generated_crop_archives(experiment):
    crops = crops_of(experiment)
    return [
        path
        for t, s, k in sets_of(experiment)
        for path in expand(
            rules.generated_crops.output.archive,
            experiment=experiment,
            order=crops.order,
            size=crops.size,
            training_seed=t,
            sampling_seed=s,
            shard=k,
        )
    ]


def real_crop_features(experiment, encoder):
    dataset, crops = dataset_of(experiment), crops_of(experiment)
    return expand(
        rules.real_crop_features.output.features,
        dataset=dataset,
        order=crops.order,
        size=crops.size,
        encoder=encoder,
        shard=shards_with(dataset, crop_cell_types(dataset)),
    )


def generated_crop_features(experiment, encoder):
    crops = crops_of(experiment)
    return [
        path
        for t, s, k in sets_of(experiment)
        for path in expand(
            rules.generated_crop_features.output.features,
            experiment=experiment,
            order=crops.order,
            size=crops.size,
            encoder=encoder,
            training_seed=t,
            sampling_seed=s,
            shard=k,
        )
    ]


def crop_evaluation_params(wildcards):
    name = wildcards.experiment
    evaluation = experiment_of(wildcards).evaluation
    return {
        "experiment": name,
        "dataset": dataset_of(name),
        "generator": experiment_of(wildcards).generator.architecture,
        "evaluation": evaluation.read_by("distances"),
        "order": evaluation.crops.order,
        "size": evaluation.crops.size,
        "real": {e: real_crop_features(name, e) for e in evaluation.encoders},
        "generated": {e: generated_crop_features(name, e) for e in evaluation.encoders},
    }


def comparison_of(wildcards):
    return CONFIGURATION.comparisons[wildcards.comparison]


def distance_tables(experiment):
    """Metric tables that are compared: of fields, and of crops where they are cut."""
    tables = expand(
        rules.evaluate.output.metrics, experiment=experiment, metrics="distances"
    )
    if CONFIGURATION.experiments[experiment].evaluation.crops is not None:
        tables += expand(rules.evaluate_crops.output.metrics, experiment=experiment)
    return tables


def training_of(wildcards):
    return experiment_of(wildcards).training


def over_nodes(value):
    """A resource of jobs over several nodes; others do not have it."""
    return lambda w: value(training_of(w)) if training_of(w).nodes > 1 else None
