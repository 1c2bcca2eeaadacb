# CellProfiler on real and on generated fields, in an environment of its own, and what comes of it.
from pathlib import Path

from morphpipe.morphology.environment import folder_of, package_path, sha256_of_lock
from morphpipe.plan.params import measure_options, measured_by, morphology_params
from morphpipe.plan.report_files import (
    generated_measurements,
    real_measurements,
    real_profiles,
)
from snakemake.settings.types import DeploymentMethod

# Relative, so that a moved repository measures nothing again.
PACKAGE = os.path.relpath(package_path())
CELLPROFILER_LOCK = os.path.relpath(
    f"{workflow.basedir}/workflow/envs/cellprofiler.lock"
)
CELLPROFILER_FOLDER = folder_of(
    Path(CELLPROFILER_LOCK), Path(CONFIGURATION.paths.environments)
)
# Without the environment's path: nothing is measured again in an environment of the same lock that
# lies elsewhere.
CELLPROFILER_RECORD = f"{RESULTS}/morphology/environment.json"
CELLPROFILER = [CELLPROFILER_RECORD]
CELLPROFILER_PYTHON = str(CELLPROFILER_FOLDER / "bin" / "python")
if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    # Conda makes the environment.
    CELLPROFILER, CELLPROFILER_PYTHON = [], "python"


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
        environments=lambda w, input: CONFIGURATION.paths.environments,
    message:
        "CellProfiler's environment"
    script:
        "../scripts/cellprofiler_environment.py"


# Called by `exec` in CellProfiler's environment, one thread a job: on real fields, those of one side
# of a split, and on generated ones.
rule measure:
    input:
        fields=lambda w: PLAN.measured_fields(w.place, w.morphology, w.part, w.shard),
        split=lambda w: (
            [] if w.place else PLAN.split_table(MORPHOLOGY[w.morphology].split)
        ),
        environment=CELLPROFILER,
    output:
        image=f"{RESULTS}/{{place}}morphology/{{morphology}}/{{part}}shard-{{shard}}/image.parquet",
        objects=f"{RESULTS}/{{place}}morphology/{{morphology}}/{{part}}shard-{{shard}}/objects.parquet",
        labels=f"{RESULTS}/{{place}}morphology/{{morphology}}/{{part}}shard-{{shard}}/labels.npz",
    log:
        f"{LOGS}/measure/{{place}}{{morphology}}/{{part}}{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{place}}{{morphology}}/{{part}}{{shard}}.tsv"
    wildcard_constraints:
        place=r"(experiments/[^/]+/)?",
    conda:
        "../envs/cellprofiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
    params:
        compared=lambda w: measured_by(MORPHOLOGY[w.morphology]),
        side=lambda w: [] if w.place else MORPHOLOGY[w.morphology].side,
        pipeline=lambda w, input: MORPHOLOGY[w.morphology].pipeline,
        python=lambda w, input: CELLPROFILER_PYTHON,
        package=lambda w, input: PACKAGE,
        options=lambda w, input: measure_options(MORPHOLOGY[w.morphology]),
        split=lambda w, input: options("--split", input.split),
        of_side=lambda w, input: (
            options("--side", MORPHOLOGY[w.morphology].side) if input.split else ""
        ),
        work=lambda w, input: f"{SCRATCH}/morphology/{w.place}{w.morphology}/{w.part}shard-{w.shard}",
    message:
        "CellProfiler: {wildcards.place}{wildcards.morphology}, shard {wildcards.part}{wildcards.shard}"
    shell:
        "exec env PYTHONPATH={params.package:q} PYTHONNOUSERSITE=1"
        " OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
        " {params.python:q} -m morphpipe.morphology.measure --fields {input.fields:q}"
        " {params.split} {params.of_side}"
        " --pipeline {params.pipeline:q} {params.options} --scratch {params.work:q}"
        " --image {output.image:q} --objects {output.objects:q} --labels {output.labels:q}"
        " > {log:q} 2>&1"


rule real_profiles:
    input:
        images=lambda w: real_measurements(PLAN, w.morphology, "image"),
        objects=lambda w: real_measurements(PLAN, w.morphology, "objects"),
        fields=lambda w: [PLAN.fields(MORPHOLOGY[w.morphology].split)],
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
        images=lambda w: generated_measurements(PLAN, w.experiment, "image"),
        objects=lambda w: generated_measurements(PLAN, w.experiment, "objects"),
        fields=lambda w: PLAN.samples(w.experiment),
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
        real=lambda w: real_profiles(PLAN, w.experiment),
        generated=rules.generated_profiles.output.profiles,
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
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
        evaluation=lambda w: morphology_params(PLAN, w.experiment),
    message:
        "Evaluating {wildcards.experiment}: morphology"
    script:
        "../scripts/evaluate_morphology.py"
