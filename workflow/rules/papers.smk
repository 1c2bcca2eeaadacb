# The papers' tables and figures by name: `snakemake morphgen_table4`.
from morphpipe.plan.paper_files import chosen_items, item_inputs, item_params
from morphpipe.report.papers.items import ITEMS


rule paper_table:
    input:
        lambda w: item_inputs(PLAN, w.item),
    output:
        item=f"{RESULTS}/papers/{{item}}/item.json",
        table=f"{RESULTS}/papers/{{item}}/table.csv",
    log:
        f"{LOGS}/papers/{{item}}.log",
    benchmark:
        f"{BENCHMARKS}/papers/{{item}}.tsv"
    wildcard_constraints:
        item=one_of(n for n, i in ITEMS.items() if i.kind == "table"),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    params:
        run=lambda w: item_params(PLAN, w.item),
    message:
        "{wildcards.item}"
    script:
        "../scripts/paper_item.py"


rule paper_figure:
    input:
        lambda w: item_inputs(PLAN, w.item),
    output:
        item=f"{RESULTS}/papers/{{item}}/item.json",
        png=f"{RESULTS}/papers/{{item}}/figure.png",
        pdf=f"{RESULTS}/papers/{{item}}/figure.pdf",
    log:
        f"{LOGS}/papers/{{item}}.log",
    benchmark:
        f"{BENCHMARKS}/papers/{{item}}.tsv"
    wildcard_constraints:
        item=one_of(n for n, i in ITEMS.items() if i.kind == "figure"),
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    params:
        run=lambda w: item_params(PLAN, w.item),
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
