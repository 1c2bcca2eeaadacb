# Two experiments beside each other, and each perturbation's real images among those of all.
from morphpipe.config.comparisons import ranking_of
from morphpipe.plan.params import evaluation_params
from morphpipe.plan.report_files import distance_tables


rule compare:
    input:
        model=lambda w: distance_tables(PLAN, COMPARISONS[w.comparison].model),
        baseline=lambda w: distance_tables(PLAN, COMPARISONS[w.comparison].baseline),
    output:
        tests=f"{RESULTS}/comparisons/{{comparison}}/tests.parquet",
    log:
        f"{LOGS}/compare/{{comparison}}.log",
    benchmark:
        f"{BENCHMARKS}/compare/{{comparison}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        comparison=lambda w: plain(COMPARISONS[w.comparison]),
    message:
        "Comparing experiments: {wildcards.comparison}"
    script:
        "../scripts/compare.py"


rule rank_block:
    input:
        fields=lambda w: PLAN.fields(EXPERIMENTS[w.experiment].split),
        split=lambda w: PLAN.split_table(EXPERIMENTS[w.experiment].split),
        samples=lambda w: PLAN.samples(w.experiment),
        features=lambda w: PLAN.features(w.experiment),
    output:
        ranks=temp(
            f"{RESULTS}/experiments/{{experiment}}/metrics/ranking/block-{{block}}.parquet"
        ),
    log:
        f"{LOGS}/rank_block/{{experiment}}_{{block}}.log",
    benchmark:
        f"{BENCHMARKS}/rank_block/{{experiment}}_{{block}}.tsv"
    wildcard_constraints:
        block=r"\d+",
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
    params:
        evaluation=lambda w: evaluation_params(PLAN, w.experiment, "ranking"),
        ranking=lambda w: plain(ranking_of(COMPARISONS, w.experiment)),
    message:
        "Ranking cohorts of {wildcards.experiment}, block {wildcards.block}"
    script:
        "../scripts/rank_block.py"


rule rank:
    input:
        blocks=lambda w: expand(
            rules.rank_block.output.ranks,
            experiment=w.experiment,
            block=range(ranking_of(COMPARISONS, w.experiment).blocks),
        ),
    output:
        ranks=f"{RESULTS}/experiments/{{experiment}}/metrics/ranking.parquet",
    log:
        f"{LOGS}/rank/{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/rank/{{experiment}}.tsv"
    conda:
        "../envs/morphpipe.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    message:
        "Joining the ranks of {wildcards.experiment}"
    script:
        "../scripts/rank.py"
