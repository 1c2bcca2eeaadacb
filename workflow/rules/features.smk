rule real_features:
    input:
        fields=lambda w: PLAN.shard_fields(w.dataset, w.shard),
        encoder=lambda w: PLAN.encoder_record(w.encoder),
    output:
        features=directory(
            f"{RESULTS}/datasets/{{dataset}}/features/{{encoder}}/shard-{{shard}}"
        ),
    log:
        f"{LOGS}/real_features/{{dataset}}_{{encoder}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/real_features/{{dataset}}_{{encoder}}_{{shard}}.tsv"
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
        "Features of real {wildcards.dataset} by {wildcards.encoder}, shard {wildcards.shard}"
    script:
        "../scripts/features.py"


rule generated_features:
    input:
        fields=rules.sample.output.archive,
        encoder=lambda w: PLAN.encoder_record(w.encoder),
    output:
        features=directory(
            f"{RESULTS}/experiments/{{experiment}}/features/{{encoder}}/training-{{training_seed}}_sampling-{{sampling_seed}}/shard-{{shard}}"
        ),
    log:
        f"{LOGS}/generated_features/{{experiment}}_{{encoder}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/generated_features/{{experiment}}_{{encoder}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.tsv"
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
        "Features of generated {wildcards.experiment} by {wildcards.encoder}, shard {wildcards.shard}"
    script:
        "../scripts/features.py"
