from morphpipe.console import log_to
from morphpipe.evaluation.morphology_sets import MorphologySettings
from morphpipe.evaluation.morphology_stage import evaluate_morphology

log_to(snakemake.log[0])
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
