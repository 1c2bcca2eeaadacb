# Networks that the workflow trains itself on the data at hand.
rule train_autoencoder:
    input:
        fields=lambda w: PLAN.fields(AUTOENCODERS[w.autoencoder].split),
        split=lambda w: PLAN.split_table(AUTOENCODERS[w.autoencoder].split),
    output:
        config=f"{RESULTS}/autoencoders/{{autoencoder}}/config.json",
        weights=f"{RESULTS}/autoencoders/{{autoencoder}}/diffusion_pytorch_model.safetensors",
        history=f"{RESULTS}/autoencoders/{{autoencoder}}/history.csv",
        record=f"{RESULTS}/autoencoders/{{autoencoder}}/weights.json",
    log:
        f"{LOGS}/train_autoencoder/{{autoencoder}}.log",
    benchmark:
        f"{BENCHMARKS}/train_autoencoder/{{autoencoder}}.tsv"
    wildcard_constraints:
        autoencoder=one_of(
            n for n, c in AUTOENCODERS.items() if c.trained_on is not None
        ),
    conda:
        "../envs/morphpipe.yaml"
    threads: 8
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
        gpu=1,
    params:
        autoencoder=lambda w: plain(AUTOENCODERS[w.autoencoder]),
    message:
        "Training the autoencoder {wildcards.autoencoder}"
    script:
        "../scripts/train_autoencoder.py"


# In place of an autoencoder, where a generator sees pixels.
rule pixel_autoencoder:
    output:
        config=f"{RESULTS}/autoencoders/{{autoencoder}}/config.json",
        record=f"{RESULTS}/autoencoders/{{autoencoder}}/weights.json",
    log:
        f"{LOGS}/pixel_autoencoder/{{autoencoder}}.log",
    benchmark:
        f"{BENCHMARKS}/pixel_autoencoder/{{autoencoder}}.tsv"
    wildcard_constraints:
        autoencoder=one_of(n for n, c in AUTOENCODERS.items() if c.origin == "pixels"),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        patch=lambda w: AUTOENCODERS[w.autoencoder].patch,
    message:
        "Pixels in place of an autoencoder: {wildcards.autoencoder}"
    script:
        "../scripts/pixel_autoencoder.py"


rule train_encoder:
    input:
        fields=lambda w: PLAN.fields(ENCODERS[w.encoder].split),
        split=lambda w: PLAN.split_table(ENCODERS[w.encoder].split),
    output:
        weights=f"{RESULTS}/encoders/{{encoder}}/weights.safetensors",
        history=f"{RESULTS}/encoders/{{encoder}}/history.csv",
        record=f"{RESULTS}/encoders/{{encoder}}/weights.json",
    log:
        f"{LOGS}/train_encoder/{{encoder}}.log",
    benchmark:
        f"{BENCHMARKS}/train_encoder/{{encoder}}.tsv"
    priority: 10
    conda:
        "../envs/morphpipe.yaml"
    threads: lambda w: ENCODERS[w.encoder].threads
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
        gpu=1,
    params:
        compared=lambda w: plain(ENCODERS[w.encoder], "batch_size"),
        encoder=lambda w, input: plain(ENCODERS[w.encoder]),
    message:
        "Training the feature encoder {wildcards.encoder}"
    script:
        "../scripts/train_encoder.py"
