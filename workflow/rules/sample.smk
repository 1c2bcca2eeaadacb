# Called by `exec`, like training.
from morphpipe.plan.params import sampling_settings


rule sample:
    input:
        fields=lambda w: PLAN.fields(EXPERIMENTS[w.experiment].split),
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        checkpoint=lambda w: PLAN.last_checkpoint(w.experiment, w.training_seed),
        guide=lambda w: PLAN.guide(w.experiment, w.training_seed),
        autoencoder=lambda w: PLAN.autoencoder_record(
            EXPERIMENTS[w.experiment].autoencoder
        ),
        conditions=lambda w: PLAN.conditions(w.experiment),
        moments=lambda w: PLAN.start_latents(w.experiment),
    output:
        archive=f"{RESULTS}/experiments/{{experiment}}/samples/training-{{training_seed}}_sampling-{{sampling_seed}}/shard-{{shard}}.zip",
    log:
        f"{LOGS}/sample/{{experiment}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/sample/{{experiment}}_{{training_seed}}_{{sampling_seed}}_{{shard}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: lambda w: EXPERIMENTS[w.experiment].sampling.threads
    resources:
        mem_mb=growing(16000),
        runtime=growing(720),
        gpu=1,
    params:
        compared=lambda w: EXPERIMENTS[w.experiment].in_samples,
        settings=lambda w, input: sampling_settings(EXPERIMENTS[w.experiment]),
        autoencoder=lambda w, input: os.path.dirname(input.autoencoder),
        scaling=lambda w: options(
            "--scaling-factor",
            AUTOENCODERS[EXPERIMENTS[w.experiment].autoencoder].scaling_factor,
        ),
        conditions=lambda w, input: options("--conditions", input.conditions),
        guide=lambda w, input: options("--guide", input.guide),
        moments=lambda w, input: options("--moments", list(input.moments)),
        work=lambda w, input: f"{SCRATCH}/samples/{w.experiment}/{w.training_seed}_{w.sampling_seed}_{w.shard}",
    message:
        "Sampling {wildcards.experiment}, seeds {wildcards.training_seed} and {wildcards.sampling_seed}, shard {wildcards.shard}"
    shell:
        "exec morphpipe sample --settings {params.settings:q} --fields {input.fields:q}"
        " --split {input.split:q} --checkpoint {input.checkpoint:q} --autoencoder {params.autoencoder:q}"
        " {params.scaling} {params.conditions} {params.guide} {params.moments}"
        " --sampling-seed {wildcards.sampling_seed} --shard {wildcards.shard}"
        " --work {params.work:q} --threads {threads} --output {output.archive:q} --log {log:q}"
