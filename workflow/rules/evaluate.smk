rule evaluate:
    input:
        fields=real_fields,
        split=split_table,
        samples=lambda w: samples(w.experiment),
        features=evaluation_input,
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/metrics/{{metrics}}.parquet",
    log:
        f"{LOGS}/evaluate/{{experiment}}_{{metrics}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{experiment}}_{{metrics}}.tsv"
    wildcard_constraints:
        metrics="distances|effects|probes",
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        evaluation=evaluation_params,
    message:
        "Evaluating {wildcards.experiment}: {wildcards.metrics}"
    script:
        "../scripts/evaluate.py"
