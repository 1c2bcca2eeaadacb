# One shard of good fields a plate, and a table of what was found when each was looked at.


rule simulate:
    output:
        archive=f"{RESULTS}/datasets/{{dataset}}/images/shard-{{shard}}.zip",
        quality=f"{RESULTS}/datasets/{{dataset}}/quality/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/simulate/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/simulate/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_from("simulated")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        dataset=lambda w: plain(DATASETS[w.dataset], "plates"),
    message:
        "Simulating plate {wildcards.shard} of {wildcards.dataset}"
    script:
        "../scripts/simulate.py"


rule catalogue:
    input:
        unpack(lambda w: PLAN.in_place(w.dataset)),
    output:
        fields=f"{RESULTS}/datasets/{{dataset}}/catalogue.parquet",
        missing=f"{RESULTS}/datasets/{{dataset}}/catalogue-missing.parquet",
    log:
        f"{LOGS}/catalogue/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/catalogue/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_in_place()),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        dataset=lambda w: plain(DATASETS[w.dataset]),
    message:
        "Reading the archive's directory of {wildcards.dataset}"
    script:
        "../scripts/catalogue.py"


# Planes that are read in place: a shard is a part of the catalogue.
rule examine:
    input:
        images=lambda w: PLAN.in_place(w.dataset)["images"],
        fields=rules.catalogue.output.fields,
    output:
        fields=f"{RESULTS}/datasets/{{dataset}}/shards/shard-{{shard}}.parquet",
        quality=f"{RESULTS}/datasets/{{dataset}}/quality/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/examine/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/examine/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_in_place()),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        shards=lambda w: DATASETS[w.dataset].shards,
        quality=lambda w: plain(DATASETS[w.dataset].quality),
    message:
        "Looking at every plane of {wildcards.dataset}, shard {wildcards.shard}"
    script:
        "../scripts/examine.py"


rule preprocess:
    input:
        sheet=f"{RESULTS}/datasets/{{dataset}}/sheets/shard-{{shard}}.parquet",
        planes=lambda w: PLAN.raw_archive(w.dataset, w.shard),
    output:
        archive=f"{RESULTS}/datasets/{{dataset}}/images/shard-{{shard}}.zip",
        quality=f"{RESULTS}/datasets/{{dataset}}/quality/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/preprocess/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/preprocess/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.raw_datasets()),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        preprocessing=lambda w: plain(DATASETS[w.dataset].preprocessing),
        quality=lambda w: plain(DATASETS[w.dataset].quality),
        rgb=lambda w: DATASETS[w.dataset].rgb,
        files=lambda w: PLAN.source(w.dataset).files_sha256(int(w.shard)),
    message:
        "Preprocessing plate {wildcards.shard} of {wildcards.dataset}"
    script:
        "../scripts/preprocess.py"
