# The report: a folder of pages, and the same as one file for sending.
from morphpipe.plan.report_files import comparison_files, flatten, report_files


rule report:
    input:
        files=lambda w: flatten([report_files(PLAN, name) for name in EXPERIMENTS]),
        comparisons=lambda w: flatten(
            [comparison_files(PLAN, name) for name in COMPARISONS]
        ),
        weights=PLAN.weights_records(),
        autoencoders=PLAN.autoencoder_histories(),
        encoders=PLAN.encoder_histories(),
        papers=chosen_items(PLAN),
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
        experiments=lambda w: {name: report_files(PLAN, name) for name in EXPERIMENTS},
        comparisons=lambda w: {
            name: comparison_files(PLAN, name) for name in COMPARISONS
        },
    message:
        "Writing the report"
    script:
        "../scripts/report.py"
