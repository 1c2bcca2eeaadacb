# What a generator knows of the perturbations of a dataset: embeddings by name.
rule conditions:
    input:
        fields=f"{RESULTS}/datasets/{{dataset}}/fields.parquet",
        files=lambda w: PLAN.condition_files(w.condition),
    output:
        table=f"{RESULTS}/datasets/{{dataset}}/conditions/{{condition}}.parquet",
    log:
        f"{LOGS}/conditions/{{dataset}}_{{condition}}.log",
    benchmark:
        f"{BENCHMARKS}/conditions/{{dataset}}_{{condition}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        condition=lambda w: plain(CONFIGURATION.conditions[w.condition]),
    message:
        "Embedding the perturbations of {wildcards.dataset}: {wildcards.condition}"
    script:
        "../scripts/conditions.py"
