# The papers' tables and figures by name: `snakemake morphgen_table4`.
rule paper_table:
    input:
        paper_inputs,
    output:
        item=f"{RESULTS}/papers/{{item}}/item.json",
        table=f"{RESULTS}/papers/{{item}}/table.csv",
    log:
        f"{LOGS}/papers/{{item}}.log",
    benchmark:
        f"{BENCHMARKS}/papers/{{item}}.tsv"
    wildcard_constraints:
        item=one_of(PAPER_TABLES),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    params:
        run=paper_run,
    message:
        "{wildcards.item}"
    script:
        "../scripts/paper_item.py"


rule paper_figure:
    input:
        paper_inputs,
    output:
        item=f"{RESULTS}/papers/{{item}}/item.json",
        png=f"{RESULTS}/papers/{{item}}/figure.png",
        pdf=f"{RESULTS}/papers/{{item}}/figure.pdf",
    log:
        f"{LOGS}/papers/{{item}}.log",
    benchmark:
        f"{BENCHMARKS}/papers/{{item}}.tsv"
    wildcard_constraints:
        item=one_of(PAPER_FIGURES),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    params:
        run=paper_run,
    message:
        "{wildcards.item}"
    script:
        "../scripts/paper_item.py"


for _item in ITEMS:

    rule:
        name:
            _item
        input:
            f"{RESULTS}/papers/{_item}/item.json",
