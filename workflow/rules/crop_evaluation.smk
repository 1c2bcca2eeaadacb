# Distances of single-cell crops: features of the archives of crops, then as for whole fields.
from morphpipe.plan.params import crop_evaluation_params


rule real_crop_features:
    input:
        fields=rules.real_crops.output.archive,
        encoder=lambda w: PLAN.encoder_record(w.encoder),
    output:
        features=directory(
            f"{RESULTS}/datasets/{{dataset}}/crop-features/{{order}}-{{size}}/{{encoder}}/shard-{{shard}}"
        ),
    log:
        f"{LOGS}/real_crop_features/{{dataset}}_{{order}}-{{size}}_{{encoder}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/real_crop_features/{{dataset}}_{{order}}-{{size}}_{{encoder}}_{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=1,
    params:
        views=lambda w: PLAN.views(w.dataset, w.encoder),
        compared=lambda w: plain(ENCODERS[w.encoder], "batch_size"),
        encoder=lambda w, input: plain(ENCODERS[w.encoder]),
    message:
        "Features of single cells of {wildcards.dataset} by {wildcards.encoder}, shard {wildcards.shard}"
    script:
        "../scripts/features.py"


rule generated_crop_features:
    input:
        fields=rules.generated_crops.output.archive,
        encoder=lambda w: PLAN.encoder_record(w.encoder),
    output:
        features=directory(
            f"{RESULTS}/experiments/{{experiment}}/crop-features/{{order}}-{{size}}/{{encoder}}/training-{{training_seed}}_sampling-{{sampling_seed}}/shard-{{shard}}"
        ),
    log:
        f"{LOGS}/generated_crop_features/{{experiment}}_{{order}}-{{size}}_{{encoder}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/generated_crop_features/{{experiment}}_{{order}}-{{size}}_{{encoder}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=1,
    params:
        views=lambda w: EXPERIMENTS[w.experiment].evaluation.views,
        compared=lambda w: plain(ENCODERS[w.encoder], "batch_size"),
        encoder=lambda w, input: plain(ENCODERS[w.encoder]),
    message:
        "Features of single cells of generated {wildcards.experiment} by {wildcards.encoder}, shard {wildcards.shard}"
    script:
        "../scripts/features.py"


rule evaluate_crops:
    input:
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        real_crops=lambda w: PLAN.real_crops(w.experiment),
        generated_crops=lambda w: PLAN.generated_crops(w.experiment),
        features=lambda w: PLAN.features(w.experiment, crops=True),
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/metrics/crop-distances.parquet",
    log:
        f"{LOGS}/evaluate_crops/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_crops/{{experiment}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        evaluation=lambda w: crop_evaluation_params(PLAN, w.experiment),
    message:
        "Evaluating {wildcards.experiment}: single-cell crops"
    script:
        "../scripts/evaluate_crops.py"
