# Called by `exec`, so that the scheduler's signals reach the training itself. On which devices a
# training runs stands among the resources and not among the params, since other devices are no
# reason to train again what is trained.
rule train:
    input:
        fields=real_fields,
        split=split_table,
        moments=lambda w: first_slice(w, moments(w.experiment)),
        targets=lambda w: first_slice(w, targets(w.experiment)),
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
    # The longest chain of a run goes through here: this job and those that it waits for (10) come
    # first.
    priority: 20
    conda:
        "../envs/morphpipe.yaml"
    threads: lambda w: training_of(w).threads * training_of(w).devices
    resources:
        mem_mb=lambda w, attempt: 32000 * training_of(w).devices * attempt,
        runtime=growing(720),
        gpu=lambda w: training_of(w).devices if training_of(w).nodes == 1 else None,
        devices=lambda w: training_of(w).devices,
        nodes=lambda w: training_of(w).nodes,
        staging=lambda w: CONFIGURATION.paths.staging or "",
        # So many GPUs on each node, where `gpu` would be a sum that may lie unevenly; and one
        # task a node, which `mpi` leaves to the training to start.
        gres=over_nodes(lambda t: f"gpu:{t.devices}"),
        mpi=over_nodes(lambda t: "srun"),
        tasks=over_nodes(lambda t: t.nodes),
        tasks_per_gpu=over_nodes(lambda t: 0),
    params:
        compared=lambda w: training_settings(
            w, training_of(w).in_weights(experiment_of(w).fidelity), "sampling_noise"
        ),
        settings=lambda w, input: json.dumps(
            training_settings(w, plain(training_of(w)))
        ),
        work=lambda w, input: f"{SCRATCH}/training/{w.experiment}/seed-{w.training_seed}",
        until=slice_end,
        targets=lambda w: options("--targets", targets(w.experiment)),
        moments=lambda w: options("--moments", moments(w.experiment)),
        before=lambda w, input: options("--before", input.before),
        conditions=lambda w, input: options("--conditions", input.conditions),
        weights=lambda w, input: options(
            "--weights", map(os.path.dirname, flatten(input.weights))
        ),
    message:
        "Training {wildcards.experiment}, seed {wildcards.training_seed}, to step {params.until}"
    shell:
        "exec morphpipe train --settings {params.settings:q} --fields {input.fields:q}"
        " --split {input.split:q} {params.moments} {params.targets} {params.before}"
        " {params.conditions} {params.weights}"
        " --work {params.work:q} --until {params.until} --threads {threads}"
        " --devices {resources.devices} --nodes {resources.nodes} --staging={resources.staging:q}"
        " --output {output.checkpoint:q} --log {log:q}"
