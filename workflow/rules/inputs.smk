# What the rules need: input functions and params that take more than a line.
METRICS = ["distances", "effects", "probes"]


def weights_first(wildcards):
    """Weights that a dataset's experiments need: had before the first download or simulation."""
    names = set()
    for name, experiment in CONFIGURATION.experiments.items():
        if dataset_of(name) == wildcards.dataset:
            names.update(CONFIGURATION.weights_of(name))
    return [ancient(weights_record(name)) for name in sorted(names)]


def slice_before(wildcards):
    number = int(wildcards.slice)
    if number == 0:
        return []
    return checkpoint(wildcards.experiment, wildcards.training_seed, number - 1)


def slice_end(wildcards):
    training = experiment_of(wildcards).training
    return training.steps // training.slices * (int(wildcards.slice) + 1)


def evaluation_input(wildcards):
    """Features of all encoders of an experiment, real and generated."""
    name = wildcards.experiment
    return [
        path
        for encoder in experiment_of(wildcards).evaluation.encoders
        for path in real_features(dataset_of(name), encoder)
        + generated_features(name, encoder)
    ]


def evaluation_params(wildcards):
    name = wildcards.experiment
    experiment = experiment_of(wildcards)
    dataset = CONFIGURATION.datasets[dataset_of(name)]
    return {
        "experiment": name,
        "dataset": dataset_of(name),
        "source": dataset.source,
        "generator": experiment.generator.architecture,
        "evaluation": plain(experiment.evaluation),
        "real": {
            e: real_features(dataset_of(name), e)
            for e in experiment.evaluation.encoders
        },
        "generated": {
            e: generated_features(name, e) for e in experiment.evaluation.encoders
        },
    }


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
    }


def flatten(files):
    return [
        path
        for value in files.values()
        for path in (value if isinstance(value, list) else [value])
    ]
