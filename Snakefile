# Raw plates in, a generative model and a report out. `snakemake --profile profiles/local` makes
# what config/config.yaml describes; `--configfile config/demo.yaml` takes another configuration.
from snakemake.utils import min_version

min_version("9.15")

# A configuration named on the command line takes the place of the default one, it is not merged.
if "experiments" not in config:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/sheets.smk"
include: "workflow/rules/shards.smk"
include: "workflow/rules/fields.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/latents.smk"
include: "workflow/rules/conditions.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/crops.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/crop_evaluation.smk"
include: "workflow/rules/morphology.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/papers.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


# Used with `--sdm apptainer` only: docs/cluster.md says how the image is made.
container: f"{workflow.basedir}/workflow/envs/morphpipe.sif"


# Nothing else runs where Snakemake itself does, which may be a login node.
localrules:
    all,
    downloads,


rule all:
    default_target: True
    input:
        rules.report.output.page,
        rules.report.output.single,
        expand(rules.evaluate_crops.output.metrics, experiment=PLAN.with_crops()),
        chosen_items(PLAN),
