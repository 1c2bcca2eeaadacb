rule simulate:
    input:
        weights=weights_first,
    output:
        archive=protected(f"{RESULTS}/datasets/{{dataset}}/images/shard-{{shard}}.zip"),
    log:
        f"{LOGS}/simulate/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/simulate/{{dataset}}_{{shard}}.tsv"
    wildcard_constraints:
        dataset=one_of(datasets_from("simulated")),
    group:
        "simulate"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        dataset=lambda w: plain(CONFIGURATION.datasets[w.dataset]),
    message:
        "Simulating plate {wildcards.shard} of {wildcards.dataset}"
    script:
        "../scripts/simulate.py"


rule download_rxrx1:
    input:
        weights=weights_first,
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
        mem_mb=2000,
        runtime="24h",
    params:
        dataset=lambda w: plain(CONFIGURATION.datasets[w.dataset]),
        lock=CONFIGURATION.paths.lock,
    message:
        "Downloading {wildcards.dataset} (goes on where it stopped)"
    script:
        "../scripts/download_rxrx1.py"


rule catalogue_rxrx1:
    input:
        images=rules.download_rxrx1.output.images,
        metadata=rules.download_rxrx1.output.metadata,
    output:
        fields=f"{RESULTS}/datasets/{{dataset}}/catalogue.parquet",
        quarantine=f"{RESULTS}/datasets/{{dataset}}/catalogue-quarantine.parquet",
    log:
        f"{LOGS}/catalogue/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/catalogue/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(datasets_from("rxrx1")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime="1h",
    params:
        dataset=lambda w: plain(CONFIGURATION.datasets[w.dataset]),
    message:
        "Reading the archive's directory of {wildcards.dataset}"
    script:
        "../scripts/catalogue_rxrx1.py"


rule check_images:
    input:
        images=rules.download_rxrx1.output.images,
        fields=rules.catalogue_rxrx1.output.fields,
    output:
        quarantine=f"{RESULTS}/datasets/{{dataset}}/checks/shard-{{shard}}.parquet",
    log:
        f"{LOGS}/check/{{dataset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/check/{{dataset}}_{{shard}}.tsv"
    group:
        "check"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        shards=lambda w: CONFIGURATION.datasets[w.dataset].shards,
        quarantine=lambda w: CONFIGURATION.datasets[w.dataset].quarantine,
    message:
        "Looking at every plane of {wildcards.dataset}, shard {wildcards.shard}"
    script:
        "../scripts/check_images.py"


rule fields_rxrx1:
    input:
        fields=rules.catalogue_rxrx1.output.fields,
        missing=rules.catalogue_rxrx1.output.quarantine,
        unreadable=lambda w: expand(
            rules.check_images.output.quarantine,
            dataset=w.dataset,
            shard=dataset_shards(w.dataset),
        ),
    output:
        fields=f"{RESULTS}/datasets/{{dataset}}/fields.parquet",
        quarantine=f"{RESULTS}/datasets/{{dataset}}/quarantine.parquet",
    log:
        f"{LOGS}/fields/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/fields/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(datasets_from("rxrx1")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="30m",
    message:
        "The field table of {wildcards.dataset}"
    script:
        "../scripts/fields_rxrx1.py"


rule fields_simulated:
    input:
        archives=lambda w: expand(
            rules.simulate.output.archive,
            dataset=w.dataset,
            shard=dataset_shards(w.dataset),
        ),
    output:
        fields=f"{RESULTS}/datasets/{{dataset}}/fields.parquet",
        quarantine=f"{RESULTS}/datasets/{{dataset}}/quarantine.parquet",
    log:
        f"{LOGS}/fields/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/fields/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(datasets_from("simulated")),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    message:
        "The field table of {wildcards.dataset}"
    script:
        "../scripts/fields_simulated.py"


rule split:
    input:
        fields=lambda w: f"{RESULTS}/datasets/{CONFIGURATION.splits[w.split].dataset}/fields.parquet",
    output:
        split=f"{RESULTS}/splits/{{split}}.parquet",
    log:
        f"{LOGS}/split/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/split/{{split}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        split=lambda w: plain(CONFIGURATION.splits[w.split]),
    message:
        "Splitting by well: {wildcards.split}"
    script:
        "../scripts/split.py"
