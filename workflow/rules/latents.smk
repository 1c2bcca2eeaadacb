# Of all fields of a plate, so that several splits share them and a new plate touches no other.
from morphpipe.config.experiments import TRANSFORMS


rule latents:
    input:
        fields=lambda w: PLAN.shard_fields(w.dataset, w.shard),
        autoencoder=lambda w: PLAN.autoencoder_record(w.autoencoder),
    output:
        array=f"{RESULTS}/datasets/{{dataset}}/latents/{{autoencoder}}-{{mode}}-{{augmentation}}/shard-{{shard}}.npy",
        index=f"{RESULTS}/datasets/{{dataset}}/latents/{{autoencoder}}-{{mode}}-{{augmentation}}/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/latents/{{dataset}}_{{autoencoder}}-{{mode}}-{{augmentation}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/latents/{{dataset}}_{{autoencoder}}-{{mode}}-{{augmentation}}_{{shard}}.tsv"
    priority: 10
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=1,
    params:
        transforms=lambda w: TRANSFORMS[w.augmentation],
        scaling_factor=lambda w: AUTOENCODERS[w.autoencoder].scaling_factor,
        batch_size=lambda w, input: AUTOENCODERS[w.autoencoder].batch_size,
    message:
        "Caching latents of {wildcards.dataset}, shard {wildcards.shard}"
    script:
        "../scripts/latents.py"


rule targets:
    input:
        fields=lambda w: PLAN.shard_fields(w.dataset, w.shard),
        # The targets lie on the latents' grid.
        moments=rules.latents.output.index,
        encoder=lambda w: PLAN.encoder_record(w.encoder),
    output:
        array=f"{RESULTS}/datasets/{{dataset}}/targets/{{encoder}}-patch{{patch}}_{{autoencoder}}-{{mode}}-{{augmentation}}/shard-{{shard}}.npy",
        index=f"{RESULTS}/datasets/{{dataset}}/targets/{{encoder}}-patch{{patch}}_{{autoencoder}}-{{mode}}-{{augmentation}}/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/targets/{{dataset}}_{{encoder}}-patch{{patch}}_{{autoencoder}}-{{mode}}-{{augmentation}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/targets/{{dataset}}_{{encoder}}-patch{{patch}}_{{autoencoder}}-{{mode}}-{{augmentation}}_{{shard}}.tsv"
    priority: 10
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=1,
    params:
        transforms=lambda w: TRANSFORMS[w.augmentation],
        compared=lambda w: plain(ENCODERS[w.encoder], "batch_size"),
        encoder=lambda w, input: plain(ENCODERS[w.encoder]),
    message:
        "Caching alignment targets of {wildcards.dataset}, shard {wildcards.shard}"
    script:
        "../scripts/targets.py"
