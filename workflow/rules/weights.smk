rule weights:
    output:
        record=f"{CACHE}/weights/{{weights}}/weights.json",
    log:
        f"{LOGS}/weights/{{weights}}.log",
    benchmark:
        f"{BENCHMARKS}/weights/{{weights}}.tsv"
    # Before any work: a weight that cannot be had stops the run early.
    priority: 100
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        weights=lambda w: plain(CONFIGURATION.weights[w.weights]),
        lock=CONFIGURATION.paths.lock,
    message:
        "Fetching the weights {wildcards.weights}"
    script:
        "../scripts/weights.py"
