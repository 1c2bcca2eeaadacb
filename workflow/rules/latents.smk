# Of the fields that are trained on, and of no others.


rule latents:
    input:
        fields=lambda w: f"{RESULTS}/datasets/{CONFIGURATION.splits[w.split].dataset}/fields.parquet",
        split=f"{RESULTS}/splits/{{split}}.parquet",
        codec=lambda w: codec_record(w.codec),
    output:
        array=f"{RESULTS}/splits/{{split}}/latents/{{codec}}-{{mode}}-{{augmentation}}/shard-{{shard}}.npy",
        index=f"{RESULTS}/splits/{{split}}/latents/{{codec}}-{{mode}}-{{augmentation}}/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/latents/{{split}}_{{codec}}-{{mode}}-{{augmentation}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/latents/{{split}}_{{codec}}-{{mode}}-{{augmentation}}_{{shard}}.tsv"
    group:
        "latents"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="2h",
        gpu=1,
    params:
        shards=lambda w: CONFIGURATION.datasets[
            CONFIGURATION.splits[w.split].dataset
        ].shards,
        transforms=lambda w: TRANSFORMS[w.augmentation],
        scaling_factor=lambda w: scaling_factor(w.codec),
        batch_size=lambda w: getattr(CONFIGURATION.codecs[w.codec], "batch_size", 16),
    message:
        "Caching latents of {wildcards.split}, shard {wildcards.shard}"
    script:
        "../scripts/latents.py"


rule targets:
    input:
        fields=real_fields,
        split=split_table,
        moments=lambda w: moments(w.experiment)[0],
        encoder=lambda w: encoder_record(experiment_of(w).generator.alignment.encoder),
    output:
        array=f"{RESULTS}/experiments/{{experiment}}/targets/shard-{{shard}}.npy",
        index=f"{RESULTS}/experiments/{{experiment}}/targets/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/targets/{{experiment}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/targets/{{experiment}}_{{shard}}.tsv"
    group:
        "targets"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime="2h",
        gpu=1,
    params:
        shards=lambda w: CONFIGURATION.datasets[dataset_of(w.experiment)].shards,
        transforms=lambda w: experiment_of(w).training.transforms,
        architecture=lambda w: experiment_of(w).generator.architecture,
        name=lambda w: experiment_of(w).generator.alignment.encoder,
        encoder=lambda w: plain(
            CONFIGURATION.encoders[experiment_of(w).generator.alignment.encoder]
        ),
    message:
        "Caching alignment targets of {wildcards.experiment}, shard {wildcards.shard}"
    script:
        "../scripts/targets.py"
