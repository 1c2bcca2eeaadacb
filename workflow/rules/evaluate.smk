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
        metrics="distances|effects|probes|manifold|variance|cross_perturbation|retrieval|batches",
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        evaluation=lambda w: evaluation_params(w, w.metrics),
    message:
        "Evaluating {wildcards.experiment}: {wildcards.metrics}"
    script:
        "../scripts/evaluate.py"


rule evaluate_memorisation:
    input:
        fields=real_fields,
        split=split_table,
        samples=lambda w: samples(w.experiment),
        features=evaluation_input,
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/metrics/memorisation.parquet",
        pairs=f"{RESULTS}/experiments/{{experiment}}/metrics/memorisation_pairs.parquet",
    log:
        f"{LOGS}/evaluate/{{experiment}}_memorisation.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{experiment}}_memorisation.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
    params:
        evaluation=lambda w: evaluation_params(w, "memorisation"),
    message:
        "Evaluating {wildcards.experiment}: memorisation"
    script:
        "../scripts/evaluate_memorisation.py"


rule real_cell_counts:
    input:
        fields=lambda w: shard_fields(w.dataset, w.shard),
    output:
        counts=f"{RESULTS}/datasets/{{dataset}}/cell-counts/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/cell_counts/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/cell_counts/{{dataset}}_{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        nuclear=lambda w: nuclear_channel(w.dataset),
    message:
        "Counting cells of {wildcards.dataset}, shard {wildcards.shard}"
    script:
        "../scripts/cell_counts.py"


rule generated_cell_counts:
    input:
        fields=rules.sample.output.archive,
    output:
        counts=f"{RESULTS}/experiments/{{experiment}}/cell-counts/training-{{training_seed}}_sampling-{{sampling_seed}}/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/cell_counts/{{experiment}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/cell_counts/{{experiment}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        nuclear=lambda w: nuclear_channel(dataset_of(w.experiment)),
    message:
        "Counting cells of generated {wildcards.experiment}, shard {wildcards.shard}"
    script:
        "../scripts/cell_counts.py"


rule evaluate_matched:
    input:
        fields=real_fields,
        split=split_table,
        samples=lambda w: samples(w.experiment),
        features=evaluation_input,
        counts=lambda w: cell_counts(w.experiment),
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/metrics/matched.parquet",
    log:
        f"{LOGS}/evaluate/{{experiment}}_matched.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{experiment}}_matched.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        evaluation=lambda w: evaluation_params(w, "matched"),
    message:
        "Evaluating {wildcards.experiment}: matched for cell count"
    script:
        "../scripts/evaluate.py"


rule reconstruct:
    input:
        fields=real_fields,
        split=split_table,
        codec=lambda w: codec_record(experiment_of(w).codec),
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/metrics/reconstruction.parquet",
    log:
        f"{LOGS}/evaluate/{{experiment}}_reconstruction.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{experiment}}_reconstruction.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=1,
    params:
        reconstruction=reconstruction_params,
        batch_size=lambda w, input: getattr(
            CONFIGURATION.codecs[experiment_of(w).codec], "batch_size", 8
        ),
    message:
        "Evaluating {wildcards.experiment}: reconstruction by the codec"
    script:
        "../scripts/reconstruct.py"
