# No job waits for weights that it does not read (an input that is `ancient` can hide what else has
# to be done): what cannot be had is noticed here.
onstart:
    from morphpipe.core.folder_lock import only_user
    from morphpipe.plan.checks import require_environment
    from morphpipe.datasets.fetch.weights import look_for_weights

    try:
        # Snakemake's own lock is of the working folder: another one may share the results.
        RESULTS_IN_USE.enter_context(only_user(RESULTS, patience=2))
        if CELLPROFILER:
            require_environment(CELLPROFILER_FOLDER, CELLPROFILER_RECORD)
        for name in CONFIGURATION.weights_in_use():
            record = PLAN.weights_record(name)
            if not os.path.exists(record):
                look_for_weights(
                    name, CONFIGURATION.weights[name], os.path.dirname(record)
                )
    except MorphpipeError as error:
        sys.exit(f"\n{error}\n")


rule weights:
    input:
        lambda w: CONFIGURATION.weights[w.weights].changeable_files,
    output:
        record=f"{CACHE}/weights/{{weights}}/weights.json",
    log:
        f"{LOGS}/weights/{{weights}}.log",
    benchmark:
        f"{BENCHMARKS}/weights/{{weights}}.tsv"
    # Before other work: a weight that is not what it should be stops the run early.
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
