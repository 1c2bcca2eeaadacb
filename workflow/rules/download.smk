# The only rules that need a network, beside weights.smk and CellProfiler's environment. All of them
# at once, where the jobs' machines have none: `snakemake --profile profiles/local downloads`.
# Their outputs are records beside the files (`<file>.json`): Snakemake deletes outputs before it runs
# a job again, and what took hours, or was put there by hand, is checked and kept.
from morphpipe.plan.addresses import local_files


rule downloads:
    input:
        weights=PLAN.weights_records(),
        datasets=lambda w: PLAN.dataset_downloads(),
        environment=lambda w: CELLPROFILER if CONFIGURATION.morphology_in_use() else [],


rule download_rxrx1:
    input:
        lambda w: local_files(DATASETS[w.dataset].images, DATASETS[w.dataset].metadata),
    output:
        images=f"{CACHE}/datasets/{{dataset}}/rxrx1-images.zip.json",
        metadata=f"{CACHE}/datasets/{{dataset}}/rxrx1-metadata.zip.json",
    log:
        f"{LOGS}/download/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_from("rxrx1")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(1440),
    params:
        compared=lambda w: DATASETS[w.dataset].fetched,
        dataset=lambda w, input: plain(DATASETS[w.dataset]),
        lock=lambda w, input: CONFIGURATION.paths.lock,
    message:
        "Downloading {wildcards.dataset} (goes on where it stopped)"
    script:
        "../scripts/download_rxrx1.py"


# One file by its address: tables of genes, of BBBC021, of wells.
rule download_table:
    input:
        lambda w: local_files(DATASETS[w.dataset].table_address(w.table)),
    output:
        record=f"{CACHE}/datasets/{{dataset}}/{{table}}.csv.json",
    log:
        f"{LOGS}/download/{{dataset}}_{{table}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}_{{table}}.tsv"
    wildcard_constraints:
        table=one_of(PLAN.table_names()),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        address=lambda w: DATASETS[w.dataset].table_address(w.table),
        lock=lambda w, input: CONFIGURATION.paths.lock,
    message:
        "Downloading the table '{wildcards.table}' of {wildcards.dataset}"
    script:
        "../scripts/download_file.py"


rule download_bbbc021:
    input:
        lambda w: local_files(PLAN.source(w.dataset).archive_address(int(w.shard))),
    output:
        archive=f"{CACHE}/datasets/{{dataset}}/plates/shard-{{shard}}.zip.json",
    log:
        f"{LOGS}/download/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_from("bbbc021")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(360),
    params:
        address=lambda w: PLAN.source(w.dataset).archive_address(int(w.shard)),
        lock=lambda w, input: CONFIGURATION.paths.lock,
    message:
        "Downloading plate {wildcards.shard} of {wildcards.dataset}"
    script:
        "../scripts/download_file.py"


rule download_crops:
    input:
        lambda w: local_files(DATASETS[w.dataset].images),
    output:
        archive=f"{CACHE}/datasets/{{dataset}}/crops.zip.json",
    log:
        f"{LOGS}/download/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_from("crops")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(720),
    params:
        address=lambda w: DATASETS[w.dataset].images,
        lock=lambda w, input: CONFIGURATION.paths.lock,
    message:
        "Downloading the crops of {wildcards.dataset}"
    script:
        "../scripts/download_file.py"


rule download_gallery:
    input:
        annotation=f"{CACHE}/datasets/{{dataset}}/annotation.csv.json",
    output:
        archive=f"{CACHE}/datasets/{{dataset}}/plates/shard-{{shard}}.zip.json",
        load_data=f"{CACHE}/datasets/{{dataset}}/plates/shard-{{shard}}.csv.json",
    log:
        f"{LOGS}/download/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.datasets_from("gallery")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(720),
    params:
        compared=lambda w: plain(
            DATASETS[w.dataset],
            "plates",
            "preprocessing",
            "quality",
            "rgb",
            "pixel_size",
            "licence",
        ),
        dataset=lambda w, input: plain(DATASETS[w.dataset], "plates"),
        plate=lambda w: DATASETS[w.dataset].plates[int(w.shard)],
        lock=lambda w, input: CONFIGURATION.paths.lock,
    message:
        "Downloading plate {params.plate} of {wildcards.dataset}"
    script:
        "../scripts/download_gallery.py"
