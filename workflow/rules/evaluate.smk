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


rule evaluate:
    input:
        fields=real_fields,
        split=split_table,
        samples=lambda w: samples(w.experiment),
        features=evaluation_input,
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/metrics/{{metrics}}.parquet",
    log:
        f"{LOGS}/evaluate/{{experiment}}_{{metrics}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{experiment}}_{{metrics}}.tsv"
    wildcard_constraints:
        metrics="distances|effects|probes",
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="4h",
    params:
        evaluation=evaluation_params,
    message:
        "Evaluating {wildcards.experiment}: {wildcards.metrics}"
    script:
        "../scripts/evaluate.py"
