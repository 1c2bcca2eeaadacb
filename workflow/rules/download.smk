# The only rules that need a network, beside weights.smk and CellProfiler's environment. All of them
# at once, where the jobs' machines have none: `snakemake --profile profiles/local downloads`.
rule downloads:
    input:
        weights=[weights_record(name) for name in CONFIGURATION.weights_in_use()],
        datasets=dataset_downloads,
        environment=lambda w: (
            cellprofiler_record(w) if CONFIGURATION.morphology_in_use() else []
        ),


rule download_rxrx1:
    output:
        images=protected(f"{CACHE}/datasets/{{dataset}}/rxrx1-images.zip"),
        metadata=protected(f"{CACHE}/datasets/{{dataset}}/rxrx1-metadata.zip"),
    log:
        f"{LOGS}/download/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(datasets_from("rxrx1")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(1440),
    params:
        dataset=lambda w: plain(CONFIGURATION.datasets[w.dataset]),
        lock=CONFIGURATION.paths.lock,
    message:
        "Downloading {wildcards.dataset} (goes on where it stopped)"
    script:
        "../scripts/download_rxrx1.py"


# One file by its address: tables of genes, of BBBC021, of wells.
rule download_table:
    output:
        table=f"{CACHE}/datasets/{{dataset}}/{{table}}.csv",
    log:
        f"{LOGS}/download/{{dataset}}_{{table}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}_{{table}}.tsv"
    wildcard_constraints:
        table="genes|image|moa|compound|annotation",
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        address=lambda w: table_address(w.dataset, w.table),
        lock=CONFIGURATION.paths.lock,
    message:
        "Downloading the table '{wildcards.table}' of {wildcards.dataset}"
    script:
        "../scripts/download_file.py"


rule download_bbbc021:
    output:
        archive=protected(f"{CACHE}/datasets/{{dataset}}/plates/shard-{{shard}}.zip"),
    log:
        f"{LOGS}/download/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(datasets_from("bbbc021")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(360),
    params:
        address=lambda w: bbbc021_address(w.dataset, int(w.shard)),
        lock=CONFIGURATION.paths.lock,
    message:
        "Downloading plate {wildcards.shard} of {wildcards.dataset}"
    script:
        "../scripts/download_file.py"


rule download_gallery:
    input:
        annotation=f"{CACHE}/datasets/{{dataset}}/annotation.csv",
    output:
        archive=protected(f"{CACHE}/datasets/{{dataset}}/plates/shard-{{shard}}.zip"),
        load_data=f"{CACHE}/datasets/{{dataset}}/plates/shard-{{shard}}.csv",
    log:
        f"{LOGS}/download/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(datasets_from("gallery")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(720),
    params:
        dataset=lambda w: without_plates(w.dataset),
        plate=lambda w: CONFIGURATION.datasets[w.dataset].plates[int(w.shard)],
        lock=CONFIGURATION.paths.lock,
    message:
        "Downloading plate {params.plate} of {wildcards.dataset}"
    script:
        "../scripts/download_gallery.py"
