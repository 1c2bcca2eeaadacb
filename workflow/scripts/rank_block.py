from morphpipe.config.comparisons import Ranking
from morphpipe.console import log_to
from morphpipe.evaluation.ranking_blocks import rank_block
from morphpipe.evaluation.stage import EvaluationInputs
from morphpipe.storage import write_parquet

log_to(snakemake.log[0])
inputs = EvaluationInputs(
    fields=snakemake.input.fields,
    split=snakemake.input.split,
    samples=snakemake.input.samples,
    **snakemake.params.evaluation,
)
ranking = Ranking.model_validate(snakemake.params.ranking)
ranks = rank_block(inputs, ranking, int(snakemake.wildcards.block))
write_parquet(ranks, snakemake.output.ranks)
