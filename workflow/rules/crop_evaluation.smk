# Distances of single-cell crops.
from morphpipe.plan.params import crop_evaluation_params


rule evaluate_crops:
    input:
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        real_crops=lambda w: PLAN.real_crops(w.experiment),
        generated_crops=lambda w: PLAN.generated_crops(w.experiment),
        features=lambda w: PLAN.features(w.experiment, crops=True),
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/metrics/crop-distances.parquet",
    log:
        f"{LOGS}/evaluate_crops/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_crops/{{experiment}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        evaluation=lambda w: crop_evaluation_params(PLAN, w.experiment),
    message:
        "Evaluating {wildcards.experiment}: single-cell crops"
    script:
        "../scripts/evaluate_crops.py"
