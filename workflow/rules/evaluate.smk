from morphpipe.evaluation.registry import MODULES
from morphpipe.plan.images import evaluation_memory
from morphpipe.plan.params import evaluation_params, reconstruction_params


rule evaluate:
    input:
        fields=lambda w: PLAN.fields(EXPERIMENTS[w.experiment].split),
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        samples=lambda w: PLAN.samples(w.experiment),
        features=lambda w: PLAN.features(w.experiment),
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/metrics/{{metrics}}.parquet",
    log:
        f"{LOGS}/evaluate/{{experiment}}_{{metrics}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{experiment}}_{{metrics}}.tsv"
    wildcard_constraints:
        metrics=one_of(
            name for name in MODULES if name not in ("memorisation", "matched")
        ),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: attempt
        * evaluation_memory(CONFIGURATION, w.experiment),
        runtime=growing(240),
    params:
        evaluation=lambda w: evaluation_params(PLAN, w.experiment, w.metrics),
    message:
        "Evaluating {wildcards.experiment}: {wildcards.metrics}"
    script:
        "../scripts/evaluate.py"


rule evaluate_memorisation:
    input:
        fields=lambda w: PLAN.fields(EXPERIMENTS[w.experiment].split),
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        samples=lambda w: PLAN.samples(w.experiment),
        features=lambda w: PLAN.features(w.experiment),
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
        mem_mb=lambda w, attempt: attempt
        * evaluation_memory(CONFIGURATION, w.experiment),
        runtime=growing(240),
    params:
        evaluation=lambda w: evaluation_params(PLAN, w.experiment, "memorisation"),
    message:
        "Evaluating {wildcards.experiment}: memorisation"
    script:
        "../scripts/evaluate.py"


rule cell_counts:
    input:
        fields=lambda w: PLAN.images(w.images, w.part, w.shard),
    output:
        counts=f"{RESULTS}/{{images}}/cell-counts/{{part}}shard-{{shard}}.parquet",
    log:
        f"{LOGS}/cell_counts/{{images}}/{{part}}{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/cell_counts/{{images}}/{{part}}{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        nuclear=lambda w: DATASETS[PLAN.dataset_of_images(w.images)].quality.nuclear,
    message:
        "Counting cells of {wildcards.images}, shard {wildcards.part}{wildcards.shard}"
    script:
        "../scripts/cell_counts.py"


rule evaluate_matched:
    input:
        fields=lambda w: PLAN.fields(EXPERIMENTS[w.experiment].split),
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        samples=lambda w: PLAN.samples(w.experiment),
        features=lambda w: PLAN.features(w.experiment),
        counts=lambda w: PLAN.cell_counts(w.experiment),
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
        mem_mb=lambda w, attempt: attempt
        * evaluation_memory(CONFIGURATION, w.experiment),
        runtime=growing(240),
    params:
        evaluation=lambda w: evaluation_params(PLAN, w.experiment, "matched"),
    message:
        "Evaluating {wildcards.experiment}: matched for cell count"
    script:
        "../scripts/evaluate.py"


rule reconstruct:
    input:
        fields=lambda w: PLAN.fields(EXPERIMENTS[w.experiment].split),
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        autoencoder=lambda w: PLAN.autoencoder_record(
            EXPERIMENTS[w.experiment].autoencoder
        ),
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
        reconstruction=lambda w: reconstruction_params(PLAN, w.experiment),
        batch_size=lambda w, input: AUTOENCODERS[
            EXPERIMENTS[w.experiment].autoencoder
        ].batch_size,
    message:
        "Evaluating {wildcards.experiment}: reconstruction by the autoencoder"
    script:
        "../scripts/reconstruct.py"
