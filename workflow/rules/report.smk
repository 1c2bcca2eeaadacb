# The report: a folder of pages, and the same as one file for sending.
rule report:
    input:
        files=lambda w: [
            path for name in EXPERIMENTS for path in flatten(shown_files(name))
        ],
        comparisons=lambda w: [
            path for name in COMPARISONS for path in flatten(comparison_files(name))
        ],
        weights=lambda w: [
            weights_record(name) for name in CONFIGURATION.weights_in_use()
        ],
        codecs=lambda w: expand(
            rules.train_codec.output.history, codec=trained_codecs()
        ),
        encoders=lambda w: expand(
            rules.train_encoder.output.history, encoder=trained_encoders()
        ),
        papers=lambda w: paper_items(),
    output:
        # The other pages, pictures, tables and figures stand beside it; the folder is made anew.
        page=f"{RESULTS}/report/index.html",
        single=report(
            f"{RESULTS}/report.html",
            caption="../report/page.rst",
            category="Report",
        ),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        configuration=config,
        benchmarks=BENCHMARKS,
        logs=LOGS,
        experiments=lambda w: {name: shown_files(name) for name in EXPERIMENTS},
        comparisons=lambda w: {name: comparison_files(name) for name in COMPARISONS},
    message:
        "Writing the report"
    script:
        "../scripts/report.py"


rule figures:
    input:
        files=lambda w: flatten(report_files(w.experiment)),
    output:
        samples=report(
            f"{RESULTS}/experiments/{{experiment}}/figures/samples.png",
            caption="../report/samples.rst",
            category="{experiment}",
        ),
        quality=report(
            f"{RESULTS}/experiments/{{experiment}}/figures/quality.png",
            caption="../report/quality.rst",
            category="{experiment}",
        ),
        training=report(
            f"{RESULTS}/experiments/{{experiment}}/figures/training.png",
            caption="../report/training.rst",
            category="{experiment}",
        ),
        distances=report(
            f"{RESULTS}/experiments/{{experiment}}/figures/distances.png",
            caption="../report/distances.rst",
            category="{experiment}",
        ),
        effects=report(
            f"{RESULTS}/experiments/{{experiment}}/figures/effects.png",
            caption="../report/effects.rst",
            category="{experiment}",
        ),
        probes=report(
            f"{RESULTS}/experiments/{{experiment}}/figures/probes.png",
            caption="../report/probes.rst",
            category="{experiment}",
        ),
        pca=report(
            f"{RESULTS}/experiments/{{experiment}}/figures/pca.png",
            caption="../report/pca.rst",
            category="{experiment}",
        ),
    log:
        f"{LOGS}/figures/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/figures/{{experiment}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        configuration=config,
        experiments=lambda w: {w.experiment: report_files(w.experiment)},
    message:
        "Figures of {wildcards.experiment}"
    script:
        "../scripts/figures.py"
