# Called by `exec`, so that the scheduler's signals reach the training itself.
rule train:
    input:
        fields=real_fields,
        split=split_table,
        moments=lambda w: moments(w.experiment),
        targets=lambda w: targets(w.experiment),
        before=slice_before,
        conditions=lambda w: conditions(w.experiment),
        weights=lambda w: starting_weights(w.experiment),
    output:
        checkpoint=directory(
            f"{RESULTS}/experiments/{{experiment}}/training/seed-{{training_seed}}/slice-{{slice}}"
        ),
    log:
        f"{LOGS}/train/{{experiment}}_{{training_seed}}_{{slice}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{experiment}}_{{training_seed}}_{{slice}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 8
    resources:
        mem_mb=32000,
        runtime="12h",
        gpu=1,
    params:
        settings=lambda w: json.dumps(
            {
                "experiment": w.experiment,
                "seed": int(w.training_seed),
                "image_mode": experiment_of(w).image_mode,
                "codec": experiment_of(w).codec,
                "generator": plain(experiment_of(w).generator),
                "training": plain(experiment_of(w).training),
                "fidelity": plain(experiment_of(w).fidelity),
            }
        ),
        work=lambda w: f"{SCRATCH}/training/{w.experiment}/seed-{w.training_seed}",
        until=slice_end,
        targets=lambda w, input: " ".join(
            f"--targets {path:s}" for path in input.targets
        ),
        moments=lambda w, input: " ".join(
            f"--moments {path:s}" for path in input.moments
        ),
        before=lambda w, input: f"--before {input.before}" if input.before else "",
        conditions=lambda w, input: (
            f"--conditions {input.conditions}" if input.conditions else ""
        ),
        weights=lambda w, input: (
            f"--weights {os.path.dirname(input.weights)}" if input.weights else ""
        ),
    message:
        "Training {wildcards.experiment}, seed {wildcards.training_seed}, to step {params.until}"
    shell:
        "exec morphpipe train --settings {params.settings:q} --fields {input.fields:q}"
        " --split {input.split:q} {params.moments} {params.targets} {params.before}"
        " {params.conditions} {params.weights}"
        " --work {params.work:q} --until {params.until} --threads {threads}"
        " --output {output.checkpoint:q} --log {log:q}"
