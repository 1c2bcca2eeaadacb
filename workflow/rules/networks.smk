# Networks that the workflow trains itself on the data at hand.
rule train_codec:
    input:
        fields=lambda w: PLAN.fields(CODECS[w.codec].split),
        split=lambda w: PLAN.split_table(CODECS[w.codec].split),
    output:
        config=f"{RESULTS}/codecs/{{codec}}/config.json",
        weights=f"{RESULTS}/codecs/{{codec}}/diffusion_pytorch_model.safetensors",
        history=f"{RESULTS}/codecs/{{codec}}/history.csv",
        record=f"{RESULTS}/codecs/{{codec}}/weights.json",
    log:
        f"{LOGS}/train_codec/{{codec}}.log",
    benchmark:
        f"{BENCHMARKS}/train_codec/{{codec}}.tsv"
    wildcard_constraints:
        codec=one_of(n for n, c in CODECS.items() if c.trained_on is not None),
    conda:
        "../envs/morphpipe.yaml"
    threads: 8
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
        gpu=1,
    params:
        codec=lambda w: plain(CODECS[w.codec]),
    message:
        "Training the codec {wildcards.codec}"
    script:
        "../scripts/train_codec.py"


# In place of an autoencoder, where a generator sees pixels.
rule pixel_codec:
    output:
        config=f"{RESULTS}/codecs/{{codec}}/config.json",
        record=f"{RESULTS}/codecs/{{codec}}/weights.json",
    log:
        f"{LOGS}/pixel_codec/{{codec}}.log",
    benchmark:
        f"{BENCHMARKS}/pixel_codec/{{codec}}.tsv"
    wildcard_constraints:
        codec=one_of(n for n, c in CODECS.items() if c.origin == "pixels"),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        patch=lambda w: CODECS[w.codec].patch,
    message:
        "Pixels in place of a codec: {wildcards.codec}"
    script:
        "../scripts/pixel_codec.py"


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
