# Single-cell crops by name of the order of their channels; real and generated fields alike.


rule real_crops:
    input:
        fields=lambda w: PLAN.shard_fields(w.dataset, w.shard),
    output:
        archive=f"{RESULTS}/datasets/{{dataset}}/crops/{{order}}-{{size}}/shard-{{shard}}.zip",
    log:
        f"{LOGS}/crops/{{dataset}}_{{order}}-{{size}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/crops/{{dataset}}_{{order}}-{{size}}_{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        nuclear=lambda w: DATASETS[w.dataset].quality.nuclear,
        cell_types=lambda w: PLAN.crop_cell_types(w.dataset),
    message:
        "Single cells of {wildcards.dataset}, shard {wildcards.shard}"
    script:
        "../scripts/crops.py"


rule generated_crops:
    input:
        fields=rules.sample.output.archive,
    output:
        archive=f"{RESULTS}/experiments/{{experiment}}/crops/{{order}}-{{size}}/training-{{training_seed}}_sampling-{{sampling_seed}}/shard-{{shard}}.zip",
    log:
        f"{LOGS}/crops/{{experiment}}_{{order}}-{{size}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/crops/{{experiment}}_{{order}}-{{size}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        nuclear=lambda w: DATASETS[PLAN.dataset_of(w.experiment)].quality.nuclear,
    message:
        "Single cells of generated {wildcards.experiment}, shard {wildcards.shard}"
    script:
        "../scripts/crops.py"
