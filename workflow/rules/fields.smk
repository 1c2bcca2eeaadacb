# The tables of a whole dataset, and its splits.
rule fields:
    input:
        shards=lambda w: PLAN.shards_of(w.dataset),
        quality=lambda w: PLAN.real(w.dataset, "quality", ".parquet"),
        missing=lambda w: PLAN.missing_fields(w.dataset),
    output:
        fields=f"{RESULTS}/datasets/{{dataset}}/fields.parquet",
        quality=f"{RESULTS}/datasets/{{dataset}}/quality.parquet",
        quarantine=f"{RESULTS}/datasets/{{dataset}}/quarantine.parquet",
    log:
        f"{LOGS}/fields/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/fields/{{dataset}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    message:
        "The field table of {wildcards.dataset}"
    script:
        "../scripts/fields.py"


rule split:
    input:
        fields=lambda w: PLAN.fields(w.split),
        quality=lambda w: f"{RESULTS}/datasets/{SPLITS[w.split].dataset}/quality.parquet",
    output:
        split=f"{RESULTS}/splits/{{split}}.parquet",
        leakage=f"{RESULTS}/splits/{{split}}-leakage.parquet",
    log:
        f"{LOGS}/split/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/split/{{split}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        compared=lambda w: plain(SPLITS[w.split], "duplicates"),
        split=lambda w, input: plain(SPLITS[w.split]),
    message:
        "Splitting by well: {wildcards.split}"
    script:
        "../scripts/split.py"
