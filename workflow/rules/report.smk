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
