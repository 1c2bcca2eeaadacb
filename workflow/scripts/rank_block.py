from morphpipe.config.comparisons import Ranking
from morphpipe.core.storage import write_parquet
from morphpipe.evaluation.distances.ranking_blocks import rank_block
from morphpipe.evaluation.stage import EvaluationInputs
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
inputs = EvaluationInputs(
    fields=snakemake.input.fields,
    split=snakemake.input.split,
    samples=snakemake.input.samples,
    **snakemake.params.evaluation,
)
ranking = Ranking.model_validate(snakemake.params.ranking)
ranks = rank_block(inputs, ranking, int(snakemake.wildcards.block))
write_parquet(ranks, snakemake.output.ranks)
