# Networks that the workflow trains itself on the data at hand.
rule train_codec:
    input:
        fields=lambda w: f"{RESULTS}/datasets/{codec_dataset(w.codec)}/fields.parquet",
        split=lambda w: f"{RESULTS}/splits/{CONFIGURATION.codecs[w.codec].split}.parquet",
    output:
        config=f"{RESULTS}/codecs/{{codec}}/config.json",
        weights=f"{RESULTS}/codecs/{{codec}}/diffusion_pytorch_model.safetensors",
        history=f"{RESULTS}/codecs/{{codec}}/history.csv",
        record=f"{RESULTS}/codecs/{{codec}}/weights.json",
    log:
        f"{LOGS}/train_codec/{{codec}}.log",
    benchmark:
        f"{BENCHMARKS}/train_codec/{{codec}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 8
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
        gpu=1,
    params:
        codec=lambda w: plain(CONFIGURATION.codecs[w.codec]),
    message:
        "Training the codec {wildcards.codec}"
    script:
        "../scripts/train_codec.py"


rule train_encoder:
    input:
        fields=lambda w: f"{RESULTS}/datasets/{encoder_dataset(w.encoder)}/fields.parquet",
        split=lambda w: f"{RESULTS}/splits/{CONFIGURATION.encoders[w.encoder].split}.parquet",
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
    threads: lambda w: CONFIGURATION.encoders[w.encoder].threads
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
        gpu=1,
    params:
        compared=lambda w: plain(CONFIGURATION.encoders[w.encoder], "batch_size"),
        encoder=lambda w, input: plain(CONFIGURATION.encoders[w.encoder]),
    message:
        "Training the feature encoder {wildcards.encoder}"
    script:
        "../scripts/train_encoder.py"
