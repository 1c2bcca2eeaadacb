# Single-cell crops of real and of generated fields alike, by the order of their channels.
rule crops:
    input:
        fields=lambda w: PLAN.images(w.images, w.part, w.shard),
    output:
        archive=f"{RESULTS}/{{images}}/crops/{{order}}-{{size}}/{{part}}shard-{{shard}}.zip",
    log:
        f"{LOGS}/crops/{{images}}/{{order}}-{{size}}/{{part}}{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/crops/{{images}}/{{order}}-{{size}}/{{part}}{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        nuclear=lambda w: DATASETS[PLAN.dataset_of_images(w.images)].quality.nuclear,
        cell_types=lambda w: (
            None if w.part else PLAN.crop_cell_types(PLAN.dataset_of_images(w.images))
        ),
    message:
        "Single cells of {wildcards.images}, shard {wildcards.part}{wildcards.shard}"
    script:
        "../scripts/crops.py"
