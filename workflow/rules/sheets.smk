# One sample sheet a plate: which planes a field has, and what was done to its well.


rule sheet_bbbc021:
    input:
        tables=lambda w: PLAN.tables(w.dataset),
        archive=rules.download_bbbc021.output.archive,
    output:
        sheet=f"{RESULTS}/datasets/{{dataset}}/sheets/shard-{{shard}}.parquet",
        missing=f"{RESULTS}/datasets/{{dataset}}/sheets/shard-{{shard}}-missing.parquet",
    log:
        f"{LOGS}/sheet/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/sheet/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_from("bbbc021")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        dataset=lambda w: plain(DATASETS[w.dataset], "plates"),
        plate=lambda w: PLAN.source(w.dataset).plates()[int(w.shard)],
    message:
        "The sample sheet of plate {params.plate} of {wildcards.dataset}"
    script:
        "../scripts/sheet.py"


rule sheet_gallery:
    input:
        archive=rules.download_gallery.output.archive,
        load_data=rules.download_gallery.output.load_data,
        annotation=f"{CACHE}/datasets/{{dataset}}/annotation.csv.json",
    output:
        sheet=f"{RESULTS}/datasets/{{dataset}}/sheets/shard-{{shard}}.parquet",
        missing=f"{RESULTS}/datasets/{{dataset}}/sheets/shard-{{shard}}-missing.parquet",
    log:
        f"{LOGS}/sheet/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/sheet/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_from("gallery")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        dataset=lambda w: plain(DATASETS[w.dataset])
        | {"plates": [DATASETS[w.dataset].plates[int(w.shard)]]},
        plate=lambda w: PLAN.source(w.dataset).plates()[int(w.shard)],
    message:
        "The sample sheet of plate {params.plate} of {wildcards.dataset}"
    script:
        "../scripts/sheet.py"


# The user's sheet may grow: a plate's own rows, not the file's date, decide what is made anew.
rule sheet_own:
    input:
        sheet=lambda w: ancient(DATASETS[w.dataset].sheet),
    output:
        sheet=f"{RESULTS}/datasets/{{dataset}}/sheets/shard-{{shard}}.parquet",
        missing=f"{RESULTS}/datasets/{{dataset}}/sheets/shard-{{shard}}-missing.parquet",
    log:
        f"{LOGS}/sheet/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/sheet/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_from("sheet")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        dataset=lambda w: plain(DATASETS[w.dataset]),
        plate=lambda w: PLAN.source(w.dataset).plates()[int(w.shard)],
        rows=lambda w: PLAN.source(w.dataset).rows_sha256(int(w.shard)),
    message:
        "The sample sheet of plate {params.plate} of {wildcards.dataset}"
    script:
        "../scripts/sheet.py"
