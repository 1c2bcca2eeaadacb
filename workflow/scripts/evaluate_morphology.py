from morphpipe.evaluation.morphology.sets import MorphologySettings
from morphpipe.evaluation.morphology.stage import evaluate_morphology
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
evaluation = snakemake.params.evaluation
evaluate_morphology(
    real=[snakemake.input.real],
    generated=[snakemake.input.generated],
    split=snakemake.input.split,
    recipes=[evaluation["recipe"]],
    context=evaluation["context"],
    settings=MorphologySettings(**evaluation["settings"]),
    per_plate=evaluation["per_plate"],
    **snakemake.output,
)
