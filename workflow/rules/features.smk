# Features of real and of generated images, as fields or as single-cell crops.
rule features:
    input:
        fields=lambda w: PLAN.images(w.images, w.part, w.shard, w.kind),
        encoder=lambda w: PLAN.encoder_record(w.encoder),
    output:
        features=directory(
            f"{RESULTS}/{{images}}/{{kind}}/{{encoder}}/{{part}}shard-{{shard}}"
        ),
    log:
        f"{LOGS}/features/{{images}}/{{kind}}/{{encoder}}/{{part}}{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/features/{{images}}/{{kind}}/{{encoder}}/{{part}}{{shard}}.tsv"
    wildcard_constraints:
        kind=r"features|crop-features/[^/]+",
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=1,
    params:
        views=lambda w: PLAN.views(w.images, w.encoder),
        compared=lambda w: plain(ENCODERS[w.encoder], "batch_size"),
        encoder=lambda w, input: plain(ENCODERS[w.encoder]),
    message:
        "Features of {wildcards.images} by {wildcards.encoder}, shard {wildcards.part}{wildcards.shard}"
    script:
        "../scripts/features.py"
