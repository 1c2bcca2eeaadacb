# CellProfiler on real and on generated fields, in an environment of its own, and what comes of it.
rule cellprofiler_environment:
    output:
        record=CELLPROFILER_RECORD,
    log:
        f"{LOGS}/cellprofiler_environment.log",
    benchmark:
        f"{BENCHMARKS}/cellprofiler_environment.tsv"
    # Needs a network, like the downloads: an environment that cannot be made stops the run early.
    priority: 100
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        compared=sha256_of_lock(Path(CELLPROFILER_LOCK)),
        lock=lambda w, input: CELLPROFILER_LOCK,
        environments=lambda w, input: ENVIRONMENTS,
    message:
        "CellProfiler's environment"
    script:
        "../scripts/cellprofiler_environment.py"


# Called by `exec` in CellProfiler's environment, one thread a job.
rule measure_real:
    input:
        fields=lambda w: shard_fields(dataset_measured(w), w.shard),
        split=lambda w: f"{RESULTS}/splits/{morphology_of(w).split}.parquet",
        environment=cellprofiler_record,
    output:
        image=f"{RESULTS}/morphology/{{morphology}}/shard-{{shard}}/image.parquet",
        objects=f"{RESULTS}/morphology/{{morphology}}/shard-{{shard}}/objects.parquet",
        labels=f"{RESULTS}/morphology/{{morphology}}/shard-{{shard}}/labels.npz",
    log:
        f"{LOGS}/measure_real/{{morphology}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/measure_real/{{morphology}}_{{shard}}.tsv"
    conda:
        "../envs/cellprofiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
    params:
        compared=measured_by,
        pipeline=lambda w, input: morphology_of(w).pipeline,
        python=cellprofiler_python,
        package=lambda w, input: PACKAGE,
        options=lambda w, input: measure_options(w) + batch_option(w),
        side=lambda w: morphology_of(w).side,
        work=lambda w, input: f"{SCRATCH}/morphology/{w.morphology}/shard-{w.shard}",
    message:
        "CellProfiler on real fields ({wildcards.morphology}), shard {wildcards.shard}"
    shell:
        "exec env PYTHONPATH={params.package:q} PYTHONNOUSERSITE=1"
        " OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
        " {params.python:q} -m morphpipe.morphology.measure --fields {input.fields:q}"
        " --split {input.split:q} --side {params.side:q}"
        " --pipeline {params.pipeline:q} {params.options} --scratch {params.work:q}"
        " --image {output.image:q} --objects {output.objects:q} --labels {output.labels:q}"
        " > {log:q} 2>&1"


rule measure_generated:
    input:
        fields=rules.sample.output.archive,
        environment=cellprofiler_record,
    output:
        image=f"{RESULTS}/experiments/{{experiment}}/morphology/{{morphology}}/training-{{training_seed}}_sampling-{{sampling_seed}}/shard-{{shard}}/image.parquet",
        objects=f"{RESULTS}/experiments/{{experiment}}/morphology/{{morphology}}/training-{{training_seed}}_sampling-{{sampling_seed}}/shard-{{shard}}/objects.parquet",
        labels=f"{RESULTS}/experiments/{{experiment}}/morphology/{{morphology}}/training-{{training_seed}}_sampling-{{sampling_seed}}/shard-{{shard}}/labels.npz",
    log:
        f"{LOGS}/measure_generated/{{experiment}}_{{morphology}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/measure_generated/{{experiment}}_{{morphology}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.tsv"
    conda:
        "../envs/cellprofiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
    params:
        compared=measured_by,
        pipeline=lambda w, input: morphology_of(w).pipeline,
        python=cellprofiler_python,
        package=lambda w, input: PACKAGE,
        options=lambda w, input: measure_options(w) + batch_option(w),
        work=lambda w, input: f"{SCRATCH}/morphology/{w.experiment}_{w.morphology}/{w.training_seed}_{w.sampling_seed}_{w.shard}",
    message:
        "CellProfiler on generated {wildcards.experiment}, shard {wildcards.shard}"
    shell:
        "exec env PYTHONPATH={params.package:q} PYTHONNOUSERSITE=1"
        " OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
        " {params.python:q} -m morphpipe.morphology.measure --fields {input.fields:q}"
        " --pipeline {params.pipeline:q} {params.options} --scratch {params.work:q}"
        " --image {output.image:q} --objects {output.objects:q} --labels {output.labels:q}"
        " > {log:q} 2>&1"


rule real_profiles:
    input:
        images=lambda w: real_measurements(w.morphology)["image"],
        objects=lambda w: real_measurements(w.morphology)["objects"],
        fields=lambda w: [f"{RESULTS}/datasets/{dataset_measured(w)}/fields.parquet"],
    output:
        profiles=f"{RESULTS}/morphology/{{morphology}}/profiles.parquet",
    log:
        f"{LOGS}/real_profiles/{{morphology}}.log",
    benchmark:
        f"{BENCHMARKS}/real_profiles/{{morphology}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    message:
        "Profiles of real fields ({wildcards.morphology})"
    script:
        "../scripts/profiles.py"


rule generated_profiles:
    input:
        images=lambda w: generated_measurements(w.experiment)["image"],
        objects=lambda w: generated_measurements(w.experiment)["objects"],
        fields=lambda w: samples(w.experiment),
    output:
        profiles=f"{RESULTS}/experiments/{{experiment}}/morphology/profiles.parquet",
    log:
        f"{LOGS}/generated_profiles/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/generated_profiles/{{experiment}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    message:
        "Profiles of generated {wildcards.experiment}"
    script:
        "../scripts/profiles.py"


rule evaluate_morphology:
    input:
        real=real_profiles,
        generated=rules.generated_profiles.output.profiles,
        split=split_table,
    output:
        metrics=f"{RESULTS}/experiments/{{experiment}}/morphology/metrics.parquet",
        differences=f"{RESULTS}/experiments/{{experiment}}/morphology/differences.parquet",
        correlations=f"{RESULTS}/experiments/{{experiment}}/morphology/correlations.parquet",
        scores=f"{RESULTS}/experiments/{{experiment}}/morphology/scores.parquet",
    log:
        f"{LOGS}/evaluate_morphology/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_morphology/{{experiment}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
    params:
        evaluation=morphology_params,
    message:
        "Evaluating {wildcards.experiment}: morphology"
    script:
        "../scripts/evaluate_morphology.py"
