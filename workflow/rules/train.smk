# Called by `exec`, so that the scheduler's signals reach the training itself. On which devices a
# training runs stands among the resources and not among the params, since other devices are no
# reason to train again what is trained.
import json

from morphpipe.plan.params import training_devices, training_params, training_settings

TRAINING = {name: experiment.training for name, experiment in EXPERIMENTS.items()}
DEVICES = {name: training_devices(training) for name, training in TRAINING.items()}


rule train:
    input:
        fields=lambda w: PLAN.fields(EXPERIMENTS[w.experiment].split),
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        # Later slices read them as well, but wait for the slice before alone: listed again for each
        # slice they were a fifth of the edges in the graph of config/config.yaml. What is deleted
        # between two slices is not made again: the training stops and names the file.
        moments=lambda w: [] if int(w.slice) else PLAN.moments(w.experiment),
        targets=lambda w: [] if int(w.slice) else PLAN.targets(w.experiment),
        before=lambda w: PLAN.slice_before(w.experiment, w.training_seed, int(w.slice)),
        conditions=lambda w: PLAN.conditions(w.experiment),
        weights=lambda w: PLAN.starting_weights(w.experiment),
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
    threads: lambda w: TRAINING[w.experiment].threads * TRAINING[w.experiment].devices
    resources:
        mem_mb=lambda w, attempt: 32000 * TRAINING[w.experiment].devices * attempt,
        runtime=growing(720),
        gpu=lambda w: DEVICES[w.experiment]["gpu"],
        devices=lambda w: TRAINING[w.experiment].devices,
        nodes=lambda w: TRAINING[w.experiment].nodes,
        staging=lambda w: CONFIGURATION.paths.staging or "",
        gres=lambda w: DEVICES[w.experiment]["gres"],
        mpi=lambda w: DEVICES[w.experiment]["mpi"],
        tasks=lambda w: DEVICES[w.experiment]["tasks"],
        tasks_per_gpu=lambda w: DEVICES[w.experiment]["tasks_per_gpu"],
    params:
        compared=lambda w: training_params(PLAN, w.experiment, w.training_seed),
        settings=lambda w, input: json.dumps(
            training_settings(PLAN, w.experiment, w.training_seed)
        ),
        work=lambda w, input: f"{SCRATCH}/training/{w.experiment}/seed-{w.training_seed}",
        until=lambda w: TRAINING[w.experiment].end_of(int(w.slice)),
        targets=lambda w: options("--targets", PLAN.targets(w.experiment)),
        moments=lambda w: options("--moments", PLAN.moments(w.experiment)),
        before=lambda w, input: options("--before", input.before),
        conditions=lambda w, input: options("--conditions", input.conditions),
        weights=lambda w, input: options(
            "--weights", list(map(os.path.dirname, input.weights))
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
